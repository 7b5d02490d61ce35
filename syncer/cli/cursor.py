"""`syncer changes --cursor NAME`: what changed since this name last asked, and the feed as rows."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from syncer.alerts import consumers
from syncer.alerts.event import as_json, event_data, event_of
from syncer.alerts.feed import import_runs, read_feed
from syncer.alerts.rules import Item, is_asked_for, is_old
from syncer.cli.app import App, form, now
from syncer.cli.output import print_line, print_rows
from syncer.core.words import describe_change, describe_notice
from syncer.db.engine import reading, writing
from syncer.db.feed import feed_id
from syncer.errors import UsageError
from syncer.history import ChangeRow, feed_end

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_COLUMNS = ("id", "observed_at", "source", "kind", "model", "old_price", "price", "note")
_DROP = ("source", "old_price", "price", "id", "note")


def print_news(app: App, name: str, *, peek: bool) -> None:
    """Print the feed behind the cursor's position, and move it once all of that was written; not with `peek`.

    A new cursor starts at the end of the feed. As for other consumers, what a source listed at first, what was
    imported and what is told on request only is no news.
    """
    engine = app.service.existing_database()
    _refuse_consumer(app, name)
    with reading(engine, one_moment=True) as connection:
        end = feed_end(connection)
        position = _position(connection, name, end, peek=peek)
        _print(connection, name, _news(connection, position))
    sys.stdout.flush()
    if not peek:
        with writing(engine) as connection:
            consumers.move_cursor(connection, name, position, end, now=now())


def _position(connection: "Connection", name: str, end: int, *, peek: bool) -> int:
    cursor = consumers.find(connection, name)
    if cursor is None:
        if not peek:
            print_line(f"{name} is a new cursor: it shows what comes behind feed id {end}", out=sys.stderr)
        return end
    if cursor.state != consumers.CURSOR:
        raise _named_like_a_consumer(name)
    consumers.require_within(cursor, end)
    return cursor.position


def _refuse_consumer(app: App, name: str) -> None:
    if any(alert.name == name for alert in app.settings.alerts):
        raise _named_like_a_consumer(name)


def _named_like_a_consumer(name: str) -> UsageError:
    return UsageError(f"{name} is an [[alerts]] consumer, which moves by itself: name a cursor of your own")


def _news(connection: "Connection", position: int) -> Iterator[Item]:
    imported = import_runs(connection)
    return (
        item
        for item in read_feed(connection, after=position)
        if not is_old(item, imported) and is_asked_for(item.kind, ())
    )


def _print(connection: "Connection", name: str, items: Iterator[Item]) -> None:
    if form() == "json":
        feed = feed_id(connection)
        for item in items:
            print_line(as_json(event_of(item, feed)), out=sys.stdout)
    else:
        print_items(items, title=f"News for {name}", empty="nothing new")


def print_items(items: Iterator[Item], *, title: str, empty: str) -> None:
    """Print changes and notices as rows."""
    print_rows(_COLUMNS, map(_row, items), format=form(), out=sys.stdout, title=title, drop=_DROP, empty=empty)


def _row(item: Item) -> tuple[Any, ...]:
    if isinstance(item, ChangeRow):
        prices = (item.old_price, item.price)
        return (
            item.id,
            item.observed_at,
            item.source,
            item.kind.value,
            item.name,
            *prices,
            describe_change(event_data(item)),
        )
    note = describe_notice({"kind": item.kind, **item.data})
    return item.id, item.observed_at, item.source, item.kind, item.model, None, None, note
