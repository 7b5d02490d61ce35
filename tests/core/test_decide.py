"""decide.decide: every rule on both sides of its limit, and how findings and rules share the models of one look."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from syncer.core import decide
from syncer.core.decide import ABOUT_REMOVALS, EVERYTHING, Decision, Finding, FindingKind, Mark, Policy
from syncer.core.model import TRACKED, Kind, Listing, StoredModel
from syncer.core.observation import PastObservations
from syncer.core.rules import unit_factor
from tests.core.build import LAST, NOW, ago, known, listing, many, response, seen

POLICY = Policy()
AT_ONCE = Policy(removal_confirmations=1, removal_after=timedelta(0))
OPENED = ago(days=1)
BEFORE_OPENED = ago(days=2)


def finding(kind: FindingKind, evidence: dict[str, Any], state: str = "open") -> Finding:
    """A finding that an earlier look opened."""
    return Finding(id=7, kind=kind, evidence=evidence, opened_at=OPENED, state=state)


def price(value: object) -> dict[str, Decimal | None]:
    """What a finding withholds of a repriced model."""
    return {"price": None if value is None else Decimal(str(value))}


def held(name: str, believed: object = 1, **more: Any) -> StoredModel:
    """A model in a finding: the look before OPENED was the last to show what is believed."""
    return known(name, believed, **{"last_seen_at": BEFORE_OPENED, **more})


def missing(name: str, believed: object = 1, *, since: datetime = OPENED, looks: int = 1) -> StoredModel:
    """A model that earlier looks missed."""
    return known(name, believed, missing_since=since, missing_count=looks, last_seen_at=since - timedelta(hours=1))


def moved(decision: Decision) -> dict[str, Kind]:
    """What is believed, by model."""
    return {change.listing.name: change.kind for change in decision.believed}


def doubted(decision: Decision) -> dict[FindingKind, set[str]]:
    """What this look found doubtful, by kind."""
    kinds: dict[FindingKind, set[str]] = {}
    for opened in decision.opened:
        kinds.setdefault(opened.kind, set()).update(opened.evidence)
    return kinds


def names(models: Iterable[StoredModel]) -> set[str]:
    """Their names."""
    return {model.listing.name for model in models}


# -- removals: the limits ----------------------------------------------------------------------------------------------


def lose(count: int, total: int, policy: Policy = POLICY) -> Decision:
    """A response that lacks the first `count` of `total` models."""
    catalog = many(total)
    return decide.decide(seen(catalog, response(same=catalog[count:])), policy)


@pytest.mark.parametrize(
    ("count", "total", "withheld"),
    [
        (10, 90, False),
        (11, 110, False),
        (11, 109, True),
        (2, 4, False),
        (3, 4, True),
        (2, 3, False),
        (5, 10, False),
        (6, 10, True),
        (1, 1, True),
        (3, 3, True),
    ],
    ids=[
        "10 of 90: not more than 10",
        "11 of 110: not more than 10 %",
        "11 of 109: more than both",
        "half of 4",
        "more than half of 4",
        "3 are no catalog to halve",
        "half of 10",
        "more than half of 10",
        "an empty list, of 1",
        "an empty list, of 3",
    ],
)
def test_removal_limit(count: int, total: int, *, withheld: bool) -> None:
    """More than 10 and more than 10 %, or more than half of at least 4, or an empty list, are withheld and hold."""
    decision = lose(count, total, AT_ONCE)
    assert (decision.outcome == "held") is withheld
    assert doubted(decision) == ({FindingKind.REMOVALS: names(many(count))} if withheld else {})
    assert moved(decision) == ({} if withheld else dict.fromkeys(names(many(count)), Kind.REMOVED))


def test_the_removal_limit_is_a_setting() -> None:
    """removal_limit_count and removal_limit_percent say how many are too many; both must be exceeded."""
    strict = Policy(removal_limit_count=1, removal_limit_percent=1.5)
    assert lose(2, 100, strict).outcome == "held"
    assert lose(1, 20, strict).outcome == "unchanged"
    assert lose(3, 200, strict).outcome == "unchanged"  # exactly 1.5 %


def test_everything_else_of_a_held_run_applies() -> None:
    """Withheld removals stop neither an addition nor a repricing of the same response."""
    catalog = many(12)
    kept = catalog[11].listing.name
    snapshot = response(listing(kept, 2), listing("new"))
    decision = decide.decide(seen(catalog, snapshot), POLICY)
    assert decision.outcome == "held"
    assert moved(decision) == {kept: Kind.REPRICED, "new": Kind.ADDED}
    assert decision.withheld == 11


def test_limits_count_only_models_in_no_finding() -> None:
    """Ten that go while 58 others are held are ten; eleven are a new finding of their own."""
    catalog = [missing(f"m{number:02}") for number in range(58)] + many(70, start=58)
    before = finding(FindingKind.REMOVALS, dict.fromkeys(names(catalog[:58])))
    ten = decide.decide(seen(catalog, response(same=catalog[68:]), findings=[before]), POLICY)
    assert (ten.still_open, doubted(ten)) == ((7,), {})
    eleven = decide.decide(seen(catalog, response(same=catalog[69:]), findings=[before]), POLICY)
    assert (eleven.still_open, doubted(eleven)) == ((7,), {FindingKind.REMOVALS: names(catalog[58:69])})


# -- removals: confirmation --------------------------------------------------------------------------------------------


def absent(model: StoredModel, policy: Policy = POLICY, *, new_credential: bool = False) -> Decision:
    """A look that misses one model of ten."""
    rest = many(9)
    return decide.decide(seen([*rest, model], response(same=rest), new_credential=new_credential), policy)


def test_one_look_confirms_no_removal() -> None:
    """The first miss only marks the model; the view shows it, and the next look must be read."""
    decision = absent(known("m"))
    assert moved(decision) == {}
    assert decision.marks == {"m": Mark(missing_since=NOW, missing_count=1, last_seen_at=LAST)}
    assert (decision.outcome, decision.pending) == ("unchanged", True)


@pytest.mark.parametrize(
    ("since", "looks", "removed"),
    [
        (ago(hours=6), 1, True),
        (ago(hours=6) + timedelta(microseconds=1), 1, False),
        (ago(hours=6), 0, False),
        (ago(days=9), 1, True),
        (ago(hours=1), 9, False),
    ],
    ids=["the second, 6 h after", "a tick too early", "only the first look", "long after", "many looks, too soon"],
)
def test_confirmation_takes_looks_and_time(since: datetime, looks: int, *, removed: bool) -> None:
    """A removal takes removal_confirmations good looks in a row, the last removal_after the first or later."""
    decision = absent(missing("m", since=since, looks=looks))
    assert ("m" in moved(decision)) is removed
    assert decision.pending is not removed


def test_a_confirmed_removal_is_effective_at_the_first_miss() -> None:
    """Law 6: a removal's effective_at is the first miss, its changed_after the last time it was really seen."""
    (change,) = absent(missing("m", since=OPENED)).believed
    assert (change.changed_after, change.effective_at) == (OPENED - timedelta(hours=1), OPENED)


def test_confirmations_of_one_and_no_wait_remove_at_once() -> None:
    """1 and 0s believe the first miss; its window is that of the look."""
    (change,) = absent(known("m"), AT_ONCE).believed
    assert (change.kind, change.changed_after, change.effective_at) == (Kind.REMOVED, LAST, NOW)


def test_a_return_costs_nothing() -> None:
    """A model that was missing and is back as it was leaves no change, and its mark is wiped."""
    model = missing("m")
    decision = decide.decide(seen([model], response(same=[model])), POLICY)
    assert (decision.believed, decision.marks, decision.pending) == ((), {"m": Mark()}, False)


def test_a_look_that_proves_no_absence_neither_counts_nor_resets() -> None:
    """Law 3: with a row whose name cannot be read, a missing model keeps its count and its first miss."""
    model, rest = missing("m", looks=1), many(9)
    decision = decide.decide(seen([model, *rest], response(same=rest, unread=[None])), AT_ONCE)
    assert moved(decision) == {}
    assert decision.marks["m"] == Mark(missing_since=OPENED, missing_count=1, last_seen_at=model.last_seen_at)


def test_a_look_that_holds_a_missing_model_unreadably_resets() -> None:
    """Law 3: unreadable is present: the misses in a row begin anew, the last plain sight does not."""
    model, rest = missing("m", looks=1), many(19)
    decision = decide.decide(seen([model, *rest], response(same=rest, unread=["m"])), AT_ONCE)
    assert moved(decision) == {}
    assert decision.marks["m"] == Mark(last_seen_at=model.last_seen_at)


@pytest.mark.parametrize(
    ("model", "new_credential", "removed"),
    [
        (known("m"), False, True),
        (known("m"), True, False),
        (missing("m", looks=1), True, True),
        (missing("m", looks=1), False, True),
    ],
    ids=["the same key", "another key", "another key each time, second look", "then the same key"],
)
def test_another_key_confirms_no_absence_by_itself(model: StoredModel, *, new_credential: bool, removed: bool) -> None:
    """Where one look is enough, the first under another key is not, but any second one is (tokens change daily)."""
    assert ("m" in moved(absent(model, AT_ONCE, new_credential=new_credential))) is removed


def test_another_key_adds_no_look_to_two() -> None:
    """With two confirmations a new key at each look still removes at the second."""
    assert "m" in moved(absent(missing("m", looks=1), POLICY, new_credential=True))


# -- removals: findings ------------------------------------------------------------------------------------------------


def test_a_model_in_a_finding_is_never_confirmed() -> None:
    """No other rule speaks for a model in an open finding: its absence is not confirmed, however long it lasts."""
    gone, rest = [missing(f"m{number:02}", looks=99) for number in range(6)], many(4, start=6)
    before = finding(FindingKind.REMOVALS, dict.fromkeys(names(gone)))
    decision = decide.decide(seen([*gone, *rest], response(same=rest), findings=[before]), POLICY)
    assert (moved(decision), decision.outcome, decision.still_open, decision.doubts) == ({}, "held", (7,), ())


def test_taken_back_removals_leave_no_change() -> None:
    """A finding that upstream takes back is withdrawn, and leaves no change rows."""
    gone = [missing(f"m{number:02}") for number in range(6)]
    before = finding(FindingKind.REMOVALS, dict.fromkeys(names(gone)))
    decision = decide.decide(seen(gone, response(same=gone), findings=[before]), POLICY)
    assert (decision.settled, decision.believed, decision.outcome) == ({7: "withdrawn"}, (), "unchanged")


def test_approved_removals_are_effective_since_their_first_miss() -> None:
    """Approval believes the absence since the look that first showed it; what is back by then stays."""
    gone, rest = [missing(f"m{number:02}") for number in range(6)], many(4, start=6)
    before = finding(FindingKind.REMOVALS, dict.fromkeys(names(gone)))
    snapshot = response(same=[gone[0], *rest])
    decision = decide.decide(seen([*gone, *rest], snapshot, findings=[before]), POLICY, {FindingKind.REMOVALS})
    assert moved(decision) == dict.fromkeys(names(gone[1:]), Kind.REMOVED)
    assert {change.effective_at for change in decision.believed} == {OPENED}
    assert (decision.settled, decision.outcome) == ({7: "approved"}, "changed")


def test_approval_is_a_ceiling_for_removals() -> None:
    """What went missing only after the finding was shown is not removed by its approval."""
    gone, rest = [missing(f"m{number:02}") for number in range(6)], many(4, start=6)
    before = finding(FindingKind.REMOVALS, dict.fromkeys(names(gone)))
    decision = decide.decide(seen([*gone, *rest], response(same=rest[1:]), findings=[before]), POLICY, EVERYTHING)
    assert "m06" not in moved(decision)
    assert decision.marks["m06"].missing_count == 1


def test_approval_of_an_absence_that_this_look_cannot_prove_waits() -> None:
    """Law 3: under a row without a readable name, even an approved removal stays held, since its first look."""
    gone, rest = [missing(f"m{number:02}") for number in range(6)], many(14, start=6)
    before = finding(FindingKind.REMOVALS, dict.fromkeys(names(gone)))
    snapshot = response(same=rest, unread=[None])
    decision = decide.decide(seen([*gone, *rest], snapshot, findings=[before]), POLICY, EVERYTHING)
    assert moved(decision) == {}
    assert [(opened.kind, opened.opened_at) for opened in decision.opened] == [(FindingKind.REMOVALS, OPENED)]


def test_rejected_removals_stay_quiet_and_listed() -> None:
    """After a no the models stay listed and nobody is asked, while upstream goes on leaving them out."""
    gone, rest = [missing(f"m{number:02}", looks=9) for number in range(6)], many(4, start=6)
    before = finding(FindingKind.REMOVALS, dict.fromkeys(names(gone)), "rejected")
    decision = decide.decide(seen([*gone, *rest], response(same=rest), findings=[before]), POLICY)
    assert (moved(decision), decision.outcome, decision.still_open, decision.pending) == ({}, "unchanged", (7,), True)


def test_a_rejection_lapses_model_by_model() -> None:
    """A model that came back is let go of a rejected finding: the next time it goes, it is asked about anew."""
    gone, rest = [missing(f"m{number:02}", looks=9) for number in range(6)], many(4, start=6)
    before = finding(FindingKind.REMOVALS, dict.fromkeys(names(gone)), "rejected")
    decision = decide.decide(seen([*gone, *rest], response(same=[gone[0], *rest]), findings=[before]), POLICY)
    assert decision.trimmed == {7: dict.fromkeys(names(gone[1:]))}
    back = finding(FindingKind.REMOVALS, dict.fromkeys(names(gone[1:])), "rejected")
    again = decide.decide(seen([known("m00"), *gone[1:], *rest], response(same=rest), findings=[back]), AT_ONCE)
    assert moved(again) == {"m00": Kind.REMOVED}


# -- required ----------------------------------------------------------------------------------------------------------

NEEDED = Policy(required=("needed",))


@pytest.mark.parametrize("before", [[known("needed")], []], ids=["known", "never seen"])
def test_a_required_model_must_be_present(before: list[StoredModel]) -> None:
    """A required name that a response lacks holds the run at once, whether it was ever listed or not."""
    rest = many(9)
    decision = decide.decide(seen([*before, *rest], response(same=rest)), NEEDED)
    assert (decision.outcome, doubted(decision)) == ("held", {FindingKind.REQUIRED: {"needed"}})
    assert decision.reasons == ("required and missing: needed",)


def test_an_unreadable_required_model_is_present() -> None:
    """Law 3: a required model that cannot be read is not missing; nor is it in a response that proves no absence."""
    rest = many(19)
    for names_unread in (["needed"], [None]):
        snapshot = response(same=rest, unread=names_unread)
        assert decide.decide(seen([known("needed"), *rest], snapshot), NEEDED).outcome == "unchanged"
        assert decide.decide(seen(rest, snapshot), NEEDED).outcome == "unchanged"


def test_a_required_model_is_removed_by_approval_only() -> None:
    """It stays listed however long it is missing; an approval removes it, and then nobody is asked again."""
    model, rest = missing("needed", looks=9), many(9)
    before = finding(FindingKind.REQUIRED, {"needed": None})
    waiting = decide.decide(seen([model, *rest], response(same=rest), findings=[before]), NEEDED)
    assert (moved(waiting), waiting.outcome) == ({}, "held")
    approved = decide.decide(seen([model, *rest], response(same=rest), findings=[before]), NEEDED, ABOUT_REMOVALS)
    assert (moved(approved), approved.outcome, approved.opened) == ({"needed": Kind.REMOVED}, "changed", ())
    after = decide.decide(seen([known("needed", listed=False), *rest], response(same=rest)), NEEDED)
    assert after.outcome == "unchanged"


def test_a_yes_to_a_model_that_was_never_there_is_not_asked_again() -> None:
    """Approving the absence of a name that was never listed settles it, in that look and in the next ones."""
    rest = many(9)
    before = finding(FindingKind.REQUIRED, {"needed": None})
    now = decide.decide(seen(rest, response(same=rest), findings=[before]), NEEDED, EVERYTHING)
    assert (now.outcome, now.settled, now.opened) == ("unchanged", {7: "approved"}, ())
    settled = finding(FindingKind.REQUIRED, {"needed": None}, "approved")
    then = decide.decide(seen(rest, response(same=rest), findings=[settled]), NEEDED)
    assert (then.outcome, then.still_open) == ("unchanged", (7,))


def test_a_name_that_is_required_no_more_is_judged_like_any_other() -> None:
    """Taking a name out of the setting withdraws its finding; its absence is then confirmed by the common rule."""
    model, rest = missing("needed", looks=1), many(9)
    before = finding(FindingKind.REQUIRED, {"needed": None})
    decision = decide.decide(seen([model, *rest], response(same=rest), findings=[before]), POLICY)
    assert (decision.settled, moved(decision)) == ({7: "withdrawn"}, {"needed": Kind.REMOVED})


# -- units -------------------------------------------------------------------------------------------------------------


def reprice(models: Iterable[StoredModel], factor: object) -> list[Listing]:
    """The listings of these models with each price moved by one factor."""
    return [listing(model.listing.name, (model.listing.price or Decimal(0)) * Decimal(str(factor))) for model in models]


@pytest.mark.parametrize(
    "factor",
    [10, 100, 1000, 10**6, 10**9, 60, 3600, 1024, "0.1", "0.001", "1e-6", *(Decimal(1) / n for n in (60, 3600))],
)
def test_a_unit_mistake_is_one_finding(factor: object) -> None:
    """Five models moved by one power of ten, 60, 3600, 1024 or an inverse are withheld together, as one question."""
    catalog = many(5, "0.6")
    decision = decide.decide(seen(catalog, response(*reprice(catalog, factor))), POLICY)
    assert (moved(decision), doubted(decision)) == ({}, {FindingKind.UNIT_CHANGE: names(catalog)})
    assert len(decision.reasons) == 1


@pytest.mark.parametrize(
    ("factor", "words"), [(1000, "multiplied by 1000"), ("0.001", "divided by 1000"), (60, "multiplied by 60")]
)
def test_a_unit_mistake_in_words(factor: object, words: str) -> None:
    """The finding says what the prices look like."""
    catalog = many(5)
    decision = decide.decide(seen(catalog, response(*reprice(catalog, factor))), POLICY)
    assert decision.doubts == (f"the prices of 5 models look {words}",)


@pytest.mark.parametrize("factor", ["0.9", "1.1", 2, 7, 50])
def test_a_uniform_discount_is_an_ordinary_repricing(factor: object) -> None:
    """A common factor that no unit mistake makes passes, however many models it moves."""
    catalog = many(40)
    decision = decide.decide(seen(catalog, response(*reprice(catalog, factor))), POLICY)
    assert (decision.outcome, len(decision.believed)) == ("changed", 40)


@pytest.mark.parametrize(
    ("alike", "otherwise", "withheld"), [(4, 0, False), (5, 0, True), (5, 4, True), (5, 5, False), (6, 5, True)]
)
def test_a_unit_mistake_takes_five_and_the_majority(alike: int, otherwise: int, *, withheld: bool) -> None:
    """At least 5 models, and more than half of those repriced; the others are ordinary repricings."""
    by_ten, by_two = many(alike), many(otherwise, start=alike)
    decision = decide.decide(seen([*by_ten, *by_two], response(*reprice(by_ten, 10), *reprice(by_two, 2))), POLICY)
    assert doubted(decision) == ({FindingKind.UNIT_CHANGE: names(by_ten)} if withheld else {})
    assert moved(decision).keys() == names(by_two) | (set() if withheld else names(by_ten))


@pytest.mark.parametrize(
    ("old", "new", "factor"),
    [
        ("0.1", "0.001667", 1 / Decimal(60)),
        ("1", "1001", 1000),
        ("1", "1002", None),
        ("1", "1024", 1024),
        (None, "1", None),
        ("0", "1", None),
        ("-1", "-10", None),
        ("1", None, None),
    ],
)
def test_what_counts_as_a_factor(old: str | None, new: str | None, factor: object) -> None:
    """A factor is met within a thousandth, as upstream rounds; from or to unknown, 0 or a negative there is none."""
    assert unit_factor(*(None if text is None else Decimal(text) for text in (old, new))) == factor


def test_a_withheld_price_keeps_the_whole_listing() -> None:
    """A model with a withheld price keeps its whole last listing, and says when it was last plain."""
    catalog = many(5)
    now = [listing(model.listing.name, 1000, alias="new") for model in catalog]
    decision = decide.decide(seen(catalog, response(*now)), POLICY)
    assert (decision.believed, decision.refreshed, decision.withheld) == ((), (), 5)
    assert decision.marks == dict.fromkeys(names(catalog), Mark(last_seen_at=LAST))


UNIT = finding(FindingKind.UNIT_CHANGE, {f"m{number:02}": price(1000) for number in range(5)})
FIVE = [held(f"m{number:02}") for number in range(5)]


def test_an_open_unit_change_waits_for_an_answer() -> None:
    """Without an answer the finding stays, and no look makes a second one of it."""
    decision = decide.decide(seen(FIVE, response(*reprice(FIVE, 1000)), findings=[UNIT]), POLICY)
    assert (decision.believed, decision.still_open, decision.opened, decision.outcome) == ((), (7,), (), "held")
    assert decision.marks["m00"] == Mark(last_seen_at=BEFORE_OPENED)


def test_an_approved_unit_change_is_effective_since_its_first_look() -> None:
    """Law 6: what is believed late is effective at its first look, after the last look that showed the old price."""
    decision = decide.decide(seen(FIVE, response(*reprice(FIVE, 1000)), findings=[UNIT]), POLICY, EVERYTHING)
    assert moved(decision) == dict.fromkeys(names(FIVE), Kind.REPRICED)
    windows = {(change.changed_after, change.effective_at) for change in decision.believed}
    assert (windows, decision.outcome) == ({(BEFORE_OPENED, OPENED)}, "changed")


def test_approval_is_a_ceiling_for_prices() -> None:
    """A model that shows a third value when the finding is approved is held again, with the new value."""
    now = [listing("m00", 2), *reprice(FIVE[1:], 1000)]
    decision = decide.decide(seen(FIVE, response(*now), findings=[UNIT]), POLICY, EVERYTHING)
    assert moved(decision).keys() == names(FIVE[1:])
    assert [(opened.evidence, opened.opened_at) for opened in decision.opened] == [({"m00": price(2)}, NOW)]
    assert (decision.settled, decision.outcome) == ({7: "approved"}, "held")


def test_approval_of_what_cannot_be_read_now_keeps_its_first_look() -> None:
    """Law 3: a model that is unreadable when its finding is approved stays held, since the finding's first look."""
    now = response(*reprice(FIVE[1:], 1000), *many(9, start=50), unread=["m00"])
    decision = decide.decide(seen([*FIVE, *many(9, start=50)], now, findings=[UNIT]), POLICY, EVERYTHING)
    assert [(opened.evidence, opened.opened_at) for opened in decision.opened] == [({"m00": price(1000)}, OPENED)]


def test_a_third_price_stays_in_its_open_finding() -> None:
    """A model stays in its finding until that is settled: another price, even a plausible one, is not believed."""
    now = [listing("m00", 2), *reprice(FIVE[1:], 1000)]
    decision = decide.decide(seen(FIVE, response(*now), findings=[UNIT]), POLICY)
    assert (decision.believed, decision.opened, decision.withheld) == ((), (), 5)


def test_a_taken_back_price_leaves_no_change() -> None:
    """A model whose old price is back is let go while the others stay; when all are back the finding is withdrawn."""
    some = decide.decide(
        seen(FIVE, response(*FIVE[:2], *reprice(FIVE[2:], 1000)), findings=[UNIT]),
        POLICY,
    )
    assert (some.believed, some.withheld, some.still_open) == ((), 3, (7,))
    none = decide.decide(seen(FIVE, response(same=FIVE), findings=[UNIT]), POLICY)
    assert (none.believed, none.settled, none.outcome) == ((), {7: "withdrawn"}, "unchanged")


def test_a_held_model_that_goes_missing_stays_while_others_uphold_its_finding() -> None:
    """No removal rule speaks for a model of an open finding; when the rest is settled its absence is judged."""
    gone = held("m00", missing_since=ago(hours=20), missing_count=9)
    catalog = [gone, *FIVE[1:], *many(9, start=50)]
    others = many(9, start=50)
    waiting = decide.decide(seen(catalog, response(*others, *reprice(FIVE[1:], 1000)), findings=[UNIT]), POLICY)
    assert (waiting.believed, waiting.withheld) == ((), 5)
    approved = decide.decide(
        seen(catalog, response(*others, *reprice(FIVE[1:], 1000)), findings=[UNIT]), POLICY, EVERYTHING
    )
    assert moved(approved) == {"m00": Kind.REMOVED, **dict.fromkeys(names(FIVE[1:]), Kind.REPRICED)}
    first_miss = [held("m00"), *catalog[1:]]
    approved = decide.decide(
        seen(first_miss, response(*others, *reprice(FIVE[1:], 1000)), findings=[UNIT]), POLICY, EVERYTHING
    )
    assert "m00" not in moved(approved)


def test_a_finding_of_which_nothing_is_listed_any_more_is_withdrawn() -> None:
    """When every model of a price finding has gone, upstream says that price of none: their absence is judged."""
    others = many(20, start=50)
    decision = decide.decide(seen([*FIVE, *others], response(same=others), findings=[UNIT]), POLICY)
    assert decision.settled == {7: "withdrawn"}
    assert decision.marks["m00"].missing_count == 1


def test_rejected_prices_stay_quiet_while_upstream_repeats_them() -> None:
    """After a no the old prices stand without a question; another price is judged on its own merits."""
    no = finding(FindingKind.UNIT_CHANGE, dict(UNIT.evidence), "rejected")
    same = decide.decide(seen(FIVE, response(*reprice(FIVE, 1000)), findings=[no]), POLICY)
    assert (same.believed, same.outcome, same.still_open, same.trimmed) == ((), "unchanged", (7,), {})
    now = [listing("m00", 2), *reprice(FIVE[1:], 1000)]
    other = decide.decide(seen(FIVE, response(*now), findings=[no]), POLICY)
    assert moved(other) == {"m00": Kind.REPRICED}
    assert other.trimmed == {7: {name: price(1000) for name in sorted(names(FIVE[1:]))}}


def test_a_rejected_price_of_a_vanished_model_lapses() -> None:
    """A no to a price does not keep a model that upstream no longer lists at all."""
    no, rest = finding(FindingKind.IMPLAUSIBLE_PRICE, {"m": price(1000)}, "rejected"), many(9)
    decision = decide.decide(seen([missing("m", looks=1), *rest], response(same=rest), findings=[no]), POLICY)
    assert (moved(decision), decision.still_open) == ({"m": Kind.REMOVED}, ())


# -- one implausible price ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "withheld"),
    [
        (1, 100, False),
        (1, "100.01", True),
        (100, 1, False),
        ("100.01", 1, True),
        (0, 10**6, False),
        (10**6, 0, False),
        (None, 10**6, False),
        (10**6, None, False),
        (-1, 10**6, False),
        (10**6, -1, False),
    ],
)
def test_the_limit_of_one_step(old: object, new: object, *, withheld: bool) -> None:
    """Beyond a factor of 100, up or down, one price waits; from or to 0, unknown or a negative it passes."""
    decision = decide.decide(seen([known("m", old)], response(listing("m", new))), POLICY)
    assert doubted(decision) == ({FindingKind.IMPLAUSIBLE_PRICE: {"m"}} if withheld else {})
    assert moved(decision) == ({} if withheld else {"m": Kind.REPRICED})


def test_the_limit_of_one_step_is_a_setting() -> None:
    """price_factor_limit says how far one price may move in one step."""
    view = seen([known("m", 1)], response(listing("m", 3)))
    assert decide.decide(view, Policy(price_factor_limit=3)).outcome == "changed"
    assert decide.decide(view, Policy(price_factor_limit=2.9)).outcome == "held"


SINGLE = finding(FindingKind.IMPLAUSIBLE_PRICE, {"m": price(500)})


def test_an_implausible_price_seen_again_is_believed() -> None:
    """The next good look that shows it again settles it; it is effective since the first (law 6)."""
    decision = decide.decide(seen([held("m")], response(listing("m", 500)), findings=[SINGLE]), POLICY)
    (change,) = decision.believed
    assert (change.changed_after, change.effective_at) == (BEFORE_OPENED, OPENED)
    assert (decision.settled, decision.outcome, decision.opened) == ({7: "approved"}, "changed", ())


def test_a_third_implausible_price_is_judged_afresh() -> None:
    """Another value withdraws the doubt about the first; it waits if it is implausible too, else it is believed."""
    far = decide.decide(seen([held("m")], response(listing("m", 900)), findings=[SINGLE]), POLICY)
    assert (far.settled, doubted(far)) == ({7: "withdrawn"}, {FindingKind.IMPLAUSIBLE_PRICE: {"m"}})
    near = decide.decide(seen([held("m")], response(listing("m", 2)), findings=[SINGLE]), POLICY)
    (change,) = near.believed
    assert (near.settled, change.changed_after, change.effective_at) == ({7: "withdrawn"}, BEFORE_OPENED, NOW)


def test_an_unreadable_look_is_not_the_second_one() -> None:
    """Law 3: a look that cannot read the model neither confirms its price nor takes it back."""
    rest = many(20)
    for unread in (["m"], [None]):
        snapshot = response(same=rest, unread=unread)
        decision = decide.decide(seen([held("m"), *rest], snapshot, findings=[SINGLE]), POLICY)
        assert (decision.believed, decision.still_open, decision.settled) == ((), (7,), {})


def test_a_relisting_at_an_implausible_price_waits_too() -> None:
    """A model back at 500 times its last price is withheld as a whole, then relisted since its first look."""
    gone = known("m", 1, listed=False, missing_since=ago(days=5), last_seen_at=ago(days=6))
    rest = many(4)
    first = decide.decide(seen([gone, *rest], response(listing("m", 500), same=rest)), POLICY)
    assert (moved(first), doubted(first)) == ({}, {FindingKind.IMPLAUSIBLE_PRICE: {"m"}})
    again = decide.decide(seen([gone, *rest], response(listing("m", 500), same=rest), findings=[SINGLE]), POLICY)
    (change,) = again.believed
    assert (change.kind, change.changed_after, change.effective_at) == (Kind.RELISTED, ago(days=5), OPENED)
    vanished = decide.decide(seen([gone, *rest], response(same=rest), findings=[SINGLE]), POLICY)
    assert (vanished.settled, vanished.believed, vanished.marks) == ({7: "withdrawn"}, (), {})


# -- prices gone -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "total", "withheld"), [(10, 20, False), (11, 110, False), (11, 109, True), (20, 20, True)]
)
@pytest.mark.parametrize("to", [None, 0], ids=["unknown", "0"])
def test_prices_gone(count: int, total: int, to: object, *, withheld: bool) -> None:
    """More than 10 and more than 10 % of the priced models that turn unknown or 0 at once are one finding."""
    catalog = many(total)
    gone = [listing(model.listing.name, to) for model in catalog[:count]]
    decision = decide.decide(seen(catalog, response(*gone, same=catalog[count:])), POLICY)
    assert doubted(decision) == ({FindingKind.PRICES_GONE: names(catalog[:count])} if withheld else {})
    assert len(decision.believed) == (0 if withheld else count)


def test_only_positive_prices_can_go() -> None:
    """Models that were free, unknown or negative are neither counted as gone nor among the priced."""
    free, priced = many(300, 0), many(100, start=300)
    gone = [listing(model.listing.name, None) for model in free[:50]]
    assert (
        decide.decide(seen([*free, *priced], response(*gone, same=[*free[50:], *priced])), POLICY).outcome == "changed"
    )
    gone = [listing(model.listing.name, None) for model in priced[:11]]
    assert decide.decide(seen([*free, *priced], response(*gone, same=[*free, *priced[11:]])), POLICY).outcome == "held"


# -- shape -------------------------------------------------------------------------------------------------------------


def without(model: StoredModel, *fields: str, **more: Any) -> Listing:
    """The model's listing, from an element that lacks these keys."""
    keys = frozenset(TRACKED) - set(fields)
    values = {"alias": model.listing.alias, **dict.fromkeys(fields), **more}
    return listing(model.listing.name, values.pop("price", model.listing.price), fields=keys, **values)


def test_a_field_that_is_in_no_row_is_not_read() -> None:
    """Known values of a lost field stay, the run is held, and the rest of each listing applies."""
    catalog = [known("a", 5, alias="A"), known("b", 6, alias="B")]
    now = [without(catalog[0], "price"), without(catalog[1], "price", alias="B2")]
    decision = decide.decide(seen(catalog, response(*now)), POLICY)
    assert (moved(decision), doubted(decision)) == ({"b": Kind.UPDATED}, {FindingKind.SHAPE: {"price"}})
    (change,) = decision.believed
    assert (change.listing.price, change.listing.alias, change.listing.digest) == (Decimal(6), "B2", b"")
    assert decision.doubts == ("no listed model has the field price any more",)
    assert (decision.withheld, decision.pending, decision.refreshed) == (2, True, ())
    assert decision.marks["a"] == Mark(last_seen_at=LAST)


def test_a_field_that_one_row_still_has_is_read() -> None:
    """One element with the key, even in bytes known already, makes the others' lack of it a value: unknown."""
    catalog = [known("a", 5), known("b", 6)]
    decision = decide.decide(seen(catalog, response(without(catalog[0], "price"), same=catalog[1:])), POLICY)
    assert moved(decision) == {"a": Kind.REPRICED}


def test_a_field_that_no_known_listing_has_cannot_be_lost() -> None:
    """A key that upstream drops although all its values were null takes nothing away."""
    catalog = [known("a", 5)]
    assert decide.decide(seen(catalog, response(without(catalog[0], "alias"))), POLICY).outcome == "unchanged"


def lost(*fields: str, state: str = "open") -> Finding:
    """A finding about lost fields."""
    return finding(FindingKind.SHAPE, dict.fromkeys(fields), state)


def test_a_lost_field_is_asked_about_once() -> None:
    """An open question stands without a second one; another field lost later is a new finding of that field."""
    model = held("a", 5, alias="A")
    same = decide.decide(seen([model], response(without(model, "price")), findings=[lost("price")]), POLICY)
    assert (same.opened, same.still_open, same.outcome) == ((), (7,), "held")
    more = decide.decide(seen([model], response(without(model, "price", "alias")), findings=[lost("price")]), POLICY)
    assert (doubted(more), more.still_open) == ({FindingKind.SHAPE: {"alias"}}, (7,))


def test_a_field_that_is_back_withdraws_the_question() -> None:
    """When the field returns, its finding is withdrawn and only what really moved is believed."""
    model = held("a", 5)
    decision = decide.decide(seen([model], response(model), findings=[lost("price")]), POLICY)
    assert (decision.settled, decision.believed, decision.marks) == ({7: "withdrawn"}, (), {"a": Mark()})


def test_a_yes_to_a_lost_field_makes_it_unknown() -> None:
    """An approval believes the loss since its first look, and neither the prices' rules nor a new question undo it."""
    catalog = [held(f"m{number:02}", 5) for number in range(20)]
    now = response(*(without(model, "price") for model in catalog))
    decision = decide.decide(seen(catalog, now, findings=[lost("price")]), POLICY, EVERYTHING)
    assert moved(decision) == dict.fromkeys(names(catalog), Kind.REPRICED)
    windows = {(change.changed_after, change.effective_at) for change in decision.believed}
    assert (windows, decision.settled, decision.opened) == ({(BEFORE_OPENED, OPENED)}, {7: "approved"}, ())


def test_a_model_that_moved_while_a_field_was_lost_keeps_its_order() -> None:
    """Law 6: belief in a loss is never effective before a later change of the same model."""
    model = known("a", 5)  # plain since: an update was believed after OPENED
    decision = decide.decide(
        seen([model], response(without(model, "price")), findings=[lost("price")]), POLICY, EVERYTHING
    )
    (change,) = decision.believed
    assert (change.changed_after, change.effective_at) == (LAST, NOW)


def test_a_no_to_a_lost_field_keeps_its_values_quietly() -> None:
    """After a no the known values stay without a question while the field is missing."""
    model = held("a", 5)
    no = lost("price", state="rejected")
    decision = decide.decide(seen([model], response(without(model, "price")), findings=[no]), POLICY)
    assert (decision.believed, decision.outcome, decision.still_open, decision.pending) == ((), "unchanged", (7,), True)
    yes_to_others = decide.decide(seen([model], response(without(model, "price")), findings=[no]), POLICY, EVERYTHING)
    assert yes_to_others.believed == ()


@pytest.mark.parametrize("others", [[], [known("other", 5)]], ids=["alone", "beside a listed one"])
def test_a_model_that_returns_without_a_lost_field_has_no_known_value(others: list[StoredModel]) -> None:
    """Values are kept for models that stayed listed; what was removed returns with what upstream says: unknown."""
    back = known("back", 5, listed=False, missing_since=OPENED)
    now = response(*(without(model, "price") for model in [back, *others]))
    decision = decide.decide(seen([back, *others], now), POLICY)
    (change,) = decision.believed
    assert (change.kind, change.listing.price) == (Kind.RELISTED, None)
    assert doubted(decision) == ({FindingKind.SHAPE: {"price"}} if others else {})


def test_a_lost_field_does_not_settle_a_doubt_about_it() -> None:
    """While no row has a price, upstream neither repeats nor takes back a withheld one."""
    catalog = [held("m", 1), known("other", 1)]
    now = response(*(without(model, "price") for model in catalog))
    decision = decide.decide(seen(catalog, now, findings=[SINGLE]), POLICY)
    assert (decision.settled, decision.still_open, decision.believed) == ({}, (7,), ())


# -- rejected rows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rejected", "legible", "holds"), [(1, 9, False), (2, 17, True), (10, 90, False)])
def test_many_unreadable_rows_hold_the_run(rejected: int, legible: int, *, holds: bool) -> None:
    """More than a tenth of rejected rows hold the run, while all that can be read applies."""
    snapshot = response(*many(legible), unread=[f"x{number}" for number in range(rejected)])
    decision = decide.decide(seen([], snapshot), POLICY)
    assert (FindingKind.REJECTED_ROWS in doubted(decision)) is holds
    assert (decision.outcome == "held") is holds
    assert len(decision.believed) == legible


@pytest.mark.parametrize("state", ["open", "approved", "rejected"])
def test_unreadable_rows_are_asked_about_once(state: str) -> None:
    """The question is not repeated while the rows stay unreadable, and an answer, yes or no, silences it."""
    before = finding(FindingKind.REJECTED_ROWS, {}, state)
    decision = decide.decide(seen([], response(listing("a"), unread=["x"]), findings=[before]), POLICY)
    assert (decision.opened, decision.still_open) == ((), (7,))
    assert decision.outcome == ("held" if state == "open" else "changed")


def test_readable_again() -> None:
    """When the rows can be read again the question is withdrawn."""
    before = finding(FindingKind.REJECTED_ROWS, {})
    decision = decide.decide(seen([], response(listing("a")), findings=[before]), POLICY)
    assert (decision.settled, decision.outcome) == ({7: "withdrawn"}, "changed")


def test_a_yes_to_unreadable_rows_settles_the_question() -> None:
    """An approval of unreadable rows ends the hold in the same look."""
    before = finding(FindingKind.REJECTED_ROWS, {})
    view = seen([], response(listing("a"), unread=["x"]), findings=[before])
    decision = decide.decide(view, POLICY, EVERYTHING)
    assert (decision.settled, decision.opened, decision.outcome) == ({7: "approved"}, (), "changed")


# -- reverted ----------------------------------------------------------------------------------------------------------


def test_what_was_reverted_is_not_simply_believed_again() -> None:
    """Values that a revert withdrew stay out while upstream repeats them; another value is believed."""
    models = [held("m", 1), held("gone", 1, missing_since=OPENED, missing_count=5), known("new", 1, listed=False)]
    reverted = finding(FindingKind.REVERTED, {"m": price(2), "gone": None, "new": price(1)}, "rejected")
    rest = many(9)
    snapshot = response(listing("m", 2), listing("new", 1), same=rest)
    same = decide.decide(seen([*models, *rest], snapshot, findings=[reverted]), POLICY)
    assert (same.believed, same.outcome, same.still_open) == ((), "unchanged", (7,))
    snapshot = response(listing("m", 3), listing("new", 1), listing("gone", 1), same=rest)
    other = decide.decide(seen([*models, *rest], snapshot, findings=[reverted]), POLICY)
    assert (moved(other), other.trimmed) == ({"m": Kind.REPRICED}, {7: {"new": price(1)}})


# -- no policy ---------------------------------------------------------------------------------------------------------


def test_without_rules_everything_is_believed_at_once() -> None:
    """Trust off: an empty list, a factor of a million and a lost field are believed as they are."""
    catalog = many(20, 5)
    assert len(decide.decide(seen(catalog, response()), None).believed) == 20
    assert len(decide.decide(seen(catalog, response(*reprice(catalog, 10**6))), None).believed) == 20
    gone = response(*(without(model, "price") for model in catalog))
    assert {change.listing.price for change in decide.decide(seen(catalog, gone), None).believed} == {None}


@pytest.mark.parametrize(
    ("before", "believed"),
    [
        (UNIT, 5),
        (lost("price"), 5),
        (finding(FindingKind.REJECTED_ROWS, {}), 5),
        (finding(FindingKind.REMOVALS, {"other": None}), 6),
        (finding(FindingKind.UNIT_CHANGE, dict(UNIT.evidence), "rejected"), 5),
    ],
    ids=["unit change", "shape", "rejected rows", "removals", "rejected before"],
)
def test_without_rules_open_findings_are_settled(before: Finding, believed: int) -> None:
    """Trust off settles what was open and believes what upstream says now, third values included."""
    catalog = [*FIVE, *([held("other")] if before.kind is FindingKind.REMOVALS else [])]
    for factor in (77, 1000):
        decision = decide.decide(seen(catalog, response(*reprice(FIVE, factor)), findings=[before]), None)
        assert len(decision.believed) == believed
        assert decision.settled.keys() == ({7} if before.state == "open" else set())
        assert (decision.opened, decision.still_open, decision.pending) == ((), (), False)


# -- what holds of every decision --------------------------------------------------------------------------------------


def test_plain_listings_in_new_bytes_are_refreshed() -> None:
    """New bytes with equal tracked fields update the stored digest in a run that stays unchanged."""
    model = known("m")
    decision = decide.decide(seen([model], response(listing("m", 1, digest=b"new"))), POLICY)
    assert [row.digest for row in decision.refreshed] == [b"new"]
    assert (decision.outcome, decision.pending) == ("unchanged", False)


def test_an_unread_model_keeps_its_state_and_is_marked() -> None:
    """Law 3: an unreadable row is no removal and no change; it is pending, and known to be not plain."""
    rest = many(19)
    decision = decide.decide(seen([known("m"), *rest], response(same=rest, unread=["m"])), AT_ONCE)
    assert (decision.believed, decision.marks) == ((), {"m": Mark(last_seen_at=LAST)})
    assert (decision.outcome, decision.pending) == ("unchanged", True)


def test_a_first_look_is_believed_whole() -> None:
    """Law 6: the baseline is believed as it is, with no lower end to its windows."""
    view = seen([], response(*many(50)), past=PastObservations(last=None, absent=None))
    decision = decide.decide(view, POLICY)
    assert (len(decision.believed), decision.outcome) == (50, "changed")
    assert {change.changed_after for change in decision.believed} == {None}


@pytest.mark.parametrize("approving", [(), EVERYTHING])
def test_one_look_may_meet_every_rule(approving: Collection[FindingKind]) -> None:
    """Rules share one look without speaking twice of a model, and each goes its own way."""
    lot = {name: [known(f"{name}{number:02}", 4) for number in range(count)] for name, count in COUNTS.items()}
    catalog = [model for group in lot.values() for model in group]
    snapshot = response(
        *(listing(model.listing.name, 4000) for model in lot["unit"]),
        *(listing(model.listing.name, None) for model in lot["free"]),
        *(listing(model.listing.name, 5) for model in lot["dearer"]),
        listing("far00", 999),
        same=lot["plain"],
    )
    decision = decide.decide(seen(catalog, snapshot), Policy(required=("lost00",)), approving)
    assert doubted(decision) == {
        FindingKind.REQUIRED: {"lost00"},
        FindingKind.REMOVALS: names(lot["lost"]) - {"lost00"},
        FindingKind.UNIT_CHANGE: names(lot["unit"]),
        FindingKind.PRICES_GONE: names(lot["free"]),
        FindingKind.IMPLAUSIBLE_PRICE: {"far00"},
    }
    assert moved(decision) == dict.fromkeys(names(lot["dearer"]), Kind.REPRICED)
    assert decision.withheld == sum(COUNTS.values()) - COUNTS["plain"] - COUNTS["dearer"]


COUNTS = {"plain": 10, "lost": 15, "unit": 20, "free": 12, "dearer": 3, "far": 1}
