"""A source's health, written into the feed beside its changes. Nothing here decides what there is to say."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from syncer.core.notices import TROUBLE, Notice, NoticeKind, is_late, of_staleness
from syncer.db import store, writes
from syncer.db.engine import reading, writing
from syncer.db.tables import notices, sources


def write(connection: Connection, source: int, run_id: int | None, said: Sequence[Notice], at: datetime) -> None:
    """Append notices to the feed; the caller's transaction has locked the source (lock order: source, then feed)."""
    if not said:
        return
    first = writes.next_feed_ids(connection, len(said))
    rows = [
        {
            "id": first + position,
            "source_id": source,
            "run_id": run_id,
            "finding_id": notice.finding_id,
            "kind": notice.kind.value,
            "observed_at": at,
            "data": notice.data,
        }
        for position, notice in enumerate(said)
    ]
    connection.execute(notices.insert(), rows)


def note_stale(engine: Engine, name: str, *, now: datetime, interval: timedelta) -> bool:
    """Say once that a source is late; was there something to say? A source never synced has no health yet."""
    with reading(engine) as connection:  # hardly ever is there something to say, and looking makes no writer wait
        source = connection.execute(sa.select(sources).where(sources.c.name == name)).first()
        if not _is_silently_late(connection, source, now, interval):
            return False
    with writing(engine) as connection:
        source = store.lock(connection, name)
        if not _is_silently_late(connection, source, now, interval):
            return False
        write(connection, source.id, None, [of_staleness(source.last_good_look_at, interval)], now)
    return True


def _is_silently_late(connection: Connection, source: Any, now: datetime, interval: timedelta) -> bool:  # noqa: ANN401 - a row
    if source is None or source.retired_at is not None:
        return False
    since = source.last_good_look_at or source.created_at
    return is_late(now, since, interval) and not in_trouble(connection, source.id)


def in_trouble(connection: Connection, source: int) -> bool:
    """Whether the last thing said of the source's health is that it is bad."""
    health_kinds = [*TROUBLE, NoticeKind.RECOVERED]
    query = (
        sa.select(notices.c.kind)
        .where(notices.c.source_id == source, notices.c.kind.in_(health_kinds))
        .order_by(notices.c.id.desc())
        .limit(1)
    )
    return connection.execute(query).scalar() in TROUBLE
