"""History read anew from its own elements: what each row of `changes` says by the format as it is today.

A component or field that nobody mapped has its past then. The original stays as it was recorded: this makes the rows of
a copy (admin/copy.py), whose feed gets a new id, since other changes have other numbers.

- Each element is read in feed order. What differs from the state before is the change; what differs no more is none.
- A removal keeps the last state; a row without an element (a revert) repeats what it said of the fields that it names.
- An element that cannot be read by the present format keeps what was recorded of it.
"""

import heapq
import secrets
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.core.model import TRACKED, Change, Kind, Listing, component_of, price_field
from syncer.db import bulk
from syncer.db.state import typed
from syncer.db.tables import changes, consumers, feed, models, notices, prices, runs, sources
from syncer.db.writes import price_moves

Reader = Callable[[str, str], Listing]
"""Reads (an element as it was kept, the name of its source's format); raises ValueError where it cannot be read."""


class Reread(msgspec.Struct, frozen=True, kw_only=True):
    """One change as it is read today: the row that it comes from, and what it says."""

    row: Mapping[str, Any]
    change: Change


# -- into a copy -------------------------------------------------------------------------------------------------------

RENUMBERED = (changes, prices, notices, feed)
"""The tables that `copy_history` fills; all others must be in the copy already."""


class _Numbers:
    """The new feed ids: contiguous over the changes that are left and the notices (law 8)."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self._of_change: dict[int, int] = {}
        self._last: dict[int, int] = {}

    def next(self, old: int) -> int:
        """The new id of what had the id `old`; asked in feed order."""
        self.kept.append(old)
        return len(self.kept)

    def give(self, row: Mapping[str, Any]) -> int:
        """The new id of a change."""
        self._of_change[row["id"]] = self._last[row["model_id"]] = self.next(row["id"])
        return self._last[row["model_id"]]

    def drop(self, row: Mapping[str, Any]) -> None:
        """A change that says nothing any more: whoever names it names the one before it of the same model."""
        self._of_change[row["id"]] = self._last[row["model_id"]]

    def of(self, old: int | None) -> int | None:
        """The new id of a change."""
        return None if old is None else self._of_change[old]

    def position(self, old: int) -> int:
        """Where a consumer is in the new feed that was at `old`."""
        return bisect_right(self.kept, old)


def copy_history(source: Connection, target: Connection, read: Reader) -> None:
    """Write the history of `source` into `target`, as `read` reads it today, and bring the rest in line with it."""
    numbers, counts = _Numbers(), Counter[tuple[int, str]]()
    last: dict[int, Change] = {}
    rows: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    moves: list[dict[str, Any]] = []
    both: list[Iterator[tuple[int, Any]]] = [_reread_by_id(source, read, numbers), _notices(source)]
    for old_id, one in heapq.merge(*both, key=lambda entry: entry[0]):
        if isinstance(one, Reread):
            feed_id = numbers.give(one.row)
            last[one.row["model_id"]] = one.change
            counts[one.row["run_id"], one.change.kind.value] += 1
            rows.append(_row(one, feed_id, numbers))
            moves.extend(_moves(one.change, feed_id))
        else:
            told.append(one | {"id": numbers.next(old_id)})
    for table, some in ((changes, rows), (prices, moves), (notices, told)):
        for piece in bulk.pieces(some):
            target.execute(table.insert(), piece)
    target.execute(feed.insert().values(feed_id=secrets.token_hex(16), last_id=len(numbers.kept)))
    _bring_in_line(target, last, counts, numbers)


def _reread_by_id(source: Connection, read: Reader, numbers: _Numbers) -> Iterator[tuple[int, Reread]]:
    query = (
        sa.select(changes, sources.c.format, sources.c.headline)
        .join(sources, sources.c.id == changes.c.source_id)
        .order_by(changes.c.id)
    )
    found = source.execute(query, execution_options={"yield_per": 500}).mappings()
    for one in reread(map(dict, found), read, dropped=numbers.drop):
        yield one.row["id"], one


def _notices(source: Connection) -> Iterator[tuple[int, dict[str, Any]]]:
    for row in source.execute(sa.select(notices).order_by(notices.c.id)).mappings():
        yield row["id"], dict(row)


def _row(one: Reread, feed_id: int, numbers: _Numbers) -> dict[str, Any]:
    listing = one.change.listing
    return {name: value for name, value in one.row.items() if name in changes.c} | {
        "id": feed_id,
        "kind": one.change.kind.value,
        "old_price": one.change.old_price,
        **dict(zip(TRACKED, listing.tracked(), strict=True)),
        "price": listing.price,
        "prices": listing.prices,
        "changed": one.change.changed,
        "reverts_id": numbers.of(one.row["reverts_id"]),
    }


def _moves(change: Change, feed_id: int) -> Iterator[dict[str, Any]]:
    for component, kind, old, new in price_moves(change):
        yield {
            "model_id": change.model_id,
            "component": component,
            "effective_at": change.effective_at,
            "change_id": feed_id,
            "kind": kind.value,
            "changed_after": change.changed_after,
            "old_price": old,
            "price": new,
        }


def _bring_in_line(
    target: Connection, last: Mapping[int, Change], counts: Mapping[tuple[int, str], int], numbers: _Numbers
) -> None:
    """The catalog, what runs say they did, and where consumers are. No model's element counts as read already."""
    state = (*TRACKED, "price", "prices", "parser", "last_changed_at")
    bulk.update(
        target,
        models,
        state,
        (
            (*one.listing.tracked(), one.listing.price, one.listing.prices, "", one.effective_at, model_id)
            for model_id, one in last.items()
        ),
    )
    kinds = [kind.value for kind in Kind]
    said = target.execute(sa.select(runs.c.id, runs.c.outcome, *(runs.c[kind] for kind in kinds))).all()
    for run in said:
        now = {kind: counts.get((run.id, kind), 0) for kind in kinds}
        if any(now[kind] != getattr(run, kind) for kind in kinds):
            outcome = "unchanged" if run.outcome == "changed" and not any(now.values()) else run.outcome
            target.execute(sa.update(runs).where(runs.c.id == run.id).values(outcome=outcome, **now))
    fresh = dict.fromkeys(("batch_id", "batch_end", "batch_body", "batch_notified", "batch_since"))
    for consumer in target.execute(sa.select(consumers.c.id, consumers.c.position)).all():
        moved = sa.update(consumers).where(consumers.c.id == consumer.id)
        target.execute(moved.values(position=numbers.position(consumer.position), **fresh))


# -- row by row --------------------------------------------------------------------------------------------------------


def reread(
    rows: Iterable[Mapping[str, Any]], read: Reader, *, dropped: Callable[[Mapping[str, Any]], None]
) -> Iterator[Reread]:
    """The rows of `changes`, with `format` and `headline` of their source, in feed order, as they are read today.

    `dropped` is called with each row that says nothing any more.
    """
    states: dict[int, Listing] = {}
    for row in rows:
        model_id, before = row["model_id"], states.get(row["model_id"])
        now = _state(row, before, read)
        moved = {} if before is None else _difference(before, now)
        kind = _kind(row["kind"], moved, is_new=before is None)
        states[model_id] = now
        if kind is None:
            dropped(row)
        else:
            yield Reread(row=row, change=_change(row, kind, now, before, moved))


def _kind(recorded: str, moved: Mapping[str, Any], *, is_new: bool) -> Kind | None:
    """What the change is called now; None where nothing moved."""
    if is_new:
        return Kind.ADDED
    if recorded in {Kind.REMOVED, Kind.RELISTED}:
        return Kind(recorded)
    if not moved:
        return None
    return Kind.REPRICED if any(component_of(field) is not None for field in moved) else Kind.UPDATED


def _change(
    row: Mapping[str, Any], kind: Kind, now: Listing, before: Listing | None, moved: Mapping[str, Any]
) -> Change:
    return Change(
        kind=kind,
        model_id=row["model_id"],
        listing=now,
        old_price=None if before is None else before.price,
        changed={} if kind in {Kind.ADDED, Kind.REMOVED} else moved,
        effective_at=row["effective_at"],
        changed_after=row["changed_after"],
    )


def _state(row: Mapping[str, Any], before: Listing | None, read: Reader) -> Listing:
    if row["kind"] == Kind.REMOVED and before is not None:
        return before
    recorded = _recorded(row)
    if row["raw"] is None:
        return recorded if before is None else _with_changed(before, row)
    try:
        found = read(row["raw"], row["format"])
    except ValueError:
        return recorded if before is None else _with_changed(before, row)
    return _whole(found, before, row["headline"])


def _recorded(row: Mapping[str, Any]) -> Listing:
    fields = {field: row[field] for field in TRACKED}
    return Listing(name=row["name"], price=row["price"], prices=row["prices"], **fields)


def _with_changed(before: Listing, row: Mapping[str, Any]) -> Listing:
    """The state before with the new values that the row names."""
    new = {field: typed(field, pair[1]) for field, pair in row["changed"].items()}
    prices = dict(before.prices)
    prices.update({component: value for field, value in new.items() if (component := component_of(field)) is not None})
    fields = {field: value for field, value in new.items() if component_of(field) is None}
    return msgspec.structs.replace(before, **fields, prices=prices, price=prices.get(row["headline"]))


def _whole(found: Listing, before: Listing | None, headline: str) -> Listing:
    """What an element says, as a whole state: what could not be read stays as it was known."""
    known = {} if before is None else before.prices
    new = known if "prices" in found.unread else {**dict.fromkeys(known), **found.prices}
    kept = {} if before is None else {field: getattr(before, field) for field in found.unread if field in TRACKED}
    prices = {headline: None, **new}
    return msgspec.structs.replace(found, **kept, prices=prices, price=prices[headline], raw=msgspec.Raw(), digest=b"")


def _difference(before: Listing, now: Listing) -> dict[str, tuple[Any, Any]]:
    pairs = {field: (getattr(before, field), getattr(now, field)) for field in TRACKED}
    components = {*before.prices, *now.prices}
    pairs |= {price_field(each): (before.prices.get(each), now.prices.get(each)) for each in sorted(components)}
    return {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}
