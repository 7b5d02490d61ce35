"""diff: what moved, the whole state after it, and the window in which it happened (law 6)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from syncer.core import diff
from syncer.core.model import Kind, Listing, Rejected, Snapshot, StoredModel
from syncer.core.observation import PastObservations
from tests.core.world import UNREADABLE, Element, listing

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
LAST, OLD = NOW - timedelta(hours=1), NOW - timedelta(days=2)
WHOLE = PastObservations(last=LAST, last_shown=LAST, judged=LAST)


def stored(element: Element, **more: Any) -> StoredModel:
    """A believed model m."""
    return StoredModel(id=1, listing=listing("m", element), **{"parser": "one", "last_changed_at": OLD, **more})


def snapshot(*rows: Listing, same: tuple[str, ...] = (), parser: str = "one", **more: Any) -> Snapshot:
    """A response that lists these."""
    return Snapshot(
        observed_at=NOW,
        shown_at=NOW,
        parser=parser,
        headline="price",
        listings={row.name: row for row in rows},
        same=frozenset(same),
        **more,
    )


def appear(before: StoredModel | None, now: Listing, past: PastObservations = WHOLE, parser: str = "one") -> Any:
    """The change that one response shows of one model."""
    state = diff.whole(now, before, "price")
    return diff.appearance(before, state, snapshot(now, parser=parser), past)


@pytest.mark.parametrize(
    ("before", "now", "kind", "moved", "old_price"),
    [
        (None, 2, Kind.ADDED, set(), None),
        (stored(1), 2, Kind.REPRICED, {"prices.price"}, 1),
        (stored(1), None, Kind.REPRICED, {"prices.price"}, 1),
        (stored(None), 0, Kind.REPRICED, {"prices.price"}, None),
        (stored(1), {"price": 2, "alias": "M"}, Kind.REPRICED, {"prices.price", "alias"}, 1),
        (stored(1), {"price": 1, "context_length": 8}, Kind.UPDATED, {"context_length"}, 1),
        (stored({"price": 1, "output": 2}), {"price": 1, "output": 3}, Kind.REPRICED, {"prices.output"}, 1),
        (stored({"price": 1, "output": 2}), {"price": 1}, Kind.REPRICED, {"prices.output"}, 1),
        (stored(1), {"price": 1, "output": 2}, Kind.REPRICED, {"prices.output"}, 1),
        (stored(1, listed=False), 1, Kind.RELISTED, set(), 1),
        (stored(1, listed=False), 2, Kind.RELISTED, {"prices.price"}, 1),
    ],
)
def test_one_kind_for_each_change(
    before: StoredModel | None, now: Element, kind: Kind, moved: set[str], old_price: int | None
) -> None:
    """If any price moved the kind is repriced, whatever else moved; a model back after a removal is relisted."""
    change = appear(before, listing("m", now))
    assert change is not None
    assert (change.kind, set(change.changed), change.old_price) == (kind, moved, old_price)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("0.2", "0.20"),
        ("0", "-0"),
        (None, None),
        ({"price": 1, "output": None}, {"price": 1}),
        (1, {"price": 1, "x": None}),
    ],
    ids=["0.20 is 0.2", "-0 is 0", "unknown is unknown", "a component never known is none", "null is not stated"],
)
def test_equal_values_are_no_change(before: Element, now: Element) -> None:
    """Law 4: prices compare as numbers; a component that was never known is no key."""
    assert (
        appear(
            StoredModel(id=1, listing=diff.whole(listing("m", before), None, "price"), parser="one"), listing("m", now)
        )
        is None
    )


def test_every_component_ever_known_stays_a_key() -> None:
    """A component that goes is unknown from then on, and comes back as a move from unknown."""
    gone = diff.whole(listing("m", {"price": 1}), stored({"price": 1, "output": 2}), "price")
    assert gone.prices == {"price": Decimal(1), "output": None}
    back = appear(StoredModel(id=1, listing=gone, parser="one"), listing("m", {"price": 1, "output": 3}))
    assert back is not None
    assert back.changed == {"prices.output": (None, Decimal(3))}


def test_what_cannot_be_read_keeps_its_known_value_each_on_its_own() -> None:
    """Law 3; the prices are one field, and a new model has no known value."""
    before = stored({"price": 1, "output": 2, "alias": "A", "context_length": 8})
    now = listing("m", {"price": 5, "output": UNREADABLE, "alias": UNREADABLE, "context_length": 9})
    state: Any = diff.whole(now, before, "price")
    assert (state.prices, state.price, state.alias, state.context_length) == (before.listing.prices, 1, "A", 9)
    new = diff.whole(now, None, "price")
    assert (new.prices, new.alias) == ({"price": None}, None)


def test_a_lost_field_is_kept_by_a_model_that_stayed_listed() -> None:
    """One that returns has what upstream says: nothing."""
    now = listing("m", {"price": None})
    assert diff.whole(now, stored({"price": 5, "alias": "A"}), "price", {"alias", "prices.price"}).price == 5
    assert diff.whole(now, stored(5, listed=False), "price", {"prices.price"}).price is None


@pytest.mark.parametrize(
    ("before", "past", "after"),
    [
        (stored(1), WHOLE, LAST),
        (stored(1, last_seen_at=OLD), WHOLE, OLD),
        (stored(1), PastObservations(last=LAST, last_shown=OLD, judged=LAST), OLD),
        (None, WHOLE, LAST),
        (None, PastObservations(), None),
        (None, PastObservations(last=LAST, last_shown=LAST, judged=OLD), OLD),
        (stored(1, listed=False, missing_since=OLD, last_seen_at=OLD), WHOLE, LAST),
        (stored(1, listed=False, missing_since=OLD), PastObservations(last=LAST, last_shown=LAST), OLD),
    ],
    ids=[
        "the last observation",
        "withheld or unread since",
        "less its Age",
        "an addition",
        "the baseline",
        "an addition after a partial response",
        "a relisting",
        "a relisting never reaches back before its removal",
    ],
)
def test_the_window_of_a_change(before: StoredModel | None, past: PastObservations, after: datetime | None) -> None:
    """Law 6: from the last that still showed the old state to the first that shows the new one."""
    change = appear(before, listing("m", 2), past)
    assert change is not None
    assert (change.changed_after, change.effective_at) == (after, NOW)


def test_a_removal_keeps_the_last_known_state() -> None:
    """Its price is the old one, nothing is in `changed`, and there is no raw element."""
    change: Any = diff.removal(stored(3, last_seen_at=OLD), effective_at=LAST, past=WHOLE)
    assert (change.kind, change.changed, change.old_price, change.listing.price) == (Kind.REMOVED, {}, 3, 3)
    assert (change.changed_after, change.effective_at, bytes(change.listing.raw)) == (OLD, LAST, b"")


def test_the_same_bytes_by_another_parser_are_a_new_reading() -> None:
    """All that differs is a new reading: kind reread, the headline before as the old price."""
    before = stored(1)
    now = msgspec.structs.replace(listing("m", {"price": 1000, "output": 4}), digest=before.listing.digest)
    change = appear(before, now, parser="two")
    assert change is not None
    assert (change.kind, change.old_price, change.reread) == (Kind.REREAD, 1, {})
    assert change.changed == {"prices.price": (Decimal(1), Decimal(1000)), "prices.output": (None, Decimal(4))}
    same = msgspec.structs.replace(listing("m", 1), digest=before.listing.digest)
    assert appear(before, same, parser="two") is None


def test_other_bytes_by_another_parser_are_a_reading_and_a_change() -> None:
    """The old bytes, read anew, are compared with both: one row, of the change's kind, since the last change."""
    before = stored(1, reread=listing("m", {"price": 1, "output": 4}))
    change = appear(before, listing("m", {"price": 2, "output": 4}), parser="two")
    assert change is not None
    assert (change.kind, change.old_price, change.changed_after) == (Kind.REPRICED, 1, OLD)
    assert change.changed == {"prices.price": (Decimal(1), Decimal(2))}
    assert change.reread == {"prices.output": (None, Decimal(4))}
    only_read = appear(before, listing("m", {"price": 1, "output": 4, "extra": "new bytes"}), parser="two")
    assert only_read is not None
    assert (only_read.kind, only_read.changed) == (Kind.REREAD, {"prices.output": (None, Decimal(4))})


@pytest.mark.parametrize(
    ("response", "missing"),
    [
        (snapshot(listing("a", 1)), {"b", "c"}),
        (snapshot(listing("a", 1), same=("b",)), {"c"}),
        (snapshot(listing("a", 1), rejected=(Rejected(name="b", reason="", raw="", digest=b""),)), {"c"}),
    ],
    ids=["read", "same bytes", "unreadable"],
)
def test_unreadable_is_not_absent(response: Snapshot, missing: set[str]) -> None:
    """Law 3: a name that the response holds in any form, read, known or unreadable, is not missing from it."""
    assert diff.not_present(["a", "b", "c"], response) == missing
