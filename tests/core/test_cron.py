"""When a source is due: cron's own meaning of its five fields, and a grid that is the same everywhere."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.core.cron import Cron, cron_tick, interval_tick, longest_gap, read_cron, spread
from tests.core.cron_oracle import changes_of_clocks, ticks_between

EVERY_DAY = frozenset(range(7))
WORKDAYS = frozenset(range(1, 6))

WEEKDAY_FIELDS = {
    "0 is Sunday": ("0", {0}),
    "7 is Sunday": ("7", {0}),
    "a name": ("sun", {0}),
    "a name in capitals": ("SAT", {6}),
    "a range": ("1-5", WORKDAYS),
    "a range of names": ("mon-fri", WORKDAYS),
    "a range up to 7": ("5-7", {5, 6, 0}),
    "a range over the week's end": ("fri-mon", {5, 6, 0, 1}),
    "the whole week": ("0-7", EVERY_DAY),
    "a list": ("1,3,fri", {1, 3, 5}),
    "a step": ("*/2", {0, 2, 4, 6}),
    "a step in a range": ("1-5/2", {1, 3, 5}),
    "any": ("*", EVERY_DAY),
}

WRONG = {
    "six fields": ("0 0 * * * *", "has 6 fields; cron has five"),
    "a shorthand": ("@daily", "has 1 fields; cron has five"),
    "nothing": ("", "has 0 fields; cron has five"),
    "minute 60": ("60 * * * *", "has the minute '60': write 0 to 59"),
    "hour 24": ("0 24 * * *", "has the hour '24': write 0 to 23"),
    "day 0": ("0 0 0 * *", "has the day '0': write 1 to 31"),
    "month 13": ("0 0 1 13 *", "has the month '13': write 1 to 12 or jan to dec"),
    "weekday 8": ("0 0 * * 8", "has the weekday '8': write 0 to 7 (0 and 7 are Sunday) or sun to sat"),
    "a range backwards": ("30-10 * * * *", "has the minute '30-10'"),
    "a step of none": ("*/0 * * * *", "has the minute '*/0'"),
    "a negative number": ("-1 * * * *", "has the minute '-1'"),
    "a sign of Quartz": ("0 0 ? * *", "has the day '?'"),
    "an empty part": ("1, * * * *", "has the minute ''"),
    "a star with an end": ("*-5 * * * *", "has the minute '*-5'"),
    "digits of another script": ("٣ * * * *", "has the minute"),
    "a day that no month has": ("0 0 31 2,apr *", "would never fire"),
}

GAPS = {
    "each minute": ("* * * * *", timedelta(minutes=1)),
    "hourly": ("7 * * * *", timedelta(hours=1)),
    "twice an hour": ("0,20 * * * *", timedelta(minutes=40)),
    "daily": ("30 2 * * *", timedelta(days=1)),
    "office hours": ("0 9-17 * * *", timedelta(hours=16)),
    "workdays": ("0 9 * * 1-5", timedelta(days=3)),
    "monthly": ("0 0 1 * *", timedelta(days=31)),
    "leap days": ("0 0 29 2 *", timedelta(days=1461)),
}


@pytest.mark.parametrize(("field", "days"), WEEKDAY_FIELDS.values(), ids=WEEKDAY_FIELDS)
def test_weekdays_are_those_of_cron(field: str, days: set[int]) -> None:
    """A weekday field means in syncer what it means in crontab."""
    assert read_cron(f"0 0 * * {field}").weekdays == days


def test_the_other_fields_are_those_of_cron() -> None:
    """Lists, ranges, steps and names work in each field."""
    cron = read_cron("*/20 8-10,22 1-31/15 jan,6 *")
    assert cron == Cron(
        minutes=frozenset({0, 20, 40}),
        hours=frozenset({8, 9, 10, 22}),
        days=frozenset({1, 16, 31}),
        months=frozenset({1, 6}),
        weekdays=EVERY_DAY,
        either_day=False,
    )
    assert read_cron("5/20 * * * *").minutes == {5, 25, 45}


def test_two_restricted_day_fields_mean_either() -> None:
    """With both day fields restricted either of them fires; a star, also one with a step, restricts none."""
    assert read_cron("0 0 13 * 5").either_day
    assert not read_cron("0 0 13 * *").either_day
    assert not read_cron("0 0 */2 * 5").either_day


@pytest.mark.parametrize(("expression", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_cron_expression_is_refused(expression: str, message: str) -> None:
    """An expression that cron would not take, or that can never fire, is refused with what is wrong in it."""
    with pytest.raises(ValueError, match=r"^(has|names) ") as refused:
        read_cron(expression)
    assert message in str(refused.value)


@pytest.mark.parametrize(("expression", "gap"), GAPS.values(), ids=GAPS)
def test_the_longest_gap(expression: str, gap: timedelta) -> None:
    """Lateness is measured by the longest time that lies between two ticks."""
    assert longest_gap(read_cron(expression)) == gap


instants = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
widths = st.integers(1, 400 * 86400).map(lambda seconds: timedelta(seconds=seconds))


@given(after=instants, interval=widths, name=st.text())
def test_an_interval_skips_no_grid_point(after: datetime, interval: timedelta, name: str) -> None:
    """The next tick is strictly after, at most one interval away, and the ticks of two instants share one grid."""
    offset = spread(name, interval)
    tick = interval_tick(after, interval, offset)
    assert after < tick <= after + interval
    assert interval_tick(tick, interval, offset) == tick + interval
    assert interval_tick(tick - timedelta(microseconds=1), interval, offset) == tick


@given(name=st.text(), width=widths)
def test_the_spread_is_decided_by_the_name(name: str, width: timedelta) -> None:
    """The spread lies within its width, in whole seconds."""
    found = spread(name, width)
    assert timedelta(0) <= found < width
    assert found.microseconds == 0


def test_a_thousand_sources_do_not_fire_together() -> None:
    """Names that differ little are spread over the whole hour."""
    found = [spread(f"source-{number}", timedelta(hours=1)) for number in range(1000)]
    per_minute = [sum(1 for one in found if one // timedelta(minutes=1) == minute) for minute in range(60)]
    assert max(per_minute) < 40
    assert min(per_minute) > 3


def test_the_spread_of_a_name_stays() -> None:
    """What a name decides is part of the schedule: another version of syncer decides the same."""
    assert spread("default", timedelta(hours=1)) == timedelta(seconds=3580)


# -- where the clocks change -------------------------------------------------------------------------------------------

ZONES = {
    "Europe/Berlin": "an hour at 02:00",
    "America/New_York": "an hour at 02:00, on other days",
    "Australia/Lord_Howe": "half an hour",
    "Africa/Cairo": "an hour at midnight: a day begins at 01:00",
    "America/Santiago": "an hour at midnight, in the south",
    "Asia/Beirut": "an hour at midnight, back at midnight",
    "America/St_Johns": "an offset of half an hour",
    "Pacific/Chatham": "at 02:45, an offset of three quarters",
    "Antarctica/Troll": "two hours",
    "Africa/Casablanca": "back and forth around Ramadan",
    "Asia/Kathmandu": "never",
}
SELDOM = ["0 0 * * *", "0 0 * * 1", "0 0 1 * *", "30 2 * * *", "30 1 * * *", "45 23 * * *", "0 0 29 2 *", "15 2 13 * 5"]
OFTEN = ["*/7 * * * *", "10,40 * * * *", "0 */2 * * *", "20 0-3 * * *", "50 1,2,23 * * mon-fri"]


def _ticks(expression: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    cron, found = read_cron(expression), [start]
    while found[-1] <= end:
        found.append(cron_tick(cron, found[-1], zone))
    return found[1:-1]


@pytest.mark.parametrize("name", ZONES)
def test_no_change_of_the_clocks_loses_a_tick(name: str) -> None:
    """Around each change from 2024 to 2040 the ticks are those that an independent reader of the fields finds."""
    zone = ZoneInfo(name)
    for change in changes_of_clocks(zone, 2024, 2040) or [datetime(2026, 3, 29, tzinfo=UTC)]:
        for expressions, reach in ((SELDOM, timedelta(days=3)), (OFTEN, timedelta(hours=8))):
            start, end = change - reach, change + reach
            for expression in expressions:
                expected = ticks_between(expression, zone, start, end)
                assert _ticks(expression, zone, start, end) == expected, (expression, change)


def test_a_day_after_the_clocks_go_forward_keeps_its_midnight() -> None:
    """`0 0 * * *` in Berlin fires on 2026-03-30, each Monday and each first of April, too."""
    zone, sunday = ZoneInfo("Europe/Berlin"), datetime(2026, 3, 29, 12, tzinfo=UTC)
    for expression, day in (("0 0 * * *", "03-30"), ("0 0 * * 1", "03-30"), ("0 0 1 * *", "04-01")):
        tick = cron_tick(read_cron(expression), sunday, zone)
        assert f"{tick.astimezone(zone):%m-%d %H:%M}" == f"{day} 00:00"
