"""What each command starts from: the settings, the database and the clock."""

import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from syncer.cli.output import Format
    from syncer.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

DONE, FAILED, MISCONFIGURED, HELD, BUSY = 0, 1, 2, 3, 75
_WORST_FIRST = (FAILED, MISCONFIGURED, HELD, BUSY, DONE)


class App:
    """Settings and database, opened when they are first asked for."""

    def __init__(self, *, config: Path | None, database: str | None = None, log_format: str, verbose: int) -> None:
        self._config = config
        self._database = database
        self._log_format = cast("Literal['text', 'json']", log_format)
        self._verbose = verbose
        self._engines: dict[bool, Engine] = {}

    @cached_property
    def settings(self) -> "Settings":
        """The effective configuration."""
        return self.load_settings()

    def load_settings(self) -> "Settings":
        """The configuration as it is now: a daemon reads it anew on SIGHUP."""
        from syncer.settings import load

        self._refuse_password()
        return load(os.environ, config=self._config, cwd=Path.cwd(), database=self._database)

    def check_settings(self) -> list[str]:
        """All that is wrong with the configuration."""
        from syncer.settings.checking import check

        self._refuse_password()
        return check(os.environ, config=self._config, cwd=Path.cwd(), database=self._database)

    def _refuse_password(self) -> None:
        if self._database is not None:
            refuse_password(self._database)

    def start_logging(self, *, at_least: int = 0) -> None:
        """Log to stderr as asked; a daemon says `at_least` what it does."""
        from syncer.cli import logs

        logs.configure(self._log_format, max(self._verbose, at_least), sys.stderr)

    def writer(self) -> "Engine":
        """The database for a command that syncs: created if it is empty, refused if it is older or newer."""
        from syncer.db.engine import ensure_schema

        engine = self.engine()
        ensure_schema(engine)
        return engine

    def amender(self) -> "Engine":
        """The database for a command that writes about what is there: it creates nothing."""
        from syncer.db.engine import require_schema

        engine = self.engine()
        require_schema(engine)
        return engine

    def looker(self) -> "Engine | None":
        """The database for a dry run, which may not even create it: None where there is none yet."""
        from syncer.db import engine as db

        engine = self.engine(read_only=True)
        if db.current(engine) is None:
            return None
        db.require_schema(engine)
        return engine

    @contextmanager
    def reader(self) -> "Iterator[Connection]":
        """A connection for a command that only looks, at one moment; it creates nothing."""
        from syncer.db.engine import reading, require_schema

        engine = self.engine(read_only=True)
        require_schema(engine)
        with reading(engine, one_moment=True) as connection:
            yield connection

    def engine(self, *, read_only: bool = False) -> "Engine":
        """The configured database, whatever its schema, for as long as the command runs."""
        from syncer.db.engine import open_engine

        if read_only not in self._engines:
            engine = open_engine(self.settings.database_url, read_only=read_only)
            click.get_current_context().call_on_close(engine.dispose)
            self._engines[read_only] = engine
        return self._engines[read_only]


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


def refuse_password(url: str) -> None:
    """Law 11: everybody on this machine reads the process list, and a shell keeps its history."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    from syncer.errors import UsageError

    try:
        given = make_url(url)
    except (ArgumentError, ValueError):
        return  # `open_engine` says so
    if given.password or "password" in given.query:
        raise UsageError(
            "a password on the command line stands in the process list: leave it out of the URL, "
            "and put it into ~/.pgpass or the variable PGPASSWORD"
        )


def worst(codes: Collection[int]) -> int:
    """The exit code of a command that did several things, each with one of the codes above."""
    return next(code for code in _WORST_FIRST if code in codes)


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
