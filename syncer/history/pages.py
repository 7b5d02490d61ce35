"""The questions behind pages: what a screen shows of a catalog, of its restlessness and of a price, in few statements.

- Counts of a time are sums over `runs`: they go by when a change was observed, and leave out the baseline, which is
  no news. A run that wrote a change is never pruned.
- A page of the present catalog is cut by the database; one of the past costs a seek for each model.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import sqlalchemy as sa

from syncer.core.model import Kind
from syncer.db.tables import models, runs, sources
from syncer.db.tables import prices as moves
from syncer.history.catalog import CatalogRow, ListedModel, catalog_at, read_catalog, view
from syncer.history.movers import movers
from syncer.history.resolve import FIRST_OBSERVED_AT, dialect_of, require_aware, require_aware_or_none, source_id

if TYPE_CHECKING:
    from syncer.history.resolve import Asked

Sort = Literal["name", "-name", "price", "-price", "context", "-context", "changed", "-changed", "moved", "-moved"]
MOST_ROWS = 200
"""A page has no more rows than this."""


# -- a page of a catalog -----------------------------------------------------------------------------------------------


class CatalogPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a catalog: `rows` of `total` that match, `page` of `pages` (from 1; at least one, if empty)."""

    rows: Sequence[CatalogRow | ListedModel]
    total: int
    page: int
    pages: int


def catalog_page(
    connection: "Asked",
    *,
    now: datetime,
    q: str = "",
    source: str | None = None,
    model_type: str | None = None,
    at: datetime | None = None,
    sort: Sort = "name",
    page: int = 1,
    size: int = 50,
) -> CatalogPage:
    """A page of the catalog now, or as it was at `at`: the models whose name or alias has each word of `q`.

    `moved` sorts by the headline's net move in percent in the 30 days before `at`, or `now`. Whatever is unknown comes
    last in either direction; equals are by name. Raises ValueError for a naive time or another `sort`, UnknownSource.
    """
    require_aware(now=now)
    require_aware_or_none(at=at)
    if sort.removeprefix("-") not in _SORTED_BY:
        raise ValueError(f"sort must be one of {', '.join(_SORTED_BY)}, with or without a minus, not {sort!r}")
    size = min(max(size, 1), MOST_ROWS)
    moved = _moved(connection, at or now, source) if sort.endswith("moved") else {}
    if at is not None:
        listed = catalog_at(connection, at=at, source=source)
        found = [row for row in listed if _matches(row, q, model_type)]
        return _cut(_sorted(found, sort, moved), page, size)
    condition = _condition(connection, q, source, model_type)
    if sort.endswith("moved"):
        narrow = connection.execute(sa.select(view.c.model_id, view.c.model).where(*condition)).all()
        cut = _cut(_sorted(narrow, sort, moved), page, size)
        ids = [row.model_id for row in cut.rows]
        by_id = {row.model_id: row for row in read_catalog(connection, sa.select(view).where(view.c.model_id.in_(ids)))}
        return msgspec.structs.replace(cut, rows=[by_id[model_id] for model_id in ids])
    total = connection.execute(sa.select(sa.func.count()).select_from(view).where(*condition)).scalar() or 0
    page, pages = _place(total, page, size)
    query = sa.select(view).where(*condition).order_by(*_order(sort)).limit(size).offset((page - 1) * size)
    return CatalogPage(rows=list(read_catalog(connection, query)), total=total, page=page, pages=pages)


_SORTED_BY: Mapping[str, str] = {
    "name": "model",
    "price": "price",
    "context": "context_length",
    "changed": "last_changed_at",
    "moved": "",
}
_A_MONTH = timedelta(days=30)


def _moved(connection: "Asked", at: datetime, source: str | None) -> dict[int, Decimal]:
    found = movers(connection, since=at - _A_MONTH, until=at, source=source, headline_only=True, limit=None)
    return {mover.model_id: mover.percent for mover in found if mover.percent is not None}


def _condition(connection: "Asked", q: str, source: str | None, model_type: str | None) -> list[sa.ColumnElement[bool]]:
    words = [
        sa.or_(view.c.model.icontains(word, autoescape=True), view.c.alias.icontains(word, autoescape=True))
        for word in q.split()
    ]
    if source is not None:
        words.append(view.c.source_id == source_id(connection, source))
    return words if model_type is None else [*words, view.c.type == model_type]


def _order(sort: Sort) -> list[Any]:
    column = view.c[_SORTED_BY[sort.removeprefix("-")]]
    return [column.is_(None), column.desc() if sort.startswith("-") else column, view.c.model, view.c.source]


def _matches(row: ListedModel, q: str, model_type: str | None) -> bool:
    names = f"{row.model}\n{row.alias or ''}".lower()
    return all(word in names for word in q.lower().split()) and model_type in {None, row.type}


def _sorted(rows: Iterable[Any], sort: Sort, moved: Mapping[int, Decimal]) -> list[Any]:
    column = _SORTED_BY[sort.removeprefix("-")]

    def value(row: Any) -> Any:  # noqa: ANN401 - a column's value
        return getattr(row, column, None) if column else moved.get(row.model_id)

    by_name = sorted(rows, key=lambda row: row.model)
    known = [row for row in by_name if value(row) is not None]
    unknown = [row for row in by_name if value(row) is None]
    return sorted(known, key=value, reverse=sort.startswith("-")) + unknown


def _cut(rows: Sequence[Any], page: int, size: int) -> CatalogPage:
    page, pages = _place(len(rows), page, size)
    return CatalogPage(rows=rows[(page - 1) * size : page * size], total=len(rows), page=page, pages=pages)


def _place(total: int, page: int, size: int) -> tuple[int, int]:
    """The page that there is, and how many there are: beyond the last one it is the last one."""
    pages = max(-(-total // size), 1)
    return min(max(page, 1), pages), pages


# -- counts ------------------------------------------------------------------------------------------------------------


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many changes of each kind were observed at one source in `[since, until)`, the baseline apart."""

    source: str
    added: int
    removed: int
    relisted: int
    repriced: int
    updated: int


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One UTC day of a source: how often it was observed, and how many changes were; the baseline apart.

    `observations` counts runs that are still there: before `pruned_before` of the source it says little. A day that
    was never observed is in no list.
    """

    source: str
    day: date
    observations: int
    added: int
    removed: int
    relisted: int
    repriced: int
    updated: int


_COUNTED = (Kind.ADDED, Kind.REMOVED, Kind.RELISTED, Kind.REPRICED, Kind.UPDATED)
_IS_NEWS = runs.c.observed_at > FIRST_OBSERVED_AT
_SUMS = [
    sa.func.coalesce(sa.func.sum(sa.case((_IS_NEWS, runs.c[kind.value]), else_=0)), 0).label(kind.value)
    for kind in _COUNTED
]
_OBSERVED = (
    runs.c.source_id == sources.c.id,
    runs.c.observed_at >= sa.bindparam("since"),
    runs.c.observed_at < sa.bindparam("until"),
)


def counts(connection: "Asked", *, since: datetime, until: datetime, source: str | None = None) -> list[Counts]:
    """The changes of each kind observed in `[since, until)`, by source. Raises ValueError for a naive time."""
    require_aware(since=since, until=until)
    query = sa.select(sources.c.name, *_SUMS).select_from(sources.outerjoin(runs, sa.and_(*_OBSERVED)))
    query = _of(connection, query, source).group_by(sources.c.id, sources.c.name).order_by(sources.c.name)
    rows = connection.execute(query, {"since": since, "until": until})
    return [Counts(source=row.name, **{kind.value: getattr(row, kind.value) for kind in _COUNTED}) for row in rows]


def activity(connection: "Asked", *, since: datetime, until: datetime, source: str | None = None) -> list[Day]:
    """The same for each UTC day that had an observation, by source and day. Raises ValueError for a naive time."""
    require_aware(since=since, until=until)
    day = _day(dialect_of(connection)).label("day")
    query = sa.select(sources.c.name, day, sa.func.count().label("observations"), *_SUMS).join(
        runs, sa.and_(*_OBSERVED)
    )
    query = _of(connection, query, source).group_by(sources.c.id, sources.c.name, day).order_by(sources.c.name, day)
    return [
        Day(
            source=row.name,
            day=date.fromisoformat(row.day),
            observations=row.observations,
            **{kind.value: getattr(row, kind.value) for kind in _COUNTED},
        )
        for row in connection.execute(query, {"since": since, "until": until})
    ]


def _of(connection: "Asked", query: sa.Select[Any], source: str | None) -> sa.Select[Any]:
    return query if source is None else query.where(sources.c.id == source_id(connection, source))


def _day(dialect: str) -> sa.ColumnElement[str]:
    """The UTC day of an observation, as text."""
    if dialect == "postgresql":
        return sa.func.to_char(sa.func.timezone("UTC", runs.c.observed_at), sa.literal_column("'YYYY-MM-DD'"))
    return sa.func.substr(runs.c.observed_at, 1, 10, type_=sa.Text())


# -- sparklines --------------------------------------------------------------------------------------------------------

Step = tuple[datetime, Decimal | None]
"""From this moment on, this price; None where it is unknown, or the model not listed."""

_before = moves.alias("before")
_FIRST_STEP = (
    sa.select(_before.c.effective_at)
    .where(
        _before.c.model_id == models.c.id,
        _before.c.component == sources.c.headline,
        _before.c.effective_at <= sa.bindparam("since"),
    )
    .order_by(_before.c.effective_at.desc())
    .limit(1)
    .correlate(models, sources)
    .scalar_subquery()
)
_STEPS = (
    sa.select(moves.c.model_id, moves.c.effective_at, moves.c.kind, moves.c.price)
    .select_from(models.join(sources, sources.c.id == models.c.source_id))
    .join(moves, sa.and_(moves.c.model_id == models.c.id, moves.c.component == sources.c.headline))
    .where(
        models.c.id.in_(sa.bindparam("ids", expanding=True)),
        moves.c.effective_at >= sa.func.coalesce(_FIRST_STEP, sa.bindparam("since")),
        moves.c.effective_at < sa.bindparam("until"),
    )
    .order_by(moves.c.model_id, moves.c.effective_at)
)


def sparks(
    connection: "Asked", model_ids: Collection[int], *, since: datetime, until: datetime
) -> dict[int, list[Step]]:
    """The steps of each model's headline price in `[since, until)`, by its id; the first may lie before `since`.

    One statement for all of them. Raises ValueError for a naive time.
    """
    require_aware(since=since, until=until)
    rows = connection.execute(_STEPS, {"ids": list(model_ids), "since": since, "until": until})
    steps = {
        model_id: [(row.effective_at, None if row.kind == Kind.REMOVED else row.price) for row in its]
        for model_id, its in groupby(rows, key=lambda row: row.model_id)
    }
    return {model_id: steps.get(model_id, []) for model_id in model_ids}
