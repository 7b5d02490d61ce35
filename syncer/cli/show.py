"""`syncer status`, `models` and `changes`: what is known, for eyes, programs and spreadsheets."""

import errno
import select
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import click

from syncer.cli.app import NAME, App, form, now, row_options
from syncer.cli.output import json_line, print_line, print_rows
from syncer.cli.times import DURATION, MOMENT
from syncer.core.model import TRACKED, Kind, component_of, price_field
from syncer.core.words import count_of, not_observed_then
from syncer.settings.moments import FORMS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from syncer.alerts.rules import Item
    from syncer.history import CatalogRow, Freshness, ListedModel
    from syncer.history.watch import LastRun

_SOURCE = click.option("--source", metavar="NAME", help="Only this source.")


@click.command("status")
@click.option(
    "--check",
    is_flag=True,
    help="One line for a monitor instead, and an exit code: 0 all is well, 1 late or failed, 3 something is held.",
)
@row_options
@click.pass_obj
def status_command(app: App, *, check: bool) -> None:
    """Show each source: its last observation and run, and what is wrong.

    `missing` counts models that the last observations did not show and that are not believed removed yet. `late` is a
    source without an observation for three of its intervals. `flapping` counts models that went back and forth more
    than twice in the last week. `doubts` says what makes its catalog less sure than it looks.

    \b
    Examples:
      syncer status
      syncer status --check                   in a monitor
    """
    if check:
        if form() != "table":
            raise click.UsageError("--check prints one line: leave --json and --csv out.")
        from syncer.cli import watching

        watching.check(app)
    from syncer import history
    from syncer.history import watch

    present = now()
    intervals = {source.name: source.interval for source in app.settings.sources}
    required = {source.name: source.required for source in app.settings.sources}
    with app.reader() as connection:
        sources = history.freshness(connection, now=present, intervals=intervals, required=required)
        flapping = _flapping(connection, present)
        last_runs = {} if form() != "table" else watch.last_runs(connection)
    if form() != "table":
        rows = [_status_row(source, flapping.get(source.source, 0)) for source in sources]
        print_rows(_STATUS_COLUMNS, rows, format=form(), out=sys.stdout)
        return
    for problem in (line for source in sources for line in _problems(source, last_runs.get(source.source), present)):
        print_line(problem, out=sys.stdout)
    print_rows(
        _STATUS_COLUMNS[:-1],
        [_status_row(source, flapping.get(source.source, 0))[:-1] for source in sources],
        format="table",
        out=sys.stdout,
        title="Sources",
        drop=("certain", "unreadable", "flapping", "last_run_at", "missing", "doubts", "listed", "held"),
        empty="no source has been synced yet: syncer sync",
    )
    for source in sources:
        if source.retired_at is not None:
            print_line(f"{source.source}: retired since {source.retired_at:%Y-%m-%d}", out=sys.stdout)


def _problems(source: "Freshness", last: "LastRun | None", present: datetime) -> "Iterator[str]":
    """What is wrong with a source, a sentence each, too long for a column."""
    from syncer.cli.watching import wrong_with

    if source.retired_at is None:
        yield from (f"{source.source} {what}" for what in wrong_with(source, last, present))
    if source.open_findings:
        held = count_of(source.open_findings, "finding")
        reason = f" ({source.last_error})" if source.last_outcome == "held" and source.last_error else ""
        yield f"{source.source} has {held} open{reason}: syncer held --source {source.source}"


_STATUS_COLUMNS = (
    "source",
    "last_observed_at",
    "last_run_at",
    "outcome",
    "listed",
    "missing",
    "held",
    "flapping",
    "late",
    "unreadable",
    "doubts",
    "certain",
    "error",
)


def _status_row(source: "Freshness", flapping: int) -> tuple[Any, ...]:
    return (
        source.source,
        source.last_observed_at,
        source.last_attempt_at,
        source.last_outcome,
        source.listed,
        source.missing,
        source.open_findings,
        flapping,
        source.late,
        source.unreadable,
        list(source.doubts),
        source.certain,
        source.last_error,
    )


def _flapping(connection: Any, present: datetime) -> dict[str, int]:  # noqa: ANN401 - a connection
    from syncer import history

    counts: dict[str, int] = {}
    for model in history.flapping(connection, since=present - timedelta(days=7), until=present):
        counts[model.source] = counts.get(model.source, 0) + 1
    return counts


@click.command("models")
@_SOURCE
@click.option("--at", type=MOMENT, metavar="T", help="The catalog as it was at T instead, in UTC.")
@click.option(
    "--component", "components", metavar="NAMES", help="These prices, a column each: input,output; else the headline."
)
@click.option("--expiring", type=DURATION, metavar="D", help="Only models that upstream takes away within D: 30d.")
@row_options
@click.pass_obj
def models_command(
    app: App, source: str | None, at: datetime | None, components: str | None, expiring: timedelta | None
) -> None:
    """Show the current catalog: every model that is listed.

    `missing_since`: the last observations did not show it, and its removal is not confirmed yet. `unread_since`: its
    prices cannot be read since then, and are the last known ones. `held`: something about it is withheld (syncer held).
    An unknown price is `-`, a price of 0 is free. --json and --csv have more columns.

    \b
    Examples:
      syncer models --source acme --component input,output
      syncer models --expiring 30d
      syncer models --at 2026-11-01 --csv
    """
    from syncer import history

    chosen = tuple(filter(None, (components or "").split(",")))
    present = now()
    with app.reader() as connection:
        rows: Iterator[CatalogRow | ListedModel]
        if at is None:
            rows, empty = history.catalog(connection, source=source), _no_catalog(connection, source)
        else:
            rows, empty = (
                iter(history.catalog_at(connection, at=at, source=source)),
                _no_catalog(connection, source, at),
            )
        if expiring is not None:
            rows = iter(sorted(_expiring(rows, at or present, expiring), key=_expires_at))
            empty = "no listed model is known to expire in that time"
        _print_models(rows, chosen, at, empty=empty, expiring=expiring is not None)
        if at is not None:
            _say_not_observed(connection, at, source)


def _expiring(
    rows: "Iterable[CatalogRow | ListedModel]", moment: datetime, within: timedelta
) -> "Iterator[CatalogRow | ListedModel]":
    return (row for row in rows if row.expires_at is not None and moment <= row.expires_at <= moment + within)


def _expires_at(row: "CatalogRow | ListedModel") -> tuple[Any, str]:
    return row.expires_at, row.model


def _print_models(
    rows: "Iterable[CatalogRow | ListedModel]",
    components: tuple[str, ...],
    at: datetime | None,
    *,
    empty: str,
    expiring: bool,
) -> None:
    from syncer.history import CatalogRow, ListedModel

    whole = CatalogRow if at is None else ListedModel
    if form() != "table":
        own = [name for name in whole.__struct_fields__ if name not in TRACKED]
        columns = (*own[:2], *TRACKED, *own[2:])
    else:
        marks = ("missing_since", "unread_since", "held") if at is None else ()
        ends = ("expires_at",) if expiring else ()
        columns = ("source", "model", "type", *(() if components else ("price",)), "currency", *ends)
        columns += ("context_length", *marks)
    print_rows(
        (*columns, *components),
        (_model_row(row, columns, components) for row in rows),
        format=form(),
        out=sys.stdout,
        title="Current catalog" if at is None else f"Catalog at {at:%Y-%m-%d %H:%M:%SZ}",
        drop=("held", "currency", "source", "unread_since", "missing_since", "type", "context_length"),
        empty=empty,
    )


def _model_row(
    row: "CatalogRow | ListedModel", columns: tuple[str, ...], components: tuple[str, ...]
) -> tuple[Any, ...]:
    return (*(getattr(row, column) for column in columns), *(row.prices.get(component) for component in components))


def _say_not_observed(connection: "Connection", at: datetime, source: str | None) -> None:
    """Which sources an answer about that time has nothing of (law 6)."""
    from syncer import history

    for one in history.not_observed(connection, at=at, source=source):
        print_line(not_observed_then(one.source, one.first_observed_at), out=sys.stderr)


def _no_catalog(connection: "Connection", source: str | None, at: datetime | None = None) -> str:
    """Why a catalog is empty. Before the first observation nothing is known: that is not the same as nothing listed."""
    from syncer import history

    of = "" if source is None else f" of {source}"
    first = next(iter(history.changes(connection, source=source, limit=1)), None)
    if first is None:
        return f"no catalog{of} has been observed yet: syncer sync"
    if at is not None and at < first.observed_at:
        return f"not observed then: before the first observation{of}, {first.observed_at:%Y-%m-%d %H:%MZ}"
    return f"no model{of} is listed" if at is None else f"no model{of} was listed then"


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
@_SOURCE
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
    since: datetime | None,
    until: datetime | None,
    kinds: tuple[str, ...],
    model: str | None,
    source: str | None,
    after: int | None,
    limit: int | None,
    cursor: str | None,
    *,
    model_type: str | None,
    before: int | None,
    last: int | None,
    follow: bool,
    notices: bool,
    peek: bool,
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
    filters = {
        "since": since,
        "until": until,
        "kinds": {Kind(kind) for kind in kinds} or None,
        "model": model,
        "source": source,
        "after": after,
        "before": before,
        "model_type": model_type,
        "limit": limit,
    }
    if last is not None:
        if limit is not None or follow or notices:
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
        if form() == "json":
            for event in _events(connection, filters, notices=notices):
                print_line(json_line(event), out=sys.stdout)
        elif notices:
            from syncer.cli.cursor import print_items

            print_items(_items(connection, filters), title="Feed", empty=_no_changes(connection, filters))
        else:
            print_rows(
                _CHANGE_COLUMNS,
                _change_rows(connection, filters),
                format=form(),
                out=sys.stdout,
                title="Changes",
                drop=("changed", "source", "old_price", "id", "component", "percent"),
                empty=_no_changes(connection, filters),
            )


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
_CHANGE_COLUMNS = (
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


def _change_rows(connection: Any, filters: dict[str, Any]) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - a connection
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
