"""What an independent reader of cron expressions says: cronsim reads the fields, zoneinfo says what the clocks show."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim


def changes_of_clocks(zone: ZoneInfo, first: int, last: int) -> list[datetime]:
    """The hours, in UTC, in which the clocks of a zone are changed, from a year to another."""
    at, end = datetime(first, 1, 1, tzinfo=UTC), datetime(last + 1, 1, 1, tzinfo=UTC)
    day, found = timedelta(days=1), []
    while at < end:
        if at.astimezone(zone).utcoffset() != (at + day).astimezone(zone).utcoffset():
            hours = (at + timedelta(hours=hour) for hour in range(24))
            found += [
                hour
                for hour in hours
                if hour.astimezone(zone).utcoffset() != (hour + timedelta(hours=1)).astimezone(zone).utcoffset()
            ]
        at += day
    return found


def ticks_between(expression: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """All instants in `(start, end]` at which the expression fires, in UTC."""
    first = start.astimezone(zone).replace(tzinfo=None) - timedelta(days=1)
    last = end.astimezone(zone).replace(tzinfo=None) + timedelta(days=1)
    return sorted({at for wall in _walls(expression, first, last) for at in _shown(wall, zone) if start < at <= end})


def _walls(expression: str, first: datetime, last: datetime) -> Iterator[datetime]:
    for wall in CronSim(expression, first):
        if wall > last:
            return
        yield wall


def _shown(wall: datetime, zone: ZoneInfo) -> set[datetime]:
    """Both instants of a time that is shown twice; of one that is skipped, the one as much later as the clocks go."""
    earlier, later = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    is_skipped = earlier.astimezone(zone).replace(tzinfo=None) != wall
    return {earlier} if is_skipped else {earlier, later}
