"""Small values to decide about: what is known, what a response says, and what the two make `DecisionInput`."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from syncer.core.decide import DecisionInput, Finding
from syncer.core.model import TRACKED, Listing, Rejected, Snapshot, StoredModel
from syncer.core.observation import PastObservations

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
"""The time of the look at hand."""
LAST = NOW - timedelta(hours=1)
"""The look before."""


def ago(**units: float) -> datetime:
    """So long before the look at hand."""
    return NOW - timedelta(**units)


def listing(name: str, price: object = 1, **fields: Any) -> Listing:
    """A listing with all tracked keys; `price` as one would write it, None for unknown."""
    kept = None if price is None else Decimal(str(price))
    raw = f"{name} {price} {fields}"
    keys = frozenset(TRACKED)
    return Listing(name=name, price=kept, **{"fields": keys, "raw": raw, "digest": raw.encode(), **fields})


def known(name: str, price: object = 1, **more: Any) -> StoredModel:
    """A believed model; `more` are marks of StoredModel, and tracked fields."""
    marks = {key: more.pop(key) for key in ("listed", "missing_since", "missing_count", "last_seen_at") if key in more}
    return StoredModel(id=abs(hash(name)), listing=listing(name, price, **more), **marks)


def many(count: int, price: object = 1, *, start: int = 0) -> list[StoredModel]:
    """Models m00, m01, ... of one price."""
    return [known(f"m{number:02}", price) for number in range(start, start + count)]


def rejected(name: str | None) -> Rejected:
    """A row that could not be read, apart perhaps from its name."""
    return Rejected(name=name, reason="has a price that is text", raw="{}", digest=repr(name).encode())


def response(
    *listings: Listing | StoredModel,
    same: Iterable[StoredModel] = (),
    unread: Iterable[str | None] = (),
    at: datetime = NOW,
) -> Snapshot:
    """A response that lists these; a StoredModel stands for its listing in new bytes, `same` for the stored bytes."""
    rows = [row.listing if isinstance(row, StoredModel) else row for row in listings]
    return Snapshot(
        observed_at=at,
        listings={row.name: row for row in rows},
        same=frozenset(model.listing.name for model in same),
        rejected=tuple(rejected(name) for name in unread),
        fields=frozenset(TRACKED) if same else frozenset[str]().union(*(row.fields for row in rows)),
    )


def seen(
    models: Iterable[StoredModel],
    snapshot: Snapshot,
    *,
    findings: Iterable[Finding] = (),
    new_credential: bool = False,
    past: PastObservations | None = None,
) -> DecisionInput:
    """All that a decision rests on, after a whole look at LAST."""
    by_name: Mapping[str, StoredModel] = {model.listing.name: model for model in models}
    listed = frozenset(name for name, model in by_name.items() if model.listed)
    return DecisionInput(
        snapshot=snapshot,
        known=by_name,
        listed=listed,
        priced=sum((by_name[name].listing.price or 0) > 0 for name in listed),
        past=past or PastObservations(last=LAST, absent=LAST),
        findings=tuple(findings),
        new_credential=new_credential,
    )
