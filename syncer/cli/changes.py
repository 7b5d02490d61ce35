"""`syncer changes`: what happened to which model, in feed order; once, by a cursor, or as it is committed."""

import errno
import select
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import click

from syncer.cli.app import NAME, App, form, row_options
from syncer.cli.output import json_line, print_line, print_rows
from syncer.cli.times import MOMENT
from syncer.core.model import Kind, component_of, price_field
from syncer.settings.moments import FORMS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from syncer.alerts.rules import Item


@click.command("changes")
@click.option("--since", type=MOMENT, metavar="T", help=f"Seen at or after T: {FORMS}.")
@click.option("--until", type=MOMENT, metavar="T", help="Seen before T.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in Kind]),
    help="Only this kind; repeatable.",
)
@click.option(
    "--model", type=NAME, metavar="NAME", help="Only this model, by its name or its last alias, or 'acme/*' by a glob."
)
@click.option("--type", "model_type", metavar="TYPE", help="Only models of this type.")
@click.option("--source", metavar="NAME", help="Only this source.")
@click.option("--after", type=click.IntRange(min=0), metavar="ID", help="Only changes with a feed id beyond ID.")
@click.option("--before", type=click.IntRange(min=1), metavar="ID", help="Only changes with a feed id below ID.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N changes.")
@click.option("-n", "--last", type=click.IntRange(min=1), metavar="N", help="The last N changes, the newest first.")
@click.option(
    "--follow", is_flag=True, help="Go on with each new change as it is committed, as JSON lines, until stopped."
)
@click.option("--notices", is_flag=True, help="Notices about the sources' health too: failed, held and so on.")
@click.option("--cursor", metavar="NAME", help="What is new since NAME last asked; moves on once it was printed.")
@click.option("--peek", is_flag=True, help="With --cursor: do not move on.")
@row_options
@click.pass_obj
def changes_command(
    app: App,
    /,
    *,
    kinds: tuple[str, ...],
    last: int | None,
    follow: bool,
    notices: bool,
    cursor: str | None,
    peek: bool,
    **filters: Any,  # noqa: ANN401 - those of `history.changes`
) -> None:
    """Show what happened to which model, in feed order.

    A model is added, removed, relisted (back after a removal), repriced, or updated in another field. With --json each
    change is a CloudEvents 1.0 object: its id is the feed id, and --after continues behind it. Feed ids are shared with
    the notices of a source's health, which --notices and a cursor show too: without them there are gaps.

    \b
    Examples:
      syncer changes --since 7d --kind repriced
      syncer changes -n 20 --model 'acme/*'
      syncer changes --follow --notices
      syncer changes --cursor my-job --json
    """
    filters["kinds"] = {Kind(kind) for kind in kinds} or None
    if last is not None:
        if filters["limit"] is not None or follow or notices:
            raise click.UsageError("-n is a limit of its own, from the end: leave --limit, --follow and --notices out.")
        filters |= {"newest_first": True, "limit": last}
    if cursor is not None:
        if follow or notices or any(filters.values()):
            raise click.UsageError("--cursor shows all that is new: it goes with --peek, --json and --csv only.")
        from syncer.cli.cursor import print_news

        print_news(app, cursor, peek=peek)
        return
    _refuse_contradictions(filters, follow=follow, notices=notices)
    if follow:
        _follow(app, filters, notices=notices)
    with app.reader() as connection:
        _print(connection, filters, notices=notices)


def _print(connection: "Connection", filters: dict[str, Any], *, notices: bool) -> None:
    if form() == "json":
        for event in _events(connection, filters, notices=notices):
            print_line(json_line(event), out=sys.stdout)
    elif notices:
        from syncer.cli.cursor import print_items

        print_items(_items(connection, filters), title="Feed", empty=_no_changes(connection, filters))
    else:
        _print_changes(_rows(connection, filters), empty=_no_changes(connection, filters))


def _print_changes(rows: Iterable[tuple[Any, ...]], *, empty: str) -> None:
    """As rows; short of room, which price it is stays longer than when, unless it is always the same one."""
    last = "component"
    if form() == "table":
        rows = list(rows)
        last = "observed_at" if len({row[_COLUMNS.index("component")] for row in rows}) > 1 else last
    drop = ("changed", "source", "old_price", "id", "percent", last)
    print_rows(_COLUMNS, rows, format=form(), out=sys.stdout, title="Changes", drop=drop, empty=empty)


def _refuse_contradictions(filters: dict[str, Any], *, follow: bool, notices: bool) -> None:
    if follow and (filters["limit"] is not None or filters["until"] is not None):
        raise click.UsageError("--follow goes on until it is stopped: leave --limit and --until out.")
    if follow and form() == "csv":
        raise click.UsageError("--follow prints JSON lines: leave --csv out.")
    if notices and (filters["model"] or filters["kinds"] or filters["model_type"] or filters["before"]):
        raise click.UsageError("--notices is about sources: leave --model, --type, --kind and --before out.")


def _no_changes(connection: "Connection", filters: dict[str, Any]) -> str:
    from syncer import history

    first = next(iter(history.changes(connection, limit=1)), None)
    if first is None:
        return "nothing has been observed yet: syncer sync"
    if filters["until"] is not None and filters["until"] <= first.observed_at:
        return f"not observed then: the first observation was at {first.observed_at:%Y-%m-%d %H:%MZ}"
    return "no such change"


def _items(connection: "Connection", filters: dict[str, Any]) -> "Iterator[Item]":
    """The changes and notices that these filters let through, in feed order."""
    from itertools import islice

    from syncer import history
    from syncer.alerts.feed import read_feed

    history.changes(connection, **filters)  # which refuses what cannot be asked
    items = read_feed(connection, after=filters["after"] or 0)
    return islice((item for item in items if _is_asked_for(item, filters)), filters["limit"])


def _is_asked_for(item: "Item", filters: dict[str, Any]) -> bool:
    since, until, source = filters["since"], filters["until"], filters["source"]
    is_in_time = (since is None or item.observed_at >= since) and (until is None or item.observed_at < until)
    return is_in_time and source in {None, item.source}


def _events(connection: "Connection", filters: dict[str, Any], *, notices: bool) -> "Iterator[dict[str, Any]]":
    from syncer.alerts.event import event_of, events
    from syncer.db.feed import feed_id

    if not notices:
        return events(connection, **filters)
    feed = feed_id(connection)
    return (event_of(item, feed) for item in _items(connection, filters))


def _follow(app: App, filters: dict[str, Any], *, notices: bool) -> NoReturn:
    """Print events as they are committed; each poll is a short transaction of its own."""
    from syncer import history

    position: int | None = filters["after"]
    while True:
        with app.reader() as connection:
            # Asked before the events: what is committed in between has a higher id, and is printed now or next time.
            end = history.feed_end(connection)
            if position is None and filters["since"] is None:
                position = end
            for event in _events(connection, filters | {"after": position}, notices=notices):
                print_line(json_line(event), out=sys.stdout)
                end = max(end, int(event["id"]))
        sys.stdout.flush()
        position = end
        _wait_for_next_poll()


def _wait_for_next_poll() -> None:
    """Let a second pass, or stop at once if whoever reads our output went away: a next write may never come."""
    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)  # of no interest but for errors
    if reader.poll(_FOLLOW_EVERY * 1000):
        raise BrokenPipeError(errno.EPIPE, "nobody reads the output any more")


_FOLLOW_EVERY = 1.0  # seconds
_COLUMNS = (
    "id",
    "observed_at",
    "source",
    "kind",
    "model",
    "component",
    "old_price",
    "price",
    "percent",
    "changed",
)


def _rows(connection: Any, filters: dict[str, Any]) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - a connection
    """A row for each change: its headline where that moved, else the first price that did; the others are named."""
    from syncer import history
    from syncer.core import prices

    for row in history.changes(connection, **filters):
        moved = [name for field in row.changed if (name := component_of(field)) is not None]
        shown = row.component if row.component in moved or not moved else moved[0]
        old, new = row.changed.get(price_field(shown), (row.old_price, row.price))
        percent = prices.percent(old, new) if shown in moved else None
        others = ", ".join(component_of(field) or field for field in row.changed if field != price_field(shown))
        yield row.id, row.observed_at, row.source, row.kind.value, row.name, shown, old, new, percent, others
