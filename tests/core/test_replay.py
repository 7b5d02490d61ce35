"""A real catalog history, decided again: nobody answers, and time alone settles what is doubtful."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncer.core.model import Change, Kind
from syncer.core.rules import Policy
from tests.core.recorded import State, every, expected, polls, states
from tests.core.world import World

CLEAN_OUT = datetime(2026, 3, 20, 5, 51, 47, tzinfo=UTC)
"""The state in which 58 of 229 models go for good, but for one of them."""
DAY = timedelta(days=1)


def live(policy: Policy | None, polled: Iterator[State]) -> World:
    """A world that observed these states."""
    world = World(policy)
    for moment, elements in polled:
        world.sees(0, elements, moment=moment)
    return world


def removals(world: World) -> list[tuple[datetime, Change]]:
    """When each removal was told, and what it says."""
    return [(told, change) for told, change in world.history if change.kind is Kind.REMOVED]


def true_absences() -> dict[str, list[tuple[datetime, datetime | None]]]:
    """When each model was in fact absent: from the first state without it to the first with it again."""
    spans: dict[str, list[tuple[datetime, datetime | None]]] = {}
    ever: set[str] = set()
    for moment, elements in states():
        for name in ever - elements.keys():
            if not spans.get(name) or spans[name][-1][1] is not None:
                spans.setdefault(name, []).append((moment, None))
        for name in elements:
            if spans.get(name) and spans[name][-1][1] is None:
                spans[name][-1] = (spans[name][-1][0], moment)
        ever |= elements.keys()
    return spans


def false_removals(world: World) -> list[str]:
    """The models of which a removal was told although they were back within a day."""
    spans = true_absences()
    short = {
        (name, gone) for name, its in spans.items() for gone, back in its if back is not None and back - gone <= DAY
    }
    return [
        change.listing.name
        for _, change in removals(world)
        if any(name == change.listing.name and gone <= change.effective_at <= gone + DAY for name, gone in short)
    ]


def found(told: datetime, change: Change) -> tuple[Any, ...]:
    """A change of ours in the other program's terms: it states no price where the price is no news."""
    old, new = {
        Kind.ADDED: (None, change.listing.price),
        Kind.RELISTED: (None, change.listing.price),
        Kind.REMOVED: (change.old_price, None),
        Kind.REPRICED: (change.old_price, change.listing.price),
    }.get(change.kind, (None, None))
    moved = change.changed if change.kind in {Kind.UPDATED, Kind.REPRICED} else {}
    fields = sorted(field for field in moved if field != "prices.price")
    return (told, change.listing.name, change.kind.value, old, new, *fields)


def test_with_trust_off_the_history_is_exactly_the_expected_one() -> None:
    """Every change is found in the state where it is, and nothing else (law 10)."""
    world = live(None, iter(states()))
    assert len(world.history) == 354
    assert {found(told, change) for told, change in world.history} == expected()
    assert [outcome for _, outcome in world.runs].count("unchanged") == 7


def test_nobody_answers_and_the_clean_out_is_told_at_the_commits_own_times() -> None:
    """57 of the 58 are told at the first state after three days; the one that was back after 40 hours is not."""
    world = live(Policy(), iter(states()))
    told = {(told, change.effective_at) for told, change in removals(world)}
    assert told == {(datetime(2026, 3, 27, 17, 12, 30, tzinfo=UTC), CLEAN_OUT)}
    names = {change.listing.name for _, change in removals(world)}
    assert (len(names), "gpt-4-0314" in names) == (57, False)
    assert world.states() == [("removals", "confirmed")]
    assert world.catalog.keys() == states()[-1][1].keys()


def test_with_hourly_polls_the_clean_out_is_told_after_three_days() -> None:
    """The patience of a mass removal begins with its first miss."""
    world = live(Policy(), polls(every(timedelta(hours=1))))
    (first,) = {told for told, _ in removals(world)}
    assert timedelta(days=3) <= first - CLEAN_OUT < timedelta(days=3, hours=1)
    assert len(removals(world)) == 57
    assert false_removals(world) == []
    assert world.catalog.keys() == states()[-1][1].keys()


@pytest.mark.parametrize("seed", range(3))
def test_a_daily_job_tells_as_truly(seed: int) -> None:
    """Whatever its jitter, a daily job tells each true removal and no false one."""
    jitter = random.Random(seed)
    days = (day + timedelta(minutes=jitter.uniform(0, 90)) for day in every(DAY))
    world = live(Policy(), polls(days))
    assert len(removals(world)) in {57, 58}
    assert false_removals(world) == []
    assert world.catalog.keys() == states()[-1][1].keys()


def test_an_outage_before_each_removal_makes_none_of_them_false() -> None:
    """Thirty hours without an observation before a model goes missing: its first miss is no second one."""
    gone = [span[0] for spans in true_absences().values() for span in spans]
    times = (
        moment for moment in every(timedelta(hours=1)) if not any(g - timedelta(hours=30) < moment < g for g in gone)
    )
    world = live(Policy(), polls(times))
    assert false_removals(world) == []
    assert len(removals(world)) == 57
