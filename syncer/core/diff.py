"""Known listings + Snapshot -> changes. Pure, and blind to whether a change should be believed (decide.py is not).

It does not ask whether a removal is plausible, and it never reads absence out of a response that cannot prove it.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from syncer.core.model import NOTHING, TRACKED, Change, Kind, Listing, Snapshot, StoredModel
from syncer.core.observation import PastObservations


def not_present(listed: Collection[str], snapshot: Snapshot) -> frozenset[str]:
    """The listed names of which the response has no element, as far as its elements could be named."""
    return frozenset(listed).difference(snapshot.same, snapshot.listings, snapshot.unread)


def appearances(known: Mapping[str, StoredModel], snapshot: Snapshot, past: PastObservations) -> Iterator[Change]:
    """What the response shows to be new or different: one change a model at most, in the response's order.

    `known` must hold every model that the snapshot had to read and the database has, listed or not. A listing whose
    tracked fields are equal gives nothing, whatever else of it moved.
    """
    at = snapshot.observed_at
    for name, listing in snapshot.listings.items():
        before = known.get(name)
        change = _added(listing, at, past) if before is None else _moved(before, listing, at, past)
        if change is not None:
            yield change


def removal(before: StoredModel, *, effective_at: datetime, past: PastObservations) -> Change:
    """The change that takes a model out of the catalog; its state is the last known one, and it has no raw element."""
    return Change(
        kind=Kind.REMOVED,
        model_id=before.id,
        listing=msgspec.structs.replace(before.listing, raw=msgspec.Raw()),
        old_price=before.listing.price,
        changed=NOTHING,
        effective_at=effective_at,
        changed_after=before.last_seen_at or past.last,
    )


def difference(old: Listing, new: Listing) -> dict[str, tuple[Any, Any]]:
    """The tracked fields that moved, as field -> (old, new). Prices compare as numbers, unknown equals unknown."""
    pairs = zip(TRACKED, old.tracked(), new.tracked(), strict=True)
    return {field: (before, after) for field, before, after in pairs if before != after}


def _added(listing: Listing, at: datetime, past: PastObservations) -> Change:
    return Change(
        kind=Kind.ADDED,
        model_id=None,
        listing=listing,
        old_price=None,
        changed=NOTHING,
        effective_at=at,
        changed_after=past.absent_after(listing.name),
    )


def _moved(before: StoredModel, listing: Listing, at: datetime, past: PastObservations) -> Change | None:
    moved = difference(before.listing, listing)
    if before.listed and not moved:
        return None
    return Change(
        kind=kind_of(before, moved),
        model_id=before.id,
        listing=listing,
        old_price=before.listing.price,
        changed=moved,
        effective_at=at,
        changed_after=before.last_seen_at or past.last if before.listed else _last_absent(before, past),
    )


def kind_of(before: StoredModel, moved: Mapping[str, Any]) -> Kind:
    """What a move of a known model is called; the price decides."""
    if not before.listed:
        return Kind.RELISTED
    return Kind.REPRICED if "price" in moved else Kind.UPDATED


def _last_absent(before: StoredModel, past: PastObservations) -> datetime | None:
    """Never before the first look that missed it: a removal and its relisting must not overlap."""
    proven = past.absent_after(before.listing.name)
    candidates = [at for at in (proven, before.missing_since) if at is not None]
    return max(candidates, default=None)
