"""Whether the daemon does its work, for whoever would restart it: systemd's watchdog, and /healthz.

A database that is down is no reason to restart a daemon, which waits for it. A loop that stands still is one, and so is
a question to the database that has no answer after minutes: nothing of ours waits for so long.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TURN = 1.0  # seconds between two turns of the loop
_MISSED_TURNS = 3
_LONGEST_WORK = 300.0  # seconds


class Liveness:
    """When the loop last turned, and since when the work of a turn goes on; by the monotonic clock."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._turned_at = monotonic()
        self._working_since: float | None = None

    def note_turn(self) -> None:
        """The loop turned."""
        self._turned_at = self._monotonic()

    @contextmanager
    def working(self) -> Iterator[None]:
        """The work of one turn goes on while the block lasts."""
        self._working_since = self._monotonic()
        try:
            yield
        finally:
            self._working_since = None

    def trouble(self) -> str | None:
        """Why the daemon should be restarted; None while all is well."""
        now, since = self._monotonic(), self._working_since
        if now - self._turned_at > _MISSED_TURNS * TURN:
            return f"the daemon's loop has not turned for {now - self._turned_at:.0f} s"
        if since is not None and now - since > _LONGEST_WORK:
            return f"the daemon has waited for the database for {now - since:.0f} s"
        return None
