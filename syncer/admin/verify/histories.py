"""Histories: each change against the one before it, its prices beside it, the last one against its model's row."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.admin.verify.rules import Verdict, stream
from syncer.core import prices as money
from syncer.core.model import TRACKED, Kind, component_of, price_field
from syncer.db.state import typed
from syncer.db.tables import changes, models, prices

_RAW_PRICE = sa.Numeric().with_variant(sa.REAL(), "sqlite")  # as it is stored: `Price` would round it right
_STATE = ("name", *TRACKED)
_state = attrgetter(*_STATE)
_MOVING = {Kind.REPRICED, Kind.UPDATED, Kind.REREAD}
_EVERY_COMPONENT = {Kind.ADDED, Kind.REMOVED, Kind.RELISTED}


def histories(connection: Connection) -> Iterator[Verdict]:
    """What is wrong with the models' histories, each read in feed order beside its prices and its model's row."""
    kept = ("model_id", "id", "kind", "observed_at", "effective_at", "changed_after", "changed", "prices", "raw")
    past = sa.select(*(changes.c[name] for name in (*kept, *_STATE)), *_raw(changes, "old_price", "price")).order_by(
        changes.c.model_id, changes.c.id
    )
    moves = sa.select(
        *(prices.c[name] for name in ("model_id", "change_id", "component", "kind", "effective_at", "changed_after")),
        *_raw(prices, "old_price", "price"),
    ).order_by(prices.c.model_id)
    marks = ("id", "first_seen_at", "last_changed_at", "removed_at", "missing_since", "missing_count", "prices")
    present = sa.select(*(models.c[name] for name in (*marks, *_STATE)), *_raw(models, "price")).order_by(models.c.id)
    merged = heapq.merge(
        ((row.id, 0, row) for row in stream(connection, present)),
        ((row.model_id, 1, row) for row in stream(connection, moves)),
        ((row.model_id, 2, row) for row in stream(connection, past)),
        key=lambda entry: entry[:2],
    )
    for _, entries in groupby(merged, key=lambda entry: entry[0]):
        yield from _history((what, row) for _, what, row in entries)


def _raw(table: sa.Table, *names: str) -> list[sa.Label[Any]]:
    return [sa.type_coerce(table.c[name], _RAW_PRICE).label(name) for name in names]


def _history(rows: Iterable[tuple[int, Any]]) -> Iterator[Verdict]:
    """One model: its row (unless that is missing, which is named elsewhere), its prices, its changes in feed order."""
    model = first = before = None
    moves: dict[int, dict[str, Any]] = {}
    for what, row in rows:
        if what == 0:
            model = row
        elif what == 1:
            moves.setdefault(row.change_id, {})[row.component] = row
        else:
            first = first or row
            yield from _told("changes", str(row.id), _wrong_change(row, before))
            yield from _wrong_moves(row, before, moves.pop(row.id, {}))
            before = row
    for change_id, strays in moves.items():
        for component, stray in strays.items():
            wrong = f"change {change_id} is not one of its model"
            yield from _told("prices", f"{stray.model_id}/{component}/{stray.effective_at}", [("law 2", wrong)])
    if model is not None:
        yield from _told("models", str(model.id), _wrong_model(model, first, before))


def _told(table: str, row: str, wrong: Iterable[tuple[str, str]]) -> Iterator[Verdict]:
    for law, what in wrong:
        yield Verdict(law=law, table=table, row=row, what=what)


# -- changes -----------------------------------------------------------------------------------------------------------


def _wrong_change(change: Any, before: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - rows
    """What is wrong with a change, `before` being the one before it of the same model (None: it is the first)."""
    if change.kind not in _may_follow(before):
        yield "law 2", f"{change.kind} cannot follow {before.kind if before else 'nothing'}"
    if not all(map(_is_canonical, (change.price, change.old_price, *change.prices.values()))):
        yield "law 4", "price, old_price or prices has a price that is not canonical"
    if before is not None and change.effective_at <= before.effective_at:
        yield "law 6", f"effective_at is not after that of change {before.id}"
    if before is not None:
        yield from _wrong_difference(change, before)
    elif change.changed:
        yield "law 2", f"changed names {_names(change.changed)}, but nothing was before"


def _may_follow(before: Any) -> set[Kind]:  # noqa: ANN401 - a row
    if before is None:
        return {Kind.ADDED}
    return {Kind.RELISTED} if before.kind == Kind.REMOVED else {Kind.REMOVED, *_MOVING}


def _wrong_difference(change: Any, before: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - rows
    """`changed` against what moved. What came with it by a new reading of old bytes is in the state alone."""
    moved = _difference(before, change)
    said = {field: (typed(field, pair[0]), typed(field, pair[1])) for field, pair in change.changed.items()}
    if change.kind == Kind.REMOVED and moved:
        yield "law 2", f"a removal keeps the last known state, but {_names(moved)} moved"
    if change.kind == Kind.REMOVED and said:
        yield "law 2", f"a removal changes nothing, but changed names {_names(said)}"
    wrong = [field for field, (_, new) in said.items() if new != _value(change, field)]
    if wrong:
        yield "law 2", f"changed says another value of {_names(wrong)} than the state after it"
    if change.raw is None and change.kind != Kind.REMOVED and said != moved:  # no element, so nothing was read anew
        yield "law 2", f"changed names {_names(said)}, but {_names(moved)} moved, or by other values"
    if _exact(change.old_price) != _exact(before.price) and said == moved:  # a new reading may have moved it first
        yield "law 2", f"old_price is {change.old_price}, but the price before was {before.price}"
    if change.kind in _MOVING and not said:
        yield "law 2", f"is {change.kind}, but nothing moved"
    priced = any(component_of(field) is not None for field in said)
    if change.kind in {Kind.REPRICED, Kind.UPDATED} and (change.kind == Kind.REPRICED) != priced:
        yield "law 2", f"is {change.kind}, but {'a' if priced else 'no'} price moved"


def _difference(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:  # noqa: ANN401 - rows
    """The fields and prices of the state that moved."""
    fields: list[str] = []
    if _state(before) != _state(after):
        fields += _STATE
    if before.prices != after.prices:
        fields += map(price_field, {*before.prices, *after.prices})
    pairs = {field: (_value(before, field), _value(after, field)) for field in fields}
    return {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}


def _value(row: Any, field: str) -> Any:  # noqa: ANN401 - a row, and a column's value
    component = component_of(field)
    return getattr(row, field, None) if component is None else row.prices.get(component)


# -- prices ------------------------------------------------------------------------------------------------------------


def _wrong_moves(change: Any, before: Any, moves: Mapping[str, Any]) -> Iterator[Verdict]:  # noqa: ANN401 - rows
    """What is wrong with the rows of `prices` that a change wrote: folding them must give `changes.prices`."""
    was: Mapping[str, Any] = before.prices if before is not None else {}
    now = change.prices
    moved = {component for component in {*was, *now} if was.get(component) != now.get(component)}
    expected = set(now) if change.kind in _EVERY_COMPONENT else moved
    if was.keys() - now.keys():
        lost = _names(sorted(was.keys() - now.keys()))
        yield Verdict(law="law 2", table="changes", row=str(change.id), what=f"prices has lost {lost}")
    if moves.keys() != expected:
        odd = _names(sorted(moves.keys() ^ expected))
        yield Verdict(law="law 2", table="changes", row=str(change.id), what=f"prices has too many or few rows: {odd}")
    for component, move in moves.items():
        row = f"{move.model_id}/{component}/{move.effective_at}"
        yield from _told("prices", row, _wrong_move(move, change, was.get(component)))


def _wrong_move(move: Any, change: Any, was: Decimal | None) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - rows
    if (move.effective_at, move.changed_after) != (change.effective_at, change.changed_after):
        yield "law 6", f"its times are not those of change {change.id}"
    if move.kind not in {change.kind, Kind.REREAD}:
        yield "law 2", f"is {move.kind}, but change {change.id} is {change.kind}"
    if _exact(move.price) != change.prices.get(move.component):
        yield "law 2", f"price is {move.price}, but change {change.id} says {change.prices.get(move.component)}"
    said = change.changed.get(price_field(move.component))
    if _exact(move.old_price) != was and (said is None or _exact(move.old_price) != said[0]):
        yield "law 2", f"old_price is {move.old_price}, but the price before was {was}"


# -- models ------------------------------------------------------------------------------------------------------------


def _wrong_model(model: Any, first: Any, last: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - rows
    """What is wrong with a model's row, given its first and last change (None: it has none)."""
    if not all(map(_is_canonical, (model.price, *model.prices.values()))):
        yield "law 4", "price or prices has a price that is not canonical"
    if model.missing_count and model.missing_since is None:
        yield "law 3", "observations have missed it, but missing_since is not set"
    if last is None:
        yield "law 2", "has no history"
        return
    moved = _difference(last, model)
    if _exact(last.price) != _exact(model.price):
        moved |= {"price": (last.price, model.price)}
    if moved or last.prices.keys() != model.prices.keys():
        yield "law 2", f"{_names(moved or ['prices'])} is not what its history adds up to"
    if model.removed_at != (last.effective_at if last.kind == Kind.REMOVED else None):
        yield "law 2", f"removed_at does not agree with its last change, {last.kind} ({last.id})"
    if model.last_changed_at != last.effective_at:
        yield "law 6", f"last_changed_at is not effective_at of its last change ({last.id})"
    if model.first_seen_at != first.observed_at:
        yield "law 5", f"first_seen_at is not observed_at of its first change ({first.id})"


def _exact(value: Any) -> Any:  # noqa: ANN401 - a column's value
    """A price as it is stored; `repr` of a double is the very digits. All else is exact already."""
    return Decimal(repr(value)) if isinstance(value, float) else value


@lru_cache(maxsize=8192)  # each price is asked about five times in a row: in two changes and its moves
def _is_canonical(price: float | Decimal | None) -> bool:
    try:
        return price is None or money.canonical(_exact(price)) == _exact(price)
    except ValueError:
        return False


def _names(fields: Iterable[str]) -> str:
    return ", ".join(map(str, fields)) or "nothing"
