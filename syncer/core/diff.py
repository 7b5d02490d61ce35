"""Stored models + Snapshot -> changes. Pure, and blind to whether a change should be believed (decide.py is not).

It does not ask whether a removal is plausible, and it never reads absence out of a response that cannot prove it.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from syncer.core.model import (
    NOTHING,
    PRICES,
    TRACKED,
    Change,
    Kind,
    Listing,
    Snapshot,
    StoredModel,
    component_of,
    price_field,
)
from syncer.core.observation import PastObservations

Moved = Mapping[str, tuple[Any, Any]]


def not_present(listed: Collection[str], snapshot: Snapshot) -> frozenset[str]:
    """The listed names of which the response has no element, as far as its elements could be named."""
    return frozenset(listed).difference(snapshot.same, snapshot.listings, snapshot.present_unreadable)


def whole(listing: Listing, before: StoredModel | None, headline: str, lost: Collection[str] = ()) -> Listing:
    """A listing as a whole state: every component ever known is a key, and what was not read keeps its known value.

    `lost` are fields that no element of the response has any more: a model that stayed listed keeps these too.
    """
    if before is None and not listing.unread and len(listing.prices) == 1 and headline in listing.prices:
        return listing  # most of a first load
    old = None if before is None else before.listing
    prices = _prices(listing, old, headline)
    kept = {field: getattr(old, field) for field in listing.unread if field != PRICES} if old is not None else {}
    if lost and old is not None and before is not None and before.listed:
        for field in lost:
            component = component_of(field)
            if component is None:
                kept[field] = getattr(old, field)
            elif component in old.prices:
                prices[component] = old.prices[component]
    if not kept and prices == listing.prices:
        return listing
    return msgspec.structs.replace(listing, **kept, prices=prices, price=prices[headline])


def _prices(listing: Listing, old: Listing | None, headline: str) -> dict[str, Decimal | None]:
    known = {} if old is None else dict(old.prices)
    if PRICES in listing.unread:
        return {headline: None, **known}
    stated = {
        component: price for component, price in listing.prices.items() if price is not None or component in known
    }
    return {headline: None, **dict.fromkeys(known), **stated}


def difference(old: Listing, new: Listing) -> dict[str, tuple[Any, Any]]:
    """What moved, as field -> (old, new), prices as "prices.COMPONENT"; unknown equals unknown and 0.20 equals 0.2."""
    pairs = zip(TRACKED, old.tracked(), new.tracked(), strict=True)
    moved = {field: (before, after) for field, before, after in pairs if before != after}
    if old.prices != new.prices:
        for component in sorted({*old.prices, *new.prices}):
            before, after = old.prices.get(component), new.prices.get(component)
            if before != after:
                moved[price_field(component)] = (before, after)
    return moved


def appearance(
    before: StoredModel | None,
    listing: Listing,
    snapshot: Snapshot,
    past: PastObservations,
    lost: Collection[str] = (),
) -> Change | None:
    """What a whole listing shows to be new or different; None if all that is tracked is as it was.

    `lost` are the fields that it keeps because no element of the response has them.
    """
    if before is None:
        return _added(listing, snapshot.observed_at, past)
    base, reading = _read_anew(before, listing, snapshot, lost)
    moved = difference(base, listing)
    if before.listed and not moved and not reading:
        return None
    kind = Kind.REREAD if before.listed and not moved else kind_of(before, moved)
    same_bytes, other_parser = _same_bytes(before, listing), before.parser != snapshot.parser
    return Change(
        kind=kind,
        model_id=before.id,
        listing=listing,
        old_price=before.listing.price if same_bytes or kind is Kind.REREAD else base.price,
        changed=reading if kind is Kind.REREAD else moved,
        effective_at=snapshot.observed_at,
        changed_after=_shown_before(before, past, read_anew=other_parser and not same_bytes),
        reread=NOTHING if kind is Kind.REREAD else reading,
    )


def removal(before: StoredModel, *, effective_at: datetime, past: PastObservations) -> Change:
    """The change that takes a model out of the catalog; its state is the last known one, and it has no raw element."""
    return Change(
        kind=Kind.REMOVED,
        model_id=before.id,
        listing=msgspec.structs.replace(before.listing, raw=msgspec.Raw()),
        old_price=before.listing.price,
        changed=NOTHING,
        effective_at=effective_at,
        changed_after=before.last_seen_at or past.last_shown,
    )


def kind_of(before: StoredModel, moved: Mapping[str, Any]) -> Kind:
    """What a move of a known model is called; the prices decide."""
    if not before.listed:
        return Kind.RELISTED
    return Kind.REPRICED if prices_moved(moved) else Kind.UPDATED


def prices_moved(moved: Moved) -> dict[str, tuple[Decimal | None, Decimal | None]]:
    """The prices among the moved fields, by component."""
    pairs = ((component_of(field), values) for field, values in moved.items())
    return {component: values for component, values in pairs if component is not None}


def is_another_reading(before: StoredModel, listing: Listing, snapshot: Snapshot) -> bool:
    """Whether what differs between a stored model and its listing is how it was read, as far as that can be told."""
    return before.parser != snapshot.parser and (_same_bytes(before, listing) or before.reread is not None)


def _read_anew(
    before: StoredModel, listing: Listing, snapshot: Snapshot, lost: Collection[str]
) -> tuple[Listing, Moved]:
    """The state that a listing is compared with, and how a new reading of old bytes differs from what was recorded.

    Equal bytes under another parser: all that differs is a new reading. Other bytes and another parser: what the old
    bytes say by the new reading is compared with what the new bytes say. What the listing keeps, the old bytes keep.
    """
    old = before.listing
    if before.parser == snapshot.parser:
        return old, NOTHING
    if _same_bytes(before, listing):
        return listing, difference(old, listing)
    if before.reread is None:
        return old, NOTHING
    unread = before.reread.unread | listing.unread
    base = whole(msgspec.structs.replace(before.reread, unread=unread), before, snapshot.headline, lost)
    return base, difference(old, base)


def _same_bytes(before: StoredModel, listing: Listing) -> bool:
    return listing.digest != b"" and listing.digest == before.listing.digest


def _added(listing: Listing, at: datetime, past: PastObservations) -> Change:
    return Change(
        kind=Kind.ADDED,
        model_id=None,
        listing=listing,
        old_price=None,
        changed=NOTHING,
        effective_at=at,
        changed_after=past.absent_after,
    )


def _shown_before(before: StoredModel, past: PastObservations, *, read_anew: bool) -> datetime | None:
    """The last moment that still showed the state before a move.

    Of a removed model never before the first observation that missed it: a removal and its relisting do not overlap.
    """
    if not before.listed:
        return max((at for at in (past.absent_after, before.missing_since) if at is not None), default=None)
    if (
        read_anew and before.reread is not None
    ):  # all that is known of the fields that were not read then is in the bytes of the last change
        return before.last_changed_at
    return before.last_seen_at or past.last_shown
