"""Random upstreams with random faults and nobody answering: what must hold of every story."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from itertools import accumulate, pairwise
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from syncer.core.model import Kind
from syncer.core.rules import Policy
from tests.core.world import UNREADABLE, Element, World, at, nameless

PATIENCE, REMOVAL_AFTER = 72, 26
NAMES = [f"{vendor}/m{number}" for vendor in ("acme", "zeta") for number in range(20)]
PRICE = st.sampled_from(["0", "0.5", "1", "2.5", "3", "250", "3000", "-1"]) | st.none()
FIELDS = st.fixed_dictionaries(
    {"input": PRICE},
    optional={
        "output": PRICE,
        "alias": st.sampled_from(["A", "B", None, UNREADABLE]),
        "context_length": st.sampled_from([4096, 8192, None]),
    },
)
CATALOGS = st.dictionaries(st.sampled_from(NAMES), FIELDS, min_size=1, max_size=40)


@st.composite
def faults(draw: st.DrawFn, catalog: Mapping[str, Any]) -> tuple[dict[str, Element], dict[str, Any]]:
    """What one response may look like when the truth is `catalog`: part of it, other prices, odd rows, or nothing."""
    kind = draw(st.sampled_from(["true", "part", "factor", "null", "odd", "partial", "empty", "unreadable", "other"]))
    elements: dict[str, Any] = {name: dict(element) for name, element in catalog.items()}
    more: dict[str, Any] = {}
    if kind in {"part", "partial"}:
        elements = {name: element for name, element in elements.items() if draw(st.booleans())}
        more = {"partial": "has_more is true"} if kind == "partial" else {}
    elif kind == "empty":
        elements = {}
    elif kind == "odd":
        more = {"rejected": (nameless(),)}
    elif kind == "other":
        elements = draw(CATALOGS)
    elif kind != "true":
        for element in elements.values():
            if draw(st.integers(0, 3)):
                _spoil(element, kind)
    return elements, more


def _spoil(element: dict[str, Any], kind: str) -> None:
    if kind == "unreadable":
        element["input"] = UNREADABLE
    elif kind == "null":
        element["input"] = None
    elif element["input"] is not None:
        element["input"] = str(Decimal(element["input"]) * 1000)


def readable(catalog: Mapping[str, Any]) -> dict[str, Any]:
    """The catalog as it is when upstream is well."""
    return {name: {key: its for key, its in element.items() if its != UNREADABLE} for name, element in catalog.items()}


def shown(catalog: Mapping[str, Any]) -> dict[str, Decimal | None]:
    """Its headline prices."""
    return {name: None if its["input"] is None else Decimal(its["input"]) for name, its in sorted(catalog.items())}


SLOW = settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking such long stories takes minutes and tells little
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@SLOW
@given(st.data())
def test_after_patience_of_a_steady_upstream_the_catalog_equals_it(data: st.DataObject) -> None:
    """Nothing is held for ever but what a person must say (an empty list): issue 12's first property."""
    world, hour = World(Policy(), "input"), 0
    truth = readable(data.draw(CATALOGS))
    world.sees(hour, truth)
    for _ in range(data.draw(st.integers(1, 8))):
        hour += data.draw(st.sampled_from([1, 1, 5, 13, 27, 80]))
        elements, more = data.draw(faults(truth))
        world.sees(hour, elements, **more)
        if data.draw(st.booleans()):
            truth = readable(data.draw(CATALOGS))
    step = data.draw(st.sampled_from([1, 7, 24]))
    for later in range(hour + 1, hour + 1 + PATIENCE + step, step):  # the last is the first after patience
        world.sees(later, truth)
    assert world.catalog == shown(truth)
    assert world.open() == {}
    for name, element in truth.items():
        model = world.models[name]
        assert (model.missing_since, model.unread, model.last_seen_at) == (None, frozenset(), None)
        assert model.listing.context_length == element.get("context_length")
        known = {
            key: None if price is None else Decimal(price)
            for key, price in element.items()
            if key in {"input", "output"}
        }
        assert {key: price for key, price in model.listing.prices.items() if price is not None} == {
            key: price for key, price in known.items() if price is not None
        }


@SLOW
@given(
    st.lists(st.sampled_from([1, 2, 6, 12, 24]), min_size=5, max_size=60),
    st.lists(st.integers(0, 2**60 - 1), min_size=1, max_size=40),
)
def test_no_removal_is_told_of_a_model_that_was_back_in_time(steps: list[int], chances: list[int]) -> None:
    """What an observation shows again within `removal_after` of the last that showed it was never removed.

    Where a step is long, polls have failed: they are no observations. Each bit of a model's chance is whether it is
    missing where it may be.
    """
    hours = list(accumulate(steps, initial=0))
    missing: set[tuple[int, int]] = set()
    for model, chance in enumerate(chances):
        last = 0
        for number, (hour, following) in enumerate(pairwise(hours[1:])):
            if following - last <= REMOVAL_AFTER and chance >> number & 1:
                missing.add((model, hour))
            else:
                last = hour
    world = World()
    for hour in hours:
        world.sees(hour, {f"m{model}": 1 for model in range(len(chances)) if (model, hour) not in missing})
    assert world.changes(None, Kind.REMOVED) == []


@SLOW
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(0, 12), st.sampled_from([1, 5, 24]))
def test_no_price_is_older_than_patience(seed: int, moving: int, still: int, step: int) -> None:
    """However many models take another value at every poll: what is believed was shown within `patience`.

    A single one that never stands still is withheld just as long, and then believed as it is.
    """
    hours = range(step, 2 * PATIENCE, step)
    values = iter(Random(seed).sample(range(101, 10**6), len(hours) * moving))
    shown = [(0, {f"m{number}": 1 for number in range(moving + still)})]
    world = World().sees(*shown[0])
    for hour in hours:
        shown.append((hour, {**shown[0][1], **{f"m{number}": next(values) for number in range(moving)}}))
        world.sees(*shown[-1])
        recent = [listed for when, listed in shown if when > hour - PATIENCE - step]
        for name, price in world.catalog.items():
            assert any(listed[name] == price for listed in recent), (hour, name)
        if moving == 1 and still and hour < step + PATIENCE:
            assert world.catalog["m0"] == 1
        elif moving == 1 and still and hour < 2 * step + PATIENCE:
            assert world.catalog["m0"] == shown[-1][1]["m0"]
            assert world.states() == [("implausible_price", "confirmed")]


@SLOW
@given(st.data())
def test_the_order_of_the_elements_makes_no_other_history(data: st.DataObject) -> None:
    """Law 10: the same elements in another order give the same history, findings and notices, row for row."""
    one, other = World(Policy(), "input"), World(Policy(), "input")
    for hour in range(0, 120, 30):
        elements, more = data.draw(faults(data.draw(CATALOGS)))
        shuffled = dict(data.draw(st.permutations(list(elements.items()))))
        one.sees(hour, elements, **more)
        other.sees(hour, shuffled, **more)
    assert one.history == other.history
    assert list(one.findings.values()) == list(other.findings.values())
    assert one.notices == other.notices
    assert {name: _but_id(its) for name, its in one.models.items()} == {
        name: _but_id(its) for name, its in other.models.items()
    }


def _but_id(model: Any) -> Any:
    return (model.listing, model.listed, model.last_changed_at, model.missing_since, model.unread)


@SLOW
@given(st.data())
def test_steady_bytes_change_nothing(data: st.DataObject) -> None:
    """What was decided twice of the same response is decided once: a repeated response at once writes no history."""
    world = World(Policy(), "input", shortcut=False)
    for hour in range(0, 60, 20):
        elements, more = data.draw(faults(data.draw(CATALOGS)))
        world.sees(hour, elements, **more)
        before, findings = len(world.history), len(world.findings)
        world.sees(0, elements, moment=at(hour) + timedelta(seconds=1), **more)
        assert (len(world.history), len(world.findings)) == (before, findings)
