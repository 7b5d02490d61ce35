"""Moments and durations as options of a command: syncer.settings.moments says how they are written."""

from datetime import datetime, timedelta
from typing import Any

import click

from syncer.cli.app import now
from syncer.errors import SettingsError
from syncer.settings import format_duration, parse_duration
from syncer.settings.moments import FORMS, parse_moment


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
            self.fail(f"{value!r} is not a time{why}: write {FORMS}.", param, ctx)


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
