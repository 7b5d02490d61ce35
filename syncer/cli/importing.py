"""`syncer import`: recorded responses become history."""

import sys
from collections import Counter
from pathlib import Path

import click

from syncer.cli.app import App
from syncer.cli.output import json_line, print_line, progress
from syncer.core.words import count_of
from syncer.errors import UsageError
from syncer.importing import extent
from syncer.service import Imported


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--git",
    "repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="REPOSITORY",
    help="FILE is a path in this git repository: import each commit that changed it.",
)
@click.option(
    "--source", "name", default="default", show_default=True, metavar="NAME", help="The source it belongs to."
)
@click.option("--trust", type=click.Choice(["on", "off"]), help="Overrides the source's setting (on if it has none).")
@click.option("--format", "fmt", metavar="NAME", help="How the bodies are written: that of the source if not given.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object.")
@click.pass_obj
def import_command(
    app: App, file: Path, *, repository: Path | None, name: str, trust: str | None, fmt: str | None, as_json: bool
) -> None:
    """Import recorded responses, each with its own time, as if syncer had polled then.

    FILE is JSON lines, gzipped or not: {"observed_at": "2026-11-22T17:00:00Z", "body": "..."}, oldest first; what
    `syncer sync --save-bodies` keeps. With --git it is the path of a file in a repository: each commit of its
    first-parent history that changed the file is a response, at the commit's committer time. A bare mirror will do;
    nothing is fetched. The source needs no settings. Interrupted, run it again: what is in already is passed over.
    What is not later than what the source has seen is refused; what came before it stays.

    \b
    Examples:
      syncer import bodies/acme-2026-11.jsonl.gz --source acme
      syncer import --git litellm.git model_prices_and_context_window.json --format litellm --source litellm
    """
    app.start_logging()
    tally = Tally()
    total = _total(file, repository) if sys.stderr.isatty() else None  # only a progress bar asks how many there are
    trusted = None if trust is None else trust == "on"
    try:
        with progress("importing", total=total, err=sys.stderr, in_pipe=True) as advance:

            def on_line(line: Imported) -> None:
                tally.add(line)
                advance()

            if repository is not None:
                app.service.import_git(repository, str(file), name, trust=trusted, format=fmt, on_line=on_line)
            else:
                app.service.import_history(_existing(file), name, trust=trusted, format=fmt, on_line=on_line)
    finally:  # what was imported before an error or Ctrl-C stays, so it is told
        tally.tell(name, as_json=as_json)
    sys.exit(1 if tally.failures else 0)


def _existing(file: Path) -> Path:
    if not file.exists():
        raise UsageError(f"there is no file {file}; a file in a git repository needs --git REPOSITORY")
    return file


def _total(file: Path, repository: Path | None) -> int | None:
    if repository is not None:
        from syncer.git_history import versions

        return len(versions(repository, str(file)))
    whole = extent(_existing(file))
    return None if whole is None else whole.responses


class Tally:
    """What came of the lines so far."""

    def __init__(self) -> None:
        self.lines: Counter[str] = Counter()
        self.changes = 0
        self.failures: list[str] = []

    def add(self, line: Imported) -> None:
        """Count a line. One whose body is no catalog has left a failed run, and the next lines have their turn."""
        self.lines[line.word] += 1
        self.changes += sum(line.report.result.counts.values()) if line.report else 0
        if line.error is not None:
            self.failures.append(f"{line.name}: {line.error}")

    def tell(self, name: str, *, as_json: bool) -> None:
        """Say it: failures on stderr, then the summary."""
        for failure in self.failures:
            print_line(failure, out=sys.stderr)
        if as_json:
            counts = {what.replace(" ", "_"): self.lines[what] for what in _OUTCOMES}
            print_line(json_line({"source": name, "changes": self.changes, **counts}), out=sys.stdout)
            return
        lines = ", ".join(f"{self.lines[what]} {what}" for what in _OUTCOMES if self.lines[what]) or "nothing"
        print_line(f"{name}: {lines}; {count_of(self.changes, 'change')}", out=sys.stdout)


_OUTCOMES = ("changed", "unchanged", "held", "failed", "already there")
