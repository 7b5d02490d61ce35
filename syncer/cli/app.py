"""What each command starts from: the settings, the database and the clock."""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import Connection

    from syncer.cli.output import Format
    from syncer.service import Syncer
    from syncer.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


class App:
    """Settings and database, opened when they are first asked for."""

    def __init__(self, *, config: Path | None, log_format: str, verbose: int) -> None:
        self._config = config
        self._log_format = cast("Literal['text', 'json']", log_format)
        self._verbose = verbose

    @cached_property
    def settings(self) -> "Settings":
        """The effective configuration."""
        return self.load_settings()

    def load_settings(self) -> "Settings":
        """The configuration as it is now: a daemon reads it anew on SIGHUP."""
        from syncer import settings

        return settings.load(os.environ, config=self._config, cwd=Path.cwd())

    def start_logging(self, *, at_least: int = 0) -> None:
        """Log to stderr as asked; a daemon says `at_least` what it does."""
        from syncer.cli import logs

        logs.configure(self._log_format, max(self._verbose, at_least), sys.stderr)

    @cached_property
    def service(self) -> "Syncer":
        """What the commands do, on these settings; its connections are closed when the command ends."""
        from syncer.service import Syncer

        service = Syncer(self.settings, environ=os.environ, clock=now)
        click.get_current_context().call_on_close(service.close)
        return service

    def reader(self) -> "AbstractContextManager[Connection]":
        """A connection for a command that only asks, at one moment; it creates nothing."""
        return self.service.connect()


class Group(click.Group):
    """A group whose help shows the whole first sentence of each command: click would cut it to one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(500)) for name, command in commands if command])


def now() -> datetime:
    """The one place where the wall clock is read."""
    return datetime.now(UTC)


def row_options(command: Command) -> Command:
    """`--json` and `--csv`, on everything that prints rows; `form()` tells which was asked for."""
    as_json = click.option(
        "--json", "json", is_flag=True, expose_value=False, callback=_choose, help="One JSON object a line."
    )
    as_csv = click.option(
        "--csv",
        "csv",
        is_flag=True,
        expose_value=False,
        callback=_choose,
        help="CSV that is safe to open in a spreadsheet.",
    )
    return as_json(as_csv(command))


def form() -> "Format":
    """How rows are to be printed: what the person asked for, else a table."""
    return cast("Format", click.get_current_context().meta.get("syncer.form", "table"))


def _choose(ctx: click.Context, parameter: click.Parameter, chosen: bool) -> None:
    if chosen and ctx.meta.setdefault("syncer.form", parameter.name) != parameter.name:
        raise click.UsageError("--json and --csv exclude each other.", ctx)
