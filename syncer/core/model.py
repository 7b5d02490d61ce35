"""The words: frozen values that everything else speaks in. No behaviour beyond what a value can say of itself.

Those that come by the thousand are kept out of the garbage collector (`gc=False`): they can be in no cycle, and looking
at each of them again and again was a third of the time of a first load.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Any

import msgspec

from syncer.core.fields import FIELDS

NOTHING: Mapping[str, Any] = {}
"""One empty mapping for the many listings without further fields, and for changes in which no field moved."""


class Kind(StrEnum):
    """What happened to a model. If any price moved it is `repriced`, whatever else moved with it."""

    ADDED = "added"
    REMOVED = "removed"
    RELISTED = "relisted"
    REPRICED = "repriced"
    UPDATED = "updated"
    REREAD = "reread"


PRICES = "prices"
"""The name of all prices together, as one field."""
_COMPONENT = "prices."


def price_field(component: str) -> str:
    """What a component is called among the fields of a change: "prices.input"."""
    return _COMPONENT + component


def component_of(field: str) -> str | None:
    """The component that a field of a change is about; None for every other field."""
    return field.removeprefix(_COMPONENT) if field.startswith(_COMPONENT) else None


class Tracked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What of a model is a change when it moves, beside its prices."""

    alias: str | None = None
    type: str | None = None
    context_length: int | None = None
    max_completion_tokens: int | None = None
    description: str | None = None
    huggingface_url: str | None = None
    expires_at: datetime | None = None


TRACKED = Tracked.__struct_fields__
assert tuple(field.name for field in FIELDS) == TRACKED, "Tracked and FIELDS differ"  # noqa: S101 - at import
_tracked = attrgetter(*TRACKED)


class Listing(Tracked, frozen=True, kw_only=True, gc=False):
    """One model as a source lists it at one time; `prices` maps each component to its canonical price."""

    name: str
    price: Decimal | None = None
    prices: Mapping[str, Decimal | None] = NOTHING
    extra: Mapping[str, Any] = NOTHING
    unread: frozenset[str] = frozenset()
    stated: frozenset[str] = frozenset()
    raw: msgspec.Raw = msgspec.Raw()
    digest: bytes = b""

    def tracked(self) -> tuple[Any, ...]:
        """The values of FIELDS, in that order."""
        return _tracked(self)


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """One element of a response that could not be read. `name` is None where not even its name could be."""

    name: str | None
    reason: str
    raw: str
    digest: bytes


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One whole, validated response, never half-read."""

    observed_at: datetime
    shown_at: datetime
    parser: str
    headline: str
    listings: Mapping[str, Listing]
    same: frozenset[str] = frozenset()
    rejected: tuple[Rejected, ...] = ()
    duplicates: tuple[Rejected, ...] = ()
    stated: frozenset[str] = frozenset()
    elements: int = 0
    partial: str | None = None


class StoredModel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the database believes of one model before this run."""

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
    """What an observation did not plainly show of a known model; all empty once it is plainly seen again."""

    missing_since: datetime | None = None
    missing_count: int = 0
    last_seen_at: datetime | None = None
    unread: frozenset[str] = frozenset()
    unread_since: datetime | None = None
    expiring_told: int | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One history row to be: what moved, the whole state after it, and the window in which it happened."""

    kind: Kind
    model_id: int | None
    listing: Listing
    old_price: Decimal | None
    changed: Mapping[str, tuple[Any, Any]]
    effective_at: datetime
    changed_after: datetime | None
    reverts_id: int | None = None
    reread: Mapping[str, tuple[Any, Any]] = NOTHING
