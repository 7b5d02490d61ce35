"""The whole catalog then, what differs between two moments, and how restless it was: stories."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from syncer import history
from syncer.core.model import Kind
from syncer.errors import UnknownSource
from tests.history.conftest import Calendar, day
from tests.upstream import model


def test_the_catalog_as_it_was_has_every_field(calendar: Calendar) -> None:
    """The past catalog carries each tracked field as it was then, of all sources or of one."""
    calendar.on(1, model("a", "1", description="old", model_type="Image"), b="2").on(2, a="1").on(
        3, source="aside", z="3"
    )
    with calendar.read() as connection:
        first = history.catalog_at(connection, at=day(1))
        last = history.catalog_at(connection, at=day(3))
        assert history.catalog_at(connection, at=day(3), source="aside") == last[:1]
        assert history.catalog_at(connection, at=day(0)) == []
        with pytest.raises(UnknownSource):
            history.catalog_at(connection, at=day(0), source="nobody")
    assert [(row.source, row.model) for row in first] == [("default", "a"), ("default", "b")]
    assert [(row.source, row.model) for row in last] == [("aside", "z"), ("default", "a")]
    a = first[0]
    assert (a.description, a.type, a.unit, a.price) == ("old", "Image", None, Decimal(1))
    assert (a.alias, a.context_length, a.max_completion_tokens) == ("a", 32768, 10000)
    assert (a.huggingface_url, a.currency) == ("https://huggingface.co/a", "USD")


def test_a_difference_is_net(calendar: Calendar) -> None:
    """A -> B -> A is nothing and A -> B -> C is A -> C; who came and went in between is not mentioned."""
    calendar.on(1, back="1", on="1", gone="1", away="1").on(2, back="1", on="1", gone="1")
    calendar.on(3, back="2", on="2", gone="1", brief="1").on(4, back="1", on="3", away="1", new="1")
    with calendar.read() as connection:
        found = history.diff(connection, day(2), day(4))
        assert history.diff(connection, day(4), day(4)) == []
        with pytest.raises(ValueError, match="later than"):
            history.diff(connection, day(4), day(2))
    assert [(row.model, row.kind, dict(row.changed)) for row in found] == [
        ("away", Kind.RELISTED, {}),
        ("gone", Kind.REMOVED, {}),
        ("new", Kind.ADDED, {}),
        ("on", Kind.REPRICED, {"prices.price": (Decimal(1), Decimal(3))}),
    ]
    assert [(row.before is None, row.after is None) for row in found] == [
        (True, False),
        (False, True),
        (True, False),
        (False, False),
    ]


def test_movers_are_ranked_by_their_net_move(calendar: Calendar) -> None:
    """The largest net move in percent comes first; from unknown or 0 there is none, and A -> B -> A is no move."""
    calendar.on(1, half="1", tenth="0.1", free=0, unknown=None, back="1", stays="1", gone="1")
    calendar.on(2, half="3", tenth="0.1", free=0, unknown=None, back="2", stays="1", gone="9")
    calendar.on(3, half="0.5", tenth="0.3", free="1", unknown="1", back="1", stays="1", new="9")
    with calendar.read() as connection:
        found = history.movers(connection, since=day(1), until=day(3))
        assert history.movers(connection, since=day(1), until=day(3), limit=1) == found[:1]
    assert [(row.model, row.old, row.new, row.absolute, row.percent) for row in found] == [
        ("tenth", Decimal("0.1"), Decimal("0.3"), Decimal("0.2"), Decimal(200)),
        ("half", Decimal(1), Decimal("0.5"), Decimal("-0.5"), Decimal(-50)),
    ]


def test_churn_counts_by_utc_day_week_and_month(calendar: Calendar) -> None:
    """Comings and goings per period and source: the baseline apart, quiet periods as zeros, ends cut to the window."""
    calendar.on(1, a="1", b="1").on(2, a="1").on(3, a="1", b="1", c="1").on(2, source="other", z="1")

    def counts(**window: object) -> list[tuple[str, datetime, int, int, int, int]]:
        with calendar.read() as connection:
            rows = history.churn(connection, **window)  # type: ignore[arg-type]
        return [(row.source, row.start, row.added, row.removed, row.relisted, row.baseline) for row in rows]

    assert counts(since=day(1), until=day(4.5), every="day", source="default") == [
        ("default", day(1), 0, 0, 0, 2),
        ("default", day(2), 0, 1, 0, 0),
        ("default", day(3), 1, 0, 1, 0),
        ("default", day(4), 0, 0, 0, 0),
    ]
    assert counts(since=day(2), until=day(3), every="month") == [
        ("default", day(2), 0, 1, 0, 0),
        ("other", day(2), 0, 0, 0, 1),
    ]
    assert counts(since=day(3), until=day(3)) == []


def test_periods_begin_at_utc_midnights_mondays_and_firsts(calendar: Calendar) -> None:
    """A window given in another zone is cut at UTC's days, weeks and months."""
    calendar.on(1, a="1")
    east = timezone(timedelta(hours=5))
    since, until = datetime(2026, 1, 30, 4, tzinfo=east), datetime(2026, 3, 2, tzinfo=UTC)
    with calendar.read() as connection:

        def starts(every: str) -> list[str]:
            rows = history.churn(connection, since=since, until=until, every=every)  # type: ignore[arg-type]
            assert rows[-1].end == until
            return [row.start.isoformat()[:13] for row in rows]

        assert starts("month") == ["2026-01-29T23", "2026-02-01T00", "2026-03-01T00"]
        assert starts("week")[:3] == ["2026-01-29T23", "2026-02-02T00", "2026-02-09T00"]
        assert starts("day")[:3] == ["2026-01-29T23", "2026-01-30T00", "2026-01-31T00"]
        with pytest.raises(ValueError, match="day, week or month"):
            starts("year")


def test_flapping_counts_what_is_taken_back(calendar: Calendar) -> None:
    """A return after a removal and a price that goes back to the one before are reversals, if wholly in the window."""
    calendar.on(1, gone="1", price="1", calm="1").on(2, price="2", calm="2").on(3, gone="1", price="1", calm="3")
    calendar.on(4, price="2", calm="4").on(5, gone="1", price="1", calm="5")

    def found(since: float, until: float, more_than: int = 0) -> list[tuple[str, int, int, int]]:
        with calendar.read() as connection:
            rows = history.flapping(connection, since=day(since), until=day(until), more_than=more_than)
        return [(row.model, row.reversals, row.returns, row.price_returns) for row in rows]

    assert found(1, 6) == [("price", 3, 0, 3), ("gone", 2, 2, 0)]
    assert found(1, 6, more_than=2) == [("price", 3, 0, 3)]
    assert found(3, 6) == [("price", 2, 0, 2), ("gone", 1, 1, 0)]
    assert found(3, 5) == [("price", 1, 0, 1)]
    with calendar.read() as connection:
        assert history.flapping(connection, since=day(1), until=day(6), more_than=2)[0].last_at == day(5)
