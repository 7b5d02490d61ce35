"""A clock that steps: back an hour, back a little, forward a day and back (law 5)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from syncer.core.text import rfc3339
from syncer.errors import ClockError
from tests.faults import (
    HOUR,
    MOVED,
    NOON,
    OFFERED,
    assert_consistent,
    effects,
    history,
    last_run,
    outcomes,
    source_at,
    sync,
)

if TYPE_CHECKING:
    from datetime import datetime

    from tests.upstream import Upstream

pytestmark = pytest.mark.faults

DAY = timedelta(days=1)


def _refused(url: str, upstream: Upstream, at: datetime) -> str:
    """What an observation at `at` is refused with; asserts that it left a failed run and nothing else."""
    before = effects(url)
    with pytest.raises(ClockError) as raised:
        sync(url, source_at(upstream.url), at)
    run = last_run(url)
    assert (run.outcome, run.error, run.observed_at, run.started_at) == ("failed", str(raised.value), None, at)
    after = effects(url)
    assert after.pop("runs")[:-1] == before.pop("runs")
    assert after == before
    assert_consistent(url)
    return str(raised.value)


@pytest.mark.parametrize("same_bytes", [False, True])
def test_an_hour_back_is_refused(database_url: str, upstream: Upstream, same_bytes: bool) -> None:
    """A clock an hour behind the last poll fails the run, naming both times; once right, the next heals (law 5)."""
    sync(database_url, source_at(upstream.serve(OFFERED).url), NOON)
    upstream.serve(OFFERED if same_bytes else MOVED)
    said = _refused(database_url, upstream, NOON - HOUR)
    assert rfc3339(NOON - HOUR) in said
    assert rfc3339(NOON) in said
    sync(database_url, source_at(upstream.serve(MOVED).url), NOON + HOUR)
    assert outcomes(database_url) == ["changed", "failed", "held"]
    assert_consistent(database_url)


def test_five_minutes_back_are_clamped(database_url: str, upstream: Upstream) -> None:
    """A clock up to five minutes behind costs nothing: the observation is dated just after the last one (law 5)."""
    sync(database_url, source_at(upstream.serve(OFFERED).url), NOON)
    report = sync(database_url, source_at(upstream.serve(MOVED).url), NOON - timedelta(minutes=5))
    assert report.result.observed_at == NOON + timedelta(microseconds=1)
    just_too_far = NOON - timedelta(minutes=5, microseconds=1)
    assert "T11:54:59Z" in _refused(database_url, upstream, just_too_far)
    assert_consistent(database_url)


def test_a_day_forward_and_back(database_url: str, upstream: Upstream) -> None:
    """After a day ahead, each poll is refused with both times until the clock has passed it: no second future stamp."""
    sync(database_url, source_at(upstream.serve(OFFERED).url), NOON)
    ahead = sync(database_url, source_at(upstream.serve(MOVED).url), NOON + DAY)
    assert ahead.result.observed_at == NOON + DAY
    for hours in (1, 2, 23):
        said = _refused(database_url, upstream, NOON + hours * HOUR)
        assert rfc3339(NOON + DAY) in said
        assert rfc3339(NOON + hours * HOUR) in said
        assert "syncs go on when it has passed that time" in said
    assert max(row["observed_at"] for row in history(database_url)["changes"]) == NOON + DAY
    healed = sync(database_url, source_at(upstream.serve(OFFERED).url), NOON + DAY + HOUR)
    assert healed.result.observed_at == NOON + DAY + HOUR
    assert_consistent(database_url)


def test_a_clock_that_steps_within_an_observation(database_url: str, upstream: Upstream) -> None:
    """A step between claim and response dates the poll by the response, and neither half of the run is lost (law 5)."""
    sync(database_url, source_at(upstream.serve(OFFERED).url), NOON)
    upstream.serve(MOVED)
    forward = iter([NOON + HOUR] * 2 + [NOON + 3 * HOUR] * 9)
    assert (
        sync(database_url, source_at(upstream.url), NOON, clock=lambda: next(forward)).result.observed_at
        == NOON + 3 * HOUR
    )
    back = iter([NOON + 4 * HOUR] + [NOON] * 9)
    with pytest.raises(ClockError):
        sync(database_url, source_at(upstream.serve(OFFERED).url), NOON, clock=lambda: next(back))
    assert outcomes(database_url) == ["changed", "held", "failed"]
    assert_consistent(database_url)
