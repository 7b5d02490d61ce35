"""`syncer status` and `models`: what is known now, for eyes, programs and spreadsheets."""

import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from syncer.cli.app import App, form, now, row_options
from syncer.cli.output import print_line, print_rows
from syncer.cli.times import DURATION, MOMENT
from syncer.core.model import TRACKED
from syncer.core.words import count_of, not_observed_then

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.engine import Connection

    from syncer.history import CatalogRow, Freshness, ListedModel
    from syncer.history.watch import LastRun


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
@click.option("--source", metavar="NAME", help="Only this source.")
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
