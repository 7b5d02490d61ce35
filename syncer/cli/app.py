"""What each command starts from: the settings, the database and the clock."""

import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

from syncer.core.words import did_you_mean
from syncer.errors import FAILED, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import Connection

    from syncer.cli.output import Format
    from syncer.service import Syncer
    from syncer.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


class App:
    """Settings and database, opened when they are first asked for."""

    def __init__(self, *, config: Path | None, database: str | None, log_format: str, verbose: int) -> None:
        self._config = config
        self._database = database
        self._log_format = cast("Literal['text', 'json']", log_format)
        self._verbose = verbose

    @cached_property
    def settings(self) -> "Settings":
        """The effective configuration."""
        return self.load_settings()

    def load_settings(self) -> "Settings":
        """The configuration as it is now: a daemon reads it anew on SIGHUP."""
        from syncer.settings import load

        return load(os.environ, config=self._config, cwd=Path.cwd(), database=self._database)

    def check_settings(self) -> list[str]:
        """All that is wrong with the configuration."""
        from syncer.settings.checking import check

        return check(os.environ, config=self._config, cwd=Path.cwd(), database=self._database)

    def start_logging(self, *, at_least: int = 0, quiet: bool = False) -> None:
        """Log to stderr as asked; a daemon says `at_least` what it does; `quiet`: not what a retry may still heal."""
        from syncer.cli import logs

        logs.configure(self._log_format, max(self._verbose, at_least), sys.stderr, quiet=quiet)

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
    """A group whose help shows the whole first sentence of each command: click would cut it to one line.

    A command that it does not have is refused with the nearest name.
    """

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        self.write_commands(ctx, formatter, "Commands", self.list_commands(ctx))

    def write_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter, title: str, names: "Iterable[str]"
    ) -> None:
        """Write these commands under a title."""
        commands = ((name, self.get_command(ctx, name)) for name in names)
        with formatter.section(title):
            formatter.write_dl([(name, command.get_short_help_str(500)) for name, command in commands if command])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that was meant; click knows the names only of a group that has loaded all of its commands."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            meant = did_you_mean(args[0], self.list_commands(ctx))
            raise click.UsageError(f"{error.message.rstrip('.')}{meant or '.'}", ctx) from None


def refuse_password(url: str) -> str:
    """`url`, unless it holds a password. Law 11: everybody here reads the process list, and a shell keeps its history.

    As it may be misspelt, whatever stands between `://` and the last `@` counts as one if there is a colon in it; and
    an account before a host, or the words that libpq takes, count without any `://`.
    """
    _, found, rest = url.partition("://")
    if not found and re.match(r"(?i)(postgres|sqlite)\w*(\+\w+)?:", url):
        raise UsageError("--database is neither a URL, which has :// behind its first word, nor the path of a file")
    account, at, _ = rest.rpartition("@")
    is_bare = not found and re.search(r"(?i)^[^/]*:[^/]*@|password\s*=", url)
    if is_bare or (at and ":" in account) or re.search(r"[?&][^=&]*password[^=&]*=", rest):
        raise UsageError(
            "a password on the command line stands in the process list: leave it out of the URL, "
            "and put it into ~/.pgpass or the variable PGPASSWORD"
        )
    return url


YES = click.option("--yes", is_flag=True, help="Do not ask.")
"""On each command that `confirm` guards."""


def confirm(question: str, *, yes: bool) -> None:
    """Go on only after a person's yes: asked for in a terminal, given with --yes anywhere else."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{question} There is nobody to ask: say so with --yes")
    if not click.confirm(question, err=True):
        click.echo("nothing was done", err=True)
        click.get_current_context().exit(FAILED)


class Name(click.ParamType[str]):
    """A click parameter type: the name of a model, which is never empty."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """The name as it was written."""
        if not str(value).strip():
            self.fail("a model's name is not empty.", param, ctx)
        return str(value)


NAME = Name()


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
    excel = click.option(
        "--excel",
        is_flag=True,
        expose_value=False,
        callback=_excel,
        help="With --csv: for Excel, which then reads the text as UTF-8 and makes no dates of it.",
    )
    wide = click.option(
        "--wide", is_flag=True, expose_value=False, callback=_widen, help="All columns, uncut, however wide."
    )
    return as_json(as_csv(excel(wide(command))))


def form() -> "Format":
    """How rows are to be printed: what the person asked for, else a table."""
    meta = click.get_current_context().meta
    if meta.get("syncer.excel") and meta.get("syncer.form") != "csv":
        raise click.UsageError("--excel is a way of --csv: give both.")
    return cast("Format", meta.get("syncer.form", "table"))


def _widen(ctx: click.Context, _parameter: click.Parameter, wide: bool) -> None:
    ctx.meta["syncer.wide"] = wide


def _excel(ctx: click.Context, _parameter: click.Parameter, excel: bool) -> None:
    ctx.meta["syncer.excel"] = excel


def _choose(ctx: click.Context, parameter: click.Parameter, chosen: bool) -> None:
    if chosen and ctx.meta.setdefault("syncer.form", parameter.name) != parameter.name:
        raise click.UsageError("--json and --csv exclude each other.", ctx)
