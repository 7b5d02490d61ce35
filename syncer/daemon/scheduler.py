"""APScheduler, waiting by the monotonic clock.

APScheduler itself waits until a time of the wall clock: one that is set back by an hour would stop it for an hour, and
for one that is set forward by a year it would count each second of that year.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.base import STATE_STOPPED

_SMALLEST_STEP = 2.0  # seconds: a clock that is put right little by little is no news


class SteadyScheduler(BackgroundScheduler):  # type: ignore[misc] # it has no types
    """Asks what is due each `turn` seconds at least; `on_step` is called with how far the wall clock was set."""

    def __init__(self, *, turn: float, on_step: Callable[[timedelta], object]) -> None:
        super().__init__(timezone=UTC)
        self._turn = turn
        self._on_step = on_step

    def _main_loop(self) -> None:
        wait: float | None = 0.0
        offset = _offset()
        while self.state != STATE_STOPPED:
            self._event.wait(self._turn if wait is None else min(wait, self._turn))
            self._event.clear()
            step, offset = _offset() - offset, _offset()
            if abs(step) >= _SMALLEST_STEP:
                for job in self.get_jobs():
                    job.modify(next_run_time=datetime.now(UTC))
                self._on_step(timedelta(seconds=round(step)))
            wait = self._process_jobs()


def _offset() -> float:
    """How far the wall clock is ahead of the monotonic one: it changes when somebody sets it, or the machine sleeps."""
    return time.time() - time.monotonic()
