"""The feed: one counter behind the ids of changes and notices, and a source's health beside its changes (law 8).

The counter is touched last in a transaction, just before what is written with it, so that others wait as little as can
be; the caller has locked the source (lock order: source, then feed). Nothing here decides what there is to say.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from syncer.core.notices import TROUBLE, Notice, NoticeKind, is_late, of_lateness
from syncer.core.rules import FindingKind
from syncer.db import leases
from syncer.db.engine import reading, writing
from syncer.db.tables import feed, models, notices, sources

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def next_ids(connection: Connection, count: int) -> int:
    """The first of `count` feed ids; from here to the commit, every other writer of the feed waits."""
    connection.execute(sa.update(feed).values(last_id=feed.c.last_id + count))
    last: int = connection.execute(sa.select(feed.c.last_id)).scalar_one()
    return last - count + 1


def end(connection: Connection) -> int:
    """The highest feed id given out."""
    last: int = connection.execute(sa.select(feed.c.last_id)).scalar_one()
    return last


def feed_id(connection: Connection) -> str:
    """The feed's own random id: part of each event's source, so that another database's feed is told apart."""
    found: str = connection.execute(sa.select(feed.c.feed_id)).scalar_one()
    return found


def renew(connection: Connection) -> tuple[str, str, int]:
    """Give the feed a new random id; (old id, new id, last feed id)."""
    new = secrets.token_hex(16)
    old, last_id = connection.execute(sa.select(feed.c.feed_id, feed.c.last_id).with_for_update()).one()
    connection.execute(sa.update(feed).values(feed_id=new))
    return old, new, last_id


# -- notices -----------------------------------------------------------------------------------------------------------


def write_notices(
    connection: Connection,
    source_id: int,
    run_id: int | None,
    said: Sequence[Notice],
    at: datetime,
    *,
    opened: Mapping[FindingKind, int] | None = None,
) -> None:
    """Append notices to the feed; `opened` are the ids of the findings that this very transaction opened, by kind."""
    if not said:
        return
    ids = _model_ids(connection, source_id, [notice.model for notice in said if notice.model is not None])
    first = next_ids(connection, len(said))
    rows = [
        {
            "id": feed_id,
            "source_id": source_id,
            "run_id": run_id,
            "finding_id": _finding_id(notice, opened or {}),
            "model_id": None if notice.model is None else ids[notice.model],
            "kind": notice.kind.value,
            "observed_at": at,
            "data": notice.data,
        }
        for feed_id, notice in enumerate(said, first)
    ]
    connection.execute(notices.insert(), rows)


def note_late(engine: Engine, name: str, *, now: datetime, interval: timedelta) -> bool:
    """Say once that a source is late; was there something to say? A source never synced has no health yet."""
    with reading(engine) as connection:  # hardly ever is there something to say, and reading makes no writer wait
        source = connection.execute(sa.select(sources).where(sources.c.name == name)).first()
        if not _lateness(connection, source, now, interval):
            return False
    with writing(engine) as connection:
        source = leases.lock(connection, name)
        said = _lateness(connection, source, now, interval)
        if said:
            write_notices(connection, source.id, None, said, now)
        return bool(said)


def trouble(connection: "Connection | Session", source_id: int) -> str | None:
    """What the last notice of the source's health said, if that was bad: failed, late, cached or clock."""
    query = (
        sa.select(notices.c.kind, notices.c.data)
        .where(notices.c.source_id == source_id, notices.c.kind.in_([*TROUBLE, NoticeKind.RECOVERED]))
        .order_by(notices.c.id.desc())
        .limit(1)
    )
    found = connection.execute(query).first()
    if found is None or found.kind == NoticeKind.RECOVERED:
        return None
    bad: str = found.data["reason"] if found.kind == NoticeKind.STALE else found.kind
    return bad


def last_outage(connection: Connection, name: str) -> timedelta | None:
    """How long the trouble lasted that the source recovered from last; None if it never did."""
    health = (
        sa.select(notices.c.id, notices.c.observed_at)
        .join(sources, sources.c.id == notices.c.source_id)
        .where(sources.c.name == name)
        .order_by(notices.c.id.desc())
        .limit(1)
    )
    over = connection.execute(health.where(notices.c.kind == NoticeKind.RECOVERED)).first()
    if over is None:
        return None
    began = connection.execute(health.where(notices.c.kind.in_(TROUBLE), notices.c.id < over.id)).first()
    lasted: timedelta | None = None if began is None else over.observed_at - began.observed_at
    return lasted


def _lateness(connection: Connection, source: Any, now: datetime, interval: timedelta) -> list[Notice]:  # noqa: ANN401 - a row
    if source is None or source.retired_at is not None:
        return []
    if not is_late(now, source.last_observed_at or source.created_at, interval, source.next_due_at):
        return []
    return of_lateness(trouble(connection, source.id), source.last_observed_at, interval)


def _finding_id(notice: Notice, opened: Mapping[FindingKind, int]) -> int | None:
    if notice.finding_id is not None or notice.finding is None:
        return notice.finding_id
    return opened[notice.finding]


def _model_ids(connection: Connection, source_id: int, names: Sequence[str]) -> dict[str, int]:
    """The ids of these models; they were written before, by this run or an earlier one."""
    if not names:
        return {}
    query = sa.select(models.c.name, models.c.id).where(models.c.source_id == source_id, models.c.name.in_(names))
    return {row.name: row.id for row in connection.execute(query)}
