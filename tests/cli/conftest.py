"""What every test of a command may ask for."""

from itertools import count
from pathlib import Path

import pytest

from syncer.db import engine as db
from syncer.db.migrate import ensure_schema
from tests.cli.home import KEY, Home, copy_database
from tests.postgres import Postgres
from tests.upstream import Upstream

_NUMBERS = count()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite database to copy."""
    path = tmp_path_factory.mktemp("migrated") / "syncer.db"
    engine = db.open_engine(f"sqlite:///{path}")
    ensure_schema(engine)
    engine.dispose()
    return path


@pytest.fixture
def home(tmp_path: Path, upstream: Upstream, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A directory of its own, with one source called `shop` and a migrated SQLite database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_KEY", KEY)
    return Home(tmp_path, copy_database(migrated, tmp_path / "syncer.db"), upstream)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_home(request: pytest.FixtureRequest, home: Home) -> Home:
    """The same on each kind of database."""
    if request.param == "postgresql":
        home.url = _copy(request.getfixturevalue("postgres"), request.getfixturevalue("migrated_postgres"))
        home.configure()
    return home


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> str:
    """The name of a migrated, empty PostgreSQL database to copy."""
    url = postgres.create_database()
    engine = db.open_engine(url)
    ensure_schema(engine)
    engine.dispose()
    return str(engine.url.database)


def _copy(postgres: Postgres, template: str) -> str:
    postgres.start()
    name = f"copy_{next(_NUMBERS)}"
    engine = db.open_engine(postgres.url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    engine.dispose()
    return postgres.url_of(name)
