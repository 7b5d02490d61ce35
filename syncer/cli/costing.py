"""`syncer cost`: usage priced with the prices that were in force."""

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import click

from syncer.cli.app import App, form, now, row_options
from syncer.cli.output import print_line, print_rows
from syncer.cli.times import MOMENT
from syncer.core import prices
from syncer.core.words import count_of
from syncer.errors import UsageError
from syncer.history import Cost, CostTotal, Usage, cost, cost_totals
from syncer.settings.moments import parse_moment

_NEEDED = ("model", "time", "quantity", "unit")
_COLUMNS = ("time", "model", "component", "quantity", "unit", "amount", "currency", "price", "per", "source", "reason")
_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
_MORE_COLUMNS = ("priced_at", "extrapolated", "detail")
_LESS_IMPORTANT = ("source", "per", "price", "currency", "unit", "component", "time")
_DIGITS = 30  # of a quantity, before and after the point: exact sums of 1e999999999 would take all memory


@click.command("cost")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as-of", type=MOMENT, metavar="T", help="Price all of it with the prices of T.")
@click.option("--source", metavar="NAME", help="For usage that names no source.")
@row_options
@click.pass_obj
def cost_command(app: App, file: Path, as_of: datetime | None, source: str | None) -> None:
    """Price the usage in FILE, a CSV with the columns model, time, quantity and unit (component, source, if you like).

    `component` says which of the model's prices a row takes (input, output); it may be empty where a model has only
    one. A semicolon or a tab between the columns is seen in the first line. Each row is priced with the price in force
    when the usage happened. What cannot be priced (unknown price, unit not configured, not listed then) is shown with
    the reason, never as 0; then the exit code is 1. Times are UTC unless they carry an offset. The table ends with
    totals by model and component, and by source; --json and --csv stream and have more columns.

    \b
    Example:
      syncer cost usage.csv --as-of 2026-11-01
    """
    bill = Bill(keep=form() == "table")
    columns = _COLUMNS if form() == "table" else _COLUMNS + _MORE_COLUMNS
    with app.reader() as connection:
        costs = bill.watch(cost(connection, _read(file), as_of=as_of, source=source))
        rows = (_row(one)[: len(columns)] for one in costs)
        print_rows(columns, rows, format=form(), out=sys.stdout, title="Cost", drop=_LESS_IMPORTANT)
    for total in (*cost_totals(bill.priced, each=True), *cost_totals(bill.priced)):
        print_line(_total_line(total), out=sys.stdout)
    if bill.extrapolated:
        print_line(
            f"{count_of(bill.extrapolated, 'row')} priced beyond the last observation of the source", out=sys.stderr
        )
    if bill.unpriced:
        print_line(f"{bill.unpriced} of {count_of(bill.rows, 'row')} could not be priced", out=sys.stderr)
        sys.exit(1)


def _total_line(total: CostTotal) -> str:
    amount = f"{total.amount:f} {total.currency or '(currency unknown)'}"
    of = f" {total.model} {total.component}" if total.model else ""
    return f"{total.source}{of}: {amount} for {count_of(total.priced, 'row')}"


class Bill:
    """Counts costs as they pass, and keeps those for the totals if it is told to."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self.priced: list[Cost] = []
        self.rows = self.unpriced = self.extrapolated = 0

    def watch(self, costs: Iterator[Cost]) -> Iterator[Cost]:
        """The same costs."""
        for one in costs:
            self.rows += 1
            self.unpriced += one.reason is not None
            self.extrapolated += one.reason is None and one.extrapolated
            if self._keep:
                self.priced.append(one)
            yield one


def _row(one: Cost) -> tuple[object, ...]:
    used = one.usage
    per = None if one.per is None else one.per if form() == "json" else f"{one.per[0]} {one.per[1]}"
    reason = one.detail if form() == "table" else one.reason and one.reason.value
    return (
        used.at,
        used.model,
        one.component or used.component,
        used.quantity,
        used.unit,
        one.amount,
        one.currency,
        one.price,
        per,
        one.source,
        reason,
        one.priced_at,
        one.extrapolated,
        one.detail,
    )


# -- reading -----------------------------------------------------------------------------------------------------------


def _read(file: Path) -> Iterator[Usage]:
    """The usage as it stands in the file; raises UsageError that names the line which cannot be read."""
    present = now()
    with file.open(newline="", encoding="utf-8-sig") as text:
        reader = csv.DictReader(text, strict=True, delimiter=_delimiter(file))
        try:
            _require_columns(file, reader)
            for row in reader:
                yield _usage(row, present)
        except UnicodeDecodeError:
            raise UsageError(f"{file} is not UTF-8 text: save it as CSV in UTF-8") from None
        except (ValueError, csv.Error) as error:
            raise UsageError(f"{file}, line {reader.reader.line_num}: {error}") from None


def _delimiter(file: Path) -> str:
    """What stands between the columns, by the first line: the one that occurs most, a comma if none does."""
    try:
        with file.open(encoding="utf-8-sig") as text:
            first = text.readline()
    except UnicodeDecodeError:
        return ","
    found = max(_DELIMITERS, key=first.count)
    if found != ",":
        print_line(f"{file}: its columns are read as separated by {_DELIMITERS[found]}", out=sys.stderr)
    return found


def _require_columns(file: Path, reader: "csv.DictReader[str]") -> None:
    names = list(reader.fieldnames or ())
    if doubled := [name for name, count in Counter(names).items() if count > 1]:
        raise UsageError(f"{file} has the column {', '.join(doubled)} more than once: which one is meant?")
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise UsageError(f"{file} lacks the column {', '.join(missing)}: it needs {', '.join(_NEEDED)}")


def _usage(row: dict[str, str], present: datetime) -> Usage:
    if None in row or None in row.values():  # a missing quote, or a 1,000 that is two fields
        raise ValueError("it has more or fewer fields than the first line")
    return Usage(
        model=row["model"],
        at=_time(row["time"], present),
        quantity=_quantity(row["quantity"]),
        unit=row["unit"],
        source=row.get("source") or None,
        component=row.get("component") or None,
    )


def _time(text: str, present: datetime) -> datetime:
    try:
        return parse_moment(text, present)
    except ValueError:
        raise ValueError(f"time {text!r} is not a valid time, such as 2026-11-22T17:00Z") from None


def _quantity(text: str) -> Decimal:
    try:
        quantity = prices.json_number(text)
    except ValueError as error:
        raise ValueError(f"quantity {text!r} {error}") from None
    if not (quantity.adjusted() < _DIGITS and int(quantity.as_tuple().exponent) >= -_DIGITS):
        raise ValueError(f"quantity {text[:60]!r} is out of all range")
    return quantity
