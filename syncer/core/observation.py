"""When a look at a source happened, and what earlier looks prove about it (laws 5 and 6)."""

from datetime import datetime, timedelta

import msgspec

from syncer.errors import ClockError

MAX_CLOCK_STEP_BACK = timedelta(minutes=5)
_TICK = timedelta(microseconds=1)


def observed_at(clock: datetime, last: datetime | None) -> datetime:
    """The time of a look that was complete when the clock said `clock`, strictly after the source's `last` one.

    A clock up to five minutes behind is clamped; further behind raises ClockError with both times (law 5).
    """
    if last is None or clock > last:
        return clock
    if last - clock > MAX_CLOCK_STEP_BACK:
        raise ClockError(
            f"this machine's clock says {clock.isoformat()}, but the source was last observed at {last.isoformat()}: "
            "set the clock right; if it was ahead then, syncs go on when it has passed that time"
        )
    return last + _TICK


class PastObservations(msgspec.Struct, frozen=True, kw_only=True):
    """What earlier runs of the source saw, as far as a change's window needs it.

    `last` is the last good look, None before the first. `absent` is the last look that proved the absence of all that
    it did not list; `doubtful` names what was present but unreadable in the last look, so that it proved nothing of
    them (None: it could prove no absence at all).
    """

    last: datetime | None
    absent: datetime | None
    doubtful: frozenset[str] | None = frozenset()

    def absent_after(self, name: str) -> datetime | None:
        """The last look that showed `name` not listed; None if none ever did (a baseline)."""
        sure = self.doubtful is not None and name not in self.doubtful
        return self.last if sure else self.absent
