"""When a source was observed, and what earlier observations prove about it (laws 5 and 6)."""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from syncer.errors import ClockError

MAX_CLOCK_STEP_BACK = timedelta(minutes=5)
DOUBTFUL_CLOCK = timedelta(hours=1)
"""A response further off this machine's clock, by its own Date and Age, is a `stale` notice."""
WRONG_CLOCK = timedelta(days=1)
"""A response further off than this is refused: whatever is written cannot be taken back (law 2)."""
_TICK = timedelta(microseconds=1)


class Doubtful(StrEnum):
    """Why an observation may be staler than it looks: a reason of a `stale` notice."""

    CACHED = "cached"
    CLOCK = "clock"


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """What a response says of its own time: its Date, where it could be read, and how long a cache has kept it."""

    date: datetime | None = None
    age: timedelta = timedelta(0)

    @property
    def time(self) -> datetime | None:
        """What the time is by the response; None if it says nothing."""
        return None if self.date is None else self.date + self.age


NO_WITNESS = Witness()


def observed_at(
    clock: datetime, last: datetime | None, witness: Witness = NO_WITNESS, *, trust_date: bool = True
) -> datetime:
    """The time of an observation that was complete when the clock said `clock`, strictly after the source's `last` one.

    A clock up to five minutes behind is clamped. Further behind, or more than a day off the response's own time (unless
    `trust_date` is False: upstream's clock is the wrong one), raises ClockError with both times (law 5).
    """
    if trust_date and witness.time is not None and abs(clock - witness.time) > WRONG_CLOCK:
        raise ClockError(
            f"this machine's clock says {_text(clock)}, the response's Date and Age say {_text(witness.time)}, "
            f"{_distance(clock, witness.time)}: set the clock right, or, if it is upstream's that is wrong, "
            "write trust_date = false for this source"
        )
    if last is None or clock > last:
        return clock
    if last - clock > MAX_CLOCK_STEP_BACK:
        raise ClockError(
            f"this machine's clock says {_text(clock)}, but the source was last observed at {_text(last)}, "
            f"{_distance(clock, last)}: set the clock right; if it was ahead then, syncs go on when it has passed that "
            "time, or begin a new history under another name with `syncer source rename`"
        )
    return last + _TICK


def doubtful(at: datetime, witness: Witness, *, trust_date: bool = True) -> Doubtful | None:
    """Why an observation that was accepted may be staler than it looks.

    A response from this machine's future proves a wrong clock; one from its past, or with a long Age, looks cached.
    """
    if witness.age >= DOUBTFUL_CLOCK:
        return Doubtful.CACHED
    if not trust_date or witness.time is None or abs(at - witness.time) < DOUBTFUL_CLOCK:
        return None
    return Doubtful.CLOCK if witness.time > at else Doubtful.CACHED


class PastObservations(msgspec.Struct, frozen=True, kw_only=True):
    """What earlier runs of the source observed, as far as a change's window needs it.

    `last` is the last observation, None before the first, and `last_shown` the same less that response's Age.
    `judged` is the last observation that could judge an absence: the whole list, with no nameless row in it.
    """

    last: datetime | None = None
    last_shown: datetime | None = None
    judged: datetime | None = None

    @property
    def absent_after(self) -> datetime | None:
        """The last moment at which whatever was not listed is known to have been absent; None for a baseline."""
        return self.last_shown if self.judged == self.last else self.judged


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _distance(clock: datetime, other: datetime) -> str:
    seconds = abs(clock - other) // timedelta(seconds=1)
    days, hours, minutes = seconds // 86_400, seconds % 86_400 // 3_600, seconds % 3_600 // 60
    length = (
        f"{days} days" if days > 1 else f"{days * 24 + hours} h {minutes} min" if seconds >= 3_600 else f"{minutes} min"
    )
    return f"which is {length} {'earlier' if other < clock else 'later'}"
