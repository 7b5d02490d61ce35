"""Durations as a person writes them: one number and one unit."""

import re
from datetime import timedelta

from syncer.errors import SettingsError

EXPECTED = 'a duration such as "30s", "15m", "6h", "7d" or "2w"'
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = timedelta(days=36525)


def parse_duration(text: str) -> timedelta:
    """One number and one unit: 30s, 15m, 6h, 7d or 2w, up to 100 years. Raises SettingsError for anything else."""
    found = re.fullmatch(r"([0-9]{1,12})([smhdw])", text)
    # Compared as seconds: a timedelta itself overflows.
    seconds = int(found[1]) * _SECONDS[found[2]] if found else None
    if seconds is None or seconds > _LONGEST.total_seconds():
        shown = ascii(text)
        raise SettingsError(f"{shown if len(shown) <= 60 else f'{shown[:57]}...'} is not {EXPECTED}.")
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `duration` (whole seconds): "6h", "90s", "14d"."""
    seconds = int(duration.total_seconds())
    for unit in "dhm":
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"
