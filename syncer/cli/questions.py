"""`syncer prices`, `diff` and `movers`: what was true when."""

import shutil
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from syncer.cli.app import NAME, App, form, row_options
from syncer.cli.output import print_line, print_rows
from syncer.cli.times import MOMENT

if TYPE_CHECKING:
    from syncer.history import Difference, Quote

_SOURCE = click.option("--source", metavar="NAME", help="Only this source.")
_BARS = "▁▂▃▄▅▆▇█"


@click.command("prices")
@click.argument("model", type=NAME)
@click.option("--at", type=MOMENT, metavar="T", help="Only the price at T, and how surely it is known.")
@_SOURCE
@row_options
@click.pass_obj
def prices_command(app: App, model: str, at: datetime | None, source: str | None) -> None:
    """Show the price periods of MODEL (a name, or an alias), or its price at one moment.

    A price held from valid_from up to, not including, valid_to (UTC); `-` there means still. What began a period
    happened after changed_after and no later than valid_from. An unknown price is `-`.

    \b
    Example:
      syncer prices deepseek-ai/DeepSeek-R1 --at 2026-11-01
    """
    from syncer import history

    with app.reader() as connection:
        if at is not None:
            _print_quote(history.price_at(connection, model, at=at, source=source))
            return
        periods = history.price_periods(connection, model, source=source)
    columns = ("source", "model", "price", "currency", "unit", "valid_from", "valid_to", "changed_after")
    rows = [_row(period, columns) for period in periods]
    drop = ("source", "unit", "currency", "changed_after")
    print_rows(columns, rows, format=form(), out=sys.stdout, title=f"{model} (UTC)", drop=drop)
    if form() == "table" and sys.stdout.isatty() and len(periods) > 1:
        width = shutil.get_terminal_size().columns
        print_line(sparkline([period.price for period in periods[-width:]]), out=sys.stdout)


def _row(answer: object, columns: Sequence[str]) -> tuple[Any, ...]:
    """The named fields of a period, quote or mover; its unit in words, but for programs."""
    return tuple(_unit(value) if name == "unit" else value for name, value in _fields(answer, columns))


def _fields(answer: object, columns: Sequence[str]) -> list[tuple[str, Any]]:
    return [(name, getattr(answer, name)) for name in columns]


def _print_quote(quote: "Quote") -> None:
    columns = quote.__struct_fields__
    row = _row(quote, columns)
    if form() != "table":
        print_rows(columns, [row], format=form(), out=sys.stdout)
        return
    # A row of thirteen columns would be folded beyond reading: one line a field instead.
    print_rows(("field", "value"), list(zip(columns, row, strict=True)), format="table", out=sys.stdout, title="UTC")
    if quote.extrapolated:
        last = f"{quote.last_observed_at:%Y-%m-%d %H:%M:%SZ}" if quote.last_observed_at else "never"
        print_line(f"beyond what was seen: the last good look at {quote.source} was {last}", out=sys.stderr)


def _unit(unit: Sequence[Any] | None) -> Any:  # noqa: ANN401 - a cell
    return unit if form() == "json" else unit_text(unit)


def unit_text(unit: Sequence[Any] | None) -> str | None:
    """`(1000000, "token")` as a person says it: `1000000 token`."""
    return None if unit is None else f"{unit[0]} {unit[1]}"


def sparkline(prices: Sequence[Decimal | None]) -> str:
    """One bar a period, as tall as its price; a space where it is unknown, or negative and thus no amount."""
    amounts = [None if price is None or price < 0 else price for price in prices]
    known = [amount for amount in amounts if amount is not None]
    low, high = min(known, default=Decimal(0)), max(known, default=Decimal(0))
    spread = high - low or Decimal(1)
    return "".join(
        " " if amount is None else _BARS[round((len(_BARS) - 1) * (amount - low) / spread)] for amount in amounts
    )


@click.command("diff")
@click.argument("a", type=MOMENT)
@click.argument("b", type=MOMENT, default="now")
@_SOURCE
@row_options
@click.pass_obj
def diff_command(app: App, a: datetime, b: datetime, source: str | None) -> None:
    """Show the net difference between the catalogs at A and at B (default: now), in UTC.

    Net: a price that went up and came back is no difference. With --json, `changed` maps each field to [old, new].

    \b
    Examples:
      syncer diff 30d
      syncer diff 2026-10-01 2026-11-01 --json
    """
    from syncer import history

    _require_forward(a, b)
    with app.reader() as connection:
        differences = history.diff(connection, a, b, source=source)
    columns = ("source", "kind", "model", "old_price", "price", "changed")
    rows = [_difference_row(one) for one in differences]
    title = f"From {a:%Y-%m-%d %H:%M:%SZ} to {b:%Y-%m-%d %H:%M:%SZ}"
    drop = ("changed", "source", "old_price")
    print_rows(columns, rows, format=form(), out=sys.stdout, title=title, drop=drop, empty="there is no difference")


def _difference_row(one: "Difference") -> tuple[Any, ...]:
    changed = one.changed if form() == "json" else ", ".join(field for field in one.changed if field != "price")
    old, new = (state and state.price for state in (one.before, one.after))
    return one.source, one.kind.value, one.model, old, new, changed


def _require_forward(start: datetime, end: datetime) -> None:
    if start > end:
        raise click.UsageError(f"Time goes forward: {start:%Y-%m-%d %H:%M:%SZ} is later than {end:%Y-%m-%d %H:%M:%SZ}.")


@click.command("movers")
@click.option("--since", type=MOMENT, metavar="T", help="From T on; 30d before --until if not given.")
@click.option("--until", type=MOMENT, default="now", metavar="T", help="Up to T; now if not given.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="At most N models."
)
@_SOURCE
@row_options
@click.pass_obj
def movers_command(app: App, since: datetime | None, until: datetime, limit: int, source: str | None) -> None:
    """Show the largest net price moves of a time, in percent; models listed at both ends only.

    \b
    Example:
      syncer movers --since 90d --limit 5
    """
    from syncer import history

    columns = ("source", "model", "old", "new", "absolute", "percent", "currency", "unit")
    start = until - _A_MONTH if since is None else since
    _require_forward(start, until)
    with app.reader() as connection:
        movers = history.movers(connection, since=start, until=until, source=source, limit=limit)
    rows = [_row(mover, columns) for mover in movers]
    title = f"Movers from {start:%Y-%m-%d %H:%M:%SZ} to {until:%Y-%m-%d %H:%M:%SZ}"
    drop = ("unit", "currency", "source", "absolute")
    print_rows(
        columns,
        rows,
        format=form(),
        out=sys.stdout,
        title=title,
        drop=drop,
        empty="no model that was listed at both ends of that time moved in price",
    )


_A_MONTH = timedelta(days=30)
