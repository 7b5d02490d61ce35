"""What moved most: net price moves between two moments, found and ranked in SQL, component by component.

- Net: a price that went up and came back did not move. A model counts if it was listed at both moments.
- What came by another reading of old bytes is no move, and the prices of two readings are not compared; nor are those
  of a component `price` whose model's type, and so perhaps its unit, changed in between.
- A move from unknown, 0 or a negative price has no percent and is in no ranking: `unranked` has those.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from syncer.core import prices
from syncer.core.model import Kind
from syncer.db.tables import changes, models, sources
from syncer.db.tables import prices as moves
from syncer.db.types import Price, UtcDateTime
from syncer.history import exact
from syncer.history.resolve import BY_TYPE, Source, Unit, all_sources, dialect_of, require_aware, source_id

if TYPE_CHECKING:
    from syncer.history.resolve import Asked

_ZERO = Decimal(0)


class Mover(msgspec.Struct, frozen=True, kw_only=True):
    """A net move of one price of a model listed at both moments; None is unknown.

    `percent` has 12 significant digits, `absolute` is exact; each is None where there is none.
    """

    source: str
    model: str
    model_id: int
    component: str
    old: Decimal | None
    new: Decimal | None
    absolute: Decimal | None
    percent: Decimal | None
    currency: str | None
    unit: Unit | None


def movers(
    connection: "Asked",
    *,
    since: datetime,
    until: datetime,
    source: str | None = None,
    components: Collection[str] | None = None,
    headline_only: bool = False,
    limit: int | None = 10,
) -> list[Mover]:
    """The largest net price moves between `since` and `until`, by size in percent; `limit` None gives all.

    `components` are those to look at, all if not given; `headline_only` looks at the one that stands for each model.
    Raises ValueError if a time is naive or `since` is later than `until`, UnknownSource.
    """
    return _moves(connection, since, until, source, components, headline_only=headline_only, limit=limit, ranked=True)


def unranked(
    connection: "Asked",
    *,
    since: datetime,
    until: datetime,
    source: str | None = None,
    components: Collection[str] | None = None,
    headline_only: bool = False,
) -> list[Mover]:
    """The net moves that `movers` leaves out, by source and name: from free to paid, from or to unknown."""
    return _moves(connection, since, until, source, components, headline_only=headline_only, limit=None, ranked=False)


def _moves(
    connection: "Asked",
    since: datetime,
    until: datetime,
    source: str | None,
    components: Collection[str] | None,
    *,
    headline_only: bool,
    limit: int | None,
    ranked: bool,
) -> list[Mover]:
    require_aware(since=since, until=until)
    if since > until:
        raise ValueError(f"time goes forward: {since.isoformat()} is later than {until.isoformat()}")
    values: dict[str, Any] = {"since": since, "until": until, "limit": limit}
    if source is not None:
        values["source_id"] = source_id(connection, source)
    if components is not None:
        values["components"] = sorted(components)
    given = frozenset(name for name, value in values.items() if value is not None)
    query = _query(dialect_of(connection), given, headline_only=headline_only, ranked=ranked)
    rows = connection.execute(query, {name: values[name] for name in given}).all()
    known = all_sources(connection)
    found = [_mover(row, known[row.source_id]) for row in rows]
    found.sort(key=lambda mover: (-abs(mover.percent or _ZERO), mover.source, mover.model, mover.component))
    return found


def _mover(row: Any, source: Source) -> Mover:  # noqa: ANN401 - a row of _query
    known = row.old is not None and row.new is not None
    return Mover(
        source=source.name,
        model=row.name,
        model_id=row.id,
        component=row.component,
        old=row.old,
        new=row.new,
        absolute=exact.difference(row.old, row.new) if known else None,
        percent=prices.percent(row.old, row.new),
        currency=source.currency,
        unit=source.unit(row.component, row.type),
    )


# -- the question ------------------------------------------------------------------------------------------------------


@cache
def _query(dialect: str, given: frozenset[str], *, headline_only: bool, ranked: bool) -> sa.Select[Any]:
    """Some seeks for each price of a model that changed since: built once for each set of arguments.

    Each step is materialized, so that no planner turns the seeks of the step before into a walk through the history.
    """
    moved = _moved(_candidates(dialect, given, headline_only=headline_only, ranked=ranked), ranked=ranked)
    compared = sa.tuple_(moved.c.id, moved.c.component).not_in(sa.select(_read_anew()))
    query = sa.select(moved).where(compared, _in_one_unit(moved))
    percent = sa.and_(moved.c.old > 0, moved.c.new.is_not(None))
    if not ranked:
        return query.where(sa.not_(sa.func.coalesce(percent, sa.false())))
    share = sa.cast(moved.c.new, sa.Double) / sa.cast(moved.c.old, sa.Double) - 1
    rank = sa.func.round(sa.func.abs(share) * _NINE_DIGITS)  # equal percents must not differ by the last bit
    query = query.where(percent).order_by(rank.desc(), moved.c.name, moved.c.component)
    return query.limit(sa.bindparam("limit")) if "limit" in given else query


_NINE_DIGITS = sa.literal(1e9, sa.Double)
_Time = sa.BindParameter[datetime]
_SINCE, _UNTIL = sa.bindparam("since", type_=UtcDateTime), sa.bindparam("until", type_=UtcDateTime)


def _candidates(dialect: str, given: frozenset[str], *, headline_only: bool, ranked: bool) -> sa.CTE:
    """The prices of models that changed since: the one of then, and the one of now.

    To be ranked, one that was not listed then is as good as unknown, which saves a seek for its kind.
    `is_now`: the model has not changed since `until`, so that its row says how it was then, without a seek.
    """
    tables, key, price = _headlines() if headline_only else _each_price(dialect)
    is_now = models.c.last_changed_at <= _UNTIL
    query = (
        sa.select(
            models.c.id,
            models.c.source_id,
            models.c.name,
            models.c.type,
            key.label("component"),
            _last_move(models.c.id, key, moves.c.price, _SINCE, if_listed=ranked).label("old"),
            is_now.label("is_now"),
            price.label("price"),
        )
        .select_from(tables)
        .where(models.c.last_changed_at > _SINCE, sa.or_(models.c.removed_at.is_(None), sa.not_(is_now)))
    )
    if "source_id" in given:
        query = query.where(models.c.source_id == sa.bindparam("source_id"))
    if "components" in given:
        query = query.where(key.in_(sa.bindparam("components", expanding=True)))
    return query.cte("candidates").prefix_with("MATERIALIZED")


def _headlines() -> tuple[sa.FromClause, Any, Any]:
    """The one price that stands for each model."""
    return models.join(sources, sources.c.id == models.c.source_id), sources.c.headline, models.c.price


def _each_price(dialect: str) -> tuple[sa.FromClause, Any, Any]:
    """The components of each model, one a row."""
    if dialect == "postgresql":
        each: Any = sa.func.jsonb_each_text(models.c.prices).table_valued("key", "value", name="k").lateral("k")
    else:
        each = sa.func.json_each(models.c.prices).table_valued("key", "value", name="k")
    return models.join(each, sa.true()), each.c.key, sa.cast(each.c.value, Price())


def _moved(candidates: sa.CTE, *, ranked: bool) -> sa.CTE:
    """Those that moved in between and were listed at the end too, with both prices."""

    def at(column: sa.ColumnElement[Any], moment: _Time) -> "sa.ScalarSelect[Any]":
        return _last_move(candidates.c.id, candidates.c.component, column, moment)

    new = sa.case((candidates.c.is_now, candidates.c.price), else_=at(moves.c.price, _UNTIL))
    columns = [candidates.c[name] for name in ("id", "source_id", "name", "component", "type", "old")]
    return (
        sa.select(*columns, new.label("new"))
        .where(
            candidates.c.old.is_distinct_from(new),
            sa.true() if ranked else at(moves.c.kind, _SINCE) != Kind.REMOVED.value,
            sa.or_(candidates.c.is_now, at(moves.c.kind, _UNTIL) != Kind.REMOVED.value),
        )
        .cte("moved")
        .prefix_with("MATERIALIZED")
    )


def _last_move(
    model: sa.ColumnElement[int],
    component: sa.ColumnElement[str],
    column: sa.ColumnElement[Any],
    at: _Time,
    *,
    if_listed: bool = False,
) -> "sa.ScalarSelect[Any]":
    """A column of the price's last move by `at`, `if_listed` NULL where that was a removal: one seek."""
    move = moves.alias()
    value = sa.case((move.c.kind != Kind.REMOVED.value, move.c[column.name])) if if_listed else move.c[column.name]
    query = sa.select(value).where(move.c.model_id == model, move.c.component == component, move.c.effective_at <= at)
    return query.order_by(move.c.effective_at.desc()).limit(1).correlate_except(move).scalar_subquery()


def _read_anew() -> sa.CTE:
    """The prices that were read another way in between: few, if any, and in an index of their own."""
    is_reread = moves.c.kind == sa.literal_column(f"'{Kind.REREAD.value}'")  # spelled out, or that index is no help
    query = sa.select(moves.c.model_id, moves.c.component).where(
        is_reread, moves.c.effective_at > _SINCE, moves.c.effective_at <= _UNTIL
    )
    return query.cte("rereads").prefix_with("MATERIALIZED")


def _type_at(moved: sa.CTE, at: _Time) -> "sa.ScalarSelect[Any]":
    then = changes.alias()
    query = sa.select(then.c.type).where(then.c.model_id == moved.c.id, then.c.effective_at <= at)
    return query.order_by(then.c.effective_at.desc()).limit(1).correlate(moved).scalar_subquery()


def _in_one_unit(moved: sa.CTE) -> sa.ColumnElement[bool]:
    by_type = sa.or_(moved.c.component == BY_TYPE, moved.c.component.startswith(f"{BY_TYPE}@"))
    same = _type_at(moved, _SINCE).is_not_distinct_from(_type_at(moved, _UNTIL))
    return sa.or_(sa.not_(by_type), same)
