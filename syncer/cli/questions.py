"""`syncer prices`, `diff`, `movers`, `stats`, `churn` and `offers`: what was true when."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import click

from syncer.cli.app import NAME, App, form, row_options
from syncer.cli.output import print_line, print_rows
from syncer.cli.times import MOMENT
from syncer.core.model import component_of, price_field
from syncer.core.words import describe_unit, not_observed_then

if TYPE_CHECKING:
    from syncer.history import Difference, Mover, PricePeriod, Quote

_SOURCE = click.option("--source", metavar="NAME", help="Only this source.")
_BARS = "▁▂▃▄▅▆▇█"


_COMPONENT = click.option("--component", metavar="NAME", help="Only this price: input, output; all if not given.")


@click.command("prices")
@click.argument("model", type=NAME)
@click.option("--at", type=MOMENT, metavar="T", help="Only the prices at T, and how surely they are known.")
@_COMPONENT
@_SOURCE
@row_options
@click.pass_obj
def prices_command(app: App, model: str, at: datetime | None, component: str | None, source: str | None) -> None:
    """Show the price periods of MODEL (a name, or an alias), or its prices at one moment.

    The prices stand side by side, a line for each time at which one of them moved; they held from valid_from up to,
    not including, valid_to (UTC); `-` there means still. What began a line happened after changed_after and no later
    than valid_from. An unknown price is `-`. --json and --csv have a row for each price and period.

    \b
    Examples:
      syncer prices deepseek-ai/DeepSeek-R1 --at 2026-11-01
      syncer prices deepseek-ai/DeepSeek-R1 --component output
    """
    from syncer import history

    with app.reader() as connection:
        if at is not None:
            if component is not None:
                quotes = [history.price_at(connection, model, component, at=at, source=source)]
            else:
                quotes = history.prices_at(connection, model, at=at, source=source)
            _print_quotes(quotes)
            return
        periods = history.price_periods(connection, model, component, source=source)
    if form() != "table":
        columns = periods[0].__struct_fields__
        print_rows(columns, [_row(period, columns) for period in periods], format=form(), out=sys.stdout)
        return
    _print_side_by_side(model, periods)


def _print_side_by_side(model: str, periods: "Sequence[PricePeriod]") -> None:
    first = periods[0].component  # the headline; beside it, what is paid as often
    periods = sorted(periods, key=lambda period: (period.component != first, period.component != "output"))
    components = list(dict.fromkeys(period.component for period in periods))
    units = "; ".join(f"{', '.join(names)} in {unit}" for unit, names in by_unit(periods).items())
    columns = ("valid_from", "valid_to", *components, "changed_after")
    rows = [
        (start, end, *(known.price if known else None for known in its), max_or_none(known for known in its))
        for start, end, its in side_by_side(periods)
    ]
    drop = ("changed_after", *reversed(components[2:]))
    print_rows(columns, rows, format="table", out=sys.stdout, title=f"{model} (UTC); {units}", drop=drop)
    if sys.stdout.isatty() and len(periods) > 1:
        width = shutil.get_terminal_size().columns
        headline = [period.price for period in periods if period.component == components[0]]
        print_line(sparkline(headline[-width:]), out=sys.stdout)


def by_unit(periods: "Sequence[PricePeriod]") -> dict[str, dict[str, None]]:
    """What prices are in, in words, and the components of which one was."""
    found: dict[str, dict[str, None]] = {}
    for period in periods:
        unit = describe_unit(period.unit) if period.unit else "unknown unit"
        found.setdefault(f"{period.currency or 'unknown currency'} per {unit}", {})[period.component] = None
    return found


_Line = tuple[datetime, datetime | None, "list[PricePeriod | None]"]


def side_by_side(periods: "Sequence[PricePeriod]") -> list[_Line]:
    """The times between which no price moved, each with the period of every component; none while it was not listed."""
    components = list(dict.fromkeys(period.component for period in periods))
    edges = sorted({edge for period in periods for edge in (period.valid_from, period.valid_to) if edge is not None})
    lines: list[_Line] = []
    for start, end in pairwise([*edges, None]):
        assert start is not None  # noqa: S101 - only the last edge is open
        its = [_in_force(periods, component, start) for component in components]
        if any(known is not None for known in its):
            lines.append((start, end, its))
    return lines


def _in_force(periods: "Sequence[PricePeriod]", component: str, at: datetime) -> "PricePeriod | None":
    return next(
        (
            period
            for period in periods
            if period.component == component
            and period.valid_from <= at
            and (period.valid_to is None or at < period.valid_to)
        ),
        None,
    )


def max_or_none(periods: "Iterable[PricePeriod | None]") -> datetime | None:
    """The latest `changed_after` of what began last."""
    known = [period for period in periods if period is not None]
    latest = max(period.valid_from for period in known)
    return max((p.changed_after for p in known if p.valid_from == latest and p.changed_after), default=None)


def _row(answer: object, columns: Sequence[str]) -> tuple[Any, ...]:
    """The named fields of a period, quote or mover; its unit in words, but for programs."""
    return tuple(_unit(value) if name == "unit" else value for name, value in _fields(answer, columns))


def _fields(answer: object, columns: Sequence[str]) -> list[tuple[str, Any]]:
    return [(name, getattr(answer, name)) for name in columns]


def _print_quotes(quotes: "Sequence[Quote]") -> None:
    first = quotes[0]
    columns = first.__struct_fields__
    if form() != "table":
        print_rows(columns, [_row(quote, columns) for quote in quotes], format=form(), out=sys.stdout)
        return
    if first.listed is None:
        print_line(not_observed_then(first.source, first.first_observed_at), out=sys.stdout)
        return
    # A row of sixteen columns would be folded beyond reading: one line a field instead, a column a price.
    cells = [_row(quote, columns) for quote in quotes]
    rows = [(name, *(row[index] for row in cells)) for index, name in enumerate(columns)]
    heads = ("field", *(quote.component for quote in quotes)) if len(quotes) > 1 else ("field", "value")
    print_rows(heads, rows, format="table", out=sys.stdout, title="UTC", drop=heads[:1:-1])
    _say_how_sure(first)


def _say_how_sure(quote: "Quote") -> None:
    if quote.unread_since is not None:
        since = f"{quote.unread_since:%Y-%m-%d %H:%M:%SZ}"
        print_line(f"not readably confirmed by upstream since {since}: the last known price", out=sys.stderr)
    if quote.extrapolated:
        last = f"{quote.last_observed_at:%Y-%m-%d %H:%M:%SZ}" if quote.last_observed_at else "never"
        print_line(f"beyond what was seen: the last observation of {quote.source} was {last}", out=sys.stderr)


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

    Net: a price that went up and came back is not in it. With --json, `changed` maps each field to [old, new].

    \b
    Examples:
      syncer diff 30d
      syncer diff 2026-10-01 2026-11-01 --json
    """
    from syncer import history

    _require_forward(a, b)
    with app.reader() as connection:
        differences = history.diff(connection, a, b, source=source)
        left_out = history.not_observed(connection, at=a, source=source)
    columns = ("source", "kind", "model", "component", "old_price", "price", "changed")
    rows = [_difference_row(one) for one in differences]
    title = f"From {a:%Y-%m-%d %H:%M:%SZ} to {b:%Y-%m-%d %H:%M:%SZ}"
    drop = ("changed", "source", "old_price", "component")
    sentences = [not_observed_then(one.source, one.first_observed_at) for one in left_out]
    empty = "; ".join(sentences) or "there is no difference"
    print_rows(columns, rows, format=form(), out=sys.stdout, title=title, drop=drop, empty=empty)
    if rows or form() != "table":
        for sentence in sentences:
            print_line(sentence, out=sys.stderr)


def _difference_row(one: "Difference") -> tuple[Any, ...]:
    """The headline where it moved, else the first price that did; the other fields are named."""
    state = one.after or one.before
    headline = "" if state is None else state.component
    moved = [name for field in one.changed if (name := component_of(field)) is not None]
    shown = headline if headline in moved or not moved else moved[0]
    old, new = (state and state.prices.get(shown) for state in (one.before, one.after))
    others = ", ".join(component_of(field) or field for field in one.changed if field != price_field(shown))
    changed = one.changed if form() == "json" else others
    return one.source, one.kind.value, one.model, shown, old, new, changed


def _require_forward(start: datetime, end: datetime) -> None:
    if start > end:
        raise click.UsageError(f"Time goes forward: {start:%Y-%m-%d %H:%M:%SZ} is later than {end:%Y-%m-%d %H:%M:%SZ}.")


@click.command("movers")
@click.option("--since", type=MOMENT, metavar="T", help="From T on; 30d before --until if not given.")
@click.option("--until", type=MOMENT, default="now", metavar="T", help="Up to T; now if not given.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="At most N models."
)
@click.option(
    "--component", "components", multiple=True, metavar="NAME", help="Only this price; repeatable; all if not given."
)
@_SOURCE
@row_options
@click.pass_obj
def movers_command(
    app: App,
    since: datetime | None,
    until: datetime,
    limit: int,
    components: tuple[str, ...],
    source: str | None,
) -> None:
    """Show the largest net price moves of a time, in percent; models listed at both ends only.

    A move from unknown, from 0 (free) or from a negative price has no percent: it is not ranked, and named below.

    \b
    Example:
      syncer movers --since 90d --limit 5 --component input
    """
    from syncer import history

    columns = ("source", "model", "component", "old", "new", "absolute", "percent", "currency", "unit")
    start = until - _A_MONTH if since is None else since
    _require_forward(start, until)
    chosen = components or None
    with app.reader() as connection:
        movers = history.movers(connection, since=start, until=until, source=source, components=chosen, limit=limit)
        others = history.unranked(connection, since=start, until=until, source=source, components=chosen)
        left_out = history.not_observed(connection, at=start, source=source)
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
        empty="no model that was listed at both ends of that time has another price",
    )
    for one in left_out:
        print_line(not_observed_then(one.source, one.first_observed_at), out=sys.stderr)
    if others:
        print_line(_left_out(others), out=sys.stderr)


def _left_out(moves: "Sequence[Mover]") -> str:
    """The moves without a percent, in a line."""
    first = ", ".join(f"{one.model} {one.component} {_amount(one.old)} -> {_amount(one.new)}" for one in moves[:_NAMED])
    more = f" and {len(moves) - _NAMED} more" if len(moves) > _NAMED else ""
    return f"without a percent, and not ranked: {first}{more}"


def _amount(price: Decimal | None) -> str:
    return "unknown" if price is None else "free" if price == 0 else f"{price:f}"


@click.command("stats")
@click.argument("model", type=NAME)
@_COMPONENT
@click.option("--since", type=MOMENT, metavar="T", help="From T on; from its first listing if not given.")
@click.option("--until", type=MOMENT, metavar="T", help="Up to T; up to the last observation if not given.")
@_SOURCE
@row_options
@click.pass_obj
def stats_command(
    app: App, model: str, component: str | None, since: datetime | None, until: datetime | None, source: str | None
) -> None:
    """Show the lowest, the highest and the mean price of MODEL over the days on which it is known.

    The mean weighs each price by how long it held. `lowest_30_days` is the lowest in force in the 30 days before the
    end. Of the headline, if no component is given.

    \b
    Example:
      syncer stats deepseek-ai/DeepSeek-R1 --component output --since 90d
    """
    from syncer import history

    if since is not None and until is not None:
        _require_forward(since, until)
    with app.reader() as connection:
        stats = history.price_stats(connection, model, component, since=since, until=until, source=source)
    columns = tuple(name for name in stats.__struct_fields__ if name != "mean_exact")
    row = tuple(_stat(name, value) for name, value in zip(columns, _row(stats, columns), strict=True))
    if form() != "table":
        print_rows(columns, [row], format=form(), out=sys.stdout)
        return
    print_rows(("field", "value"), list(zip(columns, row, strict=True)), format="table", out=sys.stdout, title="UTC")
    if stats.other_units:
        print_line(f"{stats.other_units} of its prices were for another unit, and do not count", out=sys.stderr)


_AS_A_PRICE = Context(prec=15)


def _stat(name: str, value: Any) -> Any:  # noqa: ANN401 - a cell
    """Durations are seconds to a program; to eyes they are days, and a mean has as many digits as a price."""
    if name == "priced_for":
        return f"{value.total_seconds() / 86400:.1f} days" if form() == "table" else int(value.total_seconds())
    return _AS_A_PRICE.plus(value) if name == "mean" and value is not None and form() == "table" else value


@click.command("churn")
@click.option("--since", type=MOMENT, metavar="T", help="From T on; a year before --until if not given.")
@click.option("--until", type=MOMENT, default="now", metavar="T", help="Up to T; now if not given.")
@click.option(
    "--every", type=click.Choice(["day", "week", "month"]), default="week", show_default=True, help="A row for each."
)
@_SOURCE
@row_options
@click.pass_obj
def churn_command(
    app: App, since: datetime | None, until: datetime, every: Literal["day", "week", "month"], source: str | None
) -> None:
    """Show how many models came and went in each day, week or month (UTC).

    `baseline` is what the first observation of a source found: those models are not new. A time before it is left out.

    \b
    Example:
      syncer churn --every month
    """
    from syncer import history

    start = until - _A_YEAR if since is None else since
    _require_forward(start, until)
    with app.reader() as connection:
        known = history.churn(connection, since=start, until=until, every=every, source=source)
        later = {one.source: one.first_observed_at for one in history.not_observed(connection, at=start, source=source)}
    columns = history.Churn.__struct_fields__
    rows = [
        tuple(getattr(one, column) for column in columns)
        for one in known
        if (first := later.get(one.source, start)) is not None and one.end > first
    ]
    drop = ("end", "baseline")
    print_rows(
        columns, rows, format=form(), out=sys.stdout, title="Churn (UTC)", drop=drop, empty="nothing was observed"
    )


@click.command("offers")
@click.argument("model", type=NAME)
@click.option("--at", type=MOMENT, metavar="T", help="As it was at T; now if not given.")
@click.option("--component", metavar="NAME", help="Only this price: input, output; all if not given.")
@row_options
@click.pass_obj
def offers_command(app: App, model: str, at: datetime | None, component: str | None) -> None:
    """Show who sells MODEL, at what price, and since when: the cheapest first.

    MODEL is a name, an alias or the path of its page at Hugging Face. Two listings are one model only if that path, or
    else their name, is the same (in lower case). Prices in another currency or unit are never compared.

    \b
    Example:
      syncer offers deepseek-ai/DeepSeek-R1 --component output
    """
    from syncer import history

    columns = ("component", "price", "currency", "unit", "source", "model", "valid_from", "identity")
    with app.reader() as connection:
        offers = history.offers(connection, model, at=at)
        left_out = [] if at is None else history.not_observed(connection, at=at)
    rows = [_row(offer, columns) for offer in offers if component in {None, offer.component}]
    drop = ("identity", "unit", "currency")
    nobody = f"nobody offers {model}" if at is None else f"nobody offered {model} then"
    empty = f"no offer of {model} is known of then" if left_out else nobody
    print_rows(columns, rows, format=form(), out=sys.stdout, title=f"Offers of {model}", drop=drop, empty=empty)
    for one in left_out:
        print_line(not_observed_then(one.source, one.first_observed_at), out=sys.stderr)


_NAMED = 5
_A_YEAR = timedelta(days=365)
_A_MONTH = timedelta(days=30)
