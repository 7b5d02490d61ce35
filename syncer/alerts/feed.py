"""The one reader of the feed: changes and notices together, in the order of their ids. All who follow it use this."""

import heapq
from collections.abc import Iterator
from datetime import datetime
from itertools import islice, takewhile
from operator import attrgetter

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer import history
from syncer.alerts.rules import Item
from syncer.db import feed
from syncer.db.tables import runs


def read_feed(connection: Connection, *, after: int, limit: int | None = None) -> Iterator[Item]:
    """The items behind the position `after`, oldest first; it streams. UsageError for a position beyond the end.

    It ends where the feed ended at the call: what is committed between the two questions below is left for the
    next call, on any isolation level, so that a change is never passed over for a notice behind it (law 8).
    """
    end = feed.end(connection)
    changes = history.changes(connection, after=after, limit=limit)
    notices = history.notices(connection, after=after, limit=limit)
    merged: Iterator[Item] = heapq.merge(changes, notices, key=attrgetter("id"))
    return islice(takewhile(lambda item: item.id <= end, merged), limit)


def import_runs(connection: Connection) -> frozenset[int]:
    """The runs that imported recordings: what they brought is history, not news."""
    return frozenset(connection.execute(_IMPORTS).scalars())


_IMPORTS = sa.select(runs.c.id).where(runs.c.kind == "import")


def oldest_after(connection: Connection, position: int) -> datetime | None:
    """When the first item behind a position was observed, None if there is none (or the position is no such)."""
    if position >= feed.end(connection):
        return None
    return next((item.observed_at for item in read_feed(connection, after=position, limit=1)), None)
