"""Law 5: one clock that only ever goes forward, and what a response says of it; and what earlier observations prove."""

from datetime import UTC, datetime, timedelta

import pytest

from syncer.core.observation import Doubtful, PastObservations, Witness, doubtful, observed_at
from syncer.errors import ClockError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EARLIER = NOON - HOUR


@pytest.mark.parametrize(
    ("clock", "last", "observed"),
    [
        (NOON, None, NOON),
        (NOON, EARLIER, NOON),
        (NOON + TICK, NOON, NOON + TICK),
        (NOON, NOON, NOON + TICK),
        (NOON - timedelta(minutes=5), NOON, NOON + TICK),
    ],
    ids=["the first observation", "an hour later", "a tick later", "the same instant", "five minutes back"],
)
def test_observed_at_rises_strictly(clock: datetime, last: datetime | None, observed: datetime) -> None:
    """Law 5: a clock up to 5 minutes behind the last observation is clamped to just after it."""
    assert observed_at(clock, last) == observed


def test_a_clock_further_behind_fails_and_says_the_way_out() -> None:
    """Law 5: more than 5 minutes behind is an error that names both times and what to do (case 14)."""
    with pytest.raises(ClockError) as error:
        observed_at(NOON - timedelta(minutes=5) - TICK, NOON)
    for words in ("2026-01-01T11:54:59Z", "2026-01-01T12:00:00Z", "5 min later", "syncer source rename"):
        assert words in str(error.value)


@pytest.mark.parametrize("sign", [-1, 1], ids=["behind", "ahead"])
@pytest.mark.parametrize("age", [timedelta(0), 5 * HOUR])
def test_a_clock_more_than_a_day_off_the_response_fails(sign: int, age: timedelta) -> None:
    """Law 5: the response's own Date and Age are a witness; exactly a day is believed, a tick more is not."""
    fine = Witness(date=NOON - age - sign * DAY, age=age)
    assert observed_at(NOON, EARLIER, fine) == NOON
    wrong = Witness(date=NOON - age - sign * (DAY + TICK), age=age)
    with pytest.raises(ClockError, match=r"Date and Age say .*trust_date = false"):
        observed_at(NOON, EARLIER, wrong)
    assert observed_at(NOON, EARLIER, wrong, trust_date=False) == NOON


def test_a_clock_in_2036_is_refused_before_it_locks_the_source() -> None:
    """Case 14: even at a source's first observation, if the response has a Date; without one there is no witness."""
    future = NOON.replace(year=2036)
    with pytest.raises(ClockError, match="3652 days earlier"):
        observed_at(future, None, Witness(date=NOON))
    assert observed_at(future, None) == future


@pytest.mark.parametrize(
    ("off", "age", "reason"),
    [
        (timedelta(0), timedelta(0), None),
        (HOUR - TICK, timedelta(0), None),
        (HOUR, timedelta(0), Doubtful.CACHED),
        (DAY, timedelta(0), Doubtful.CACHED),
        (-HOUR + TICK, timedelta(0), None),
        (-HOUR, timedelta(0), Doubtful.CLOCK),
        (timedelta(0), HOUR, Doubtful.CACHED),
        (timedelta(0), HOUR - TICK, None),
    ],
)
def test_between_an_hour_and_a_day_it_is_doubtful(off: timedelta, age: timedelta, reason: Doubtful | None) -> None:
    """A response from this machine's future proves a wrong clock; an old one, or a long Age, a cache."""
    witness = Witness(date=NOON - age - off, age=age)
    assert doubtful(NOON, witness) is reason
    assert doubtful(NOON, Witness(age=age)) is (Doubtful.CACHED if age >= HOUR else None)
    assert doubtful(NOON, witness, trust_date=False) is (Doubtful.CACHED if age >= HOUR else None)


@pytest.mark.parametrize(
    ("past", "proven"),
    [
        (PastObservations(), None),
        (PastObservations(last=NOON, last_shown=NOON, judged=NOON), NOON),
        (PastObservations(last=NOON, last_shown=NOON - HOUR, judged=NOON), NOON - HOUR),
        (PastObservations(last=NOON, last_shown=NOON, judged=EARLIER), EARLIER),
        (PastObservations(last=NOON, last_shown=NOON, judged=None), None),
    ],
    ids=["none yet", "a whole one", "a cached one", "a partial one after it", "only partial ones"],
)
def test_the_last_moment_that_proved_an_absence(past: PastObservations, proven: datetime | None) -> None:
    """Law 6: an observation that could judge no absence did not show a model absent; Age is taken off."""
    assert past.absent_after == proven
