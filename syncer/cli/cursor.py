"""`syncer changes --cursor NAME`: what changed since a name last looked."""

import sys
from itertools import takewhile
from typing import Any

from syncer.alerts import consumers
from syncer.alerts.event import event_of, feed_id
from syncer.alerts.feed import import_runs, read_feed
from syncer.alerts.rules import Item, is_old
from syncer.cli.app import App, form, now
from syncer.cli.output import json_line, print_line, print_rows
from syncer.db.engine import reading, writing
from syncer.errors import UsageError
from syncer.history import ChangeRow, feed_end

CURSOR = "cursor"
_COLUMNS = ("id", "observed_at", "source", "kind", "model", "old_price", "price", "note")


def print_news(app: App, name: str, *, peek: bool) -> None:
    """Print the feed behind the cursor's position, and move it once all of that was written; not with `peek`.

    A new cursor starts at the end of the feed. As for other consumers, what a source listed at its first look and what
    was imported is no news.
    """
    engine = app.amender()
    with reading(engine, one_moment=True) as connection:
        end = feed_end(connection)
        cursor = consumers.find(connection, name)
        if cursor is not None and cursor.state != CURSOR:
            raise UsageError(f"{name} is an [[alerts]] consumer, which moves by itself: name a cursor of your own")
        position = end if cursor is None else cursor.position
        imported = import_runs(connection)
        behind = takewhile(lambda item: item.id <= end, read_feed(connection, after=position))
        items = (item for item in behind if not is_old(item, imported))
        if form() == "json":
            feed = feed_id(connection)
            for item in items:
                print_line(json_line(event_of(item, feed)), out=sys.stdout)
        else:
            print_rows(_COLUMNS, map(_row, items), format=form(), out=sys.stdout, title=f"News for {name}")
    sys.stdout.flush()
    if not peek:
        with writing(engine) as connection:
            consumers.move_cursor(connection, name, position, end, now=now())


def _row(item: Item) -> tuple[Any, ...]:
    if isinstance(item, ChangeRow):
        moved = ", ".join(field for field in item.changed if field != "price")
        return item.id, item.observed_at, item.source, item.kind.value, item.name, item.old_price, item.price, moved
    note = item.data.get("why") or item.data.get("error") or item.data.get("state")
    return item.id, item.observed_at, item.source, item.kind, None, None, None, note
