"""Several prices of one model: each by itself, none across units, none that never was."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from syncer import history
from syncer.db.engine import reading
from syncer.errors import UnknownComponent
from syncer.history import Unpriced, Usage
from tests.db import START, opened
from tests.db.shop import Shop, listing

HOUR = timedelta(hours=1)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A fresh database of each kind, with a model whose prices come, move and go."""
    with opened(database_url) as made:
        shop = Shop(made)
        shop.at(START, {"a": {"input": "1", "output": "4"}})
        shop.at(START + HOUR, {"a": {"input": "2", "output": "4", "image": "9"}})
        shop.at(START + 2 * HOUR, {"a": {"input": "2", "output": "3"}})
        yield made


def test_each_price_is_asked_by_itself(engine: Engine) -> None:
    """The headline if none is named; all that were known then; one that never was is refused, naming the others."""
    with reading(engine) as connection:
        assert history.price_at(connection, "a", at=START).price == Decimal(1)
        output = history.price_at(connection, "a", "output", at=START + HOUR)
        early = history.price_at(connection, "a", "image", at=START)
        every = history.prices_at(connection, "a", at=START + 2 * HOUR)
        with pytest.raises(UnknownComponent, match="it has: image, input, output") as unknown:
            history.price_at(connection, "a", "audio", at=START)
        with pytest.raises(UnknownComponent):
            history.price_stats(connection, "a", "audio")
    assert (output.price, output.valid_from, output.valid_to) == (Decimal(4), START, START + 2 * HOUR)
    assert (early.listed, early.price, early.valid_from, early.valid_to) == (True, None, None, START + HOUR)
    assert [(quote.component, quote.price) for quote in every] == [
        ("input", Decimal(2)),
        ("image", None),
        ("output", Decimal(3)),
    ]
    assert unknown.value.known == ("image", "input", "output")


def test_periods_and_stats_are_of_one_price(engine: Engine) -> None:
    """The headline's periods come first; statistics are of one price alone."""
    with reading(engine) as connection:
        periods = history.price_periods(connection, "a")
        stats = history.price_stats(connection, "a", "output", until=START + 4 * HOUR)
        assert history.price_periods(connection, "a", "output") == [p for p in periods if p.component == "output"]
    assert [(period.component, period.price) for period in periods] == [
        ("input", Decimal(1)),
        ("input", Decimal(2)),
        ("image", Decimal(9)),
        ("image", None),
        ("output", Decimal(4)),
        ("output", Decimal(3)),
    ]
    assert (stats.min, stats.max, stats.mean, stats.repricings) == (Decimal(3), Decimal(4), Decimal("3.5"), 1)


def test_movers_name_the_price_and_what_is_left_out(engine: Engine) -> None:
    """Each price is ranked by itself; one that became unknown has no percent and is told apart."""
    window: dict[str, Any] = {"since": START, "until": START + 2 * HOUR}
    with reading(engine) as connection:
        moved = history.movers(connection, **window)
        assert history.movers(connection, **window, components=["output"]) == moved[1:]
        assert history.movers(connection, **window, headline_only=True) == moved[:1]
        left_out = history.unranked(connection, since=START + HOUR, until=START + 2 * HOUR)
    assert [(one.component, one.percent) for one in moved] == [("input", Decimal(100)), ("output", Decimal(-25))]
    assert [(one.component, one.old, one.new) for one in left_out] == [("image", Decimal(9), None)]


def test_a_new_reading_is_no_move(engine: Engine) -> None:
    """Two readings are not compared, whatever else moved in between."""
    shop = Shop(engine, "other")
    shop.at(START, {"b": {"input": "1"}})
    shop.at(START + HOUR, {"b": listing("b", {"input": "100"})}, reread=["b"])
    with reading(engine) as connection:
        assert history.movers(connection, since=START, until=START + 2 * HOUR, source="other") == []


def test_usage_says_which_price_it_takes(engine: Engine) -> None:
    """A component is needed where there are several; totals are by model and component."""
    used = [
        Usage(model="a", at=START, quantity=1_000_000, unit="token", component=component)
        for component in (None, "output", "audio", "input")
    ]
    used.append(Usage(model="a", at=START - HOUR, quantity=1, unit="token", component="input"))
    with reading(engine) as connection:
        costs = list(history.cost(connection, used))
    assert [one.reason for one in costs] == [
        Unpriced.COMPONENT_NEEDED,
        None,
        Unpriced.UNKNOWN_COMPONENT,
        None,
        Unpriced.NOT_OBSERVED,
    ]
    totals = history.cost_totals(costs, each=True)
    assert [(one.model, one.component, one.amount) for one in totals] == [
        ("a", "input", Decimal(1)),
        ("a", "output", Decimal(4)),
    ]


def test_before_the_first_observation_nothing_is_known(engine: Engine) -> None:
    """Law 6: neither listed nor not listed; a difference from there leaves the source out and says so."""
    with reading(engine) as connection:
        assert history.price_at(connection, "a", at=START - HOUR).listed is None
        assert history.diff(connection, START - HOUR, START + HOUR) == []
        (one,) = history.not_observed(connection, at=START - HOUR)
        assert history.not_observed(connection, at=START) == []
    assert (one.source, one.first_observed_at) == ("shop", START)
