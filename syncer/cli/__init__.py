"""The command line: arguments in, text and exit codes out. Commands are imported when they are asked for."""

import errno
import gc
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from syncer import __version__
from syncer.cli.app import App, Group, refuse_password
from syncer.errors import SyncerError, UsageError

GROUPS = {
    "Start": {
        "demo": "syncer.cli.demo",
        "sync": "syncer.cli.syncing",
        "run": "syncer.cli.running",
        "schedule": "syncer.cli.running",
        "serve": "syncer.cli.serving",
        "report": "syncer.cli.serving",
        "config": "syncer.cli.admin",
        "formats": "syncer.cli.formats",
        "try": "syncer.cli.formats",
        "manual": "syncer.cli.manual",
    },
    "Ask": {
        "status": "syncer.cli.show",
        "runs": "syncer.cli.runs",
        "models": "syncer.cli.show",
        "changes": "syncer.cli.changes",
        "prices": "syncer.cli.questions",
        "diff": "syncer.cli.questions",
        "movers": "syncer.cli.questions",
        "stats": "syncer.cli.questions",
        "churn": "syncer.cli.questions",
        "offers": "syncer.cli.questions",
        "cost": "syncer.cli.costing",
        "check": "syncer.cli.checking",
        "export": "syncer.cli.exporting",
    },
    "Decide": {
        "held": "syncer.cli.findings",
        "approve": "syncer.cli.findings",
        "reject": "syncer.cli.findings",
        "revert": "syncer.cli.findings",
    },
    "Tell other tools": {
        "alerts": "syncer.cli.alerts",
        "monitoring": "syncer.cli.monitoring",
        "schema": "syncer.cli.admin",
        "mcp": "syncer.cli.serving",
    },
    "Look after it": {
        "import": "syncer.cli.importing",
        "source": "syncer.cli.upkeep",
        "prune": "syncer.cli.upkeep",
        "db": "syncer.cli.admin",
        "service": "syncer.cli.service",
        "completion": "syncer.cli.completion",
    },
}
"""What `syncer --help` lists, in its order: command -> the module that defines it."""
COMMANDS = {name: module for commands in GROUPS.values() for name, module in commands.items()}


class Commands(Group):
    """Imports a command's module when it is used: start-up is most of a cron run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In our order, not the alphabet's."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, group by group."""
        for title, names in GROUPS.items():
            self.write_commands(ctx, formatter, title, names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command's click object, None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(COMMANDS[cmd_name]), f"{cmd_name}_command")
        assert isinstance(command, click.Command)  # noqa: S101 - narrows the type
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Past click's own treatment of a reader that went away: it would report a failed sync (exit code 1)."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            ctx.exit(_stopped_printing(error))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="syncer")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file; otherwise ./syncer.toml if there is one, and SYNCER_* variables.",
)
@click.option(
    "--database",
    metavar="URL|PATH",
    callback=lambda _ctx, _parameter, url: None if url is None else refuse_password(url),
    help="The database, whatever the configuration says: a URL, or the path of a SQLite file.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="How log lines on stderr look.")
@click.option("-v", "--verbose", count=True, help="Log what is done; twice for the details.")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, database: str | None, log_format: str, verbose: int) -> None:
    """Keep a trustworthy history of an AI model catalog in your SQL database.

    \b
    Try it without any set-up:
      syncer demo
    Then point it at a provider:
      export SYNCER_API_URL=https://provider.example/api/v1 SYNCER_API_KEY=ak_...
      syncer sync          polls each source once; put this into cron
      syncer status        what runs, what is wrong
      syncer changes --since 7d

    Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 something is held for a person to decide, 75 a source is
    being synced by somebody else.
    """
    ctx.obj = App(config=config, database=database, log_format=log_format, verbose=verbose)


def main() -> NoReturn:
    """The entry point of the process."""
    # All that is imported lives as long as the process. To look through it for garbage, every 700 objects while it is
    # imported and once more at the end, would be a fifth of the time of a sync that finds nothing new.
    gc.set_threshold(10_000)
    signal.signal(signal.SIGTERM, _terminate)
    _open_standard_streams()
    code = run()
    gc.freeze()
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, that of the process by default, and give its exit code.

    What a person can cause ends in one line on stderr; a bug escapes, with its traceback.
    """
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except OSError as error:
        return _stopped_printing(error)
    return code


def _open_standard_streams() -> None:
    """A supervisor may start us with stdout closed: the next file that is opened, the database, would be stdout."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this very one
            setattr(sys, name, os.fdopen(number, mode))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        _require_utf8(sys.argv[1:] if arguments is None else arguments)
        code = cli.main(arguments, prog_name="syncer", standalone_mode=False)
    except SystemExit as stop:
        code = stop.code
    except SyncerError as error:
        click.echo(f"syncer: {_one_line(error)}", err=True)
        return error.exit_code
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("syncer: interrupted", err=True)
        return 130
    return code if isinstance(code, int) else 0


def _require_utf8(arguments: Sequence[str]) -> None:
    for number, argument in enumerate(arguments, 1):
        if not argument.isascii() and any("\ud800" <= char <= "\udfff" for char in argument):
            raise UsageError(f"argument {number} ({argument!r}) is not UTF-8 text: is this terminal set to UTF-8?")


def _show(error: click.ClickException) -> None:
    """Say what is wrong with the command line; of an option of `syncer` itself that came too late, where it belongs."""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None and error.ctx.parent is not None:
        own = [name for option in cli.params for name in option.opts]
        if error.option_name in own:
            command = error.ctx.command_path
            where = f"put it before the command: syncer {error.option_name} ...{command.removeprefix('syncer')}"
            error = click.UsageError(f"{error.option_name} is an option of syncer itself; {where}", error.ctx)
    error.show()


def _stopped_printing(error: OSError) -> int:
    """The reader (head, less) has seen enough, or the disk that stdout goes to is full; any other is a bug."""
    if error.errno not in {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        raise error
    # What is still buffered has nowhere to go, and the interpreter would complain of it at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.EPIPE:
        return 141
    click.echo(f"syncer: the output cannot be written: {error.strerror}", err=True)
    return 1


def _terminate(_signal: int, _frame: object) -> NoReturn:
    """SIGTERM unwinds like any error: an open run is closed as abandoned, its lease released."""
    from syncer.db.interrupt import interrupt

    stop = SystemExit(143)
    interrupt(stop)
    raise stop


def _one_line(error: SyncerError) -> str:
    from syncer.cli.output import safe

    return safe(str(error))
