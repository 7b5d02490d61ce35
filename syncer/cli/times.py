"""Moments and durations as people write them.

A date is its first instant. UTC, unless an offset or a zone is given; of an hour that a zone has twice in a night, the
first one is meant.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import click

from syncer.cli.app import now
from syncer.errors import SettingsError
from syncer.settings import format_duration, parse_duration

FORMS = "2026-11-22, 2026-11-22T17:00Z, '2026-11-22 17:00 Europe/Berlin', 7d or yesterday"
_ZONED = re.compile(r"(?P<moment>.*\d) +(?P<zone>[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*)")


def parse_moment(text: str, present: datetime) -> datetime:
    """ISO 8601, a date, `now`, `today`, `yesterday`, or a duration back from `present` (`7d`), as an instant in UTC.

    A zone may follow: `2026-11-22 17:00 Europe/Berlin`. Raises ValueError.
    """
    text = text.strip()
    midnight = present.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": present, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return present - parse_duration(text)
    except SettingsError:
        pass
    zoned = _ZONED.fullmatch(text)
    moment = datetime.fromisoformat(zoned["moment"] if zoned else text)
    if zoned and moment.tzinfo:
        raise ValueError("an offset and a zone are given, one too many")
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=_zone(zoned))).astimezone(UTC)
    except OverflowError:
        raise ValueError("it is beyond the calendar") from None


def _zone(zoned: re.Match[str] | None) -> Any:  # noqa: ANN401 - a tzinfo
    if zoned is None:
        return UTC
    try:
        return ZoneInfo(zoned["zone"])
    except (KeyError, OSError):  # OSError: the name of a directory of zones
        raise ValueError(f"there is no time zone {zoned['zone']!r}") from None


class Moment(click.ParamType[datetime]):
    """A click parameter type: aware datetimes in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401
        """What the person wrote as an instant, or a usage error that shows the forms."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(value, now())
        except ValueError as error:
            why = "" if "isoformat" in str(error) else f" ({error})"
            self.fail(f"{value!r} is no time{why}: write {FORMS}.", param, ctx)


class Duration(click.ParamType[timedelta]):
    """A click parameter type: durations such as 30s, 15m, 6h, 7d or 2w, of `least` or more."""

    name = "duration"

    def __init__(self, *, least: timedelta = timedelta(0)) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ANN401
        """What the person wrote as a duration, or a usage error that says what fits."""
        if isinstance(value, timedelta):
            return value
        try:
            duration = parse_duration(value)
        except SettingsError as error:
            self.fail(str(error), param, ctx)
        if duration < self.least:
            self.fail(f"{value!r} is less than {format_duration(self.least)}.", param, ctx)
        return duration


MOMENT = Moment()
DURATION = Duration()
