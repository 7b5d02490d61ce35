"""What usage cost: exact, at the price of its time, and never on an assumption."""

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from syncer import history
from syncer.errors import UnknownSource
from syncer.history import Unpriced, Usage
from tests.history.conftest import Calendar, day
from tests.upstream import model


def used(name: str, at: datetime, quantity: Any = 1_000_000, unit: str = "token", **rest: Any) -> Usage:
    """A usage of a million tokens, or so."""
    return Usage(model=name, at=at, quantity=quantity, unit=unit, **rest)


def test_usage_costs_what_it_cost_when_it_happened(calendar: Calendar) -> None:
    """Each usage takes the price in force at its time, exactly, and `as_of` that of another date for all."""
    calendar.on(1, a="0.1").on(2, a="0.3")
    usage = [used("a", day(1)), used("a", day(2), 3), used("a", day(1.5), Decimal("0.5"))]
    with calendar.read() as connection:
        then = list(history.cost(connection, usage))
        today = list(history.cost(connection, usage, as_of=day(2)))
    assert [row.amount for row in then] == [Decimal("0.1"), Decimal("0.0000009"), Decimal("0.00000005")]
    assert [row.amount for row in today] == [Decimal("0.3"), Decimal("0.0000009"), Decimal("0.00000015")]
    assert [row.priced_at for row in today] == [day(2)] * 3
    assert (then[0].currency, then[0].per, then[0].price) == ("USD", (1_000_000, "token"), Decimal("0.1"))
    (total,) = history.cost_totals(then)
    assert (total.source, total.currency, total.amount, total.priced) == ("default", "USD", Decimal("0.10000095"), 3)


def test_what_cannot_be_priced_says_why(calendar: Calendar) -> None:
    """No usage is ever priced at 0 for want of knowledge: each comes back with its own reason, in its own place."""
    calendar.on(
        1,
        model("picture", "1", model_type="Image"),
        model("one", "1", model_alias="twin"),
        model("two", "1", model_alias="twin"),
        unknown=None,
        varies=-1,
        gone="1",
        free=0,
    )
    calendar.on(2, unknown=None, free=0)
    usage = [
        used("nobody", day(1)),
        used("twin", day(1)),
        used("gone", day(2)),
        used("unknown", day(1)),
        used("varies", day(1)),
        used("picture", day(1)),
        used("gone", day(1), unit="second"),
        used("free", day(1), source="elsewhere"),
        used("free", day(3)),
    ]
    with calendar.read() as connection:
        rows = list(history.cost(connection, usage))
    assert [row.reason for row in rows] == [
        Unpriced.UNKNOWN_MODEL,
        Unpriced.AMBIGUOUS_MODEL,
        Unpriced.NOT_LISTED,
        Unpriced.UNKNOWN_PRICE,
        Unpriced.NEGATIVE_PRICE,
        Unpriced.UNIT_NOT_CONFIGURED,
        Unpriced.OTHER_UNIT,
        Unpriced.UNKNOWN_SOURCE,
        None,
    ]
    assert [row.amount for row in rows] == [None] * 8 + [Decimal(0)]
    assert all(row.detail for row in rows[:-1])
    assert [row.extrapolated for row in rows[-2:]] == [False, True]
    assert [total.priced for total in history.cost_totals(rows)] == [1]


def test_an_alias_in_usage_means_what_it_meant_then(calendar: Calendar) -> None:
    """Usage under an alias that moved from one model to another takes each one's price in its time."""
    calendar.on(1, model("v1", "1", model_alias="best"), model("v2", "2", model_alias="next"))
    calendar.on(2, model("v1", "1", model_alias="old"), model("v2", "2", model_alias="best"))
    with calendar.read() as connection:
        rows = list(history.cost(connection, [used("best", day(number)) for number in (2, 1, 0)], source="default"))
    assert [(row.model, row.amount) for row in rows] == [("v2", Decimal(2)), ("v1", Decimal(1)), (None, None)]
    assert rows[2].reason is Unpriced.UNKNOWN_MODEL


def test_an_endless_amount_is_kept_exactly(calendar: Calendar) -> None:
    """A price per 3 seconds gives thirds: the exact fraction is kept, sums are of fractions, 28 digits are shown."""
    calendar.upstream.serve([model("a", "1")])
    calendar.poll(1, price_units={"price": {"Text": (3, "second")}}, currency=None)
    with calendar.read() as connection:
        rows = list(history.cost(connection, [used("a", day(1), 1, "second")] * 3))
    assert (rows[0].exact, rows[0].amount) == (Fraction(1, 3), Decimal("0.3333333333333333333333333333"))
    (total,) = history.cost_totals(rows)
    assert (total.amount, total.currency) == (Decimal(1), None)


def test_cost_refuses_floats_naive_times_and_unknown_sources(calendar: Calendar) -> None:
    """A float has lost digits already and a naive time means nothing: both raise; so does a source nobody has."""
    calendar.on(1, a="1")
    with calendar.read() as connection:
        with pytest.raises(TypeError, match=r"not 0\.1"):
            list(history.cost(connection, [used("a", day(1), 0.1)]))
        with pytest.raises(ValueError, match="aware"):
            list(history.cost(connection, [used("a", day(1).replace(tzinfo=None))]))
        with pytest.raises(UnknownSource):
            history.cost(connection, [], source="nobody")
