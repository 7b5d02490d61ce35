"""The schedule's state: when each source is due next, in its row. A tick is taken once, whoever takes it.

Taking is a compare-and-set on the due time itself, in the transaction that claims the source and opens the run: two
daemons that see the same tick cannot both have it, and one that dies with it leaves a run that is found abandoned.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.db.tables import runs, sources


class Due(NamedTuple):
    """A source whose tick has come; `tick` is None for one that was never scheduled."""

    source_id: int
    name: str
    tick: datetime | None


def database_now(connection: Connection) -> datetime | None:
    """The server's clock, so that machines need not agree on theirs; None on SQLite, which has none of its own."""
    if connection.dialect.name != "postgresql":
        return None
    now: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now


def due(connection: Connection, names: Collection[str], now: datetime, limit: int) -> list[Due]:
    """At most `limit` of the named sources whose tick has come, the longest waiting first. Looking takes nothing."""
    query = (
        sa.select(sources.c.id, sources.c.name, sources.c.next_due_at)
        .where(sources.c.name.in_(names), sa.or_(sources.c.next_due_at.is_(None), sources.c.next_due_at <= now))
        .order_by(sources.c.next_due_at.nulls_first())
        .limit(limit)
    )
    return [Due(*row) for row in connection.execute(query)]


def take(connection: Connection, one: Due, next_tick: datetime) -> bool:
    """Take the tick and set the next one; False if somebody else has it, or is taking it at this moment."""
    same = sources.c.next_due_at.is_(None) if one.tick is None else sources.c.next_due_at == one.tick
    mine = sa.and_(sources.c.id == one.source_id, same)
    if connection.execute(sa.select(sources.c.id).where(mine).with_for_update(skip_locked=True)).first() is None:
        return False
    return connection.execute(sa.update(sources).where(mine).values(next_due_at=next_tick)).rowcount > 0


def reschedule(connection: Connection, name: str, next_tick: Callable[[datetime], datetime], now: datetime) -> None:
    """Make a due time that still lies ahead that of the schedule as it is now; one that has come stays due.

    The row is locked before the time is read: a tick that somebody has just taken can so never come back. `now` is
    for a database without a clock. A source that is being written at this moment keeps what it has.
    """
    query = sa.select(sources.c.next_due_at).where(sources.c.name == name).with_for_update(skip_locked=True)
    stored = connection.execute(query).scalar()
    now = database_now(connection) or now
    if stored is not None and stored > now and stored != next_tick(now):
        connection.execute(sa.update(sources).where(sources.c.name == name).values(next_due_at=next_tick(now)))


def bring_back(
    connection: Connection, name: str, next_tick: Callable[[datetime], datetime], now: datetime
) -> datetime | None:
    """Bring a due time that lies beyond the schedule's next tick back to that tick; what it was, None if it was right.

    Such a one was set by a clock that was wrong, or by another reading of the schedule: it would swallow ticks.
    """
    query = sa.select(sources.c.id, sources.c.next_due_at).where(sources.c.name == name)
    found = connection.execute(query.with_for_update(skip_locked=True)).first()
    now = database_now(connection) or now
    if found is None or found.next_due_at is None or found.next_due_at <= next_tick(now):
        return None
    connection.execute(sa.update(sources).where(sources.c.id == found.id).values(next_due_at=next_tick(now)))
    due: datetime = found.next_due_at
    return due


def first_due(connection: Connection, names: Collection[str]) -> Due | None:
    """The named source that is due next, whether or not its time has come."""
    query = (
        sa.select(sources.c.id, sources.c.name, sources.c.next_due_at)
        .where(sources.c.name.in_(names))
        .order_by(sources.c.next_due_at.nulls_first(), sources.c.name)
    )
    found = connection.execute(query.limit(1)).first()
    return None if found is None else Due(*found)


def skip(connection: Connection, source_id: int, *, now: datetime, why: str) -> None:
    """Record that a tick was not run, and why (law 9)."""
    row = {
        "source_id": source_id,
        "kind": "sync",
        "started_at": now,
        "finished_at": now,
        "outcome": "skipped",
        "error": why,
    }
    connection.execute(runs.insert().values(row))
