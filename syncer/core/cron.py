"""When a source is due: pure, the same on every machine, and without any state but the tick before.

- An interval's ticks stand on a fixed grid (from 1970 on), shifted by a spread that the source's name decides, so that
  a thousand sources do not fire together and every daemon computes the same tick.
- A cron expression has cron's own meaning: weekdays 0 and 7 are Sunday, and where both day fields are restricted, a
  day that matches either is meant (POSIX crontab).
- Where the clocks change no tick is lost: one in the hour that is skipped comes as much later as they are put forward,
  one in the hour that comes twice comes twice. The zone is an argument.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise, product
from typing import NamedTuple

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?", re.ASCII)

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Cron(NamedTuple):
    """What the five fields match, as sets of numbers; weekdays count from Sunday = 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool


class _Field(NamedTuple):
    word: str
    first: int
    last: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("weekday", 0, 6, WEEKDAYS),
)


def spread(name: str, width: timedelta) -> timedelta:
    """Where in `[0, width)` the ticks of a source lie, in whole seconds: decided by its name alone."""
    share = int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) / 2**64
    return timedelta(seconds=int(width.total_seconds() * share))


def interval_tick(after: datetime, interval: timedelta, offset: timedelta) -> datetime:
    """The first tick of the grid strictly after an instant."""
    passed = (after - _EPOCH - offset) // interval
    return _EPOCH + offset + (passed + 1) * interval


@lru_cache(maxsize=4096)
def read_cron(expression: str) -> Cron:
    """The expression, understood; raises ValueError, with what is wrong, unless it is five fields that can match."""
    texts = expression.lower().split()
    if len(texts) != len(_FIELDS):
        raise ValueError(f"has {len(texts)} fields; cron has five: minute, hour, day, month, weekday")
    minutes, hours, days, months, weekdays = map(_values, _FIELDS, texts)
    either = not (texts[2].startswith("*") or texts[4].startswith("*"))
    cron = Cron(minutes, hours, days, months, weekdays, either)
    if not any(_matches(cron, day) for day in _four_years()):
        raise ValueError("names a day that no month has: it would never fire")
    return cron


def cron_tick(cron: Cron, after: datetime, zone: tzinfo) -> datetime:
    """The first instant strictly after another at which the clocks of a zone show a time that the fields match; in UTC.

    A time that the clocks skip comes as much later as they are put forward; one that they show twice comes twice.
    """
    found: tuple[datetime, datetime] | None = None
    for wall in _walls(cron, after.astimezone(zone).replace(tzinfo=None) - _shift(after, zone)):
        if found is not None and wall > found[1]:
            break
        for at in _instants(wall, zone):
            if at > after and (found is None or at < found[0]):
                found = at, wall + _shift(at, zone)  # where clocks change, a later time of day can come earlier
    assert found is not None  # noqa: S101 - some day matches, or `read_cron` had refused the expression
    return found[0]


def longest_gap(cron: Cron) -> timedelta:
    """The longest time between two ticks of four years (a change of the clocks apart): what "late" is measured by."""
    minutes = sorted(60 * hour + minute for hour in cron.hours for minute in cron.minutes)
    days = [day for day in _four_years() if _matches(cron, day)]
    most_days = max((later - day).days for day, later in pairwise([*days, days[0] + timedelta(days=1461)]))
    over_night = 24 * 60 * most_days + minutes[0] - minutes[-1]
    return timedelta(minutes=max(over_night, *(later - earlier for earlier, later in pairwise(minutes)), 1))


def _four_years() -> Iterator[date]:
    first = date(2024, 1, 1)
    return (first + timedelta(days=day) for day in range(1461))


def _matches(cron: Cron, day: date) -> bool:
    by_date, by_weekday = day.day in cron.days, day.isoweekday() % 7 in cron.weekdays
    return day.month in cron.months and (by_date or by_weekday if cron.either_day else by_date and by_weekday)


def _walls(cron: Cron, start: datetime) -> Iterator[datetime]:
    """The times of day that the fields match, without a zone, in order from `start` on."""
    day, hours, minutes = start.date(), sorted(cron.hours), sorted(cron.minutes)
    while True:
        if _matches(cron, day):
            earliest = start.hour if day == start.date() else 0
            for hour, minute in product([hour for hour in hours if hour >= earliest], minutes):
                wall = datetime.combine(day, time(hour, minute))
                if wall >= start:
                    yield wall
        day += _DAY


def _instants(wall: datetime, zone: tzinfo) -> list[datetime]:
    """When the clocks show this time: twice, where they are put back over it; that much later, where they skip it."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return [first, second] if second > first else [first]


def _shift(at: datetime, zone: tzinfo) -> timedelta:
    """By how much the clocks are changed within a day of this instant."""
    offsets = [(at + days * _DAY).astimezone(zone).utcoffset() or timedelta() for days in (-1, 0, 1)]
    return max(offsets) - min(offsets)


def _values(field: _Field, text: str) -> frozenset[int]:
    return frozenset(value for part in text.split(",") for value in _part(field, part))


def _part(field: _Field, part: str) -> list[int]:
    found = _PART.fullmatch(part)
    step = int(found["step"] or 1) if found else 0
    if found is None or step == 0 or (found["first"] == "*" and found["last"]):
        raise _wrong(field, part)
    if found["first"] == "*":
        return list(range(field.first, field.last + 1, step))
    first = _number(field, found["first"])
    last = _number(field, found["last"]) if found["last"] else field.last if found["step"] else first
    if field.names is WEEKDAYS:
        return [day % 7 for day in range(first, (last if last >= first else last + 7) + 1, step)]
    if last < first:
        raise _wrong(field, part)
    return list(range(first, last + 1, step))


def _number(field: _Field, text: str) -> int:
    if text in field.names:
        return field.first + field.names.index(text)
    last = 7 if field.names is WEEKDAYS else field.last
    if len(text) <= 2 and text.isdecimal() and field.first <= int(text) <= last:
        return int(text)
    raise _wrong(field, text)


def _wrong(field: _Field, text: str) -> ValueError:
    last = "7 (0 and 7 are Sunday)" if field.names is WEEKDAYS else str(field.last)
    names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
    return ValueError(
        f"has the {field.word} {text[:40]!r}: write {field.first} to {last}{names}, and lists, ranges and steps of them"
    )
