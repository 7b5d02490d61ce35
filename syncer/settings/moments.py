"""Moments as people write them.

A date is its first instant. UTC, unless an offset or a zone is given; of an hour that a zone has twice in a night, the
first one is meant.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from syncer.errors import SettingsError
from syncer.settings.durations import parse_duration

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
