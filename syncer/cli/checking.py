"""`syncer check`: a CI job's question, are the models I rely on still there, at my price, with my context?

It must neither miss a model that is gone nor fail for one that a single observation did not show: what is not believed
yet is a warning on stderr, and so is data that is too old to say. A model that its source requires is another matter:
it fails as soon as it is missing, or while its absence cannot be judged or its price not be read.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from syncer.cli.app import App, form, now, row_options
from syncer.cli.output import print_line, print_rows
from syncer.cli.times import DURATION
from syncer.core import prices
from syncer.errors import AmbiguousModel, SettingsError, UsageError
from syncer.settings import parse_duration

if TYPE_CHECKING:
    from syncer.history import CatalogRow, Freshness


class Wish(NamedTuple):
    """One line of the file: a model, and what is asked of it. `max_prices` are by component, "" is the headline."""

    model: str
    max_prices: Mapping[str, Decimal]
    min_context: int | None = None
    not_expiring: timedelta | None = None


@click.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", metavar="NAME", help="Only the catalog of this source.")
@click.option("--max-age", type=DURATION, default="1d", show_default=True, help="Warn if the data is older.")
@row_options
@click.pass_obj
def check_command(app: App, file: Path, source: str | None, max_age: timedelta) -> None:
    """Check that the models in FILE are offered; exit 1 and a table if one is gone, too dear or too small.

    A line is a model's name or alias, optionally with limits: `acme/large max_input=2.5 max_output=10
    min_context=32000 not_expiring=30d`. `max_price` is the headline's. Lines that begin with # are comments. A price
    that is unknown, unreadable or negative is not below any limit. A model that the last observations did not show, but
    that is not believed gone yet, is a warning only, unless its source requires it.

    \b
    Example:
      syncer check models.txt --max-age 2h
    """
    from syncer import history

    wishes, present = list(read_wishes(file)), now()
    with app.reader() as connection:
        listed = list(history.catalog(connection, source=source))
        fresh = {one.source: one for one in history.freshness(connection, now=present) if source in {None, one.source}}
    found = [(wish, find_listed(wish, listed)) for wish in wishes]
    needed = {one.name: one.required for one in app.settings.sources}
    _warn(_stale(fresh.values(), max_age, present))
    _warn(warning for _, row in found if row is not None for warning in _doubts(row))
    rows = [(wish.model, problem) for wish, row in found if (problem := find_problem(wish, row, present))]
    rows += [
        (row.model, problem)
        for _, row in found
        if row is not None and row.model in needed.get(row.source, ())
        for problem in unsure(row, fresh.get(row.source))
    ]
    if rows or form() != "table":
        print_rows(("model", "problem"), rows, format=form(), out=sys.stdout)
    else:
        print_line(
            "the model is as wanted" if len(wishes) == 1 else f"all {len(wishes)} models are as wanted", out=sys.stdout
        )
    sys.exit(1 if rows else 0)


# -- the file ----------------------------------------------------------------------------------------------------------

_LINE = re.compile(r"(?P<model>.*?)(?P<limits>(?:\s+[a-z_]+=\S*)*)")


def read_wishes(file: Path) -> Iterator[Wish]:
    """The lines of the file; raises UsageError that names the line which cannot be read, or if there is no model."""
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text") from None
    texts = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    wanted = [(number, text) for number, text in texts if text and not text.startswith("#")]
    if not wanted:
        raise UsageError(f"{file} names no model: a check of nothing would always pass")
    for number, text in wanted:
        try:
            yield _wish(text)
        except (ValueError, SettingsError) as error:
            raise UsageError(f"{file}, line {number}: {error}") from None


def _wish(text: str) -> Wish:
    """Limits stand last; whatever is before them is the name, blanks and all."""
    line = _LINE.fullmatch(text)
    assert line is not None  # noqa: S101 - the name takes what the limits do not
    if re.match(r"(max_\w+|min_context|not_expiring)=", line["model"]):
        raise ValueError("there is no model name before its limits")
    limits: dict[str, str] = {}
    for word in line["limits"].split():
        name, _, value = word.partition("=")
        if name in limits:
            raise ValueError(f"{name} is given twice")
        if name not in _LIMITS and not _is_price(name):
            raise ValueError(f"{name} is not a limit: try max_input, max_output, max_price, {' or '.join(_LIMITS)}")
        limits[name] = value
    return Wish(
        model=line["model"],
        max_prices={_component(name): _price(name, value) for name, value in limits.items() if _is_price(name)},
        min_context=_context(limits["min_context"]) if "min_context" in limits else None,
        not_expiring=parse_duration(limits["not_expiring"]) if "not_expiring" in limits else None,
    )


_LIMITS = ("min_context", "not_expiring")


def _is_price(name: str) -> bool:
    return name.startswith("max_") and prices.is_component(name.removeprefix("max_"))


def _component(name: str) -> str:
    """The component that a limit is about; `max_price` is about the headline, whatever that is."""
    component = name.removeprefix("max_")
    return "" if component == "price" else component


def _price(name: str, text: str) -> Decimal:
    try:
        return prices.canonical(prices.json_number(text))
    except ValueError as error:
        raise ValueError(f"{name}={text} {error}") from None


def _context(text: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", text):
        raise ValueError(f"min_context={text} is not a whole number")
    return int(text)


# -- the answers -------------------------------------------------------------------------------------------------------


def find_listed(wish: Wish, listed: "Sequence[CatalogRow]") -> "CatalogRow | None":
    """The listed model that a wish is about, by name, else by alias. Raises AmbiguousModel where two answer to it."""
    named = [row for row in listed if row.model == wish.model] or [row for row in listed if row.alias == wish.model]
    if len(named) > 1:
        candidates = tuple((row.source, row.model) for row in named)
        listing = ", ".join(f"{model!r} of source {source!r}" for source, model in candidates)
        raise AmbiguousModel(f"{wish.model!r} may mean {listing}: name the source (--source)", candidates=candidates)
    return named[0] if named else None


def find_problem(wish: Wish, row: "CatalogRow | None", present: datetime) -> str | None:
    """What is wrong with one wish, given what is listed under its name; None if nothing is."""
    return "is not offered" if row is None else "; ".join(_problems(wish, row, present)) or None


def _problems(wish: Wish, row: "CatalogRow", present: datetime) -> Iterator[str]:
    for component, limit in wish.max_prices.items():
        called = f"{component} price" if component else "price"  # as the person called it
        yield from _too_dear(row, component or row.component, called, limit)
    if wish.max_prices and row.unread_since is not None:
        yield f"price cannot be read since {row.unread_since:%Y-%m-%d %H:%MZ}, the known one may be old"
    if wish.min_context is not None and row.context_length is None:
        yield "context length is unknown"
    if wish.min_context is not None and row.context_length is not None and row.context_length < wish.min_context:
        yield f"context length is {row.context_length}, less than {wish.min_context}"
    if wish.not_expiring is not None and row.expires_at is not None and row.expires_at <= present + wish.not_expiring:
        yield f"expires at {row.expires_at:%Y-%m-%d %H:%MZ}"


def _too_dear(row: "CatalogRow", component: str, name: str, limit: Decimal) -> Iterator[str]:
    price = row.prices.get(component)
    if component not in row.prices:
        yield f"has no {component} price; it has: {', '.join(sorted(row.prices))}"
    elif price is None:
        yield f"{name} is unknown"
    elif price < 0:
        yield f"{name} is {price:f}, which is not an amount"
    elif price > limit:
        yield f"{name} is {price:f}, more than {limit:f}"


def unsure(row: "CatalogRow", fresh: "Freshness | None") -> Iterator[str]:
    """Why nobody can say that a required model is there as it is believed."""
    if row.missing_since is not None:
        yield f"is required, and missing since {row.missing_since:%Y-%m-%d %H:%MZ}"
    elif fresh is not None and {"partial", "nameless"} & set(fresh.doubts):
        yield "is required, and its absence cannot be judged: the list is not whole, or has rows without a name"
    if row.unread_since is not None:
        yield f"is required, and its price cannot be read since {row.unread_since:%Y-%m-%d %H:%MZ}"


def _doubts(row: "CatalogRow") -> Iterator[str]:
    if row.missing_since is not None:
        yield f"{row.model} was not shown since {row.missing_since:%Y-%m-%d %H:%MZ}, but is not believed gone yet"
    if row.unread_since is not None:
        yield f"{row.model}: its prices cannot be read since {row.unread_since:%Y-%m-%d %H:%MZ}, the known ones stay"
    if row.held:
        yield f"{row.model}: news of it is withheld (syncer held)"


def _stale(sources: "Iterable[Freshness]", max_age: timedelta, present: datetime) -> Iterator[str]:
    for source in sources:
        last = source.last_observed_at
        if last is None or present - last > max_age:
            since = f"{last:%Y-%m-%d %H:%MZ}" if last else "never"
            yield f"the data is stale: the last observation of {source.source} was {since}"


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        print_line(f"warning: {warning}", out=sys.stderr)
