"""One model: what it costs, how sure that is, how it got there.

- Prices for the same unit share a chart and a table, one colour, letter and column each; never a sum or a blend.
- The chart is drawn from the price periods, and the table beneath it says each figure of it.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import sqlalchemy as sa
from markupsafe import Markup

from syncer import history
from syncer.core.model import Kind, component_of
from syncer.core.words import count_of
from syncer.history.catalog import read_catalog, view
from syncer.history.resolve import Unit, find_model
from syncer.web import words
from syncer.web.charts import Band, Hit, Line, Step, price_chart
from syncer.web.pages.page import Page, Twin, together
from syncer.web.query import BadQuery, encoded
from syncer.web.site import Visit

RANGES: Mapping[str, timedelta | None] = {
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
    "1y": timedelta(days=365),
    "all": None,
}
SCALES = {"linear": "from 0", "log": "log"}
_MOST_LINES = 6
_MOST_ROWS = 20
_MOST_CHANGES = 20
_MOST_MOVES = 60  # in a chart that nobody chose the range of


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Prices for one unit: their chart, and the same as a table."""

    unit: str
    components: list[tuple[str, str]]
    chart: Markup
    columns: list[str]
    rows: list[dict[str, Any]]
    left_out: int


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one model, as the questions gave it."""

    source: str
    name: str
    row: history.CatalogRow | None
    state: history.ChangeRow
    quotes: list[history.Quote]
    periods: list[history.PricePeriod]
    removals: Mapping[datetime, datetime | None]
    availability: history.Availability
    headline: str
    interval: timedelta

    @property
    def last_observed_at(self) -> datetime | None:
        """The source's last observation."""
        return self.quotes[0].last_observed_at


def model(visit: Visit) -> Page:
    """`/model?source=&name=&range=&scale=`"""
    query = visit.query
    name = query.text("name")
    if name is None:
        raise BadQuery("name is missing: which model?")
    found = find_model(visit.connection, name, source=query.text("source"))
    chosen = query.one_of("range", ("", *RANGES), "")
    scale = query.one_of("scale", SCALES, "linear")
    query.require_forward("since", "until")
    asked = encoded([("source", found.source), ("model", found.name)])
    shown = context(visit, found.source, found.name, chosen=chosen, scale=scale)
    return Page(
        template="model.html",
        title=found.name,
        section="catalog",
        context={
            **shown,
            "ranges": {text: f"/model{query.with_(range=text, since=None, until=None)}#chart" for text in RANGES},
            "scales": {text: (label, f"/model{query.with_(scale=text)}#chart") for text, label in SCALES.items()},
            "chosen": "" if query.raw("since") or query.raw("until") else shown["chosen"],
            "scale": scale,
            "asked": asked,
        },
        twins=[Twin(form.upper(), f"/api/v1/prices.{form}{asked}") for form in ("json", "csv")],
        feed=asked,
        command=f"syncer prices {shlex.quote(found.name)}",
    )


def context(visit: Visit, source: str, name: str, *, chosen: str = "", scale: str = "linear") -> dict[str, Any]:
    """What the page of a model shows; without a chosen range, as much of the past as a chart shows well."""
    past = look_up(visit, source, name)
    chosen = chosen or _fitting(past, visit.now)
    start, end = _window(visit, past, RANGES[chosen])
    latest = history.changes(visit.connection, model=name, source=source, newest_first=True, limit=_MOST_CHANGES + 1)
    rows = list(latest)
    until = max(visit.now, past.last_observed_at or visit.now)
    stats = history.price_stats(visit.connection, name, source=source, until=until)
    return {
        "past": past,
        "chosen": chosen,
        "state": past.row or past.state,
        "price": past.quotes[0],
        "others": _others(past),
        "last_move": _last_move(past),
        "lead": _lead(visit, past, stats),
        "held_here": _held(visit, past),
        "facts": _facts(visit, past, stats),
        "groups": groups(past, start, end, log=scale == "log", year=visit.now.year),
        "happened": list(together(rows[:_MOST_CHANGES])),
        "more_happened": len(rows) > _MOST_CHANGES,
    }


def look_up(visit: Visit, source: str, name: str) -> Past:
    """All that is known of a model."""
    connection = visit.connection
    state = next(history.changes(connection, model=name, source=source, newest_first=True, limit=1))
    rows = read_catalog(connection, sa.select(view).where(view.c.model_id == state.model_id))
    removals = history.changes(connection, model=name, source=source, kinds={Kind.REMOVED})
    interval = next(known.interval for known in visit.states if known.fresh.source == source)
    return Past(
        source=source,
        name=state.name,
        row=next(rows, None),
        state=state,
        quotes=history.prices_at(connection, name, at=visit.now, source=source),
        periods=history.price_periods(connection, name, source=source),
        removals={row.effective_at: row.changed_after for row in removals},
        availability=history.availability(connection, name, source=source),
        headline=state.component,
        interval=interval,
    )


def _fitting(past: Past, now: datetime) -> str:
    """The longest range that is no thicket: of all of it, or of fewer days."""
    moves = {period.valid_from for period in past.periods}
    counts = {text: sum(length is None or at > now - length for at in moves) for text, length in RANGES.items()}
    return next((text for text in ("all", "1y", "90d") if counts[text] <= _MOST_MOVES), "30d")


def _window(visit: Visit, past: Past, length: timedelta | None) -> tuple[datetime, datetime]:
    first = past.availability.intervals[0].listed_from
    end = visit.query.moment("until") or max(visit.now, past.last_observed_at or visit.now)
    start = visit.query.moment("since") or (first if length is None else max(first, end - length))
    return min(start, end - timedelta(hours=1)), end


def _others(past: Past) -> list[history.Quote]:
    known = {quote.component: quote for quote in past.quotes[1:] if quote.listed}
    return [known[one] for one in words.ordered(known, past.headline)]


# -- words -------------------------------------------------------------------------------------------------------------


def _last_move(past: Past) -> Markup:
    its = [period for period in past.periods if period.component == past.headline]
    if len(its) < 2 or its[-1].unit != its[-2].unit:
        return Markup("")
    return words.percent(its[-2].price, its[-1].price)


def _lead(visit: Visit, past: Past, stats: history.PriceStats) -> Markup:
    """Since when, what was before, and how that compares with all that is known."""
    its = [period for period in past.periods if period.component == past.headline]
    year = visit.now.year
    if past.row is None:
        gone = past.state.effective_at
        return Markup("No longer listed since {}; its last price was {}.").format(
            words.stamp(gone, year=year), words.plain(past.state.price)
        )
    if not its:
        return Markup("No price is known.")
    said = [Markup("since {}").format(words.stamp(its[-1].valid_from, year=year))]
    if len(its) > 1:
        said.append(Markup("before that {}").format(words.plain(its[-2].price)))
    lead = Markup("; ").join(said) + "."
    return lead + _compared(its[-1].price, stats)


def _compared(price: Decimal | None, stats: history.PriceStats) -> Markup:
    if stats.min is None or stats.max is None or stats.mean is None or stats.min == stats.max:
        return Markup("")
    lowest = "The lowest it ever was" if price == stats.min else f"Lowest {words.plain(stats.min)}"
    highest = "the highest it ever was" if price == stats.max else f"highest {words.plain(stats.max)}"
    mean = words.plain(Decimal(f"{stats.mean:.4g}"))
    return Markup(" {}, {}; on average {} over {} with a known price.").format(
        lowest, highest, mean, words.lasted(stats.priced_for)
    )


def _held(visit: Visit, past: Past) -> list[dict[str, Any]]:
    """What is withheld of this model: the finding, and what upstream now says."""
    if past.row is None or not past.row.held:
        return []
    return [
        {"finding": finding, "model": one, "says": _says(one)}
        for finding in visit.held
        if finding.source == past.source
        for one in finding.models
        if one.model == past.name
    ]


def _says(one: history.HeldModel) -> str:
    if one.fields is None:
        return "no longer lists it"
    said = []
    for field, (_, new) in one.fields.items():
        component = component_of(field)
        label = "" if component == "price" else f"{words.label(component or field)} "
        said.append(f"{label}{words.plain(new) if component else words.value(new)}")
    return f"now says {', '.join(said)}"


def _facts(visit: Visit, past: Past, stats: history.PriceStats) -> list[tuple[str, Any]]:
    state, row, year = past.row or past.state, past.row, visit.now.year
    spells, share = len(past.availability.intervals), past.availability.share
    facts: list[tuple[str, Any]] = [
        ("Context", f"{state.context_length:,} tokens" if state.context_length else None),
        ("Longest answer", f"{state.max_completion_tokens:,} tokens" if state.max_completion_tokens else None),
        ("First seen", words.stamp(past.availability.intervals[0].listed_from, year=year)),
        (
            "Last fully read" if row and row.unread else "Last seen",
            words.stamp(row.last_seen_at, year=year) if row and row.last_seen_at else None,
        ),
        ("Listed", _listed(share, spells)),
        ("Price moves", stats.repricings),
        ("Ends", words.stamp(state.expires_at, words.date_of(state.expires_at)) if state.expires_at else None),
        ("Hugging Face", _address(state.huggingface_url)),
    ]
    return [(label, value) for label, value in facts if value is not None]


def _listed(share: Any, spells: int) -> str | None:  # noqa: ANN401 - a Fraction or a Decimal
    if share is None:
        return None
    percent = float(share) * 100
    part = "all the time" if percent > 99.95 else f"{percent:.0f} % of the time"
    return part if spells == 1 else f"{part}, {count_of(spells, 'spell')}"


def _address(url: str | None) -> Markup | None:
    if not url:
        return None
    safe, text = words.safe_link(url), url.removeprefix("https://huggingface.co/")
    if safe is None:
        return Markup("<bdi>{}</bdi>").format(url)
    return Markup('<a href="{}" rel="noreferrer nofollow"><bdi>{}</bdi></a>').format(safe, text)


# -- charts ------------------------------------------------------------------------------------------------------------


def groups(past: Past, start: datetime, end: datetime, *, log: bool, year: int) -> list[Group]:
    """The charts of a model: one for each unit, of at most six prices; the headline's is the first."""
    units: dict[Unit | None, list[str]] = {}
    last = {period.component: period for period in past.periods}
    for component in words.ordered(last, past.headline):
        units.setdefault(last[component].unit, []).append(component)
    return [
        _group(past, components[at : at + _MOST_LINES], unit, start, end, log=log, year=year)
        for unit, components in units.items()
        for at in range(0, len(components), _MOST_LINES)
    ]


def _group(
    past: Past, components: Sequence[str], unit: Unit | None, start: datetime, end: datetime, *, log: bool, year: int
) -> Group:
    its = {one: [period for period in past.periods if period.component == one] for one in components}
    letters = letters_of(components)
    lines = [
        Line(letter=letter, steps=steps_of(past, its[one], end), open=past.row is not None)
        for one, letter in zip(components, letters, strict=True)
    ]
    currency = past.state.currency
    spans = _spans(its, past.availability.intervals, start, end)
    rows = [_row(span, before, year) for before, span in pairwise([None, *spans]) if span is not None]
    title = f"{', '.join(map(words.label, components))} of {past.name}"
    return Group(
        unit=words.money(currency, unit),
        components=[(letter, words.label(one)) for letter, one in zip(letters, components, strict=True)],
        chart=price_chart(
            lines,
            bands_of(past, its, end),
            [_hit(span, before, words.money(currency, unit)) for before, span in pairwise([None, *spans]) if span],
            start=start,
            end=end,
            title=title,
            log=log,
        ),
        columns=[words.label(one) for one in components],
        rows=rows[::-1][:_MOST_ROWS],
        left_out=max(len(rows) - _MOST_ROWS, 0),
    )


def letters_of(components: Iterable[str]) -> list[str]:
    """A letter for each, its own: `I`, `O`, `C`."""
    used: list[str] = []
    for component in components:
        wanted = [char.upper() for char in component if char.isalpha()] + list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        used.append(next(letter for letter in wanted if letter not in used))
    return used


def steps_of(past: Past, periods: Sequence[history.PricePeriod], end: datetime) -> list[Step]:
    """The periods of one component as they are drawn; the last is sure as far as it was seen."""
    sure = {quote.component: quote.certain_until for quote in past.quotes}
    steps = []
    for before, period, following in zip([None, *periods], periods, [*periods[1:], None], strict=False):
        if period.valid_to is None:
            seen = sure.get(period.component)
        elif following is not None and following.valid_from == period.valid_to:
            seen = following.changed_after
        else:
            seen = past.removals.get(period.valid_to)
        steps.append(
            Step(
                start=period.valid_from,
                end=period.valid_to or end,
                price=period.price,
                sure=max(seen or period.valid_from, period.valid_from),
                joined=before is not None and before.valid_to == period.valid_from,
            )
        )
    return steps


def bands_of(past: Past, its: Mapping[str, Sequence[history.PricePeriod]], end: datetime) -> list[Band]:
    """Where something is not known, or was not there."""
    every = [period for periods in its.values() for period in periods]
    bands = [Band(css="doubt", start=after, end=at) for at, after in past.removals.items() if after is not None]
    bands += [
        Band(css="doubt", start=period.changed_after, end=period.valid_from)
        for period in every
        if period.changed_after is not None
    ]
    for before, following in pairwise([*past.availability.intervals, None]):
        if before is not None and before.listed_to is not None:
            until = end if following is None else following.listed_from
            bands.append(Band(css="off", start=before.listed_to, end=until, label="not listed"))
    if len(its) == 1:
        bands += [
            Band(css="off", start=period.valid_from, end=period.valid_to or end, label=_why_off(period.price))
            for period in every
            if period.price is None or period.price < 0
        ]
    return bands + _present(past, end)


def _why_off(price: Decimal | None) -> str:
    return "price unknown" if price is None else f"sent as {words.plain(price)}"


def _present(past: Past, end: datetime) -> list[Band]:
    """What keeps the present from being sure."""
    row, seen = past.row, past.last_observed_at
    bands = []
    if row is not None and row.missing_since is not None and row.last_seen_at is not None and seen is not None:
        bands.append(Band(css="off", start=row.last_seen_at, end=seen, label="missing; its removal is withheld"))
    if row is not None and row.unread_since is not None and seen is not None:
        bands.append(Band(css="off", start=row.unread_since, end=seen, label="its price cannot be read"))
    if seen is not None and row is not None and end - seen > 1.5 * past.interval:
        bands.append(Band(css="off", start=seen, end=end, label="not observed since"))
    return bands


class _Span(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which no price of a group moved: component -> its price, None for one that there was not."""

    start: datetime
    end: datetime
    is_open: bool
    prices: Mapping[str, history.PricePeriod | None]


def _spans(
    its: Mapping[str, Sequence[history.PricePeriod]],
    intervals: Sequence[history.Interval],
    start: datetime,
    end: datetime,
) -> list[_Span]:
    edges = {period.valid_from for periods in its.values() for period in periods}
    edges |= {period.valid_to for periods in its.values() for period in periods if period.valid_to is not None}
    edges = {edge for edge in edges if start < edge < end} | {max(start, intervals[0].listed_from), end}
    found = []
    for begin, until in pairwise(sorted(edges)):
        prices = {one: next((p for p in periods if _holds(p, begin)), None) for one, periods in its.items()}
        found.append(_Span(start=begin, end=until, is_open=until == end, prices=prices))
    return found


def _holds(period: history.PricePeriod, at: datetime) -> bool:
    return period.valid_from <= at and (period.valid_to is None or at < period.valid_to)


def _row(span: _Span, before: _Span | None, year: int) -> dict[str, Any]:
    listed = any(span.prices.values())
    start = max((p.valid_from for p in span.prices.values() if p is not None), default=span.start)
    start = min(start, span.start)
    return {
        "listed": listed,
        "cells": [_cell(period, before.prices[one] if before else None) for one, period in span.prices.items()],
        "start": words.stamp(start, year=year),
        "end": None if span.is_open else words.stamp(span.end, year=year),
        "lasted": words.lasted(span.end - start),
    }


def _cell(period: history.PricePeriod | None, before: history.PricePeriod | None) -> tuple[Markup, Markup] | None:
    """A price, and how far it had moved to get there."""
    if period is None:
        return None
    moved = before is not None and before.unit == period.unit and before is not period
    return words.amount(period.price), words.percent(before.price, period.price) if moved and before else Markup("")


def _hit(span: _Span, before: _Span | None, unit: str) -> Hit:
    """What is said of the time under the pointer."""
    until = "now" if span.is_open else words.when(span.end)
    times = f"from {words.when(span.start)} to {until}"
    if not any(span.prices.values()):
        return Hit(start=span.start, end=span.end, text=f"Not listed {times}.")
    several = len(span.prices) > 1
    prices = ", ".join(
        f"{f'{words.label(one)} ' if several else ''}{words.plain(period.price)}"
        for one, period in span.prices.items()
        if period is not None
    )
    moves = [] if several or before is None else [words.text_of(_moved(span, before))]
    known = f"{prices} {unit}".strip()
    text = ", ".join([f"{known} {times}", *filter(None, moves)]) + "." + _began(span)
    return Hit(start=span.start, end=span.end, text=text)


def _moved(span: _Span, before: _Span) -> Markup:
    (one, period), *_ = span.prices.items()
    earlier = before.prices[one]
    return words.percent(earlier.price, period.price) if earlier is not None and period is not None else Markup("")


def _began(span: _Span) -> str:
    windows = [
        period.changed_after
        for period in span.prices.values()
        if period is not None and period.valid_from == span.start and period.changed_after is not None
    ]
    wide = [after for after in windows if span.start - after > timedelta(hours=3)]
    return f" It began at some moment since {words.when(min(wide))}." if wide else ""
