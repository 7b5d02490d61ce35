"""The words: frozen values that everything else speaks in. No behaviour beyond what a value can say of itself.

Those that come by the thousand are kept out of the garbage collector (`gc=False`): they can be in no cycle, and looking
at each of them again and again was a third of the time of a first load.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Any, get_type_hints

import msgspec

from syncer.core.fields import FIELDS

TRACKED = tuple(field.name for field in FIELDS)
"""The fields whose movement is a change, beside the prices. What else upstream sends is kept in `extra`."""
PRICES = "prices"
"""How all prices of a model are named where fields are named: one that cannot be read costs all of them."""
_COMPONENT = "prices."

NOTHING: Mapping[str, Any] = {}
"""One empty mapping for the many changes in which no field moved."""
NO_EXTRA = msgspec.Raw(b"{}")


class Kind(StrEnum):
    """What happened to a model. If a price moved it is `repriced`, whatever else moved with it.

    `reread` is no news: the same bytes, read by another format or parser.
    """

    ADDED = "added"
    REMOVED = "removed"
    RELISTED = "relisted"
    REPRICED = "repriced"
    UPDATED = "updated"
    REREAD = "reread"


class Tracked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The typed face of FIELDS: one line a field, so that a reader and mypy find it; FIELDS says the rest."""

    alias: str | None = None
    type: str | None = None
    context_length: int | None = None
    max_completion_tokens: int | None = None
    description: str | None = None
    huggingface_url: str | None = None
    expires_at: datetime | None = None


_PYTHON: Mapping[str, Any] = {
    "text": str | None,
    "name": str | None,
    "integer": int | None,
    "time": datetime | None,
}
if list(get_type_hints(Tracked).items()) != [(field.name, _PYTHON[field.column]) for field in FIELDS]:
    raise AssertionError("core/fields.py and Tracked differ: a field is one line in each, in the same order")
_tracked = attrgetter(*TRACKED)


class Listing(Tracked, frozen=True, kw_only=True, gc=False):
    """One model as a source lists it at one time.

    `prices` are canonical Decimals by component, in the source's currency and units; None is unknown, 0 is free and a
    negative number is kept as sent. From a response they are the components that the element states, and always the
    headline; of a stored model or a change, every component that was ever known. `price` is the headline's.
    `extra` is what syncer does not track, as the text of a JSON object: as values it would take thirty times the room.
    `unread` are the tracked fields (and PRICES, as one) that the
    element states and that cannot be read: here they are unknown, and the last known value stays. `stated` is what
    the element states with a value that is neither null nor read as nothing: field names, and `prices.COMPONENT`.
    `raw` is the element as upstream sent it, a view into the response where it can be, and `digest` its fingerprint;
    both are empty for a listing that did not come from a response.
    """

    name: str
    price: Decimal | None = None
    prices: Mapping[str, Decimal | None] = NOTHING
    extra: msgspec.Raw = NO_EXTRA
    unread: frozenset[str] = frozenset()
    stated: frozenset[str] = frozenset()
    raw: msgspec.Raw = msgspec.Raw()
    digest: bytes = b""

    def tracked(self) -> tuple[Any, ...]:
        """The values of TRACKED, in that order: two listings with equal ones, and equal prices, are the same state."""
        return _tracked(self)

    def value(self, field: str) -> Any:  # noqa: ANN401 - a field's type is the field's
        """The value of a tracked field, or of a component where `field` is "prices.COMPONENT"."""
        component = component_of(field)
        return getattr(self, field) if component is None else self.prices.get(component)


def price_field(component: str) -> str:
    """What a component is called among the fields of a change: "prices.input"."""
    return _COMPONENT + component


def component_of(field: str) -> str | None:
    """The component that a field of a change is about; None for every other field."""
    return field.removeprefix(_COMPONENT) if field.startswith(_COMPONENT) else None


class Rejected(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One element of a response, or a part of it, that could not be read.

    `name` is None where no name is legible; one that is legible may be refused all the same.
    """

    name: str | None
    reason: str
    raw: str
    digest: bytes


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One whole, validated response, never half-read.

    `shown_at` is `observed_at` less the response's Age. `parser` names the reading, `headline` the component that
    stands for a model's prices. `listings` are the elements that had to be read; `same` the names of known models
    whose element has the very bytes that are stored, and was stored by this reading. `rejected` are elements that are
    no object or have no legible, acceptable name; `duplicates` is what was left over where several elements had one
    name, or an element one key twice; `unreadable` tells why a listing has fields that are unread. `stated` is what
    the elements that were read state; of the `same` ones, what is stored says it. `elements` counts them as sent.
    `partial` is what says that this is not the whole list: None if nothing does.
    """

    observed_at: datetime
    shown_at: datetime
    parser: str
    headline: str
    listings: Mapping[str, Listing]
    same: frozenset[str]
    rejected: tuple[Rejected, ...] = ()
    duplicates: tuple[Rejected, ...] = ()
    unreadable: tuple[Rejected, ...] = ()
    stated: frozenset[str] = frozenset()
    elements: int = 0
    partial: str | None = None

    @property
    def listed(self) -> int:
        """How many models the response lists legibly."""
        return len(self.listings) + len(self.same)

    @property
    def present_unreadable(self) -> frozenset[str]:
        """Names that were present, but of no element that could be read."""
        named = frozenset(row.name for row in self.rejected if row.name is not None)
        return named - self.same - self.listings.keys()

    @property
    def nameless(self) -> tuple[Rejected, ...]:
        """The rows without a legible name: each may be any model (law 3)."""
        return tuple(row for row in self.rejected if row.name is None)


class StoredModel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the database believes of one model before this run.

    `listing.digest` is the stored digest and `parser` the reading it was read by. `listed` is False once it was
    removed. `last_seen_at` is None while the source's last observation showed the model plainly; otherwise it is the
    last that did. `unread` outlives the trouble by one observation (see decide.py). `last_changed_at` is the
    `effective_at` of the model's last change. `reread` is the raw element of that change read by the present parser,
    needed only where bytes and parser both differ from the stored ones.
    """

    id: int
    listing: Listing
    parser: str = ""
    listed: bool = True
    missing_since: datetime | None = None
    missing_count: int = 0
    last_seen_at: datetime | None = None
    unread: frozenset[str] = frozenset()
    unread_since: datetime | None = None
    last_changed_at: datetime | None = None
    expiring_told: int | None = None
    reread: Listing | None = None


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What an observation did not plainly show of a model; all empty once it is plainly seen again.

    `expiring_told` is the smallest threshold, in days, at which its end was announced.
    """

    missing_since: datetime | None = None
    missing_count: int = 0
    last_seen_at: datetime | None = None
    unread: frozenset[str] = frozenset()
    unread_since: datetime | None = None
    expiring_told: int | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One history row to be: what moved, the whole state after it, and the window in which it happened.

    The true moment lies in `(changed_after, effective_at]`; `changed_after` is None for a baseline. `changed` maps
    each moved field to its (old, new) values, prices as "prices.COMPONENT", and is empty for `added` and `removed`.
    `reread` likewise holds what came by a new reading of old bytes: no news. `model_id` is None for a model never seen.
    """

    kind: Kind
    model_id: int | None
    listing: Listing
    old_price: Decimal | None
    changed: Mapping[str, tuple[Any, Any]]
    effective_at: datetime
    changed_after: datetime | None
    reverts_id: int | None = None
    reread: Mapping[str, tuple[Any, Any]] = NOTHING
