"""Four machines, two hundred sources, one PostgreSQL: one is killed, one suspended, and no tick runs twice."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self

import pytest
import sqlalchemy as sa

from syncer.daemon import next_tick
from syncer.db import engine as db
from syncer.db.tables import runs, sources
from tests.cli.home import ROOT
from tests.daemon.machine import settings_of
from tests.daemon.test_daemon import rows_of, wait_for
from tests.faults import assert_consistent
from tests.upstream import Upstream, model

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from syncer.settings import SourceSettings
    from tests.postgres import Postgres

SOURCES = 200
INTERVAL = 4
CLOCKS = (-1.0, 0.0, 1.0, 0.0)
"""By how many seconds each machine's clock is wrong."""
PASSED_OVER = re.compile(r"the ticks from (\S+) on were passed over")


class Machine:
    """One of them, with its log in a file."""

    def __init__(self, folder: Path, told: dict[str, Any]) -> None:
        self.owner = told["owner"]
        self.log = folder / f"{self.owner}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.daemon.machine", json.dumps(told)], cwd=ROOT, stdout=log, stderr=log
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(30)


def one(engine: Engine, query: sa.Select[Any]) -> Any:
    """The single value of a query."""
    with db.reading(engine) as connection:
        return connection.execute(query).scalar_one()


def polls(engine: Engine) -> int:
    """How many runs have ended well so far."""
    return int(one(engine, sa.select(sa.func.count()).where(runs.c.outcome.in_(["changed", "unchanged"]))))


def holds_something(engine: Engine, owner: str) -> bool:
    """Whether a machine has a source in its hands."""
    return bool(one(engine, sa.select(sa.func.count()).where(sources.c.lease_owner == owner)))


@pytest.mark.faults
def test_each_tick_runs_on_one_machine(tmp_path: Path, postgres: Postgres, migrated: str, upstream: Upstream) -> None:
    """Each tick of each source ran once, or a row says why not, whatever becomes of the machines (laws 7, 8 and 9)."""
    postgres.start()
    url = postgres.create_database(template=migrated)
    upstream.serve([model("house/one", 1), model("house/two", 1)])
    told = {"database": url, "upstream": upstream.url, "sources": SOURCES, "interval": INTERVAL}
    engine = db.open_engine(url)
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        machines = [
            stack.enter_context(Machine(tmp_path, told | {"owner": f"machine-{number}", "ahead": ahead}))
            for number, ahead in enumerate(CLOCKS)
        ]
        killed, suspended, *_ = machines
        wait_for(lambda: polls(engine) >= 2 * SOURCES, what="two observations a source")
        upstream.serve([model("house/one", 2), model("house/three", 1)])
        wait_for(lambda: holds_something(engine, killed.owner), what="work to be killed at")
        killed.process.kill()
        wait_for(lambda: holds_something(engine, suspended.owner), what="work to be suspended at")
        suspended.process.send_signal(signal.SIGSTOP)
        upstream.serve([model("house/one", 3)])
        stopped_at = datetime.now(UTC)
        wait_for(lambda: datetime.now(UTC) - stopped_at > timedelta(seconds=6), what="its leases to run out")
        suspended.process.send_signal(signal.SIGCONT)
        before = polls(engine)
        wait_for(lambda: polls(engine) >= before + SOURCES, what="another observation a source")
        survivors = machines[1:]
        ended_at = datetime.now(UTC)
        for machine in survivors:
            machine.process.send_signal(signal.SIGTERM)
        assert [machine.process.wait(30) for machine in survivors] == [0, 0, 0], suspended.log.read_text()[-3000:]
    assert_consistent(url)
    assert_each_tick_once(url, told, ended_at)


def assert_each_tick_once(url: str, told: dict[str, Any], until: datetime) -> None:
    """The ticks that `next_tick` gives are those that ran, were skipped or are said to be passed over, each once."""
    by_name = {source.name: source for source in settings_of(told).sources}
    rows = sorted((row for row in rows_of(url) if row.started_at < until), key=lambda row: (row.name, row.id))
    assert {row.name for row in rows} == set(by_name)
    assert not [row for row in rows if row.outcome == "running"]
    for name, group in groupby(rows, key=lambda row: row.name):
        source, own = by_name[name], list(group)
        ran = [tick_of(source, row.started_at) for row in own if not PASSED_OVER.match(row.error or "")]
        assert len(set(ran)) == len(ran), f"{name} ran a tick twice"
        excused = {tick for row in own for tick in passed_over(source, row)}
        assert excused.isdisjoint(ran)
        expected = set(ticks_between(source, ran[0], ran[-1]))
        assert set(ran) | excused == expected | {ran[0]}
        assert all(row.error for row in own if row.outcome in {"skipped", "abandoned", "failed"})


def tick_of(source: SourceSettings, at: datetime) -> datetime:
    """The tick in whose time an instant lies."""
    return next_tick(source, at) - source.interval


def ticks_between(source: SourceSettings, first: datetime, last: datetime) -> list[datetime]:
    """The ticks after `first`, up to and with `last`."""
    found = []
    while (first := next_tick(source, first)) <= last:
        found.append(first)
    return found


def passed_over(source: SourceSettings, row: Any) -> list[datetime]:
    """The ticks that a row says nobody took: from the one it names until that of its own time."""
    said = PASSED_OVER.match(row.error or "")
    if said is None:
        return []
    first = datetime.fromisoformat(said[1])
    return [
        first,
        *(tick for tick in ticks_between(source, first, row.started_at) if tick < tick_of(source, row.started_at)),
    ]
