"""The catalog, now or as it was: a page of models with their prices, marks and moves."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast, get_args
from urllib.parse import quote

import msgspec
import sqlalchemy as sa
from markupsafe import Markup

from syncer import history
from syncer.core.prices import percent
from syncer.db.tables import models
from syncer.errors import UnknownSource
from syncer.history.pages import MOST_ROWS, CatalogPage, Sort, Step
from syncer.history.resolve import nearest_names
from syncer.web import charts, words
from syncer.web.pages.page import Page, Twin
from syncer.web.query import BadQuery, encoded
from syncer.web.site import Visit

SORTS = cast("tuple[str, ...]", get_args(Sort))
_SPARK = timedelta(days=90)
_MONTH = timedelta(days=30)
_COLUMNS = 3  # prices that have a column of their own
_TYPES = sa.select(models.c.type).where(models.c.removed_at.is_(None), models.c.type.is_not(None)).distinct()

Row = history.CatalogRow | history.ListedModel


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a catalog is asked for."""

    q: str
    source: str | None
    type: str | None
    at: datetime | None
    sort: Sort
    page: int
    size: int


def asked(visit: Visit) -> Asked:
    """The question of the query. Raises BadQuery."""
    query = visit.query
    return Asked(
        q=query.text("q") or "",
        source=query.text("source"),
        type=query.text("type"),
        at=query.moment("at"),
        sort=cast("Sort", query.one_of("sort", SORTS, "name")),
        page=query.whole("page", 1, least=1, most=10**6),
        size=query.whole("size", 50, least=1, most=MOST_ROWS),
    )


def find(visit: Visit, question: Asked) -> CatalogPage:
    """The page of the catalog that is asked for."""
    return history.catalog_page(
        visit.connection,
        now=visit.now,
        q=question.q,
        source=question.source,
        model_type=question.type,
        at=question.at,
        sort=question.sort,
        page=question.page,
        size=question.size,
    )


def catalog(visit: Visit) -> Page:
    """`/catalog?q=&source=&type=&at=&sort=&page=`"""
    form = {name: visit.query.raw(name) for name in ("q", "source", "type", "at", "sort")}
    shared = {"form": form, "types": sorted(visit.connection.execute(_TYPES).scalars())}
    try:
        question = asked(visit)
        found = find(visit, question)
    except (BadQuery, UnknownSource) as error:
        status = 400 if isinstance(error, BadQuery) else 404
        blank: dict[str, Any] = {"error": str(error), "rows": [], "at": None}
        return Page(template="catalog.html", title="Catalog", section="catalog", context=shared | blank, status=status)
    return Page(
        template="catalog.html",
        title="Catalog",
        section="catalog",
        context={**shared, **context(visit, question, found), "error": None},
        twins=[*_twins(visit), *_mirrored(visit, question)],
        feed=f"?source={question.source}" if question.source else "",
        command="syncer models" + (f" --at {form['at']}" if question.at else ""),
    )


def _twins(visit: Visit) -> list[Twin]:
    return [Twin(form.upper(), f"/api/v1/catalog.{form}{visit.query.with_()}") for form in ("json", "csv")]


def _mirrored(visit: Visit, question: Asked) -> list[Twin]:
    """The same in the provider's own shape, where one source is asked for."""
    if question.source is None or visit.site.source(question.source) is None:
        return []
    at = visit.query.raw("at")
    href = f"/mirror/{quote(question.source, safe='')}{encoded([('at', at)] if at else [])}"
    return [Twin("the provider's own shape", href)]


def context(visit: Visit, question: Asked, found: CatalogPage) -> dict[str, Any]:
    """What the table shows."""
    end = min(question.at or visit.now, visit.now)
    ids = [row.model_id for row in found.rows]
    steps = history.sparks(visit.connection, ids, since=end - _SPARK, until=end + timedelta(microseconds=1))
    first = (found.page - 1) * question.size + 1
    is_empty = not found.rows and bool(question.q)
    return {
        "at": question.at,
        "future": question.at is not None and question.at > visit.now,
        "sort": question.sort,
        "found": found,
        "first": first,
        "last": first + len(found.rows) - 1,
        "columns": columns_of(found.rows),
        "headlines": {row.component for row in found.rows},
        "rows": [
            {
                "row": row,
                "spark": _spark(row, steps[row.model_id], end),
                "moved": _moved(steps[row.model_id], end),
                "moves": len(steps[row.model_id]) > 1,
            }
            for row in found.rows
        ],
        "nearest": nearest_names(visit.connection, question.q, None) if is_empty else (),
        "unobserved": [] if question.at is None else _unobserved(visit, question.at, question.source),
    }


def _unobserved(visit: Visit, at: datetime, source: str | None) -> list[history.NotObserved]:
    return history.not_observed(visit.connection, at=at, source=source)


def columns_of(rows: Sequence[Row]) -> list[str]:
    """The prices that have a column: what most rows state, tiers apart, the usual ones first."""
    count = Counter(one for row in rows for one, price in row.prices.items() if price is not None and "@" not in one)
    count.update({row.component: len(rows) for row in rows})
    common = [one for one, _ in sorted(count.items(), key=lambda item: (-item[1], item[0]))]
    headline = common[0] if common else "price"
    usual = words.ordered(common, headline)
    wanted = [one for one in usual if one in {"price", "input", "output", "cache_read"}]
    return words.ordered([*wanted, *(one for one in common if one not in wanted)][:_COLUMNS], headline)


def _spark(row: Row, steps: Sequence[Step], end: datetime) -> Markup:
    return charts.spark(steps, start=end - _SPARK, end=end, title=f"{words.label(row.component)} in 90 days")


def _moved(steps: Sequence[Step], end: datetime) -> Markup:
    """The net move of the headline in 30 days, if it was listed at both ends."""
    then = _at(steps, end - _MONTH)
    now = steps[-1][1] if steps else None
    if then is None or now is None or then == now:
        return Markup("")
    moved: Decimal | None = percent(then, now)
    return Markup("") if moved is None or now < 0 else words.share(moved)


def _at(steps: Sequence[Step], at: datetime) -> Decimal | None:
    return next((price for moment, price in reversed(steps) if moment <= at), None)
