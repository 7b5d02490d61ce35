"""When a source is due next, by its settings alone: the grid and the cron of `syncer.core.cron` as instants."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from syncer.core import cron
from syncer.settings import SourceSettings

MOST_CRON_SPREAD = timedelta(seconds=30)


def next_tick(source: SourceSettings, after: datetime) -> datetime:
    """The source's first tick strictly after an instant, the same on every machine; aware, in UTC.

    A spread of up to half a minute, decided by the source's name, keeps sources with the same expression apart.
    """
    if source.cron is None:
        return cron.interval_tick(after, source.interval, cron.spread(source.name, source.interval))
    offset = cron.spread(source.name, MOST_CRON_SPREAD)
    return cron.cron_tick(cron.read_cron(source.cron), after - offset, ZoneInfo(source.timezone)) + offset
