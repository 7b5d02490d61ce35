"""diff: what moved, and the window in which it did (law 6)."""

from datetime import datetime
from decimal import Decimal

import msgspec
import pytest

from syncer.core import diff
from syncer.core.model import Change, Kind, Listing, Snapshot, StoredModel
from syncer.core.observation import PastObservations
from tests.core.build import LAST, NOW, ago, known, listing, response

WHOLE = PastObservations(last=LAST, absent=LAST)


def appear(before: StoredModel | None, now: Listing, past: PastObservations = WHOLE) -> Change | None:
    """The change that one response shows of one model."""
    models = {} if before is None else {now.name: before}
    return next(diff.appearances(models, response(now), past), None)


def appeared(before: StoredModel | None, now: Listing, past: PastObservations = WHOLE) -> Change:
    """The same, where there must be one."""
    change = appear(before, now, past)
    assert change is not None
    return change


def window(change: Change) -> tuple[datetime | None, datetime]:
    """When it happened: after the first, at the second or before."""
    return change.changed_after, change.effective_at


@pytest.mark.parametrize(
    ("before", "now", "kind", "moved", "old_price"),
    [
        (None, listing("m", 2), Kind.ADDED, set(), None),
        (known("m", 1), listing("m", 2), Kind.REPRICED, {"price"}, 1),
        (known("m", 1), listing("m", None), Kind.REPRICED, {"price"}, 1),
        (known("m", None), listing("m", 0), Kind.REPRICED, {"price"}, None),
        (known("m", 1), listing("m", 2, alias="M"), Kind.REPRICED, {"price", "alias"}, 1),
        (known("m", 1), listing("m", 1, context_length=8), Kind.UPDATED, {"context_length"}, 1),
        (known("m", 1, listed=False), listing("m", 1), Kind.RELISTED, set(), 1),
        (known("m", 1, listed=False), listing("m", 2), Kind.RELISTED, {"price"}, 1),
    ],
)
def test_one_kind_a_change(
    before: StoredModel | None, now: Listing, kind: Kind, moved: set[str], old_price: int | None
) -> None:
    """If the price moved the kind is repriced, whatever else moved; a model back after a removal is relisted."""
    change = appeared(before, now)
    assert (change.kind, set(change.changed), change.old_price) == (kind, moved, old_price)
    assert change.listing == now


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (known("m", "0.2"), listing("m", "0.20")),
        (known("m", "0"), listing("m", "-0")),
        (known("m", None), listing("m", None)),
        (known("m", 1), listing("m", 1, extra={"new": 1}, raw=msgspec.Raw(b"other bytes"), digest=b"other")),
    ],
    ids=["0.20 is 0.2", "-0 is 0", "unknown is unknown", "only untracked bytes moved"],
)
def test_equal_values_are_no_change(before: StoredModel, now: Listing) -> None:
    """Law 4: prices compare as numbers; and what is not tracked is never a change."""
    assert appear(before, now) is None


def test_changed_holds_both_values() -> None:
    """A change maps each moved field to its old and new value."""
    change = appeared(known("m", 1, alias="A"), listing("m", 2, alias="B"))
    assert change.changed == {"price": (Decimal(1), Decimal(2)), "alias": ("A", "B")}


def test_a_move_happened_after_the_last_look() -> None:
    """Law 6: a model that the last look showed plainly moved between that look and this one."""
    assert window(appeared(known("m", 1), listing("m", 2))) == (LAST, NOW)


def test_a_move_behind_unreadable_looks_has_a_wider_window() -> None:
    """Law 6: looks at which the model was unread, missing or withheld did not show its old state."""
    assert window(appeared(known("m", 1, last_seen_at=ago(days=2)), listing("m", 2))) == (ago(days=2), NOW)


def test_the_baseline_has_no_lower_end() -> None:
    """Law 6: what the first good look lists may have been there for ever."""
    assert window(appeared(None, listing("m"), PastObservations(last=None, absent=None))) == (None, NOW)


@pytest.mark.parametrize(
    ("doubtful", "after"),
    [(frozenset(), LAST), (frozenset({"x"}), LAST), (frozenset({"m"}), ago(days=3)), (None, ago(days=3))],
    ids=["whole", "another was unread", "this one was unread", "a row without a name"],
)
def test_an_addition_happened_after_it_was_proven_absent(doubtful: frozenset[str] | None, after: datetime) -> None:
    """Law 6: a new model's window begins at the last look that proves that it was not listed."""
    past = PastObservations(last=LAST, absent=ago(days=3), doubtful=doubtful)
    assert window(appeared(None, listing("m"), past)) == (after, NOW)


def test_a_relisting_never_reaches_back_before_its_removal() -> None:
    """Law 6: a removal and the relisting after it do not overlap, even when the looks between prove nothing."""
    gone = known("m", 1, listed=False, missing_since=ago(days=1), last_seen_at=ago(days=2))
    assert window(appeared(gone, listing("m"))) == (LAST, NOW)
    nothing_proven = PastObservations(last=LAST, absent=ago(days=3), doubtful=None)
    assert window(appeared(gone, listing("m"), nothing_proven)) == (ago(days=1), NOW)


def test_a_removal_is_effective_at_its_first_miss() -> None:
    """Law 6: a removal holds from the first look that missed the model, after the last that really showed it."""
    before = known("m", 3, missing_since=ago(hours=8), missing_count=1, last_seen_at=ago(hours=9))
    change = diff.removal(before, effective_at=ago(hours=8), past=WHOLE)
    assert window(change) == (ago(hours=9), ago(hours=8))
    assert (change.kind, change.changed, change.old_price, change.listing.price) == (
        Kind.REMOVED,
        {},
        Decimal(3),
        Decimal(3),
    )
    assert bytes(change.listing.raw) == b""


@pytest.mark.parametrize(
    ("snapshot", "missing"),
    [
        (response(listing("a")), {"b", "c"}),
        (response(listing("a"), same=[known("b")]), {"c"}),
        (response(listing("a"), unread=["b"]), {"c"}),
    ],
    ids=["read", "same bytes", "unreadable"],
)
def test_unreadable_is_not_absent(snapshot: Snapshot, missing: set[str]) -> None:
    """Law 3: a name that the response holds in any form, read, known or unreadable, is not missing from it."""
    assert diff.not_present(["a", "b", "c"], snapshot) == missing


@pytest.mark.parametrize(("names", "proves"), [((), True), (("b",), True), ((None,), False), (("b", None), False)])
def test_a_row_without_a_name_proves_no_absence(names: tuple[str | None, ...], proves: bool) -> None:
    """Law 3: a rejected row whose name could not be read may be any model."""
    assert response(listing("a"), unread=names).proves_absence is proves


def test_a_duplicate_that_was_superseded_is_not_unread() -> None:
    """Law 3: a rejected row of a name that another row lists legibly leaves that model plain."""
    assert response(listing("a"), unread=["a", "b"]).unread == {"b"}
