"""What the tests of faults share: one catalog that moves in every way, and what must be true after any fault.

`assert_consistent` asks of a database everything the laws promise whatever happened to its syncers; `effects` is all
that a run commits, so that "as before" and "as after" can be compared row by row.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from syncer.attempt import Attempt
from syncer.core.model import TRACKED, Kind
from syncer.db import engine as db
from syncer.db.migrate import ensure_schema
from syncer.db.tables import changes, feed, findings, models, notices, prices, rejected_rows, runs, sources
from syncer.settings import SourceSettings, format_of
from syncer.sync import sync_source
from tests.upstream import model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Engine

    from syncer.attempt import Clock
    from syncer.report import Report

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = "ak_of_the_fault_tests"

_NAMES = [f"house/model-{number:02}" for number in range(14)]
OFFERED = [model(name, 1) for name in _NAMES]
"""Fourteen models at a price of 1."""
WITHOUT_FIRST = OFFERED[1:]
MOVED = [
    OFFERED[0],  # is back
    # the second is gone
    model(_NAMES[2], 2),
    model(_NAMES[3], 1, context_length=1024),
    model(_NAMES[4], 1000),  # too far for one step: a finding
    model(_NAMES[5], 1, shade="blue"),  # new bytes that say nothing new
    *OFFERED[6:],
    model("house/new", 3),
    model("house/unreadable", "three"),
]
"""What `WITHOUT_FIRST` becomes when everything happens at once: one change of each kind, a finding, a rejected row."""


def source_at(url: str, name: str = "main", **settings: Any) -> SourceSettings:
    """A source that believes an absence at once, so that one observation can show every kind of change."""
    at_once: dict[str, Any] = {"removal_confirmations": 1, "removal_after": timedelta(0), "trust_date": False}
    return SourceSettings(**{"name": name, "url": url, **at_once, **settings})


def sync(database_url: str, source: SourceSettings, at: datetime, clock: Clock | None = None) -> Report:
    """One sync within this process, its clock standing at `at`; leaves no connection behind."""
    with opened(database_url) as engine:
        ensure_schema(engine)
        return sync_source(attempt(engine, source, clock or (lambda: at)))


def attempt(engine: Engine, source: SourceSettings, clock: Clock, owner: str = "test") -> Attempt:
    """What a sync of these tests is made with."""
    return Attempt(engine=engine, source=source, format=format_of(source), clock=clock, owner=owner, key=KEY)


@contextmanager
def opened(database_url: str) -> Iterator[Engine]:
    """An engine that is disposed of at the end: a database can be copied or stopped only when nobody is connected."""
    engine = db.open_engine(database_url)
    try:
        yield engine
    finally:
        engine.dispose()


def last_run(database_url: str) -> Any:
    """The latest run's row."""
    with opened(database_url) as engine, db.reading(engine) as connection:
        return connection.execute(sa.select(runs).order_by(runs.c.id.desc()).limit(1)).one()


def outcomes(database_url: str) -> list[str]:
    """The outcomes of all runs, oldest first."""
    with opened(database_url) as engine, db.reading(engine) as connection:
        return list(connection.execute(sa.select(runs.c.outcome).order_by(runs.c.id)).scalars())


# -- what a run commits ------------------------------------------------------------------------------------------------

_LEASE = {"lease_owner", "lease_token", "lease_until"}


def effects(database_url: str) -> dict[str, list[dict[str, Any]]]:
    """All that runs have committed, row by row: not the open run, and not the lease (law 1).

    What a failed run says of itself is left out, and with it the feed's length.
    """
    with opened(database_url) as engine, db.reading(engine) as connection:
        closed = sa.select(runs).where(runs.c.outcome.not_in(["running", "abandoned"]))
        return {
            "sources": [
                {name: value for name, value in row.items() if name not in _LEASE}
                for row in _rows(connection, sa.select(sources).order_by(sources.c.id))
            ],
            "feed": _rows(connection, sa.select(feed.c.feed_id)),
            "notices": _rows(
                connection, sa.select(notices).where(notices.c.kind.not_in(["failed", "stale"])).order_by(notices.c.id)
            ),
            "runs": _rows(connection, closed.order_by(runs.c.id)),
            "models": _rows(connection, sa.select(models).order_by(models.c.id)),
            "changes": _rows(connection, sa.select(changes).order_by(changes.c.id)),
            "prices": _rows(connection, sa.select(prices).order_by(prices.c.change_id, prices.c.component)),
            "findings": _rows(connection, sa.select(findings).order_by(findings.c.id)),
            "rejected_rows": _rows(connection, sa.select(rejected_rows).order_by(rejected_rows.c.digest)),
        }


def history(database_url: str) -> dict[str, list[dict[str, Any]]]:
    """`effects` without the numbers that a dead run may have used up: those of runs, findings and models."""
    used_up = {"run_id", "model_id", "first_run_id", "last_run_id", "opened_run_id", "settled_run_id", "finding_id"}
    told = {
        table: [{name: value for name, value in row.items() if name not in used_up} for row in rows]
        for table, rows in effects(database_url).items()
    }
    for table in ("runs", "models", "findings"):
        for row in told[table]:
            del row["id"]
    return told


def _rows(connection: Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]


# -- what must always be true ------------------------------------------------------------------------------------------


def assert_consistent(database_url: str) -> None:
    """Whatever happened to its syncers, the database keeps laws 1, 2, 5, 7 and 8."""
    with opened(database_url) as engine, db.reading(engine) as connection:
        history_rows = _rows(connection, sa.select(changes).order_by(changes.c.id))
        run_rows = _rows(connection, sa.select(runs).order_by(runs.c.id))
        notice_ids = connection.execute(sa.select(notices.c.id)).scalars()
        _assert_no_hole(connection, sorted([*notice_ids, *(row["id"] for row in history_rows)]))
        _assert_fold(connection, history_rows)
        _assert_runs(run_rows, history_rows)
        if engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def _assert_no_hole(connection: Connection, ids: list[int]) -> None:
    """Feed ids are 1, 2, 3, ... and the counter stands at the last one (law 8)."""
    assert ids == list(range(1, len(ids) + 1))
    assert connection.execute(sa.select(feed.c.last_id)).scalar_one() == len(ids)


def _assert_fold(connection: Connection, history_rows: list[dict[str, Any]]) -> None:
    """All changes in order give the tracked fields and the listed state of every model (law 2)."""
    fields = ("source_id", "name", *TRACKED, "price", "prices")
    folded = {row["model_id"]: ([row[field] for field in fields], row["kind"] != "removed") for row in history_rows}
    stored = {
        row["id"]: ([row[field] for field in fields], row["removed_at"] is None)
        for row in _rows(connection, sa.select(models))
    }
    assert folded == stored


def _assert_runs(run_rows: list[dict[str, Any]], history_rows: list[dict[str, Any]]) -> None:
    """One open run a source at most; each change belongs to a run that closed, says so and dates it."""
    running = Counter(row["source_id"] for row in run_rows if row["outcome"] == "running")
    assert max(running.values(), default=0) <= 1
    polls = [(row["source_id"], row["observed_at"]) for row in run_rows if row["observed_at"] is not None]
    assert len(set(polls)) == len(polls), "two observations at one source carry the same time"
    written = Counter((row["run_id"], row["kind"]) for row in history_rows)
    told = {(row["id"], kind.value): row[kind.value] for row in run_rows for kind in Kind}
    assert {key: count for key, count in told.items() if count} == dict(written)
    by_id = {row["id"]: row for row in run_rows}
    for row in history_rows:
        assert by_id[row["run_id"]]["outcome"] in {"changed", "held"}
        assert by_id[row["run_id"]]["observed_at"] == row["observed_at"]
