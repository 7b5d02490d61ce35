"""`syncer export`: the history for other tools, streaming."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click

from syncer import exports
from syncer.cli.app import App
from syncer.cli.output import print_line, print_rows, progress
from syncer.cli.times import MOMENT
from syncer.core.words import count_of


class _What(NamedTuple):
    """Something to export: its table, where its rows come from, and whether they are of a time."""

    table: exports.Flat
    rows: Callable[..., exports.Rows]
    is_timed: bool = True


_KINDS: dict[str, _What] = {
    "changes": _What(exports.CHANGES, exports.changes),
    "prices": _What(exports.PRICES, exports.prices),
    "price-periods": _What(exports.PRICE_PERIODS, exports.price_periods),
    "daily-prices": _What(exports.DAILY_PRICES, exports.daily_prices),
    "availability": _What(exports.AVAILABILITY, exports.availability),
    "catalog": _What(exports.CATALOG, exports.catalog, is_timed=False),
}


@click.command("export")
@click.argument("what", type=click.Choice(list(_KINDS)), default="changes")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "csv", "parquet"]),
    default="jsonl",
    show_default=True,
    help="Parquet needs the extra `parquet`.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A file, for Parquet a directory; else standard output, which is also -.",
)
@click.option(
    "--after",
    type=click.IntRange(min=0),
    metavar="ID",
    help="Only changes with a feed id beyond ID: go on where an export ended.",
)
@click.option("--since", type=MOMENT, metavar="T", help="Only from T on.")
@click.option("--until", type=MOMENT, metavar="T", help="Only before T.")
@click.option("--source", metavar="NAME", help="Only this source.")
@click.pass_obj
def export_command(
    app: App,
    what: str,
    *,
    kind: Literal["jsonl", "csv", "parquet"],
    output: Path | None,
    after: int | None,
    since: datetime | None,
    until: datetime | None,
    source: str | None,
) -> None:
    """Export WHAT as JSON lines, CSV or Parquet.

    `changes` (the default), `prices` (each move of each price), `price-periods`, `daily-prices`, `availability` (when
    each model was listed) or `catalog` (what is listed now). All prices of a model are one object in JSON, a map in
    Parquet, and a column for each component in CSV. Parquet is a directory of files partitioned by month
    (month=2026-11/...), prices as exact decimals, times in UTC, for DuckDB, Spark or a warehouse. After an export of
    changes the last line on stderr names the feed id with which the next one goes on.

    \b
    Examples:
      syncer export changes --after 1200 -o changes.jsonl
      syncer export daily-prices --format csv -o - | gzip > prices.csv.gz
    """
    chosen = _KINDS[what]
    if what != "changes" and after is not None:
        raise click.UsageError(f"--after is a feed id: it belongs to changes; leave it out for {what}.")
    if not chosen.is_timed and (since or until):
        raise click.UsageError("the catalog is what is listed now: leave --since and --until out.")
    if output == Path("-"):  # by the conventions of POSIX, standard output
        output = None
    if kind == "parquet" and output is None:
        raise click.UsageError("Parquet is written into a directory: name it with --output.")
    filters = {"after": after, "since": since, "until": until, "source": source}
    with app.reader() as connection:
        given = {name: value for name, value in filters.items() if value is not None}
        rows = chosen.rows(connection, **given)
        table = chosen.table
        if kind == "csv":
            table, rows = exports.spread(table, rows, exports.components(connection, source=source))
        with closing(rows), _progress(output) as advance:  # closed before the connection, also when nothing is written
            counted = _Counted(rows, after, advance, has_ids=what == "changes")
            _write(table, counted, kind, output)
    end = "" if counted.last_id is None else f": the next export goes on with --after {counted.last_id}"
    print_line(f"{count_of(counted.count, 'row')}{end}", out=sys.stderr)


def _progress(output: Path | None) -> "AbstractContextManager[Callable[[], None]]":
    """Signs of life; none among the rows themselves."""
    if output is None and sys.stdout.isatty():
        return nullcontext(lambda: None)
    return progress("exporting", total=None, err=sys.stderr, in_pipe=True)


def _write(table: exports.Flat, rows: "_Counted", kind: str, output: Path | None) -> None:
    if kind == "parquet" and output is not None:
        exports.write_parquet(output, table, rows)
        return
    form: Literal["json", "csv"] = "csv" if kind == "csv" else "json"
    if output is None:
        print_rows(table.columns, rows, format=form, out=sys.stdout)
        return
    with exports.blaming(output), exports.whole_file(output) as path:  # noqa: SIM117 - closed before it is named
        with path.open("w", encoding="utf-8", newline="") as file:
            print_rows(table.columns, rows, format=form, out=file)


class _Counted:
    """Counts rows as they pass, and remembers the id of the last change: that of an earlier export if none is new."""

    def __init__(
        self, rows: Iterator[tuple[Any, ...]], after: int | None, advance: Callable[[], None], *, has_ids: bool
    ) -> None:
        self._rows, self._advance, self._has_ids = rows, advance, has_ids
        self.count = 0
        self.last_id = after

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for row in self._rows:
            self.count += 1
            self._advance()
            self.last_id = row[0] if self._has_ids else None
            yield row
