"""What was offered: the catalog now, the catalog then, and what differs between two moments."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from syncer.core import diff as core_diff
from syncer.core.fields import FIELDS
from syncer.core.model import TRACKED, Kind, Listing, Tracked, component_of
from syncer.db.tables import changes, models
from syncer.db.types import JSON, JSONBinary, Price, UtcDateTime
from syncer.history.resolve import (
    STATE_ID,
    Source,
    Unit,
    all_sources,
    not_observed,
    require_aware,
    source_id,
    stream,
    unit_of,
)

if TYPE_CHECKING:
    from syncer.history.resolve import Asked


class CatalogRow(Tracked, frozen=True, kw_only=True):
    """One model of the current catalog: the view `catalog`.

    `price` is that of the headline `component`; `prices` has every component ever known of the model (None = unknown
    now). All are in `currency`, each for its unit of `units` (component -> (quantity, word)), `unit` being the
    headline's; both as configured, None where nobody did. `missing_since` is set while observations miss a model that
    is not yet believed removed, after `missing_count` of them; `unread` names the fields that cannot be read (the
    prices, as "prices", since `unread_since`); `held` while an open finding withholds news of it.
    """

    source: str
    model: str
    source_id: int
    model_id: int
    component: str
    price: Decimal | None
    prices: dict[str, Decimal | None]
    currency: str | None
    unit: Unit | None
    units: dict[str, Unit | None]
    extra: dict[str, Any]
    first_seen_at: datetime
    last_seen_at: datetime | None
    last_changed_at: datetime
    missing_since: datetime | None
    missing_count: int
    unread: list[str] | None
    unread_since: datetime | None
    held: bool


_TIMES = ("first_seen_at", "last_seen_at", "last_changed_at", "missing_since", "unread_since")
_TYPES: dict[str, Any] = {
    "price": Price(),
    "prices": JSONBinary(),
    "price_units": JSONBinary(),
    "extra": JSON,
    "unread": JSON,
    "held": sa.Boolean(),
    **dict.fromkeys((*_TIMES, *(field.name for field in FIELDS if field.column == "time")), UtcDateTime()),
}
_COMPUTED = ("unit", "units")
_VIEW_COLUMNS = [name for name in CatalogRow.__struct_fields__ if name not in _COMPUTED]
view = sa.table("catalog", *(sa.column(name, _TYPES.get(name)) for name in (*_VIEW_COLUMNS, "price_units")))
_CATALOG = sa.select(view).order_by(view.c.source, view.c.model)
_CATALOG_OF_ONE = _CATALOG.where(view.c.source_id == sa.bindparam("source_id"))


def catalog(connection: "Asked", *, source: str | None = None) -> Iterator[CatalogRow]:
    """The current catalog of `source`, or of all sources, by source and name; it streams. Raises UnknownSource."""
    if source is None:
        return read_catalog(connection, _CATALOG, {})
    return read_catalog(connection, _CATALOG_OF_ONE, {"source_id": source_id(connection, source)})


def read_catalog(
    connection: "Asked", query: sa.Select[Any], values: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[CatalogRow]:
    """The rows of a query of the whole `view`, streaming."""
    with stream(connection, query, values) as rows:
        for row in rows:
            yield _catalog_row(row)


def _catalog_row(row: Any) -> CatalogRow:  # noqa: ANN401 - a row of the view
    columns = dict(row._mapping)  # noqa: SLF001 - the public name of a row's mapping
    price_units = columns.pop("price_units")
    units = {component: unit_of(price_units, component, row.type) for component in row.prices}
    return CatalogRow(units=units, unit=unit_of(price_units, row.component, row.type), **columns)


# -- then --------------------------------------------------------------------------------------------------------------


class ListedModel(Tracked, frozen=True, kw_only=True, gc=False):
    """One model as a source offered it at some moment: every tracked field, and what its prices are in and for.

    `price` is that of the headline `component`; `prices` has every component known by then, None is unknown. `currency`
    and the units are as configured now for the type of then, None where nobody did.
    """

    source: str
    model: str
    source_id: int
    model_id: int
    component: str
    price: Decimal | None
    prices: dict[str, Decimal | None]
    currency: str | None
    unit: Unit | None
    units: dict[str, Unit | None]


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


class _State(msgspec.Struct, frozen=True, gc=False):
    """The last known state of a model at some moment, and whether it was listed then."""

    listed: bool
    model: ListedModel


_STATE_COLUMNS = (*TRACKED, "price", "prices")
_WHOSE = ("source_id", "model_id", "kind", "name")
_STATES = (
    sa.select(
        *(changes.c[name] for name in _WHOSE),
        *(changes.c[name] for name in _STATE_COLUMNS),
    )
    .select_from(models)
    .join(changes, changes.c.id == STATE_ID)
)
_STATES_OF_ONE = _STATES.where(models.c.source_id == sa.bindparam("source_id"))


def catalog_at(connection: "Asked", *, at: datetime, source: str | None = None) -> list[ListedModel]:
    """The whole catalog of `source`, or of all sources, as it was at `at`, by source and name.

    It costs one seek a model, however long the history is. Of a source that was not observed yet nothing is known:
    `not_observed` names those. Raises ValueError if `at` is naive, UnknownSource.
    """
    return [state.model for state in _states(connection, at, source).values() if state.listed]


def diff(connection: "Asked", a: datetime, b: datetime, *, source: str | None = None) -> list[Difference]:
    """The net difference between the catalogs at `a` and at `b`, by source and name: A -> B -> A is nothing.

    Putting each `after` in the place of its `before` turns `catalog_at(a)` into `catalog_at(b)`. A source that was not
    observed yet at `a` is left out, since nothing can be said of it: `not_observed` names those. Raises ValueError if
    one is naive or `a` is later than `b`, UnknownSource.
    """
    require_aware(a=a, b=b)
    if a > b:
        raise ValueError(f"a difference goes forward in time: {a.isoformat()} is later than {b.isoformat()}")
    then, later = _states(connection, a, source), _states(connection, b, source)
    unknown = {left_out.source for left_out in not_observed(connection, at=a, source=source)}
    differences = (
        _difference(then.get(model_id), state) for model_id, state in later.items() if state.model.source not in unknown
    )
    return [difference for difference in differences if difference is not None]


def _states(connection: "Asked", at: datetime, source: str | None) -> dict[int, _State]:
    """Each model that was ever listed by `at`, in its last known state of then, by source and name."""
    require_aware(at=at)
    values: dict[str, Any] = {"at": at}
    if source is not None:
        values["source_id"] = source_id(connection, source)
    rows = connection.execute(_STATES if source is None else _STATES_OF_ONE, values).all()
    known = all_sources(connection)
    states = [
        _State(kind != Kind.REMOVED, _listed(known[its], model_id, name, values))
        for its, model_id, kind, name, *values in rows
    ]
    states.sort(key=lambda state: (state.model.source, state.model.model))
    return {state.model.model_id: state for state in states}


def _listed(source: Source, model_id: int, name: str, values: Sequence[Any]) -> ListedModel:
    state = dict(zip(_STATE_COLUMNS, values, strict=True))
    return ListedModel(
        source=source.name,
        model=name,
        source_id=source.id,
        model_id=model_id,
        component=source.headline,
        currency=source.currency,
        unit=source.unit(source.headline, state["type"]),
        units=source.units_of(state["prices"], state["type"]),
        **state,
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
    is_priced = any(component_of(field) is not None for field in moved)
    return Kind.REPRICED if is_priced else Kind.UPDATED


def _fields(state: _State) -> Listing:
    return Listing(name=state.model.model, **{name: getattr(state.model, name) for name in _STATE_COLUMNS})
