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

TRACKED = (
    "alias",
    "type",
    "context_length",
    "max_completion_tokens",
    "description",
    "price",
    "huggingface_url",
)
"""The fields whose movement is a change. Everything else upstream sends is kept in `extra` and is never one."""
_tracked = attrgetter(*TRACKED)

NOTHING: Mapping[str, Any] = {}
"""One empty mapping for the many listings without further fields, and for changes in which no field moved."""


class Kind(StrEnum):
    """What happened to a model. If the price moved it is `repriced`, whatever else moved with it."""

    ADDED = "added"
    REMOVED = "removed"
    RELISTED = "relisted"
    REPRICED = "repriced"
    UPDATED = "updated"


class Listing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One model as a source lists it at one time.

    `price` is a canonical Decimal in the source's currency and unit; None is unknown, 0 is free and a negative
    number is kept as sent. `extra` holds the fields that syncer does not track, by key. `fields` are the tracked
    fields that the element had as a key. `raw` is the element as upstream sent it, a view into the response, and
    `digest` its fingerprint; these last three are empty for a listing that did not come from a response.
    """

    name: str
    alias: str | None = None
    type: str | None = None
    context_length: int | None = None
    max_completion_tokens: int | None = None
    description: str | None = None
    price: Decimal | None = None
    huggingface_url: str | None = None
    extra: Mapping[str, Any] = NOTHING
    fields: frozenset[str] = frozenset()
    raw: msgspec.Raw = msgspec.Raw()
    digest: bytes = b""

    def tracked(self) -> tuple[Any, ...]:
        """The values of TRACKED, in that order: two listings with equal ones are the same state."""
        return _tracked(self)


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """One element of a response that could not be read. `name` is None where not even its name could be."""

    name: str | None
    reason: str
    raw: str
    digest: bytes


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One whole, validated response, never half-read.

    `listings` are the elements that had to be read; `same` the names of known models whose element has the very
    bytes that are stored. `fields` are the tracked fields that at least one legible element had as a key.
    `listed` counts the models of the response, read or the same.
    """

    observed_at: datetime
    listings: Mapping[str, Listing]
    same: frozenset[str]
    rejected: tuple[Rejected, ...] = ()
    fields: frozenset[str] = frozenset()

    @property
    def listed(self) -> int:
        """How many models the response lists legibly."""
        return len(self.listings) + len(self.same)

    @property
    def unread(self) -> frozenset[str]:
        """Names that were present but could not be read, and are not legibly listed either."""
        named = frozenset(row.name for row in self.rejected if row.name is not None)
        return named - self.same - self.listings.keys()

    @property
    def proves_absence(self) -> bool:
        """False if an element's *name* could not be read: it may be any model (law 3)."""
        return all(row.name is not None for row in self.rejected)


class StoredModel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the database believes of one model before this run.

    `listed` is False once it was removed. `last_seen_at` is None while the source's last good look showed the
    model plainly; otherwise it is the last look that did.
    """

    id: int
    listing: Listing
    listed: bool = True
    missing_since: datetime | None = None
    missing_count: int = 0
    last_seen_at: datetime | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One history row to be: what moved, the whole state after it, and the window in which it happened.

    The true moment lies in `(changed_after, effective_at]`; `changed_after` is None for a baseline. `changed` maps
    each moved field to its (old, new) values and is empty for `added` and `removed`. `model_id` is None for a model
    never seen before.
    """

    kind: Kind
    model_id: int | None
    listing: Listing
    old_price: Decimal | None
    changed: Mapping[str, tuple[Any, Any]]
    effective_at: datetime
    changed_after: datetime | None
    reverts_id: int | None = None
