"""`next_tick`: cron through time zones, and the same instants on every machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.core.cron import Cron, read_cron, spread
from syncer.daemon import MOST_CRON_SPREAD, next_tick
from syncer.settings import SourceSettings
from tests.cli.home import Home
from tests.upstream import Upstream

URL = "https://provider.example/v1"
NEW_YORK = "America/New_York"
NAME = next(name for name in map(str, range(1000)) if not spread(name, MOST_CRON_SPREAD))
"""A name whose spread is none, so that the tables can be read."""

# New York 2026: 8 March 02:00 EST -> 03:00 EDT; 1 November 02:00 EDT -> 01:00 EST.
DST = {
    "02:30 in the gap runs at 03:30": (
        "30 2 * * *",
        "2026-03-07",
        ["03-07 02:30 EST", "03-08 03:30 EDT", "03-09 02:30 EDT"],
    ),
    "01:30 in the fold runs twice": (
        "30 1 * * *",
        "2026-11-01",
        ["11-01 01:30 EDT", "11-01 01:30 EST", "11-02 01:30 EST"],
    ),
    "03:00 is not touched by the gap": ("0 3 * * *", "2026-03-07", ["03-07 03:00 EST", "03-08 03:00 EDT"]),
}


def source(cron: str | None = None, name: str = NAME, **fields: object) -> SourceSettings:
    """A source with this schedule."""
    return SourceSettings(name=name, url=URL, cron=cron, **fields)  # type: ignore[arg-type]


def ticks(one: SourceSettings, after: datetime) -> Iterator[datetime]:
    """All its ticks after an instant."""
    while True:
        after = next_tick(one, after)
        yield after


@pytest.mark.parametrize(("cron", "day", "expected"), DST.values(), ids=DST)
def test_cron_where_the_clocks_change(cron: str, day: str, expected: list[str]) -> None:
    """In a gap a tick comes as much later as the clocks go forward, in a fold it comes twice, and never is one lost."""
    zone = ZoneInfo(NEW_YORK)
    midnight = datetime.fromisoformat(day).replace(tzinfo=zone)
    found = islice(ticks(source(cron, timezone=NEW_YORK), midnight.astimezone(UTC)), len(expected))
    assert [f"{tick.astimezone(zone):%m-%d %H:%M %Z}" for tick in found] == expected


@pytest.mark.parametrize("day", ["2026-03-08", "2026-11-01"], ids=["gap", "fold"])
def test_every_half_hour_stays_so_when_the_clocks_change(day: str) -> None:
    """`*/30` comes every 30 real minutes, in the gap and in the fold."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(NEW_YORK)).astimezone(UTC)
    found = list(islice(ticks(source("*/30 * * * *", timezone=NEW_YORK), midnight), 20))
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(minutes=30)}


def test_either_day_field_fires() -> None:
    """`0 0 13 * 5` is each 13th and each Friday."""
    found = islice(ticks(source("0 0 13 * 5"), datetime(2026, 1, 8, tzinfo=UTC)), 4)
    assert [f"{tick:%a %d}" for tick in found] == ["Fri 09", "Tue 13", "Fri 16", "Fri 23"]


def test_sources_with_the_same_expression_are_spread() -> None:
    """Twenty hourly sources fire within half a minute, not in one second."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    found = {next_tick(source("7 * * * *", name=f"source-{number}"), at) for number in range(20)}
    assert len(found) > 10
    assert all(timedelta(minutes=7) <= tick - at < timedelta(minutes=7, seconds=30) for tick in found)


FIELDS = st.tuples(
    st.sampled_from(["*", "*/7", "0", "59", "5-20/5", "1,2,40"]),
    st.sampled_from(["*", "0", "23", "*/5", "8-17"]),
    st.sampled_from(["*", "1", "31", "*/10", "13,14"]),
    st.sampled_from(["*", "jan", "1-6", "*/2"]),
    st.sampled_from(["*", "0", "7", "1-5", "sat,sun", "*/3"]),
)


def _matches(cron: Cron, at: datetime) -> bool:
    by_date, by_weekday = at.day in cron.days, at.isoweekday() % 7 in cron.weekdays
    day = by_date or by_weekday if cron.either_day else by_date and by_weekday
    return at.minute in cron.minutes and at.hour in cron.hours and at.month in cron.months and day


@given(
    fields=FIELDS,
    after=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    name=st.text(max_size=5),
)
def test_cron_skips_no_tick(fields: tuple[str, ...], after: datetime, name: str) -> None:
    """The next tick is strictly after, the same minute by minute search finds, shifted by the source's spread."""
    one, offset = source(" ".join(fields), name=name), spread(name, MOST_CRON_SPREAD)
    tick, cron = next_tick(one, after), read_cron(" ".join(fields))
    assert tick > after
    assert _matches(cron, tick - offset)
    minute = (after - offset).replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(3000):  # two days: far enough to meet most of what is skipped
        if minute >= tick - offset:
            break
        assert not _matches(cron, minute)
        minute += timedelta(minutes=1)


@given(after=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_the_ticks_of_two_machines_are_one_grid(after: datetime) -> None:
    """Whoever asks a moment earlier or later gets the same tick, unless it lies between."""
    for one in (source("*/5 * * * *", timezone=NEW_YORK), source(interval=timedelta(minutes=5))):
        tick = next_tick(one, after)
        assert next_tick(one, tick - timedelta(microseconds=1)) == tick
        earlier = next_tick(one, after - timedelta(seconds=2))
        assert earlier == tick or earlier <= after


def test_the_machines_own_zone_and_hash_seed_do_not_matter() -> None:
    """Two processes with another TZ and another hash seed compute the same ticks."""
    program = (
        "from datetime import *; from syncer.daemon import next_tick; from syncer.settings import SourceSettings as S; "
        "at = datetime(2026, 3, 8, tzinfo=UTC); "
        "print([str(next_tick(S(name=n, url='https://a', cron=c), at)) for n in 'ab' for c in (None, '7 4 * * 0')])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"TZ": zone, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for zone, seed in (("Asia/Tokyo", "1"), ("America/New_York", "2"))
    }
    assert len(said) == 1


def test_the_command_shows_what_is_due(tmp_path: Path, sqlite_url: str, upstream: Upstream) -> None:
    """`syncer schedule` prints each source's next ticks, in UTC and in its own zone, without a database."""
    home = Home(tmp_path, sqlite_url, upstream)
    home.configure(
        {"name": "daily", "url": URL, "cron": "30 6 * * *", "timezone": "Asia/Tokyo"}, {"name": "hourly", "url": URL}
    )
    rows = home.process("schedule", "--count", "2", "--json").json
    assert [row["source"] for row in rows] == ["daily", "daily", "hourly", "hourly"]
    assert [row["schedule"] for row in rows[1:3]] == ["30 6 * * *", "every 1h"]
    assert "T21:30:" in rows[0]["due_at"]
    assert " 06:30:" in rows[0]["local"]
    assert rows[0]["local"].endswith(" JST")
    first, second = (datetime.fromisoformat(row["due_at"]) for row in rows[2:])
    assert second - first == timedelta(hours=1)
    assert not (tmp_path / "syncer.db").exists()
