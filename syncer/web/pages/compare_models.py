"""Up to six prices of one unit on one scale."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from syncer import history
from syncer.errors import AmbiguousModel
from syncer.history.resolve import Unit, find_model
from syncer.web import words
from syncer.web.charts import Line, price_chart
from syncer.web.pages.model import RANGES, SCALES, Past, look_up, steps_of
from syncer.web.pages.page import Page, Twin
from syncer.web.query import encoded
from syncer.web.site import Visit

MOST = 6
_LETTERS = "ABCDEF"


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One model's price, over time."""

    letter: str
    past: Past
    component: str
    now: Decimal | None
    lowest: Decimal | None
    highest: Decimal | None
    moves: int
    currency: str | None
    unit: Unit | None


def compare_models(visit: Visit) -> Page:
    """`/compare/models?m=&m=&component=&source=&range=&scale=`"""
    query = visit.query
    chosen, scale = query.one_of("range", RANGES, "all"), query.one_of("scale", SCALES, "linear")
    component = query.text("component")
    found, left_out = _series(visit, query.all("m"), component)
    context: dict[str, Any] = {
        "names": query.all("m"),
        "component": component or "",
        "series": found,
        "left_out": left_out,
        "ranges": {text: f"/compare/models{query.with_(range=text)}" for text in RANGES},
        "scales": {text: (label, f"/compare/models{query.with_(scale=text)}") for text, label in SCALES.items()},
        "chosen": chosen,
        "scale": scale,
        "chart": None,
        "unit": "",
    }
    if found:
        context["unit"] = words.money(found[0].currency, found[0].unit)
        context["chart"] = _chart(visit, found, RANGES[chosen], log=scale == "log")
    return Page(
        template="compare_models.html",
        title="Compare models",
        section="compare",
        context=context,
        twins=[Twin(f"JSON of {one.letter}", f"/api/v1/prices.json{_asked(one)}") for one in found],
    )


def _asked(one: Series) -> str:
    return encoded([("source", one.past.source), ("model", one.past.name)])


def _series(visit: Visit, names: list[str], component: str | None) -> tuple[list[Series], list[str]]:
    """Those that share a scale with the first, and in words why others do not."""
    found: list[Series] = []
    left_out: list[str] = []
    for source, name in _places(visit, names):
        past = look_up(visit, source, name)
        wanted = component or past.headline
        its = [period for period in past.periods if period.component == wanted]
        if not its:
            left_out.append(f"{name} of {source} never had a price {wanted!r}")
        elif found and (its[-1].currency, its[-1].unit) != (found[0].currency, found[0].unit):
            unit = words.money(its[-1].currency, its[-1].unit) or "no known unit"
            left_out.append(f"{name} of {source} is priced in {unit}, which shares no scale with the first")
        elif len(found) == MOST:
            left_out.append(f"{name} of {source}: a chart holds {MOST}")
        else:
            found.append(_one(past, wanted, its, _LETTERS[len(found)]))
    return found, left_out


def _places(visit: Visit, names: list[str]) -> list[tuple[str, str]]:
    """Each model that is meant: a name that several sources have means all of them."""
    source = visit.query.text("source")
    places: list[tuple[str, str]] = []
    for name in names[:MOST]:
        try:
            model = find_model(visit.connection, name, source=source)
            places.append((model.source, model.name))
        except AmbiguousModel as several:
            places += several.candidates
    return list(dict.fromkeys(places))


def _one(past: Past, component: str, its: list[history.PricePeriod], letter: str) -> Series:
    known = [period.price for period in its if period.price is not None and period.price >= 0]
    return Series(
        letter=letter,
        past=past,
        component=component,
        now=next((quote.price for quote in past.quotes if quote.component == component and quote.listed), None),
        lowest=min(known, default=None),
        highest=max(known, default=None),
        moves=sum(period.kind == "repriced" for period in its),
        currency=its[-1].currency,
        unit=its[-1].unit,
    )


def _chart(visit: Visit, found: list[Series], length: timedelta | None, *, log: bool) -> Any:  # noqa: ANN401 - Markup
    end = visit.now
    first = min(one.past.availability.intervals[0].listed_from for one in found)
    start = min(first if length is None else max(first, end - length), end - timedelta(hours=1))
    lines = [
        Line(
            letter=one.letter,
            steps=steps_of(one.past, [p for p in one.past.periods if p.component == one.component], end),
            open=one.past.row is not None,
        )
        for one in found
    ]
    title = f"Prices of {', '.join(one.past.name for one in found)}"
    return price_chart(lines, [], [], start=start, end=end, title=title, log=log)
