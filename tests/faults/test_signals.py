"""SIGTERM and SIGINT in each phase of the shipped command: it stops, tidies up, and the next run heals at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from syncer.db import engine as db
from syncer.db.tables import sources
from tests.faults import KEY, MOVED, OFFERED, assert_consistent, effects, opened, outcomes
from tests.faults.child import Job, wait_until
from tests.upstream import Reply, catalog_body, model

if TYPE_CHECKING:
    from tests.faults.child import Ended, Nursery
    from tests.upstream import Upstream

pytestmark = pytest.mark.faults

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
HELD = 3
SLOWNESS = 5
"""A busy machine takes so much longer than the two seconds that are promised; the whole write takes longer still."""

PHASES: dict[str, tuple[str, int | None, list[str]]] = {
    "claim": ("syncer.db.leases:acquire", None, []),
    "before the fetch": ("syncer.fetch:fetch", None, ["abandoned"]),
    "parse": ("syncer.core.parse:snapshot", None, ["abandoned"]),
    "decide": ("syncer.core.decide:decide", None, ["abandoned"]),
    "apply": ("syncer.db.writes:write_decision", None, ["abandoned"]),
    "between two statements of apply": ("syncer.db.writes:write_decision", 4, ["abandoned"]),
    "before the commit": ("syncer.db.results:close", 5, ["abandoned"]),
    "after the commit": ("syncer.db.results:close", 6, ["held"]),
}
"""phase -> where the signal comes, and what the interrupted run is recorded as."""


def _command(url: str, upstream: Upstream, **fault: object) -> Job:
    environment = {"SYNCER_DATABASE_URL": url, "SYNCER_API_URL": upstream.url, "SYNCER_API_KEY": KEY}
    return Job(command=("sync",), environment=environment, **fault)  # type: ignore[arg-type]


@pytest.fixture
def known_url(database_url: str, upstream: Upstream, nursery: Nursery) -> str:
    """A database in which the shipped command has seen one catalog, and an upstream that offers another by now."""
    [ended] = nursery.run(_command(database_url, upstream.serve(OFFERED)))
    assert ended.code == 0, ended.said
    upstream.serve(MOVED)
    return database_url


def _assert_tidy(url: str) -> None:
    """Consistent, no run open, no lease left: nobody has to wait."""
    assert_consistent(url)
    assert "running" not in outcomes(url)
    with opened(url) as engine, db.reading(engine) as connection:
        assert connection.execute(sa.select(sources.c.lease_until)).scalar_one() is None


def _assert_next_run_heals(url: str, upstream: Upstream, nursery: Nursery) -> None:
    [ended] = nursery.run(_command(url, upstream))
    assert ended.code == HELD, ended.said
    _assert_tidy(url)
    assert len([run for run in effects(url)["runs"] if run["added"]]) == 2


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("phase", PHASES)
def test_signal_in_each_phase(
    known_url: str, upstream: Upstream, nursery: Nursery, phase: str, number: signal.Signals
) -> None:
    """Wherever the signal comes, all or nothing is written, the run is closed and its lease released (laws 1 and 9)."""
    function, point, recorded = PHASES[phase]
    before = effects(known_url)
    [ended] = nursery.run(_command(known_url, upstream, signal=number, on_entering=function, at_point=point))
    assert ended.code == CODES[number], ended.said
    assert "Traceback" not in ended.said
    assert outcomes(known_url) == ["changed", *recorded], ended.said
    _assert_tidy(known_url)
    if recorded != ["held"]:
        after = effects(known_url)
        assert {**after, "runs": []} == {**before, "runs": []}
        _assert_next_run_heals(known_url, upstream, nursery)


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_signal_while_upstream_is_silent(
    known_url: str, upstream: Upstream, nursery: Nursery, number: signal.Signals
) -> None:
    """A signal ends a fetch that waits for a silent upstream, and the run is abandoned (laws 1 and 9)."""
    upstream.reply(Reply(hang=True))
    [pid] = nursery.start(_command(known_url, upstream))
    wait_until(lambda: len(upstream.requests) == 2, "the command to fetch")
    os.kill(pid, number)
    [ended] = nursery.wait()
    assert ended.code == CODES[number], ended.said
    assert outcomes(known_url) == ["changed", "abandoned"]
    _assert_tidy(known_url)
    _assert_next_run_heals(known_url, upstream.serve(MOVED), nursery)


def test_terminated_as_the_operator_starts_it(sqlite_url: str, upstream: Upstream) -> None:
    """`python -m syncer sync`, started and terminated as cron would, ends with 143 and an abandoned run (law 9)."""
    upstream.reply(Reply(hang=True))
    environment = {**os.environ, **_command(sqlite_url, upstream).environment}
    with subprocess.Popen([sys.executable, "-m", "syncer", "sync"], env=environment) as process:
        wait_until(lambda: upstream.requests, "the command to fetch")
        process.terminate()
    assert process.returncode == 143
    assert outcomes(sqlite_url) == ["abandoned"]
    _assert_tidy(sqlite_url)


def test_terminated_while_several_sources_are_fetched(
    database_url: str, upstream: Upstream, nursery: Nursery, tmp_path: Path
) -> None:
    """With several sources, those in flight end their runs first: none is left open (laws 1 and 9)."""
    config = tmp_path / "syncer.toml"
    tables = [f'[[sources]]\nname = "s{number}"\nurl = "{upstream.url}"\n' for number in range(3)]
    config.write_text("\n".join([f'database_url = "{database_url}"', *tables]))
    signalled = threading.Event()
    upstream.reply(Reply(body=catalog_body(OFFERED), on_request=lambda: signalled.wait(30)))
    [pid] = nursery.start(Job(command=("--config", str(config), "sync")))
    wait_until(lambda: len(upstream.requests) == 3, "the command to fetch all three")
    os.kill(pid, signal.SIGTERM)
    signalled.set()
    [ended] = nursery.wait()
    assert ended.code == 143, ended.said
    assert set(outcomes(database_url)) <= {"changed", "abandoned"}
    assert len(outcomes(database_url)) == 3
    assert_consistent(database_url)
    assert _rerun(nursery, config).code == 0
    assert_consistent(database_url)


def _rerun(nursery: Nursery, config: Path) -> Ended:
    return nursery.run(Job(command=("--config", str(config), "sync")))[0]


@pytest.mark.parametrize("names", [("one",), ("one", "two")], ids=["one source", "two sources"])
def test_terminated_in_the_middle_of_a_large_write(
    sqlite_url: str, upstream: Upstream, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """SIGTERM ends a write to SQLite of any size: rolled back, the run abandoned, the lease released (laws 1 and 9)."""
    upstream.reply(Reply(body=catalog_body([model(f"house/model-{number}") for number in range(60_000)])))
    tables = [f'[[sources]]\nname = "{name}"\nurl = "{upstream.url}"\n' for name in names]
    (tmp_path / "syncer.toml").write_text("\n".join([f'database_url = "{sqlite_url}"', *tables]))
    log = Path(f"{sqlite_url.removeprefix('sqlite:///')}-wal")
    with subprocess.Popen([sys.executable, "-m", "syncer", "sync"], cwd=tmp_path) as process:
        wait_until(lambda: log.exists() and log.stat().st_size > 3_000_000, "the write to be under way")
        process.terminate()
        before = time.monotonic()
        process.wait()
    took = time.monotonic() - before
    assert process.returncode == 143
    assert set(outcomes(sqlite_url)) == {"abandoned"}
    assert effects(sqlite_url)["changes"] == []
    with opened(sqlite_url) as engine, db.reading(engine) as connection:
        assert connection.execute(sa.select(sources.c.lease_until)).scalars().all() == [None] * len(names)
    assert took < 2 * SLOWNESS
