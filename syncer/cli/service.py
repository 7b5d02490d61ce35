"""`syncer service`: the systemd units that run this very installation with these very settings."""

import os
import pwd
import shlex
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import click

from syncer.cli.app import App
from syncer.cli.output import print_line
from syncer.errors import UsageError

if TYPE_CHECKING:
    from syncer.settings import Settings

_DAEMON = ("syncer.service",)
_TIMER = ("syncer-sync.service", "syncer-sync.timer")


@click.command("service")
@click.option(
    "--timer", is_flag=True, help="A timer that runs `syncer sync` hourly, cron style, instead of the daemon."
)
@click.option("--cron", is_flag=True, help="A crontab for `syncer sync` hourly, instead of the daemon.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Write the unit files into DIR, such as /etc/systemd/system, instead of printing them.",
)
@click.pass_obj
def service_command(app: App, *, timer: bool, cron: bool, output: Path | None) -> None:
    """Print a hardened systemd unit for `syncer run`, with the paths of this Python, configuration and directory.

    It runs as you; as root, name another user in it. Keys and passwords belong in /etc/syncer.env.

    \b
    Examples:
      syncer service --output /etc/systemd/system
      syncer service --cron | crontab -           (it replaces the crontab you have)
    """
    if cron:
        if timer or output is not None:
            raise click.UsageError("--cron prints a crontab: leave --timer and --output out.")
        print_line(crontab(app.settings, python=Path(sys.executable), directory=Path.cwd()), out=sys.stdout)
        return
    units = {
        name: render(
            name,
            app.settings,
            python=Path(sys.executable),
            directory=Path.cwd(),
            user=pwd.getpwuid(os.getuid()).pw_name,
        )
        for name in (_TIMER if timer else _DAEMON)
    }
    if output is None:
        print_line("\n".join(units.values()).rstrip(), out=sys.stdout)
        return
    for name, text in units.items():
        _write(output / name, text)
        print_line(f"wrote {output / name}", out=sys.stdout)


def crontab(settings: "Settings", *, python: Path, directory: Path) -> str:
    """The lines of a crontab: full paths, as cron has neither our PATH nor our directory, nor our variables."""
    command = ["cd", str(directory), "&&", str(python), "-m", "syncer"]
    command += [] if settings.path is None else ["--config", str(directory / settings.path)]
    words = " ".join(word if word == "&&" else shlex.quote(word) for word in command)
    if not words.isprintable():
        raise UsageError(f"no crontab can hold the path {words!r}: rename it")
    syncer = words.replace("%", "\\%")  # which cron reads as the end of the line
    variables = dict.fromkeys(source.api_key_env for source in settings.sources if source.api_key_env)
    return "\n".join(
        [
            "# syncer: put these lines into `crontab -e`; cron mails what they print.",
            *(f"# Set {name} here, or in a file that only you may read: {name}=..." for name in variables),
            f"7 * * * * {syncer} sync --quiet",
        ]
    )


def render(name: str, settings: "Settings", *, python: Path, directory: Path, user: str) -> str:
    """The text of one unit. Raises UsageError for a path that no unit can hold."""
    config = [] if settings.path is None else ["--config", str(directory / settings.path)]
    command = [str(python), "-m", "syncer", *config]
    values = {
        "command": " ".join(_word(part).replace("$", "$$") for part in command),
        "directory": _specifiers(directory),
        "user": f"User={user}",
        "writable": "\n".join(f"ReadWritePaths={_word(f'-{path}')}" for path in _writable(settings, directory)),
    }
    hardening = Template(_read("hardening.conf")).substitute(values).rstrip()
    return Template(_read(name)).substitute(values, hardening=hardening)


def _writable(settings: "Settings", directory: Path) -> Iterator[Path]:
    """The folders that syncer writes to: all else is read-only to it."""
    folders = [directory]
    if settings.database_url.startswith("sqlite"):
        from sqlalchemy.engine import make_url

        folders.append((directory / str(make_url(settings.database_url).database)).parent)
    folders += [directory / settings.save_bodies] if settings.save_bodies else []
    folders += [(directory / path).parent for alert in settings.alerts for path in alert.to.written()]
    for folder in dict.fromkeys(Path(os.path.normpath(folder)) for folder in folders):
        if folder == directory or directory not in folder.parents:
            yield folder


def _word(text: str) -> str:
    """One word of a list, as systemd reads it back; in a command line, `$` is to be doubled besides."""
    escaped = _specifiers(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if set(escaped) & set(" ;'\"\\") else escaped


def _specifiers(text: object) -> str:
    if not str(text).isprintable():
        raise UsageError(f"no systemd unit can hold the path {str(text)!r}: rename it")
    return str(text).replace("%", "%%")


def _read(name: str) -> str:
    return resources.files("syncer.monitoring").joinpath(name).read_text("utf-8")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
