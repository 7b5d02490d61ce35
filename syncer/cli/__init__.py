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
from syncer.cli.app import App, Group
from syncer.errors import SyncerError

COMMANDS = {
    "sync": "syncer.cli.syncing",
    "run": "syncer.cli.running",
    "schedule": "syncer.cli.running",
    "demo": "syncer.cli.demo",
    "status": "syncer.cli.show",
    "models": "syncer.cli.show",
    "changes": "syncer.cli.show",
    "prices": "syncer.cli.questions",
    "diff": "syncer.cli.questions",
    "movers": "syncer.cli.questions",
    "cost": "syncer.cli.costing",
    "check": "syncer.cli.checking",
    "held": "syncer.cli.findings",
    "approve": "syncer.cli.findings",
    "reject": "syncer.cli.findings",
    "revert": "syncer.cli.findings",
    "alerts": "syncer.cli.alerts",
    "import": "syncer.cli.importing",
    "export": "syncer.cli.exporting",
    "source": "syncer.cli.upkeep",
    "prune": "syncer.cli.upkeep",
    "monitoring": "syncer.cli.monitoring",
    "service": "syncer.cli.service",
    "config": "syncer.cli.admin",
    "schema": "syncer.cli.admin",
    "db": "syncer.cli.admin",
    "manual": "syncer.cli.manual",
}
"""command -> the module that defines it, in the order in which `syncer --help` lists them."""


class Commands(Group):
    """Imports a command's module when it is used: start-up is most of a cron run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In our order, not the alphabet's."""
        return list(COMMANDS)

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
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="How log lines on stderr look.")
@click.option("-v", "--verbose", count=True, help="Log what is done; twice for the details.")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, log_format: str, verbose: int) -> None:
    """Keep a trustworthy history of an AI model catalog in your SQL database.

    \b
    Try it without any set-up:
      syncer demo
    Then point it at a provider:
      export SYNCER_API_URL=https://provider.example/api/v1 SYNCER_API_KEY=ak_...
      syncer sync          one look at each source; put this into cron
      syncer status        what runs, what is wrong
      syncer changes --since 7d

    Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 something is held for a person to decide, 75 a source is
    being synced by somebody else.
    """
    ctx.obj = App(config=config, log_format=log_format, verbose=verbose)


def main() -> NoReturn:
    """The entry point of the process."""
    # All that is imported lives as long as the process. To look through it for garbage, every 700 objects while it is
    # imported and once more at the end, would be a fifth of the time of a sync that finds nothing new.
    gc.set_threshold(10_000)
    signal.signal(signal.SIGTERM, _terminate)
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


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = cli.main(arguments, prog_name="syncer", standalone_mode=False)
    except SystemExit as stop:
        code = stop.code
    except SyncerError as error:
        click.echo(f"syncer: {_one_line(error)}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("syncer: interrupted", err=True)
        return 130
    return code if isinstance(code, int) else 0


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
    """SIGTERM unwinds like any error: an open run is closed as failed, its lease released."""
    sys.exit(143)


def _one_line(error: SyncerError) -> str:
    from syncer.cli.output import safe

    return safe(str(error))
