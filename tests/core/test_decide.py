"""decide: every rule on both sides of its limit, as stories in hours; nobody answers unless a story says so."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from syncer.core.model import Kind, Listing, Rejected
from syncer.core.notices import NoticeKind
from syncer.core.observation import Doubtful
from syncer.core.rules import Approval, Finding, FindingKind, Policy, Withheld
from tests.core.world import START, UNREADABLE, Element, World, at, hours, listing, nameless

NEVER = Policy(patience=None)
AT_ONCE = Policy(removal_confirmations=1, removal_after=timedelta(0))


def shelf(count: int, price: Element = 1, *, start: int = 0) -> dict[str, Element]:
    """Models m00, m01, ... at one price."""
    return {f"m{number:02}": price for number in range(start, start + count)}


def without(catalog: dict[str, Element], *names: str) -> dict[str, Element]:
    """The catalog without these models."""
    return {name: element for name, element in catalog.items() if name not in names}


def removed(world: World) -> list[str]:
    """The removals in words."""
    return world.changes(None, Kind.REMOVED)


# -- one model goes ----------------------------------------------------------------------------------------------------


def test_an_hourly_poll_tells_a_removal_26_hours_after_the_model_was_last_shown() -> None:
    """Told at the first miss at or after that, effective at the first miss, after the last that showed it."""
    catalog = shelf(5)
    world = World().sees(0, catalog).hourly(1, 25, without(catalog, "m04"))
    assert removed(world) == []
    assert world.decision.unconfirmed == 1
    world.sees(26, without(catalog, "m04"))
    assert removed(world) == ["26/1 removed m04"]
    assert hours(world.history[-1][1].changed_after) == 0


@pytest.mark.parametrize(
    ("misses", "told"),
    [
        ([24, 48], True),
        ([23, 46.9], True),
        ([25.5, 47.5], True),
        ([24], False),
        ([90], False),
        ([30, 49.9], False),
        ([30, 50], True),
        ([1, 25.9], False),
    ],
    ids=[
        "a daily job tells on its second miss",
        "early both days",
        "jitter",
        "one miss",
        "one miss after a long outage",
        "after an outage, less than 20 h between the misses",
        "after an outage, 20 h between the misses",
        "less than 26 h after it was shown",
    ],
)
def test_a_removal_takes_misses_and_time(misses: list[float], told: bool) -> None:
    """Two misses, the last 26 h after it was last shown and 20 h after the first miss: an outage is no absence."""
    world = World().sees(0, shelf(5))
    for hour in misses:
        world.sees(hour, shelf(4))
    assert (removed(world) != []) is told


def test_a_short_wait_is_short_after_the_first_miss_too() -> None:
    """Where `removal_after` is less than 20 h, so is the wait between the misses."""
    world = World(Policy(removal_after=timedelta(hours=6))).sees(0, shelf(5)).sees(30, shelf(4)).sees(35.9, shelf(4))
    assert removed(world) == []
    assert removed(world.sees(36, shelf(4))) == ["36/30 removed m04"]


def test_one_confirmation_and_no_wait_remove_at_the_first_miss() -> None:
    """The settings go down to none, and then no `missing` is told."""
    world = World(AT_ONCE).sees(0, shelf(5)).sees(1, shelf(4))
    assert removed(world) == ["1/1 removed m04"]
    assert world.said() == []


def test_a_return_starts_the_count_anew_and_costs_nothing() -> None:
    """A model that is shown between two misses was never away; consumers that asked for it were told both."""
    world = World().sees(0, shelf(5)).sees(24, shelf(4)).sees(48, shelf(5)).sees(72, shelf(4))
    assert removed(world) == []
    assert world.said() == [(24, "missing", "m04"), (48, "returned", "m04"), (72, "missing", "m04")]
    assert removed(world.sees(96, shelf(4))) == ["96/72 removed m04"]


def test_a_failed_run_neither_counts_nor_resets() -> None:
    """Nothing was observed: the first miss stays the first."""
    world = World().sees(0, shelf(5)).sees(24, shelf(4)).fails().sees(48, shelf(4))
    assert removed(world) == ["48/24 removed m04"]


def test_a_model_that_comes_back_after_its_removal_is_relisted() -> None:
    """At another price, even a wild one, it is no price rule's business; its gap is in the history."""
    world = World().sees(0, shelf(5)).sees(24, shelf(4)).sees(48, shelf(4)).sees(72, {**shelf(4), "m04": 5000})
    assert world.changes("m04") == ["0/0 added m04 1", "48/24 removed m04", "72/72 relisted m04 5000"]
    change = world.history[-1][1]
    assert (change.old_price, change.changed) == (1, {"prices.price": (Decimal(1), Decimal(5000))})
    assert hours(change.changed_after) == 48


def test_more_confirmations_wait_no_longer_than_patience() -> None:
    """Every absence that each judging observation of `patience` shows is believed."""
    world = World(Policy(removal_confirmations=999)).sees(0, shelf(5)).hourly(1, 72, shelf(4))
    assert removed(world) == []
    assert removed(world.sees(73, shelf(4))) == ["73/1 removed m04"]


def test_a_cache_that_grows_older_makes_no_absence_older() -> None:
    """The wait is measured between the moments that were shown: Age is taken off both."""
    world = World().sees(0, shelf(5))
    for hour in range(1, 30):
        world.sees(hour, shelf(4), age=hour - 1)
    assert removed(world) == []
    assert removed(world.sees(30, shelf(4))) == ["30/1 removed m04"]


def test_age_widens_the_window_of_the_next_move() -> None:
    """Law 6: a response with `Age` counts, for `changed_after`, as shown that much earlier."""
    world = World().sees(0, shelf(5)).sees(10, {**shelf(5), "m00": 2}, age=3).sees(11, {**shelf(5), "m00": 3})
    assert hours(world.history[-1][1].changed_after) == 7


# -- another key -------------------------------------------------------------------------------------------------------


def test_under_another_key_an_absence_takes_patience() -> None:
    """Catalogs differ by account; even where one miss is enough, another key's is not."""
    world = World(AT_ONCE).sees(0, shelf(5))
    world.key = "another"
    world.hourly(1, 72, shelf(4))
    assert removed(world) == []
    assert removed(world.sees(73, shelf(4))) == ["73/1 removed m04"]


def test_under_the_key_that_showed_it_an_absence_is_judged_as_ever() -> None:
    """The key counts under which the model was last shown, not that of the last observation."""
    world = World(AT_ONCE).sees(0, shelf(5))
    world.key = "another"
    world.sees(1, shelf(4))
    world.key = "key"
    assert removed(world.sees(2, shelf(4))) == ["2/1 removed m04"]


def test_a_daily_job_with_a_fresh_token_each_day_still_removes() -> None:
    """After `patience`, by itself."""
    world = World()
    for day in range(5):
        world.key = f"token {day}"
        world.sees(24 * day, shelf(5) if day == 0 else shelf(4))
    assert removed(world) == ["96/24 removed m04"]


def test_who_wants_to_be_asked_is_asked_about_another_key() -> None:
    """Without patience the absence is a finding, or it would wait for ever in silence."""
    world = World(NEVER).sees(0, shelf(5))
    world.key = "another"
    world.hourly(1, 200, shelf(4))
    assert world.open() == {"removals": ["m04"]}
    assert removed(world.approve(201, shelf(4))) == ["201/1 removed m04"]


# -- many go at once ---------------------------------------------------------------------------------------------------


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
        (1, 2, False),
        (2, 2, True),
        (3, 3, True),
    ],
)
def test_removal_limit(count: int, total: int, withheld: bool) -> None:
    """More than 10 and 10 %, more than half of at least 4, or all: a finding, with patience from the first miss."""
    catalog, rest = shelf(total), {**shelf(total - count, start=count), "new": 1}
    world = World().sees(0, catalog).sees(1, rest)
    assert (world.decision.outcome == "held") is withheld
    assert world.open() == ({"removals": sorted(shelf(count))} if withheld else {})
    assert "new" in world.catalog, "all else of the response applies"
    world.hourly(2, 72, rest)
    assert (removed(world) == []) is withheld
    world.sees(73, rest)
    assert len(removed(world)) == count
    assert world.states() == ([("removals", "confirmed")] if withheld else [])


def test_the_limits_are_settings() -> None:
    """removal_limit_count and removal_limit_percent must both be exceeded."""
    strict = Policy(removal_limit_count=1, removal_limit_percent=1.5)
    for lost, total, outcome in [(2, 100, "held"), (1, 20, "unchanged"), (3, 200, "unchanged")]:
        world = World(strict).sees(0, shelf(total)).sees(1, shelf(total - lost, start=lost))
        assert world.decision.outcome == outcome


def test_the_limit_counts_all_that_are_missing_and_not_told() -> None:
    """Slow losses add up: what is missing already counts, and goes into the finding with the rest."""
    world = World().sees(0, shelf(40)).sees(1, shelf(34)).sees(2, shelf(29))
    assert world.open() == {"removals": [f"m{number}" for number in range(29, 40)]}
    world.hourly(3, 73, shelf(29))
    assert removed(world)[0] == "73/1 removed m34"
    world.sees(74, shelf(29))
    assert len(removed(world)) == 11


def test_a_model_stays_in_the_finding_until_it_returns_or_is_told() -> None:
    """Even when so many are back that the rest is no mass any more; the evidence shows what is withheld now."""
    world = World().sees(0, shelf(40)).sees(1, shelf(20)).sees(2, shelf(39))
    assert world.open() == {"removals": ["m39"]}
    world.hourly(3, 72, shelf(39))
    assert removed(world) == []
    assert removed(world.sees(73, shelf(39))) == ["73/1 removed m39"]
    assert world.states() == [("removals", "confirmed")]


def test_what_upstream_takes_back_leaves_no_history() -> None:
    """The finding is withdrawn, told once at each end, and the shortcut is open again."""
    world = World().sees(0, shelf(20)).hourly(1, 4, shelf(5)).sees(5, shelf(20))
    assert world.states() == [("removals", "withdrawn")]
    assert len(world.history) == 20
    assert [said[1] for said in world.said(NoticeKind.HELD, NoticeKind.SETTLED)] == ["held", "settled"]
    assert world.decision.pending is False


@pytest.mark.parametrize("count", [1, 2, 30])
def test_an_empty_list_is_believed_by_nobody_but_a_person(count: int) -> None:
    """However small the catalog and however long it lasts; and its misses do not count for a list that is not empty."""
    world = World().sees(0, shelf(count)).hourly(1, 200, {})
    assert removed(world) == []
    assert world.open() == {"removals": sorted(shelf(count))}
    world.sees(201, {"new": 1})
    assert removed(world) == []
    approved = world.approve(202, {"new": 1})
    assert removed(approved) == [f"202/1 removed {name}" for name in shelf(count)]


def test_after_an_empty_list_the_patience_begins_with_the_first_list_that_is_none() -> None:
    """Three days of nothing are no three days of absence."""
    world = World().sees(0, shelf(10)).hourly(1, 100, {}).sees(101, shelf(4))
    assert removed(world.hourly(102, 172, shelf(4))) == []
    assert removed(world.sees(173, shelf(4))) == [f"173/1 removed m0{number}" for number in range(4, 10)]


def test_patience_never_waits_for_a_person() -> None:
    """For those who want to be asked."""
    world = World(NEVER).sees(0, shelf(20)).hourly(1, 300, shelf(5))
    assert removed(world) == []
    assert len(removed(world.approve(301, shelf(5)))) == 15
    assert world.states() == [("removals", "approved")]


def test_an_approval_is_a_ceiling() -> None:
    """What went missing only after the finding was shown waits; what is back by then stays."""
    world = World(NEVER).sees(0, shelf(40)).sees(1, shelf(20)).approve(2, {**shelf(19), "m39": 1})
    assert len(removed(world)) == 19
    assert world.catalog.keys() == {*shelf(20), "m39"}


def test_an_approval_may_name_models() -> None:
    """A glob settles its models; the finding goes on with the others and says so."""
    world = World(NEVER).sees(0, {**shelf(5), "a/x": 1, "a/y": 1, "b/x": 1, "c": 1}).sees(1, shelf(3))
    assert world.open()["removals"] == ["a/x", "a/y", "b/x", "c", "m03", "m04"]
    world.approve(2, shelf(3), models=("a/*", "c"))
    assert removed(world) == ["2/1 removed a/x", "2/1 removed a/y", "2/1 removed c"]
    assert world.open()["removals"] == ["b/x", "m03", "m04"]
    world.approve(3, shelf(3), findings=frozenset({99}))
    assert len(removed(world)) == 3


def test_a_rejection_keeps_the_models_listed_and_asks_nobody() -> None:
    """Quietly, and beyond patience, until they are back; then the next time is asked about anew."""
    world = World().sees(0, shelf(10)).sees(1, shelf(3)).reject(FindingKind.REMOVALS)
    world.hourly(2, 200, shelf(3))
    assert (removed(world), world.decision.outcome, world.open()) == ([], "unchanged", {})
    world.sees(201, shelf(5)).hourly(202, 230, shelf(3))
    assert removed(world) == ["227/202 removed m03", "227/202 removed m04"]
    world.sees(231, shelf(10))
    assert world.states() == [("removals", "withdrawn")]


def test_a_rejection_can_be_taken_back() -> None:
    """An approval that names the finding's id says yes to what was rejected."""
    world = World().sees(0, shelf(10)).sees(1, shelf(3)).reject(FindingKind.REMOVALS)
    world.approve(2, shelf(3))
    assert removed(world) == [], "a yes to everything is no yes to what a person said no to"
    world.approve(3, shelf(3), findings=frozenset({1}))
    assert len(removed(world)) == 7
    assert world.states() == [("removals", "approved")]


# -- required ----------------------------------------------------------------------------------------------------------

NEEDED = Policy(required=("needed",))


def test_a_required_model_is_asked_about_at_once_and_removed_after_patience() -> None:
    """The run is held from the first miss on; nothing waits for ever."""
    catalog = {**shelf(9), "needed": 1}
    world = World(NEEDED).sees(0, catalog).hourly(1, 72, shelf(9))
    assert (world.decision.reasons, removed(world)) == (("required and missing: needed",), [])
    assert removed(world.sees(73, shelf(9))) == ["73/1 removed needed"]
    assert world.states() == [("required", "confirmed")]
    assert world.sees(74, shelf(9)).decision.outcome == "unchanged"


def test_a_required_model_that_was_never_there_is_asked_about_once() -> None:
    """After patience, or a person's yes, nobody is asked again; there is nothing to remove."""
    world = World(NEEDED).hourly(0, 71, shelf(9))
    assert world.decision.outcome == "held"
    world.hourly(72, 100, shelf(9))
    assert (world.states(), world.decision.outcome) == ([("required", "confirmed")], "unchanged")
    world = World(NEEDED).sees(0, shelf(9)).approve(1, shelf(9)).sees(2, shelf(8))
    assert (world.states(), world.decision.outcome) == ([("required", "approved")], "unchanged")


def test_a_name_that_is_required_no_more_is_judged_like_any_other() -> None:
    """Taking it out of the setting withdraws the finding."""
    world = World(NEEDED).sees(0, {**shelf(9), "needed": 1}).hourly(1, 30, shelf(9))
    world.policy = Policy()
    assert removed(world.sees(31, shelf(9))) == ["31/1 removed needed"]
    assert world.states() == [("required", "withdrawn")]


def test_an_unreadable_required_model_is_present() -> None:
    """Law 3; and where a row has no name it may be the one that was never seen."""
    row = Rejected(name="needed", reason="is no object", raw="[]", digest=b"x")
    world = World(NEEDED).sees(0, {**shelf(19), "needed": 1}).sees(1, shelf(19), rejected=[row])
    assert world.open() == {}
    world = World(NEEDED).sees(0, shelf(19), rejected=[nameless()])
    assert world.open() == {"nameless": [""]}


# -- responses that prove less -----------------------------------------------------------------------------------------


def test_a_partial_response_proves_no_absence_and_what_it_shows_applies() -> None:
    """Case 01: held while it lasts, naming the key that spoke; withdrawn by the next whole one."""
    world = World(AT_ONCE).sees(0, shelf(5))
    world.hourly(1, 90, {**shelf(2), "m00": 2, "new": 1}, partial="has_more is true")
    assert (removed(world), world.catalog["m00"], world.catalog["new"]) == ([], 2, 1)
    assert world.decision.outcome == "held"
    assert "has_more is true" in world.decision.reasons[0]
    assert 'pages = "whole"' in world.decision.reasons[0]
    assert world.said() == [(1, "held", [])]
    world.sees(91, {**shelf(5), "m00": 2, "new": 1})
    assert (world.states(), world.decision.outcome) == ([("partial", "withdrawn")], "unchanged")


def test_a_partial_response_neither_counts_nor_resets() -> None:
    """Between two misses it is as if it had not been."""
    world = World().sees(0, shelf(5)).sees(1, shelf(4)).hourly(2, 25, shelf(1), partial="total is 5")
    assert removed(world.sees(26, shelf(4))) == ["26/1 removed m04"]


def test_with_a_nameless_row_an_absence_takes_patience() -> None:
    """Case 02: told at the first observation, held while it is there, and believed in the end."""
    rest = shelf(27)
    world = World(AT_ONCE).sees(0, shelf(30), rejected=[nameless()])
    assert world.said() == [(0, "held", [])]
    world.hourly(1, 72, rest, rejected=[nameless()])
    assert (removed(world), world.decision.outcome) == ([], "held")
    world.sees(73, rest, rejected=[nameless()])
    assert removed(world) == ["73/1 removed m27", "73/1 removed m28", "73/1 removed m29"]


def test_a_person_says_that_nameless_rows_are_no_models() -> None:
    """Then absences are judged as ever, for these very rows and for good; another odd row is another question."""
    world = World().sees(0, shelf(30), rejected=[nameless()])
    world.sees(1, shelf(29), rejected=[nameless()], approval=Approval())
    assert world.states() == [("nameless", "approved")]
    world.hourly(2, 27, shelf(29), rejected=[nameless()])
    assert removed(world) == ["26/1 removed m29"]
    assert world.decision.outcome == "unchanged"
    world.sees(28, shelf(29), rejected=[nameless(), nameless("null")])
    assert world.open() == {"nameless": [""]}
    world.sees(29, shelf(29), rejected=[nameless(), nameless("null")], approval=Approval())
    assert (world.open(), world.decision.judges) == ({}, True)


def test_an_odd_row_of_a_small_catalog_is_asked_about_once() -> None:
    """A tenth of the rows is soon one row: after patience its share is no question again, whatever else was said."""
    odd = [nameless(), nameless("null")]
    world = World().hourly(0, 200, shelf(5), rejected=odd)
    assert world.states() == [("nameless", "open"), ("shape", "confirmed")]
    world = World().sees(0, shelf(5), rejected=odd).reject(FindingKind.NAMELESS).hourly(1, 200, shelf(5), rejected=odd)
    assert world.states() == [("nameless", "rejected"), ("shape", "confirmed")]


def test_who_says_no_to_what_a_response_says_is_not_asked_again() -> None:
    """Quietly, as long as it says no more; absences are judged as before, and a yes to the rejection takes it back."""
    odd = [nameless()]
    world = World().sees(0, shelf(30), rejected=odd).reject(FindingKind.NAMELESS)
    world.hourly(1, 72, shelf(29), rejected=odd)
    assert (world.open(), world.decision.outcome, removed(world)) == ({}, "unchanged", [])
    world.sees(73, shelf(29), rejected=odd)
    assert removed(world) == ["73/1 removed m29"]
    world.sees(74, shelf(29), rejected=[*odd, nameless("null")])
    assert (world.open(), world.states()) == ({"nameless": [""]}, [("nameless", "withdrawn"), ("nameless", "open")])
    world = World().sees(0, shelf(30), rejected=odd).reject(FindingKind.NAMELESS)
    world.sees(1, shelf(29), rejected=odd, approval=Approval(findings=frozenset({1}))).hourly(
        2, 27, shelf(29), rejected=odd
    )
    assert (world.states(), removed(world)) == ([("nameless", "approved")], ["26/1 removed m29"])


def test_a_rejected_partial_response_proves_no_absence_either() -> None:
    """A person's no ends the question, not law 3; when the list is whole again the rejection is over."""
    world = World(AT_ONCE).sees(0, shelf(9)).sees(1, shelf(5), partial="has_more").reject(FindingKind.PARTIAL)
    world.hourly(2, 90, shelf(5), partial="has_more")
    assert (world.open(), world.decision.outcome, removed(world)) == ({}, "unchanged", [])
    assert world.sees(91, shelf(5), partial="next").open() == {"partial": [""]}
    assert world.sees(92, shelf(9)).states() == [("partial", "withdrawn"), ("partial", "withdrawn")]


def test_too_many_unreadable_rows_are_rejected_once() -> None:
    """Not more of them than a person said no to are no news."""
    unread = {**shelf(8), "x": UNREADABLE, "y": UNREADABLE}
    world = World().sees(0, shelf(8) | {"x": 1, "y": 1}).sees(1, unread).reject(FindingKind.SHAPE)
    world.sees(2, unread).sees(3, {**unread, "x": 1, "m00": UNREADABLE})
    assert (world.open(), world.decision.outcome) == ({}, "unchanged")
    assert world.sees(4, {**unread, "m01": UNREADABLE}).open() == {"shape": [""]}


def test_a_clean_miss_is_needed_when_the_row_is_gone() -> None:
    """Misses under a nameless row are none for the common rule: the first whole list is the first of two."""
    world = World().sees(0, shelf(30)).hourly(1, 40, shelf(29), rejected=[nameless()]).sees(41, shelf(29))
    assert removed(world) == []
    assert removed(world.sees(42, shelf(29))) == ["42/1 removed m29"]


def test_a_legible_name_that_is_refused_is_no_nameless_row() -> None:
    """It is told once, and absences are judged as ever."""
    odd = Rejected(name="odd ", reason="has a name with outer white space", raw="{}", digest=b"odd")
    world = World().sees(0, shelf(5), rejected=[odd]).hourly(1, 26, shelf(4), rejected=[odd])
    assert removed(world) == ["26/1 removed m04"]
    assert world.notices[0][1].data["rows"] == [{"name": "odd ", "reason": odd.reason}]


# -- one implausible price ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "withheld"),
    [
        (1, 100, True),
        (1, "99.9", False),
        (100, 1, True),
        ("99.9", 1, False),
        (1, 0, True),
        (1, -1, True),
        (1, None, True),
        (0, None, True),
        (-1, None, True),
        (0, 10**6, False),
        (None, 10**6, False),
        (-1, 10**6, False),
        (0, -1, False),
    ],
)
def test_the_limit_of_one_step(old: Element, new: Element, withheld: bool) -> None:
    """A factor of 100 or more, from positive to 0 or negative, and a headline to unknown wait for 12 hours."""
    rest = shelf(9)
    world = World().sees(0, {**rest, "m": old}).sees(1, {**rest, "m": new})
    assert world.open() == ({"implausible_price": ["m"]} if withheld else {})
    world.hourly(2, 12, {**rest, "m": new})
    assert (world.catalog["m"] == listing("m", old).price) is withheld
    world.sees(13, {**rest, "m": new})
    assert world.catalog["m"] == listing("m", new).price
    assert world.history[-1][1].effective_at == at(1), "it holds since it was first shown"
    assert world.states() == ([("implausible_price", "confirmed")] if withheld else [])


def test_price_factor_limit_and_price_after_are_settings() -> None:
    """Both sides of other limits."""
    policy = Policy(price_factor_limit=2.5, price_after=timedelta(hours=2))
    world = World(policy).sees(0, {**shelf(9), "m": 1}).sees(1, {**shelf(9), "m": "2.4"})
    assert world.catalog["m"] == Decimal("2.4")
    world.sees(2, {**shelf(9), "m": 6}).sees(3, {**shelf(9), "m": 6})
    assert world.open() == {"implausible_price": ["m"]}
    assert world.sees(4, {**shelf(9), "m": 6}).catalog["m"] == 6


def test_a_value_that_an_earlier_observation_showed_long_enough_ago_is_believed() -> None:
    """It need not stand without a break: 500, 700, then 500 again after twelve hours."""
    world = World().sees(0, {**shelf(9), "m": 1})
    for hour, price in [(1, 500), (7, 700), (13, 500)]:
        world.sees(hour, {**shelf(9), "m": price})
    assert world.changes("m")[-1] == "13/13 repriced m 1 -> 500"


def test_a_price_that_no_rule_objects_to_is_believed_at_once() -> None:
    """The third value is plausible: the model leaves its finding."""
    world = World().sees(0, {**shelf(9), "m": 1}).sees(1, {**shelf(9), "m": 500}).sees(2, {**shelf(9), "m": 2})
    assert world.changes("m")[-1] == "2/2 repriced m 1 -> 2"
    assert world.states() == [("implausible_price", "withdrawn")]
    assert hours(world.history[-1][1].changed_after) == 0


def test_the_whole_move_of_the_model_waits_with_it() -> None:
    """One implausible component withholds the other prices and the alias; an alias that follows it, too."""
    old: Element = {"input": 1, "output": 4, "alias": "A"}
    now: Element = {"input": 2, "output": 4000, "alias": "B"}
    later: Element = {"input": 2, "output": 4000, "alias": "C"}
    rest = {name: {"input": 1} for name in shelf(9)}
    world = World(headline="input").sees(0, {**rest, "m": old}).hourly(1, 5, {**rest, "m": now})
    assert (len(world.history), world.models["m"].listing.alias) == (10, "A")
    world.hourly(6, 13, {**rest, "m": later})
    change = world.history[-1][1]
    assert change.changed == {
        "alias": ("A", "C"),
        "prices.input": (Decimal(1), Decimal(2)),
        "prices.output": (Decimal(4), Decimal(4000)),
    }
    assert (hours(change.effective_at), hours(change.changed_after)) == (6, 0), "the first that showed just this"


def test_a_secondary_price_that_is_no_longer_stated_is_a_move_and_no_doubt() -> None:
    """Only the headline's becoming unknown is implausible; a component ever known stays a key."""
    rest = {name: {"input": 1} for name in shelf(9)}
    world = (
        World(headline="input").sees(0, {**rest, "m": {"input": 1, "output": 4}}).sees(1, {**rest, "m": {"input": 1}})
    )
    change = world.history[-1][1]
    assert (change.kind, change.changed, change.old_price) == (Kind.REPRICED, {"prices.output": (Decimal(4), None)}, 1)
    assert change.listing.prices == {"input": Decimal(1), "output": None}


def test_a_model_that_is_removed_leaves_its_price_finding() -> None:
    """`old_price` is the believed one, and no later rule asks about the price."""
    world = World().sees(0, {**shelf(9), "m": 1}).hourly(1, 3, {**shelf(9), "m": 500}).hourly(4, 40, shelf(9))
    assert world.states() == [("implausible_price", "withdrawn")]
    told, change = world.history[-1]
    assert (change.kind, change.old_price, hours(change.effective_at), hours(change.changed_after)) == (
        Kind.REMOVED,
        1,
        4,
        0,
    )
    assert hours(told) == 30, "26 h after its first miss: when it was last shown is not kept of what is withheld"


def test_an_unreadable_price_neither_settles_nor_ends_a_doubt() -> None:
    """Upstream says nothing of it; what it shows then begins a new succession, and `since` goes on."""
    world = World().sees(0, {**shelf(9), "m": 1}).hourly(1, 5, {**shelf(9), "m": 500})
    world.hourly(6, 8, {**shelf(9), "m": UNREADABLE})
    assert world.open()["implausible_price"] == ["m"]
    world.hourly(9, 13, {**shelf(9), "m": 500})
    assert world.changes("m")[-1] == "13/9 repriced m 1 -> 500"


def test_a_rejected_price_stays_out_while_upstream_repeats_it() -> None:
    """Quietly, for ever, whatever else of the model moves; another price is judged on its own merits."""
    world = World().sees(0, {**shelf(9), "m": 1}).sees(1, {**shelf(9), "m": 500}).reject(FindingKind.IMPLAUSIBLE_PRICE)
    world.hourly(2, 100, {**shelf(9), "m": 500}).sees(101, {**shelf(9), "m": {"price": 500, "alias": "B"}})
    assert (world.catalog["m"], world.decision.outcome, world.open()) == (1, "unchanged", {})
    world.sees(102, {**shelf(9), "m": 2})
    assert (world.catalog["m"], world.states()) == (2, [("implausible_price", "withdrawn")])


def test_approval_believes_a_price_since_it_was_first_shown() -> None:
    """At most the prices that were shown when it was given: another one stays, with the evidence as it is now."""
    world = World().sees(0, {**shelf(9), "m": 1, "n": 1}).hourly(1, 3, {**shelf(9), "m": 500, "n": 500})
    world.approve(4, {**shelf(9), "m": 500, "n": 501})
    assert world.changes("m")[-1] == "4/1 repriced m 1 -> 500"
    assert world.open() == {"unit_change": ["n"]} or world.open() == {"implausible_price": ["n"]}
    (open_finding,) = [finding for finding in world.findings.values() if finding.state == "open"]
    assert open_finding.evidence["n"].fields == {"prices.price": Decimal(501)}
    assert open_finding.evidence["n"].since == at(1)


# -- many prices -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alike", "otherwise", "total", "kind"),
    [
        (4, 0, 40, "implausible_price"),
        (5, 0, 40, "unit_change"),
        (5, 4, 40, "unit_change"),
        (5, 5, 40, "implausible_price"),
        (2, 0, 2, "unit_change"),
        (3, 0, 3, "unit_change"),
        (4, 0, 4, "unit_change"),
        (1, 0, 1, "implausible_price"),
    ],
)
@pytest.mark.parametrize("factor", [100, "0.01", 1000, "0.000001", "123.4"])
def test_unit_change(alike: int, otherwise: int, total: int, kind: str, factor: Any) -> None:
    """At least 5, or all of at least 2, and more than half of the repriced ones, by one factor of 100 or more."""
    catalog = shelf(total)
    now: dict[str, Element] = {
        **catalog,
        **shelf(alike, Decimal(str(factor))),
        **shelf(otherwise, 2, start=alike),
    }
    world = World().sees(0, catalog).sees(1, now)
    assert world.open() == {kind: sorted(shelf(alike))}
    if kind == "unit_change":
        assert ("multiplied by" if Decimal(str(factor)) > 1 else "divided by") in world.decision.reasons[0]


def test_a_unit_change_asks_for_all_comparable_components() -> None:
    """A model whose output stood still was not rescaled; one whose only comparable price moved was."""
    old = {name: {"input": 1, "output": 2} for name in shelf(6)}
    old |= {"free": {"input": 1, "output": 0}}
    now: dict[str, Element] = {name: {"input": 1000, "output": 2000} for name in shelf(5)}
    now |= {"m05": {"input": 1000, "output": 2}, "free": {"input": 1000, "output": 0}}
    rest = {f"rest{number}": {"input": 1} for number in range(30)}
    world = World(headline="input").sees(0, {**old, **rest}).sees(1, {**now, **rest})
    assert world.open() == {"implausible_price": ["m05"], "unit_change": ["free", *shelf(5)]}


def test_a_vendor_has_its_own_unit_and_its_other_far_moves_join() -> None:
    """More than half of the repriced ones of one vendor, whatever the others do."""
    acme = {f"acme/{number}": 1 for number in range(8)}
    zeta = {f"zeta/{number}": 1 for number in range(40)}
    now: dict[str, Element] = dict.fromkeys(list(acme)[:5], 1000)
    now |= {"acme/5": 7000, "acme/6": 2, "acme/7": 0} | {f"zeta/{number}": 2 for number in range(10)}
    world = World().sees(0, {**acme, **zeta}).sees(1, {**zeta, **now})
    assert world.open() == {"unit_change": [f"acme/{number}" for number in (0, 1, 2, 3, 4, 5, 7)]}
    assert world.catalog["acme/6"] == 2


def test_a_unit_change_is_believed_after_patience() -> None:
    """Case 06: if upstream keeps saying it and nobody answers."""
    now = shelf(4, 100)
    world = World().sees(0, shelf(4)).hourly(1, 72, now)
    assert world.catalog == listing_prices(shelf(4))
    world.sees(73, now)
    assert world.changes(None, Kind.REPRICED)[0] == "73/1 repriced m00 1 -> 100"
    assert world.states() == [("unit_change", "confirmed")]


def listing_prices(catalog: dict[str, Element]) -> dict[str, Decimal | None]:
    """The headline prices of a catalog."""
    return {name: listing(name, element).price for name, element in sorted(catalog.items())}


@pytest.mark.parametrize(
    ("count", "total", "withheld"),
    [(10, 20, False), (11, 110, False), (11, 109, True), (2, 4, False), (3, 4, True), (2, 2, True), (1, 2, False)],
)
@pytest.mark.parametrize("to", [None, 0, -1], ids=["unknown", "0", "negative"])
def test_prices_gone(count: int, total: int, to: Element, withheld: bool) -> None:
    """Case 05: more than 10 and 10 %, more than half of at least 4, or all of at least 2, turn unknown, 0 or less."""
    catalog = {**shelf(total), "free": 0}
    now = {**catalog, **shelf(count, to)}
    world = World().sees(0, catalog).sees(1, now)
    assert world.open() == {"prices_gone" if withheld else "implausible_price": sorted(shelf(count))}
    world.hourly(2, 73, now)
    assert world.catalog == listing_prices(now)


def test_the_free_ones_that_turn_with_them_are_gone_too() -> None:
    """A glitch that nulls a whole catalog nulls its free models as well."""
    world = (
        World().sees(0, {**shelf(8), "free": 0, "unknown": None}).sees(1, {**shelf(8, -1), "free": -1, "unknown": -1})
    )
    assert world.open() == {"prices_gone": ["free", *shelf(8)]}


@pytest.mark.parametrize(
    ("count", "total", "withheld"),
    [(2, 4, False), (3, 4, True), (2, 2, True), (1, 1, False), (15, 30, False), (16, 30, True)],
)
def test_mass_repricing(count: int, total: int, withheld: bool) -> None:
    """Case 06: more than half of a priced catalog of at least 4, or all of at least 2, at once: another currency."""
    now = {**shelf(total), **shelf(count, "7.15")}
    world = World().sees(0, shelf(total)).sees(1, now)
    assert world.open() == ({"mass_repricing": sorted(shelf(count))} if withheld else {})
    if withheld:
        assert "multiplied by 7.15" in world.decision.reasons[0]
        assert len(world.hourly(2, 73, now).changes(None, Kind.REPRICED)) == count


def test_a_held_mass_does_not_draw_in_each_later_mover() -> None:
    """Price rules count the moves that are new in this observation."""
    mass: dict[str, Element] = {**shelf(20), **shelf(12, 3)}
    world = World().sees(0, shelf(20)).sees(1, mass).sees(2, {**mass, "m19": 2})
    assert world.catalog["m19"] == 2
    assert world.open() == {"mass_repricing": list(shelf(12))}


def test_a_higher_rule_takes_a_model_over_with_its_since() -> None:
    """First alone, then with all the others: one finding at most, and its patience does not begin anew."""
    world = World().sees(0, shelf(20)).sees(1, {**shelf(20), "m00": 500}).sees(11, shelf(20, 1000))
    assert world.open() == {"unit_change": list(shelf(20))}
    assert world.states()[0] == ("implausible_price", "withdrawn")
    world.hourly(12, 73, shelf(20, 1000))
    assert world.changes(None, Kind.REPRICED) == ["73/11 repriced m00 1 -> 1000"]
    assert len(world.hourly(74, 83, shelf(20, 1000)).changes(None, Kind.REPRICED)) == 20


def test_evidence_follows_upstream_and_since_does_not_restart() -> None:
    """A unit finding whose value moves on stays one; patience ends for what is shown then."""
    world = World().sees(0, shelf(8)).sees(1, shelf(8, 1000)).sees(50, shelf(8, 2000))
    (finding,) = world.findings.values()
    assert finding.evidence["m00"].fields == {"prices.price": Decimal(2000)}
    assert world.sees(73, shelf(8, 2000)).changes(None, Kind.REPRICED)[0] == "73/50 repriced m00 1 -> 2000"


def test_one_finding_of_a_rule_and_what_fires_later_joins_it() -> None:
    """Told when it opens, and told of those who join; settled once."""
    world = World().sees(0, {**shelf(9), "m": 1, "n": 1}).sees(1, {**shelf(9), "m": 500, "n": 1})
    world.sees(2, {**shelf(9), "m": 500, "n": 700})
    assert len(world.findings) == 1
    assert world.said() == [(1, "held", ["m"]), (2, "held", ["n"])]
    world.hourly(3, 14, {**shelf(9), "m": 500, "n": 700})
    assert world.changes(None, Kind.REPRICED) == ["13/1 repriced m 1 -> 500", "14/2 repriced n 1 -> 700"]
    assert world.said(NoticeKind.SETTLED) == [(14, "settled", ["n"])]


# -- shape -------------------------------------------------------------------------------------------------------------


def rich(count: int, **fields: Any) -> dict[str, Element]:
    """Models with some fields."""
    return {name: {"price": 1, **fields} for name in shelf(count)}


@pytest.mark.parametrize(
    ("had", "total", "withheld"), [(10, 20, False), (11, 30, True), (2, 4, False), (3, 4, True), (3, 3, False)]
)
def test_a_field_that_no_element_has_any_more_keeps_its_values(had: int, total: int, withheld: bool) -> None:
    """More than 10, or more than half of at least 4, had it; null counts as absent; the rest of each applies."""
    now: dict[str, Element] = {name: {"price": 2 if name == "m00" else 1, "alias": None} for name in shelf(total)}
    world = World().sees(0, {**rich(total), **rich(had, alias="A")}).sees(1, now)
    assert world.open() == ({"shape": list(shelf(had))} if withheld else {})
    assert (world.models["m00"].listing.alias == "A") is withheld
    assert world.catalog["m00"] == 2
    world.hourly(2, 73, now)
    assert world.models["m00"].listing.alias is None


def test_a_lost_field_is_believed_after_patience_since_it_was_first_lost() -> None:
    """And of a model that changed meanwhile since the first observation after that change (law 6)."""
    world = World().sees(0, rich(20, alias="A")).hourly(1, 10, rich(20))
    changed = {**rich(20), "m00": {"price": 2}}
    world.hourly(11, 73, changed)
    assert world.changes("m00")[1:] == ["11/11 repriced m00 1 -> 2", "73/12 updated m00 2"]
    assert world.changes("m01")[1:] == ["73/1 updated m01 1"]
    assert world.states() == [("shape", "confirmed")]


def test_all_prices_lost_are_a_question_of_shape() -> None:
    """A component counts like a field; the prices' own rules are not asked about what it keeps or lets through."""
    now: dict[str, Element] = {name: {"price": None} for name in shelf(8)}
    world = World().sees(0, shelf(8)).hourly(1, 72, now)
    assert world.open() == {"shape": list(shelf(8))}
    assert "price" in world.decision.reasons[0]
    world.sees(73, now)
    assert (set(world.catalog.values()), world.open()) == ({None}, {})


def test_a_field_that_is_back_withdraws_the_question() -> None:
    """One element that states it is enough: the others' lack of it is a value then."""
    world = (
        World().sees(0, rich(20, alias="A")).sees(1, rich(20)).sees(2, {**rich(20), "m00": {"price": 1, "alias": "A"}})
    )
    assert world.states() == [("shape", "withdrawn")]
    assert world.models["m01"].listing.alias is None


def test_an_end_date_is_never_kept() -> None:
    """`expires_at` goes when upstream takes it away, however many had one."""
    end = datetime(2027, 1, 1, tzinfo=UTC)
    world = World().sees(0, rich(20, expires_at=end)).sees(1, rich(20))
    assert (world.open(), world.models["m00"].listing.expires_at) == ({}, None)


def test_a_rejected_shape_keeps_the_values_quietly() -> None:
    """As long as the field is lost; the rest of each model is judged as ever."""
    world = World().sees(0, rich(20, alias="A")).sees(1, rich(20)).reject(FindingKind.SHAPE)
    world.hourly(2, 100, {**rich(20), "m00": {"price": 2}})
    assert (world.models["m00"].listing.alias, world.catalog["m00"], world.open()) == ("A", 2, {})


@pytest.mark.parametrize(("unread", "total", "holds"), [(1, 10, False), (2, 19, True), (10, 100, False)])
def test_many_unreadable_rows_hold_the_run(unread: int, total: int, holds: bool) -> None:
    """More than a tenth of the rows without a readable price: asked once, over after patience, anew for new rows."""
    catalog = shelf(total)
    now = {**catalog, **shelf(unread, UNREADABLE)}
    world = World().sees(0, catalog).sees(1, now)
    assert (world.open() == {"shape": [""]}) is holds
    world.hourly(2, 80, now)
    assert world.open() == {}
    world.sees(81, catalog).sees(82, now)
    assert (world.open() == {"shape": [""]}) is False or holds


# -- unreadable fields -------------------------------------------------------------------------------------------------


def test_an_unreadable_price_keeps_the_known_one_and_is_told_once() -> None:
    """Case 03: a mark and a notice; over after two readable observations, with a word."""
    world = World().sees(0, shelf(20)).hourly(1, 5, {**shelf(20), "m00": UNREADABLE})
    model = world.models["m00"]
    assert (world.catalog["m00"], model.unread, hours(model.unread_since), hours(model.last_seen_at)) == (
        1,
        {"prices"},
        1,
        0,
    )
    world.sees(6, shelf(20))
    assert (world.models["m00"].unread_since, world.models["m00"].last_seen_at) == (None, None)
    world.sees(7, shelf(20)).sees(8, shelf(20))
    assert world.models["m00"].unread == frozenset()
    assert world.said() == [(1, "unreadable", ["m00"]), (7, "readable", ["m00"])]


def test_an_episode_goes_on_if_only_one_observation_could_read() -> None:
    """No second notice for a row that flickers."""
    world = World().sees(0, shelf(20)).sees(1, {**shelf(20), "m00": UNREADABLE}).sees(2, shelf(20))
    world.sees(3, {**shelf(20), "m00": UNREADABLE}).sees(4, shelf(20)).sees(5, shelf(20))
    assert world.said() == [(1, "unreadable", ["m00"]), (5, "readable", ["m00"])]


def test_an_unreadable_field_does_not_cost_a_readable_price() -> None:
    """Case 03: the price moves, the limit that is text keeps its known value, each on its own."""
    old: Element = {"price": 1, "max_completion_tokens": 8}
    world = (
        World()
        .sees(0, {**shelf(20), "m": old})
        .sees(1, {**shelf(20), "m": {"price": 99, "max_completion_tokens": UNREADABLE}})
    )
    change = world.history[-1][1]
    assert (change.changed, change.listing.max_completion_tokens) == ({"prices.price": (Decimal(1), Decimal(99))}, 8)
    model = world.models["m"]
    assert (model.unread, model.unread_since, model.last_seen_at) == ({"max_completion_tokens"}, None, START)


def test_a_new_model_may_be_unreadable_in_part() -> None:
    """What cannot be read is unknown; the mark says so."""
    world = World().sees(0, shelf(20)).sees(1, {**shelf(20), "m": UNREADABLE})
    assert (world.catalog["m"], world.models["m"].unread, hours(world.models["m"].unread_since)) == (
        None,
        {"prices"},
        1,
    )
    assert world.said() == [(1, "unreadable", ["m"])]


def test_one_unreadable_component_keeps_all_known_prices() -> None:
    """The prices are one field: never half of a move."""
    rest = {name: {"input": 1} for name in shelf(20)}
    world = World(headline="input").sees(0, {**rest, "m": {"input": 1, "output": 4}})
    world.sees(1, {**rest, "m": {"input": 2, "output": UNREADABLE}})
    assert world.models["m"].listing.prices == {"input": Decimal(1), "output": Decimal(4)}


def test_an_unreadable_row_is_a_presence() -> None:
    """Law 3: the misses in a row begin anew."""
    row = Rejected(name="m19", reason="is no object", raw="[]", digest=b"x")
    world = World().sees(0, shelf(20)).sees(1, shelf(19)).sees(2, shelf(19), rejected=[row]).hourly(3, 28, shelf(19))
    assert removed(world) == []
    assert removed(world.sees(29, shelf(19))) == ["29/3 removed m19"]


# -- another source ----------------------------------------------------------------------------------------------------


def other(count: int) -> dict[str, Element]:
    """A catalog of other models."""
    return {f"other{number}": 1 for number in range(count)}


@pytest.mark.parametrize(
    ("old", "new", "held"),
    [
        (shelf(10), {**shelf(4), **other(9)}, True),
        (shelf(10), {**shelf(5), **other(9)}, False),
        (shelf(10), {**shelf(10, 2), **shelf(4)}, True),
        (shelf(10), {**shelf(10, 2), **shelf(5)}, False),
        (shelf(3), other(3), True),
        (shelf(3), {**shelf(1, 2), **other(2)}, False),
    ],
    ids=["few listed", "half listed", "few at their price", "half at their price", "none of 3", "one of 3"],
)
def test_a_moved_source_is_asked_about_once(old: dict[str, Element], new: dict[str, Element], held: bool) -> None:
    """Fewer than half of the known models, or of their prices: all of it waits for a person, however long."""
    world = World().sees(0, old).sees(1, new, moved_source="the URL was x")
    assert (world.open().keys() == {"moved_source"}) is held
    if held:
        world.hourly(2, 200, new)
        assert world.catalog == listing_prices(old)
        assert world.models["m00"].missing_since is None
        assert "the URL was x" in world.decision.reasons[0]
        world.approve(201, new)
        assert world.catalog == listing_prices(new)
        assert world.states() == [("moved_source", "approved")]


def test_a_moved_source_that_was_right_after_all_is_withdrawn() -> None:
    """The address is set right again: nothing of the other source was ever believed."""
    world = World().sees(0, shelf(10)).sees(1, other(10), moved_source="x").sees(2, shelf(10), moved_source="y")
    assert (world.states(), len(world.history)) == ([("moved_source", "withdrawn")], 10)


def test_a_rejected_move_stays_out_quietly() -> None:
    """A person's no holds without a question."""
    world = World().sees(0, shelf(10)).sees(1, other(10), moved_source="x").reject(FindingKind.MOVED_SOURCE)
    world.hourly(2, 50, other(10))
    assert (world.catalog, world.decision.outcome) == (listing_prices(shelf(10)), "unchanged")


def test_a_source_that_did_not_move_is_never_another_one() -> None:
    """The same models gone under the same address are a mass removal."""
    world = World().sees(0, shelf(10)).sees(1, other(10))
    assert world.open().keys() == {"removals"}


# -- reverted ----------------------------------------------------------------------------------------------------------


def test_what_was_reverted_is_not_simply_believed_again() -> None:
    """It stays out while upstream repeats it; another value is believed."""
    world = World().sees(0, {**shelf(9), "m": 1})
    world.findings[1] = Finding(
        kind=FindingKind.REVERTED,
        id=1,
        state="rejected",
        opened_at=START,
        evidence={"m": Withheld(since=START, fields={"prices.price": Decimal(2)})},
    )
    world.hourly(1, 100, {**shelf(9), "m": 2})
    assert (world.catalog["m"], world.decision.outcome) == (1, "unchanged")
    world.sees(101, {**shelf(9), "m": 3})
    assert (world.catalog["m"], world.states()) == (3, [("reverted", "withdrawn")])


# -- no policy ---------------------------------------------------------------------------------------------------------


def test_without_rules_everything_is_believed_at_once() -> None:
    """Trust off: an empty list, a factor of a million and a lost field are believed as they are."""
    unpriced: dict[str, Element] = {name: {"price": None} for name in shelf(20)}
    catalogs: list[dict[str, Element]] = [{}, shelf(20, 10**6), unpriced]
    for now in catalogs:
        world = World(None).sees(0, shelf(20)).sees(1, now)
        assert (world.catalog, world.findings) == (listing_prices(now), {})


def test_without_rules_what_was_open_is_settled() -> None:
    """Whatever upstream says now is believed, from where it was first shown."""
    world = World().sees(0, shelf(20)).sees(1, {**shelf(15, 1000), "m19": 1})
    world.policy = None
    world.sees(2, {**shelf(15, 1000), "m19": 1})
    assert world.open() == {}
    assert {state for _, state in world.states()} == {"approved"}
    assert world.changes("m00")[-1] == "2/1 repriced m00 1 -> 1000"
    assert world.changes("m18")[-1] == "2/1 removed m18"


def test_without_rules_law_3_holds_all_the_same() -> None:
    """A partial response proves no absence; one with a nameless row proves it after the patience of the default."""
    world = World(None).sees(0, shelf(9)).sees(1, shelf(3), partial="next is a URL")
    assert len(world.catalog) == 9
    world = World(None).sees(0, shelf(9)).hourly(1, 72, shelf(8), rejected=[nameless()])
    assert removed(world) == []
    assert removed(world.sees(73, shelf(8), rejected=[nameless()])) == ["73/1 removed m08"]


# -- a new reading -----------------------------------------------------------------------------------------------------


def test_the_same_bytes_by_another_parser_are_no_news() -> None:
    """A change of kind reread carries the new state; no rule asks, not even about a whole catalog at another price."""
    catalog: dict[str, Element] = {name: {"input": 1} for name in shelf(8)}
    world = World(headline="input").sees(0, catalog)

    def read_by_two(name: str, element: Element, headline: str) -> Listing:
        prices = {"input": Decimal(1000), "output": Decimal(4000)}
        stated = frozenset({"prices.input", "prices.output"})
        return msgspec.structs.replace(
            listing(name, element, headline), price=Decimal(1000), prices=prices, stated=stated
        )

    world.parser, world.read = "two", read_by_two
    world.sees(1, catalog)
    assert {change.kind for told, change in world.history if told == at(1)} == {Kind.REREAD}
    change = world.history[-1][1]
    assert change.changed == {"prices.input": (Decimal(1), Decimal(1000)), "prices.output": (None, Decimal(4000))}
    assert (change.old_price, world.decision.outcome, world.open()) == (1, "changed", {})


def test_other_bytes_by_another_parser_are_a_reading_and_a_change() -> None:
    """What the old bytes say by the new reading is no news; the rest is a change, and the rules ask about that."""
    world = World(headline="input").sees(0, {**{name: {"input": 1, "output": 4} for name in shelf(9)}})

    def read_as_half(name: str, element: Element, headline: str) -> Listing:
        row = listing(name, element, headline)
        half = {key: None if price is None else price / 2 for key, price in row.prices.items()}
        return msgspec.structs.replace(row, price=half[headline], prices=half)

    world.parser, world.read = "two", read_as_half
    world.sees(
        1, {name: {"input": 1, "output": 4, "extra": "new"} for name in shelf(8)} | {"m08": {"input": 3, "output": 4}}
    )
    kinds = [change.kind for told, change in world.history if told == at(1)]
    assert (kinds.count(Kind.REREAD), kinds.count(Kind.REPRICED), world.open()) == (8, 1, {})
    change = world.history[-1][1]
    assert change.changed == {"prices.input": (Decimal("0.5"), Decimal("1.5"))}
    assert change.reread == {"prices.input": (1, Decimal("0.5")), "prices.output": (4, 2)}
    assert (change.old_price, change.changed_after) == (Decimal("0.5"), START)


@pytest.mark.parametrize("count", [1, 2, 3, 40])
@pytest.mark.parametrize("price", [1, 2])
def test_a_reading_that_finds_no_price_is_a_question(count: int, price: int) -> None:
    """A typo in a price path loses all prices: in a catalog of any size, whatever the bytes, the known ones stay."""
    world = World(headline="input").sees(0, shelf(count, {"input": 1, "alias": "a"}))

    def read_nothing(name: str, element: Element, headline: str) -> Listing:
        row = listing(name, element, headline)
        return msgspec.structs.replace(row, price=None, prices={headline: None}, stated=frozenset({"alias"}))

    world.parser, world.read = "two", read_nothing
    world.sees(1, shelf(count, {"input": price, "alias": "a"}))
    assert (world.open(), set(world.catalog.values())) == ({"shape": sorted(shelf(count))}, {1})
    world.parser, world.read = "one", listing
    assert (world.sees(2, shelf(count, {"input": 1, "alias": "a"})).open(), len(world.history)) == ({}, count)


def test_a_typo_in_one_path_of_a_small_catalog_is_a_question_too() -> None:
    """Half of three models says nothing; so each known price that the other reading does not find stays."""
    world = World(headline="input").sees(0, shelf(3, {"input": 1, "output": 2}))

    def read_input(name: str, element: Element, headline: str) -> Listing:
        row = listing(name, element, headline)
        return msgspec.structs.replace(row, prices={"input": row.price}, stated=frozenset({"prices.input"}))

    world.parser, world.read = "two", read_input
    world.sees(1, shelf(3, {"input": 1, "output": 2}))
    assert (world.open(), world.models["m00"].listing.prices["output"]) == ({"shape": ["m00", "m01", "m02"]}, 2)


@pytest.mark.parametrize("price", [1, 2])
def test_a_reading_that_cannot_read_a_field_makes_no_news_of_it(price: int) -> None:
    """What is kept because it cannot be read is neither a change nor a new reading, the bytes being others or not."""
    world = World(headline="input").sees(0, shelf(8, {"input": 1, "alias": "a"}))

    def read_otherwise(name: str, element: Element, headline: str) -> Listing:
        row = listing(name, element, headline)
        if row.price == price:  # the present bytes
            return msgspec.structs.replace(
                row, price=None, prices={headline: None}, unread=frozenset({"prices"}), alias="b"
            )
        return msgspec.structs.replace(row, price=Decimal(7), prices={headline: Decimal(7)}, alias="b")

    world.parser, world.read = "two", read_otherwise
    world.sees(1, shelf(8, {"input": price, "alias": "a"}))
    moves = {(change.kind, *change.changed) for told, change in world.history if told == at(1)}
    assert (moves, set(world.catalog.values())) == ({(Kind.REREAD, "alias")}, {1})


# -- what ends ---------------------------------------------------------------------------------------------------------


def test_an_end_is_told_at_30_7_and_1_days() -> None:
    """Each threshold once, several models in one notice; an end that moves is told anew."""
    end = START + timedelta(days=40)
    world = World().sees(0, {**shelf(9), "m": {"price": 1, "expires_at": end}})
    for day in range(1, 41):
        world.sees(24 * day, {**shelf(9), "m": {"price": 1, "expires_at": end}})
    told = world.said(NoticeKind.EXPIRING)
    assert [hour / 24 for hour, _, _ in told] == [10, 33, 39]
    later = end + timedelta(days=5)
    world.sees(24 * 40 + 1, {**shelf(9), "m": {"price": 1, "expires_at": later}})
    assert len(world.said(NoticeKind.EXPIRING)) == 4


def test_what_appears_with_five_days_left_is_told_once() -> None:
    """At the nearest threshold that has passed, not at each."""
    end = START + timedelta(days=5)
    world = (
        World().sees(0, {"m": {"price": 1, "expires_at": end}}).sees(1, {"m": {"price": 1, "expires_at": end}, "n": 1})
    )
    assert world.said(NoticeKind.EXPIRING) == [(0, "expiring", {"m": "2026-01-06T00:00:00Z"})]
    assert world.models["m"].expiring_told == 7


# -- health ------------------------------------------------------------------------------------------------------------


def test_the_first_observation_is_believed_whole() -> None:
    """Law 6: the baseline has no lower end to its windows."""
    world = World().sees(0, shelf(50))
    assert {change.changed_after for _, change in world.history} == {None}
    assert world.sees(1, {**shelf(50), "new": 1}).history[-1][1].changed_after == START


def test_an_addition_after_a_response_that_judged_nothing_has_a_wider_window() -> None:
    """Law 6: it may have been there all the time."""
    world = World().sees(0, shelf(20)).sees(1, shelf(5), partial="x").sees(2, {**shelf(20), "new": 1})
    assert hours(world.history[-1][1].changed_after) == 0


def test_doubtful_is_a_reason_of_the_clock_or_a_cache() -> None:
    """The words of a `stale` notice."""
    assert [reason.value for reason in Doubtful] == ["cached", "clock"]


def test_bytes_that_are_readable_again_end_an_episode_that_a_finding_covered() -> None:
    """Implausible, then unreadable, then the believed bytes again: plainly seen, and after two of them over."""
    catalog = {**shelf(20), "m": 1}
    world = World().sees(0, catalog).sees(1, {**catalog, "m": 500}).sees(2, {**catalog, "m": UNREADABLE})
    world.sees(3, catalog).sees(4, catalog)
    assert (world.models["m"].unread, world.models["m"].last_seen_at) == (frozenset(), None)
    assert world.said(NoticeKind.READABLE) == [(4, "readable", ["m"])]


def test_a_limit_that_can_never_be_read_widens_no_later_window() -> None:
    """Law 6: the price was plainly shown all the time; when the limit is readable again its window is wide."""
    old: Element = {"price": 1, "max_completion_tokens": 8}
    odd: Element = {"price": 1, "max_completion_tokens": UNREADABLE}
    world = World().sees(0, {**shelf(20), "m": old}).hourly(1, 50, {**shelf(20), "m": odd})
    world.sees(51, {**shelf(20), "m": {"price": 2, "max_completion_tokens": UNREADABLE}})
    assert hours(world.history[-1][1].changed_after) == 50
    world.sees(52, {**shelf(20), "m": {"price": 2, "max_completion_tokens": 9}})
    assert hours(world.history[-1][1].changed_after) == 0
