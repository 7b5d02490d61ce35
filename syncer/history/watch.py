"""What somebody who watches syncer from outside wants to know, asked every few seconds for years.

Each question costs a seek a source or a consumer, whatever the length of the history: no table is read through.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from syncer.core.model import Kind
from syncer.db.tables import changes, consumers, feed, notices, runs, sources
from syncer.history.resolve import require_aware

if TYPE_CHECKING:
    from sqlalchemy.sql.selectable import ScalarSelect

    from syncer.history.resolve import Asked


class LastRun(msgspec.Struct, frozen=True, kw_only=True):
    """The latest run of a source that has ended; `rejected` is of the latest one that read a catalog."""

    source: str
    outcome: str
    error: str | None
    took: timedelta
    rejected: int


class FinishedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has ended, as far as it is counted; `changes` maps each kind to how many it wrote."""

    id: int
    source: str
    kind: str
    outcome: str
    changes: dict[str, int]


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How far a consumer is behind the end of the feed: in events, and by the age of the first it has not got.

    `state` is active, paused, disabled or cursor; `attempts` counts the failed ones in a row.
    """

    consumer: str
    state: str
    events: int
    age: timedelta
    attempts: int


_other = runs.alias("other")


def _latest_id(*conditions: sa.ColumnElement[bool], by: sa.ColumnElement[object]) -> "ScalarSelect[int]":
    ours = sa.select(_other.c.id).where(_other.c.source_id == sources.c.id, *conditions)
    return ours.order_by(by.desc()).limit(1).correlate(sources).scalar_subquery()


_ended = runs.alias("ended")
_observed = runs.alias("observed")
_LAST_RUNS = (
    sa.select(
        sources.c.name,
        _ended.c.outcome,
        _ended.c.error,
        _ended.c.started_at,
        _ended.c.finished_at,
        sa.func.coalesce(_observed.c.rejected, 0).label("rejected"),
    )
    .select_from(sources)
    .join(_ended, _ended.c.id == _latest_id(_other.c.outcome != "running", by=_other.c.id))
    .outerjoin(_observed, _observed.c.id == _latest_id(_other.c.observed_at.is_not(None), by=_other.c.observed_at))
)


def last_runs(connection: "Asked") -> dict[str, LastRun]:
    """The latest ended run of each source that has one, by the source's name."""
    return {
        row.name: LastRun(
            source=row.name,
            outcome=row.outcome,
            error=row.error,
            took=(row.finished_at or row.started_at) - row.started_at,
            rejected=row.rejected,
        )
        for row in connection.execute(_LAST_RUNS)
    }


def last_run_id(connection: "Asked") -> int:
    """The highest id of a run, 0 if there is none."""
    return connection.execute(sa.select(sa.func.max(runs.c.id))).scalar() or 0


_RUNS = sa.select(runs, sources.c.name).join(sources, sources.c.id == runs.c.source_id)
_RUNS_BEYOND = _RUNS.where(runs.c.id > sa.bindparam("after"))
_THESE_RUNS = _RUNS.where(runs.c.id.in_(sa.bindparam("ids", expanding=True)))


def runs_beyond(connection: "Asked", after: int, besides: Collection[int]) -> tuple[list[FinishedRun], set[int]]:
    """The runs with an id above `after`, and those of `besides`: what has ended, and the ids of what has not."""
    rows = [*connection.execute(_RUNS_BEYOND, {"after": after})]
    if older := [run for run in besides if run <= after]:  # in one query with an OR, SQLite would read all runs
        rows += connection.execute(_THESE_RUNS, {"ids": older})
    ended = [
        FinishedRun(
            id=row.id,
            source=row.name,
            kind=row.kind,
            outcome=row.outcome,
            changes={kind.value: getattr(row, kind) for kind in Kind},
        )
        for row in rows
        if row.outcome != "running"
    ]
    return ended, {row.id for row in rows if row.outcome == "running"}


_first_change = sa.select(changes.c.observed_at).where(changes.c.id == consumers.c.position + 1).scalar_subquery()
_first_notice = sa.select(notices.c.observed_at).where(notices.c.id == consumers.c.position + 1).scalar_subquery()
_LAGS = (
    sa.select(
        consumers.c.name,
        consumers.c.state,
        consumers.c.attempts,
        (feed.c.last_id - consumers.c.position).label("events"),
        sa.func.coalesce(_first_change, _first_notice, type_=changes.c.observed_at.type).label("waits_since"),
    )
    .join(feed, sa.true())  # it has one row
    .order_by(consumers.c.name)
)


def lags(connection: "Asked", *, now: datetime) -> list[Lag]:
    """How far each consumer is behind at `now`, by name. Raises ValueError if `now` is naive."""
    require_aware(now=now)
    return [
        Lag(
            consumer=row.name,
            state=row.state,
            events=max(row.events, 0),  # beyond the end of a feed that was restored
            age=max(now - row.waits_since, timedelta(0)) if row.waits_since else timedelta(0),
            attempts=row.attempts,
        )
        for row in connection.execute(_LAGS)
    ]
