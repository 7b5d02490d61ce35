"""When a source is due next, by its settings alone: the grid and the cron of `syncer.core.cron` as instants."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from syncer.core import cron
from syncer.settings import SourceSettings

MOST_CRON_SPREAD = timedelta(seconds=30)


def next_tick(source: SourceSettings, after: datetime) -> datetime:
    """The source's first tick strictly after an instant, the same on every machine; aware, in UTC.

    A cron time that a DST gap swallows fires as much later as the clocks were put forward, one in a fold fires twice.
    A spread of up to half a minute, decided by the source's name, keeps sources with the same expression apart.
    """
    if source.cron is None:
        return cron.interval_tick(after, source.interval, cron.spread(source.name, source.interval))
    offset = cron.spread(source.name, MOST_CRON_SPREAD)
    zone = ZoneInfo(source.timezone)
    start = (after - offset + timedelta(microseconds=1)).astimezone(zone)
    triggers = (
        CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, timezone=zone)
        for minute, hour, day, month, weekday in cron.cron_alternatives(cron.read_cron(source.cron))
    )
    fires: list[datetime] = [trigger.get_next_fire_time(None, start).astimezone(UTC) for trigger in triggers]
    return min(fires) + offset
