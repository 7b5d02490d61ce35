"""What one model cost, and when it was there: stories, each side of each boundary."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from syncer import history
from syncer.core.model import Kind
from syncer.errors import AmbiguousModel, UnknownModel, UnknownSource
from syncer.history import Quote
from tests.history.conftest import Calendar, day
from tests.upstream import Reply, catalog_body, model

TICK = timedelta(microseconds=1)


def test_a_quote_names_its_period_and_how_sure_it_is(calendar: Calendar) -> None:
    """A price that held and ended carries its window, the observation that last showed it, currency and unit."""
    calendar.on(1, a="1").on(2, a="2").on(3, a="2").on(5, a="3")
    with calendar.read() as connection:
        quote = history.price_at(connection, "a", at=day(4))
    assert quote == Quote(
        source="default",
        model="a",
        component="price",
        at=day(4),
        listed=True,
        price=Decimal(2),
        currency="USD",
        unit=(1_000_000, "token"),
        valid_from=day(2),
        valid_to=day(5),
        changed_after=day(1),
        certain_until=day(3),
        unread_since=None,
        extrapolated=False,
        first_observed_at=day(1),
        last_observed_at=day(5),
    )


def test_both_sides_of_each_boundary(calendar: Calendar) -> None:
    """Periods are half-open (law 5): at the instant of a change the new state holds, a microsecond before the old."""
    calendar.on(1, a="1", b="9").on(2, a="2", b="9").on(3, b="9").on(4, a="2", b="9")

    def at(moment: object) -> tuple[bool | None, Decimal | None]:
        with calendar.read() as connection:
            quote = history.price_at(connection, "a", at=moment)  # type: ignore[arg-type]
        return quote.listed, quote.price

    assert at(day(1) - TICK) == (None, None)
    assert at(day(1)) == (True, Decimal(1))
    assert at(day(2) - TICK) == (True, Decimal(1))
    assert at(day(2)) == (True, Decimal(2))
    assert at(day(3) - TICK) == (True, Decimal(2))
    assert at(day(3)) == (False, None)
    assert at(day(4) - TICK) == (False, None)
    assert at(day(4)) == (True, Decimal(2))


def test_unknown_free_negative_absent_and_never_seen_are_told_apart(calendar: Calendar) -> None:
    """An unknown price, 0, a negative one, a model not listed then and one never seen are five different answers."""
    calendar.on(1, unknown=None, free=0, varies=-1, gone="1").on(2, unknown=None, free=0, varies=-1)
    with calendar.read() as connection:
        quotes = {name: history.price_at(connection, name, at=day(2)) for name in ("unknown", "free", "varies", "gone")}
        with pytest.raises(UnknownModel, match="no model was ever named"):
            history.price_at(connection, "zzz", at=day(2))
    assert {name: (quote.listed, quote.price) for name, quote in quotes.items()} == {
        "unknown": (True, None),
        "free": (True, Decimal(0)),
        "varies": (True, Decimal(-1)),
        "gone": (False, None),
    }


def test_an_absence_has_its_window_too(calendar: Calendar) -> None:
    """A quote of an absence says since when, until when, and which look last showed that the model was not there."""
    calendar.on(1, b="9").on(2, b="9").on(3, a="1", b="9").on(4, b="9").on(5, b="9")
    with calendar.read() as connection:
        before = history.price_at(connection, "a", at=day(2.5))
        after = history.price_at(connection, "a", at=day(4.5))
    assert (before.valid_from, before.valid_to, before.certain_until) == (None, day(3), day(2))
    assert (after.valid_from, after.valid_to, after.changed_after, after.certain_until) == (
        day(4),
        None,
        day(3),
        day(5),
    )
    assert after.unit is None


def test_an_answer_beyond_the_last_observation_says_so(calendar: Calendar) -> None:
    """At the last poll an answer is knowledge; a microsecond later it is an extrapolation that names that look."""
    calendar.on(1, a="1").poll(2)
    with calendar.read() as connection:
        known = history.price_at(connection, "a", at=day(2))
        guessed = history.price_at(connection, "a", at=day(2) + TICK)
    assert (known.extrapolated, guessed.extrapolated) == (False, True)
    assert guessed.last_observed_at == guessed.certain_until == day(2)


def test_a_missing_model_is_certain_only_until_it_was_last_seen(calendar: Calendar) -> None:
    """While a removal waits for confirmation, the price stands, but no observation has shown it since (law 6)."""
    calendar.on(1, a="1", b="9")
    calendar.upstream.serve([model("b", "9")])
    calendar.poll(2, trust=True, removal_confirmations=3)
    with calendar.read() as connection:
        quote = history.price_at(connection, "a", at=day(2))
    assert (quote.listed, quote.price, quote.certain_until, quote.extrapolated) == (True, Decimal(1), day(1), False)


def test_a_limit_that_cannot_be_read_takes_no_certainty_from_a_price(calendar: Calendar) -> None:
    """The price is certain to the last look that showed it; not by one that says itself that it is not the whole list,
    nor while a change of the price, or the price itself, is in doubt.
    """
    odd = {"context_length": "a lot"}
    calendar.on(1, b="9", a="1").on(2, model("a", "1", **odd), b="9").on(3, model("a", "1", **odd), b="9")
    assert certain(calendar, "a") == day(3)
    calendar.upstream.reply(Reply(body=catalog_body([model("b", "9")], has_more=True)))
    assert certain(calendar.poll(4), "a") == day(1)
    calendar.on(5, model("a", "1", **odd), b="9")
    assert certain(calendar, "a") == day(5)
    calendar.upstream.serve([model("a", "1000", **odd), model("b", "9")])
    assert certain(calendar.poll(6, trust=True), "a") == day(1)
    calendar.upstream.serve([model("a", "cheap", **odd), model("b", "9")])
    assert certain(calendar.poll(7), "a") == day(1)


def test_a_cached_absence_is_as_old_as_its_cache(calendar: Calendar) -> None:
    """A response with an Age proves an absence up to when upstream showed it, as it does a price (law 6)."""
    calendar.on(1, a="1", b="2")
    calendar.upstream.reply(Reply(body=catalog_body([model("a", "1")]), headers={"Age": "3600"}))
    calendar.poll(2).poll(3)
    assert certain(calendar, "a") == certain(calendar, "b") == day(3) - timedelta(hours=1)


def certain(calendar: Calendar, name: str) -> datetime | None:
    """Until when the present price is certain."""
    with calendar.read() as connection:
        return history.price_at(connection, name, at=day(9)).certain_until


def test_an_empty_list_that_is_believed_proves_absences(calendar: Calendar) -> None:
    """With trust off it removes all, and so says that what went before is still gone; one that is held does not."""
    calendar.on(1, a="1", b="2").on(2, a="1").on(3)
    assert certain(calendar, "b") == day(3)
    calendar.on(4, a="1").upstream.serve([])
    assert certain(calendar.poll(5, trust=True), "b") == day(4)


def test_an_update_does_not_end_a_price(calendar: Calendar) -> None:
    """A changed description leaves the price period whole, but a changed type moves the unit."""
    calendar.on(1, a="1").on(2, model("a", "1", description="new")).on(3, model("a", "1", model_type="Image"))
    with calendar.read() as connection:
        quote = history.price_at(connection, "a", at=day(3))
        periods = history.price_periods(connection, "a")
        assert history.price_at(connection, "a", at=day(2)).unit == (1_000_000, "token")
    assert (quote.valid_from, quote.changed_after, quote.unit) == (day(1), None, None)
    assert [(period.price, period.valid_from, period.valid_to) for period in periods] == [(Decimal(1), day(1), None)]


def test_returning_model_opens_a_new_period(calendar: Calendar) -> None:
    """A model that vanishes and returns has two price periods and a gap, and two intervals of availability."""
    calendar.on(1, a="10", b="1").on(2, b="1").on(3, a="12", b="1").on(5, a="12", b="1")
    with calendar.read() as connection:
        periods = history.price_periods(connection, "a")
        there = history.availability(connection, "a")
    assert [(period.price, period.valid_from, period.valid_to, period.changed_after) for period in periods] == [
        (Decimal(10), day(1), day(2), None),
        (Decimal(12), day(3), None, day(2)),
    ]
    assert [(i.listed_from, i.listed_to, i.began_as) for i in there.intervals] == [
        (day(1), day(2), Kind.ADDED),
        (day(3), None, Kind.RELISTED),
    ]
    assert (there.since, there.until, there.listed_for) == (day(1), day(5), timedelta(days=3))
    assert there.share == Fraction(3, 4)


def test_periods_and_availability_of_a_window(calendar: Calendar) -> None:
    """Only what reaches into `[since, until)` is given, whole; shares count the window only."""
    calendar.on(1, a="1").on(2, a="2").on(3, a="3").on(4, b="1").on(9, b="1")
    with calendar.read() as connection:
        periods = history.price_periods(connection, "a", since=day(2), until=day(3))
        there = history.availability(connection, "a", since=day(3), until=day(7))
        nothing = history.availability(connection, "a", since=day(7), until=day(7))
        with pytest.raises(ValueError, match="cannot end before"):
            history.availability(connection, "a", since=day(7), until=day(6))
    assert [period.price for period in periods] == [Decimal(2)]
    assert (there.share, there.listed_for, len(there.intervals)) == (Fraction(1, 4), timedelta(days=1), 1)
    assert (nothing.share, nothing.intervals) == (None, ())


def test_stats_are_exact(calendar: Calendar) -> None:
    """Min, max, time-weighted mean and repricings of a window, over known prices that are amounts, exactly (law 4)."""
    calendar.on(1, a="0.1").on(2, a="0.2").on(4, a=None).on(5, a=-1).on(6, a="0.7").on(8, a="0.7")
    with calendar.read() as connection:
        stats = history.price_stats(connection, "a", since=day(1.5), until=day(7))
        whole = history.price_stats(connection, "a")
    assert (stats.min, stats.max, stats.repricings) == (Decimal("0.1"), Decimal("0.7"), 4)
    assert stats.priced_for == timedelta(days=3.5)
    assert stats.mean_exact == (Fraction(1, 20) + Fraction(4, 10) + Fraction(7, 10)) / Fraction(7, 2)
    assert stats.mean == Decimal("0.3285714285714285714285714286")
    assert (whole.since, whole.until, whole.mean) == (day(1), day(8), Decimal("0.38"))
    assert (whole.currency, whole.unit) == ("USD", (1_000_000, "token"))


def test_the_lowest_price_of_the_thirty_days_before_a_day(calendar: Calendar) -> None:
    """A price counts if it was in force at some moment of the 30 days before the day, not on it."""
    calendar.on(1, a="1").on(2, a="5").on(31, a="3").on(32, a="2").on(33, a="2")

    def lowest(before: float) -> Decimal | None:
        with calendar.read() as connection:
            return history.price_stats(connection, "a", day=day(before)).lowest_30_days

    assert lowest(1) is None
    assert lowest(31) == Decimal(1)
    assert lowest(32) == Decimal(3)
    assert lowest(33) == Decimal(2)


def test_an_alias_means_what_it_meant_then(calendar: Calendar) -> None:
    """An alias is looked up as it was at the time asked about, and a name before any alias."""
    calendar.on(1, model("v1", "1", model_alias="best"), model("v2", "2", model_alias="v1"))
    calendar.on(2, model("v1", "1", model_alias="old"), model("v2", "2", model_alias="best"))
    with calendar.read() as connection:
        assert history.price_at(connection, "best", at=day(1)).model == "v1"
        assert history.price_at(connection, "best", at=day(2)).model == "v2"
        assert history.price_at(connection, "v1", at=day(1)).model == "v1"
        assert history.price_periods(connection, "old")[0].model == "v1"
        with pytest.raises(UnknownModel, match=r"had that alias at 2026-01-01T00:00:00\+00:00; did you mean 'old'"):
            history.price_at(connection, "old", at=day(1))


def test_two_that_answer_are_never_picked_from(calendar: Calendar) -> None:
    """Two models of one alias, and one name in two sources, raise with both named; the source resolves the latter."""
    calendar.on(1, model("x/a", "1", model_alias="a"), model("y/a", "2", model_alias="a"))
    calendar.on(2, model("x/a", "7", model_alias="a"), source="other")
    with calendar.read() as connection:
        with pytest.raises(AmbiguousModel, match="give a full name") as aliases:
            history.price_at(connection, "a", at=day(1))
        with pytest.raises(AmbiguousModel, match="name the source") as names:
            history.price_at(connection, "x/a", at=day(2))
        with pytest.raises(UnknownSource):
            history.price_at(connection, "x/a", at=day(2), source="nobody")
        assert history.price_at(connection, "x/a", at=day(2), source="other").price == Decimal(7)
        assert history.price_at(connection, "a", at=day(2), source="other").price == Decimal(7)
    assert aliases.value.candidates == (("default", "x/a"), ("default", "y/a"))
    assert names.value.candidates == (("default", "x/a"), ("other", "x/a"))


def test_naive_times_raise(calendar: Calendar) -> None:
    """Every question refuses a time without a zone, and none at all where it needs one, before it asks the database."""
    calendar.on(1, a="1")
    naive = day(1).replace(tzinfo=None)
    with calendar.read() as connection:
        for ask in (
            lambda: history.price_at(connection, "a", at=naive),
            lambda: history.price_periods(connection, "a", since=naive),
            lambda: history.price_stats(connection, "a", day=naive),
            lambda: history.price_stats(connection, "a", until=naive),
            lambda: history.availability(connection, "a", since=naive),
            lambda: history.catalog_at(connection, at=naive),
            lambda: history.diff(connection, naive, day(1)),
            lambda: history.movers(connection, since=day(1), until=naive),
            lambda: history.churn(connection, since=day(1), until=naive),
            lambda: history.flapping(connection, since=naive, until=day(1)),
            lambda: history.cost(connection, [], as_of=naive),
        ):
            with pytest.raises(ValueError, match="aware"):
                ask()
        nothing: Any = None
        for ask in (
            lambda: history.price_at(connection, "a", at=nothing),
            lambda: history.catalog_at(connection, at=nothing),
            lambda: history.diff(connection, nothing, day(1)),
            lambda: history.churn(connection, since=day(1), until=nothing),
        ):
            with pytest.raises(TypeError, match=r"must be an aware datetime.*not None"):
                ask()


def test_an_orm_session_asks_as_well(calendar: Calendar) -> None:
    """Every question takes an ORM Session in the place of a Connection."""
    from sqlalchemy.orm import Session

    calendar.on(1, a="1")
    with Session(calendar.engine) as session:
        assert history.price_at(session, "a", at=day(1)).price == Decimal(1)
        assert [row.name for row in history.changes(session)] == ["a"]
        assert [row.model for row in history.catalog(session)] == ["a"]
        assert [row.model for row in history.catalog_at(session, at=day(1))] == ["a"]
