"""What was offered: the catalog now, the catalog then, and what differs between two moments."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from syncer.core import diff as core_diff
from syncer.core import prices
from syncer.core.model import TRACKED, Kind, Listing
from syncer.db.tables import changes, models
from syncer.db.types import JSON, Price, UtcDateTime
from syncer.history import exact
from syncer.history.resolve import STATE_ID, Source, Unit, all_sources, read_units, require_aware, source_id, stream

if TYPE_CHECKING:
    from syncer.history.resolve import Asked


class CatalogRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the current catalog: the columns of the view `catalog`, and `unit`.

    `price` (None = unknown) is in `currency` for `unit`, both as configured, None where nobody did; `price_units` is
    that configuration, model type -> (quantity, word). `missing_since` is set while looks miss a model that is not
    yet believed removed, after `missing_looks` of them; `held` while an open finding withholds news of it.
    """

    source: str
    model: str
    source_id: int
    model_id: int
    alias: str | None
    type: str | None
    context_length: int | None
    max_completion_tokens: int | None
    description: str | None
    price: Decimal | None
    currency: str | None
    price_units: dict[str, Unit]
    huggingface_url: str | None
    extra: dict[str, Any]
    first_seen_at: datetime
    last_seen_at: datetime | None
    last_changed_at: datetime
    missing_since: datetime | None
    missing_looks: int
    held: bool
    unit: Unit | None


_TYPES: dict[str, Any] = {
    "price": Price(),
    "price_units": JSON,
    "extra": JSON,
    "held": sa.Boolean(),
    **dict.fromkeys(("first_seen_at", "last_seen_at", "last_changed_at", "missing_since"), UtcDateTime()),
}
_VIEW_COLUMNS = [name for name in CatalogRow.__struct_fields__ if name != "unit"]
_view = sa.table("catalog", *(sa.column(name, _TYPES.get(name)) for name in _VIEW_COLUMNS))
_CATALOG = sa.select(_view).order_by(_view.c.source, _view.c.model)
_CATALOG_OF_ONE = _CATALOG.where(_view.c.source_id == sa.bindparam("source_id"))


def catalog(connection: "Asked", *, source: str | None = None) -> Iterator[CatalogRow]:
    """The current catalog of `source`, or of all sources, by source and name; it streams. Raises UnknownSource."""
    if source is None:
        return _read_catalog(connection, _CATALOG, {})
    return _read_catalog(connection, _CATALOG_OF_ONE, {"source_id": source_id(connection, source)})


def _read_catalog(connection: "Asked", query: sa.Select[Any], values: dict[str, Any]) -> Iterator[CatalogRow]:
    with stream(connection, query, values) as rows:
        for row in rows:
            columns = dict(row._mapping)  # noqa: SLF001 - the public name of a row's mapping
            units = read_units(columns.pop("price_units"))
            yield CatalogRow(price_units=units, unit=units.get(row.type or ""), **columns)


# -- then --------------------------------------------------------------------------------------------------------------


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model as a source offered it at some moment: every tracked field, and what its price is in and for.

    `price` None is unknown; `currency` and `unit` are as configured now for the type of then, None where nobody did.
    """

    source: str
    model: str
    source_id: int
    model_id: int
    alias: str | None
    type: str | None
    context_length: int | None
    max_completion_tokens: int | None
    description: str | None
    price: Decimal | None
    currency: str | None
    unit: Unit | None
    huggingface_url: str | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one model between two moments, net.

    `before` and `after` are None where it was not listed. `changed` maps each field that differs to (old, new) as
    `changes` does: empty for `added` and `removed`, against the last known state for `relisted` (it was listed at some
    time before the first moment, but not at it).
    """

    source: str
    model: str
    model_id: int
    kind: Kind
    before: ListedModel | None
    after: ListedModel | None
    changed: Mapping[str, tuple[Any, Any]]


class Mover(msgspec.Struct, frozen=True, kw_only=True):
    """A net price move of a model listed at both ends. `percent` has 12 significant digits, the rest is exact."""

    source: str
    model: str
    model_id: int
    old: Decimal
    new: Decimal
    absolute: Decimal
    percent: Decimal
    currency: str | None
    unit: Unit | None


class _State(msgspec.Struct, frozen=True):
    """The last known state of a model at some moment, and whether it was listed then."""

    listed: bool
    model: ListedModel


_STATES = (
    sa.select(
        changes.c.source_id, changes.c.model_id, changes.c.kind, changes.c.name, *(changes.c[name] for name in TRACKED)
    )
    .select_from(models)
    .join(changes, changes.c.id == STATE_ID)
)
_STATES_OF_ONE = _STATES.where(models.c.source_id == sa.bindparam("source_id"))


def catalog_at(connection: "Asked", *, at: datetime, source: str | None = None) -> list[ListedModel]:
    """The whole catalog of `source`, or of all sources, as it was at `at`, by source and name.

    It costs one seek a model, however long the history is. Raises ValueError if `at` is naive, UnknownSource.
    """
    return [state.model for state in _states(connection, at, source).values() if state.listed]


def diff(connection: "Asked", a: datetime, b: datetime, *, source: str | None = None) -> list[Difference]:
    """The net difference between the catalogs at `a` and at `b`, by source and name: A -> B -> A is nothing.

    Putting each `after` in the place of its `before` turns `catalog_at(a)` into `catalog_at(b)`. Raises ValueError if
    one is naive or `a` is later than `b`, UnknownSource.
    """
    require_aware(a=a, b=b)
    if a > b:
        raise ValueError(f"a difference goes forward in time: {a.isoformat()} is later than {b.isoformat()}")
    then, later = _states(connection, a, source), _states(connection, b, source)
    differences = (_difference(then.get(model_id), state) for model_id, state in later.items())
    return [difference for difference in differences if difference is not None]


def movers(
    connection: "Asked", *, since: datetime, until: datetime, source: str | None = None, limit: int | None = 10
) -> list[Mover]:
    """The largest net price moves between `since` and `until`, by size in percent; `limit` None gives all.

    Only models listed at both moments; a move from unknown, 0 or a negative price has no percent and is left out.
    Raises as `diff` does.
    """
    moves = [mover for found in diff(connection, since, until, source=source) if (mover := _mover(found)) is not None]
    moves.sort(key=lambda mover: -abs(mover.percent))
    return moves[:limit]


def _states(connection: "Asked", at: datetime, source: str | None) -> dict[int, _State]:
    """Each model that was ever listed by `at`, in its last known state of then, by source and name."""
    require_aware(at=at)
    values: dict[str, Any] = {"at": at}
    if source is not None:
        values["source_id"] = source_id(connection, source)
    rows = connection.execute(_STATES if source is None else _STATES_OF_ONE, values).all()
    known = all_sources(connection)
    states = [_State(row.kind != Kind.REMOVED, _listed(row, known[row.source_id])) for row in rows]
    states.sort(key=lambda state: (state.model.source, state.model.model))
    return {state.model.model_id: state for state in states}


def _listed(row: Any, source: Source) -> ListedModel:  # noqa: ANN401 - a row of _STATES
    return ListedModel(
        source=source.name,
        model=row.name,
        source_id=source.id,
        model_id=row.model_id,
        currency=source.currency,
        unit=source.unit(row.type),
        **{name: getattr(row, name) for name in TRACKED},
    )


def _difference(then: _State | None, later: _State) -> Difference | None:
    was_listed = then is not None and then.listed
    if not was_listed and not later.listed:
        return None
    moved = {} if then is None or not later.listed else core_diff.difference(_fields(then), _fields(later))
    if was_listed and later.listed and not moved:
        return None
    return Difference(
        source=later.model.source,
        model=later.model.model,
        model_id=later.model.model_id,
        kind=_net_kind(then, later, moved),
        before=then.model if then is not None and then.listed else None,
        after=later.model if later.listed else None,
        changed=moved,
    )


def _net_kind(then: _State | None, later: _State, moved: Mapping[str, Any]) -> Kind:
    if not later.listed:
        return Kind.REMOVED
    if then is None:
        return Kind.ADDED
    if not then.listed:
        return Kind.RELISTED
    return Kind.REPRICED if "price" in moved else Kind.UPDATED


def _fields(state: _State) -> Listing:
    return Listing(name=state.model.model, **{name: getattr(state.model, name) for name in TRACKED})


def _mover(found: Difference) -> Mover | None:
    if found.before is None or found.after is None or found.before.price is None or found.after.price is None:
        return None
    old, new = found.before.price, found.after.price
    percent = prices.percent(old, new)
    if not percent:
        return None
    return Mover(
        source=found.source,
        model=found.model,
        model_id=found.model_id,
        old=old,
        new=new,
        absolute=exact.difference(old, new),
        percent=percent,
        currency=found.after.currency,
        unit=found.after.unit,
    )
