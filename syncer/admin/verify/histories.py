"""Histories: each change against the one before it, the last against its model's row."""

import heapq
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.admin.verify.rules import Verdict, stream
from syncer.core import prices
from syncer.core.model import TRACKED, Kind
from syncer.db.tables import changes, models

_RAW_PRICE = sa.Numeric().with_variant(sa.REAL(), "sqlite")  # as it is stored: `Price` would round it right
_STATE = ("name", *TRACKED)


def histories(connection: Connection) -> Iterator[Verdict]:
    """What is wrong with the models' histories, each read in feed order beside its model's row."""
    past = sa.select(
        *(changes.c[name] for name in ("model_id", "id", "kind", "observed_at", "effective_at", "changed_after")),
        *(changes.c[name] for name in ("reverts_id", "changed", *_STATE) if name != "price"),
        *(sa.type_coerce(changes.c[name], _RAW_PRICE).label(name) for name in ("old_price", "price")),
    ).order_by(changes.c.model_id, changes.c.id)
    present = sa.select(
        *(models.c[name] for name in ("id", "first_seen_at", "last_changed_at", "removed_at")),
        *(models.c[name] for name in ("missing_since", "missing_looks", *_STATE) if name != "price"),
        sa.type_coerce(models.c.price, _RAW_PRICE).label("price"),
    ).order_by(models.c.id)
    merged = heapq.merge(
        ((row.id, 0, row) for row in stream(connection, present)),
        ((row.model_id, 1, row) for row in stream(connection, past)),
        key=lambda entry: entry[:2],
    )
    for _, entries in groupby(merged, key=lambda entry: entry[0]):
        yield from _history([], (row for _, _, row in entries))


def _history(known: list[Any], rows: Iterable[Any]) -> Iterator[Verdict]:
    """One model: its row (unless that is missing, which is named elsewhere), then its changes in feed order."""
    before = first = None
    for row in rows:
        if not hasattr(row, "kind"):
            known.append(row)
            continue
        first = first or row
        for law, what in _wrong_change(row, before):
            yield Verdict(law=law, table="changes", row=str(row.id), what=what)
        before = row
    for model in known:
        for law, what in _wrong_model(model, first, before):
            yield Verdict(law=law, table="models", row=str(model.id), what=what)


def _wrong_change(change: Any, before: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - rows
    """What is wrong with a change, `before` being the one before it of the same model (None: it is the first)."""
    if change.kind not in _may_follow(before):
        yield "law 2", f"{change.kind} cannot follow {before.kind if before else 'nothing'}"
    if not (_is_canonical(change.price) and _is_canonical(change.old_price)):
        yield "law 4", "price or old_price is not a canonical price"
    if _exact(change.old_price) != (_exact(before.price) if before else None):
        yield "law 2", f"old_price is {change.old_price}, but the price before was {before.price if before else None}"
    if before is not None:
        yield from _wrong_window(change, before)
    moved = _difference(before, change) if before else {}
    if change.kind == Kind.REMOVED and moved:
        yield "law 2", f"a removal keeps the last known state, but {', '.join(moved)} moved"
    elif change.changed != moved:
        yield "law 2", f"changed names {_names(change.changed)}, but {_names(moved)} moved, or by other values"
    if change.kind in {Kind.REPRICED, Kind.UPDATED} and (change.kind == Kind.REPRICED) != ("price" in moved):
        yield "law 2", f"is {change.kind}, but its price {'moved' if 'price' in moved else 'did not move'}"
    if change.kind == Kind.UPDATED and not moved:
        yield "law 2", "is updated, but nothing moved"


def _may_follow(before: Any) -> set[Kind]:  # noqa: ANN401 - a row
    if before is None:
        return {Kind.ADDED}
    return {Kind.RELISTED} if before.kind == Kind.REMOVED else {Kind.REMOVED, Kind.REPRICED, Kind.UPDATED}


def _wrong_window(change: Any, before: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - rows
    if change.effective_at <= before.effective_at:
        yield "law 6", f"effective_at is not after that of change {before.id}"
    elif change.changed_after is None:
        return
    elif change.changed_after < before.effective_at:
        yield "law 6", f"its window begins before change {before.id} took effect"


def _wrong_model(model: Any, first: Any, last: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - rows
    """What is wrong with a model's row, given its first and last change (None: it has none)."""
    if not _is_canonical(model.price):
        yield "law 4", "price is not a canonical price"
    if model.missing_looks and model.missing_since is None:
        yield "law 3", "looks have missed it, but missing_since is not set"
    if last is None:
        yield "law 2", "has no history"
        return
    moved = _difference(last, model)
    if moved:
        yield "law 2", f"{', '.join(moved)} is not what its history adds up to"
    if model.removed_at != (last.effective_at if last.kind == Kind.REMOVED else None):
        yield "law 2", f"removed_at does not agree with its last change, {last.kind} ({last.id})"
    if model.last_changed_at != last.effective_at:
        yield "law 6", f"last_changed_at is not effective_at of its last change ({last.id})"
    if model.first_seen_at != first.observed_at:
        yield "law 5", f"first_seen_at is not observed_at of its first change ({first.id})"


def _difference(before: Any, after: Any) -> dict[str, list[Any]]:  # noqa: ANN401 - rows
    """The fields of the state that moved, as `changes.changed` spells it."""
    pairs = {field: [_exact(getattr(before, field)), _exact(getattr(after, field))] for field in _STATE}
    return {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}


def _exact(value: Any) -> Any:  # noqa: ANN401 - a column's value
    """A price as it is stored; `repr` of a double is the very digits. All else is exact already."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def _is_canonical(price: float | Decimal | None) -> bool:
    try:
        return price is None or prices.canonical(_exact(price)) == _exact(price)
    except ValueError:
        return False


def _names(fields: Any) -> str:  # noqa: ANN401 - JSON, as somebody wrote it
    return ", ".join(map(str, fields)) if fields else "nothing"
