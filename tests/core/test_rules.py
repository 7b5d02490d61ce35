"""rules: each question by itself, where a story would be long, and evidence as it is stored."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from syncer.core.model import Change, Kind
from syncer.core.rules import (
    Approval,
    Finding,
    FindingKind,
    Policy,
    Withheld,
    common_factor,
    evidence_from_json,
    evidence_to_json,
    factor_between,
    is_over,
    offending,
    says,
    too_many_missing,
)
from tests.core.world import Element, listing

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


def move(old: dict[str, object], new: dict[str, object]) -> Change:
    """A repricing of one model, from all its prices to all its prices."""
    changed = {
        f"prices.{component}": tuple(None if its is None else Decimal(str(its)) for its in (old.get(component), price))
        for component, price in new.items()
        if old.get(component) != price
    }
    element: Element = dict(new)
    return Change(
        kind=Kind.REPRICED,
        model_id=1,
        listing=listing("m", element, "input"),
        old_price=None,
        changed=changed,  # type: ignore[arg-type]
        effective_at=NOW,
        changed_after=None,
    )


@pytest.mark.parametrize(
    ("old", "new", "factor"),
    [
        ("1", "1000", 1000),
        ("4", "1", Decimal("0.25")),
        (None, "1", None),
        ("0", "1", None),
        ("-1", "-10", None),
        ("1", None, None),
    ],
)
def test_what_counts_as_a_factor(old: str | None, new: str | None, factor: object) -> None:
    """From or to unknown, 0 or a negative there is none."""
    assert factor_between(*(None if text is None else Decimal(text) for text in (old, new))) == factor


@pytest.mark.parametrize(
    ("old", "new", "factor"),
    [
        ({"input": 1, "output": 2}, {"input": 1000, "output": 2000}, 1000),
        ({"input": "0.3", "output": 2}, {"input": 300, "output": "2000.4"}, 1000),
        ({"input": 1, "output": 2}, {"input": 1000, "output": 2002}, None),
        ({"input": 1, "output": 2}, {"input": 1000, "output": 2}, None),
        ({"input": 1, "output": 0}, {"input": 1000, "output": 0}, 1000),
        ({"input": 1, "output": 5}, {"input": 1000, "output": None}, 1000),
        ({"input": 1}, {"input": 0}, None),
    ],
)
def test_the_common_factor_of_a_model(old: dict[str, object], new: dict[str, object], factor: int | None) -> None:
    """All comparable components, to four digits; those that stood still count, those that are none do not."""
    found = common_factor(move(old, new))
    assert (found is None) is (factor is None)
    assert found is None or factor is None or round(found) == factor


@pytest.mark.parametrize(
    ("old", "new", "components"),
    [
        ({"input": 1, "output": 1}, {"input": 99, "output": 100}, ["output"]),
        ({"input": 1, "output": 1}, {"input": 2, "output": None}, []),
        ({"input": 1, "output": 1}, {"input": None, "output": 2}, ["input"]),
        ({"input": 1, "output": 1}, {"input": "0.01", "output": 0}, ["input", "output"]),
        ({"input": 1}, {"input": 1, "output": 10**6}, []),
    ],
)
def test_the_offending_components(old: dict[str, object], new: dict[str, object], components: list[str]) -> None:
    """By the factor of one step, from positive to none; to unknown only of the headline."""
    assert offending(move(old, new), Policy(), "input") == components


def test_the_removal_limits_must_both_be_exceeded() -> None:
    """And their percent is exact: 1.1 % of 1000 is 11."""
    policy = Policy(removal_limit_percent=1.1)
    assert not too_many_missing(11, 1000, policy)
    assert too_many_missing(12, 1000, policy)
    assert not too_many_missing(0, 0, policy)


def test_patience_ends_at_the_first_observation_at_or_after_it() -> None:
    """Both sides of the limit, and never."""
    patience = timedelta(days=3)
    assert is_over(NOW - patience, patience, NOW)
    assert not is_over(NOW - patience + timedelta(microseconds=1), patience, NOW)
    assert not is_over(NOW - 9 * patience, None, NOW)
    assert not is_over(None, patience, NOW)


@pytest.mark.parametrize(
    ("approval", "name", "state", "covered"),
    [
        (Approval(), "a/x", "open", True),
        (Approval(), "", "open", True),
        (Approval(), "a/x", "rejected", False),
        (Approval(findings=frozenset({7})), "a/x", "rejected", True),
        (Approval(findings=frozenset({8})), "a/x", "open", False),
        (Approval(models=("a/*",)), "a/x", "open", True),
        (Approval(models=("b/*",)), "a/x", "open", False),
        (Approval(models=("*",)), "", "open", False),
    ],
)
def test_what_an_approval_covers(approval: Approval, name: str, state: str, covered: bool) -> None:
    """All open ones, or those that it names, rejected ones too; a glob of models is no answer about the response."""
    finding = Finding(kind=FindingKind.REMOVALS, evidence={}, opened_at=NOW, id=7, state=state)
    assert approval.covers(finding, name) is covered


def test_a_withheld_price_is_said_again_whatever_else_is_said() -> None:
    """Only the prices count where a price is withheld; all values where none is."""
    element: Element = {"input": 2, "alias": "B"}
    assert says(listing("m", element, "input"), {"prices.input": Decimal(2), "alias": "A"})
    assert not says(listing("m", element, "input"), {"prices.input": Decimal(3), "alias": "B"})
    assert not says(listing("m", element, "input"), {"alias": "A"})


def test_evidence_survives_being_stored() -> None:
    """Times are text, prices are exact, an absence is null; a time that is withheld comes back as one."""
    evidence = {
        "m": Withheld(
            since=NOW,
            fields={"prices.input": Decimal("1.5"), "expires_at": NOW, "alias": "A", "context_length": 4096},
            first=NOW + timedelta(hours=1),
            shown=(("input", Decimal("1.5"), NOW), ("input", None, NOW)),
        ),
        "gone": Withheld(since=NOW, fields=None),
    }
    stored = evidence_to_json(evidence)
    assert stored["gone"] == {"since": "2026-01-10T12:00:00.000000Z", "fields": None}
    assert evidence_from_json(stored) == evidence
    assert json.dumps(stored, default=str)
