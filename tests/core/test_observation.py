"""Law 5: one clock that only ever goes forward; and what earlier looks prove of a name (law 6)."""

from datetime import UTC, datetime, timedelta

import pytest

from syncer.core.observation import PastObservations, observed_at
from syncer.errors import ClockError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
EARLIER = NOON - timedelta(hours=1)


@pytest.mark.parametrize(
    ("clock", "last", "observed"),
    [
        (NOON, None, NOON),
        (NOON, EARLIER, NOON),
        (NOON + TICK, NOON, NOON + TICK),
        (NOON, NOON, NOON + TICK),
        (NOON - timedelta(minutes=5), NOON, NOON + TICK),
    ],
    ids=["the first look", "an hour later", "a tick later", "the same instant", "five minutes back"],
)
def test_observed_at_rises_strictly(clock: datetime, last: datetime | None, observed: datetime) -> None:
    """Law 5: a clock up to 5 minutes behind the last observation is clamped to just after it."""
    assert observed_at(clock, last) == observed


def test_a_clock_further_behind_fails_and_names_both_times() -> None:
    """Law 5: more than 5 minutes behind is an error that names the clock's time and the last observation."""
    clock = NOON - timedelta(minutes=5) - TICK
    with pytest.raises(ClockError) as error:
        observed_at(clock, NOON)
    assert clock.isoformat() in str(error.value)
    assert NOON.isoformat() in str(error.value)


@pytest.mark.parametrize(
    ("doubtful", "proven"),
    [(frozenset(), NOON), (frozenset({"other"}), NOON), (frozenset({"m"}), EARLIER), (None, EARLIER)],
    ids=["a whole look", "another row was unreadable", "its own row was unreadable", "a row had no readable name"],
)
def test_the_last_look_that_proved_an_absence(doubtful: frozenset[str] | None, proven: datetime) -> None:
    """Law 6: a look that may have held a model unreadably is not one that showed it absent."""
    assert PastObservations(last=NOON, absent=EARLIER, doubtful=doubtful).absent_after("m") == proven


def test_before_the_first_look_nothing_is_proven() -> None:
    """Law 6: what the first good look lists is the baseline: no earlier look showed it absent."""
    assert PastObservations(last=None, absent=None).absent_after("m") is None
