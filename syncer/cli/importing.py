"""`syncer import`: recorded responses become history."""

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click
from sqlalchemy.engine import Engine

from syncer.cli.app import App, now
from syncer.cli.output import json_line, print_line, progress
from syncer.cli.syncing import owner
from syncer.errors import BadResponse
from syncer.importing import Recorded, count_lines, import_observation, read_recording
from syncer.settings import SourceSettings, unconfigured_trust
from syncer.sync import Report


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--source", "name", default="default", show_default=True, metavar="NAME", help="The source it belongs to."
)
@click.option("--trust", type=click.Choice(["on", "off"]), help="Overrides the source's setting (on if it has none).")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object.")
@click.pass_obj
def import_command(app: App, file: Path, *, name: str, trust: str | None, as_json: bool) -> None:
    """Import recorded responses, each with its own time, as if syncer had looked then.

    FILE is JSON lines, gzipped or not: {"observed_at": "2026-11-22T17:00:00Z", "body": "..."}, oldest first; what
    `syncer sync --save-bodies` keeps. The source needs no settings. Interrupted, run it again: lines that are in
    already are passed over. A line not later than what the source has seen is refused; what came before it stays.
    """
    app.start_logging()
    source = next((source for source in app.settings.sources if source.name == name), None)
    configured = unconfigured_trust(name, os.environ) if source is None else source.trust
    tally = Tally()
    poll = _poller(app.writer(), source, name, trust=configured if trust is None else trust == "on")
    try:
        _import_all(file, poll, tally)
    finally:  # what was imported before an error or Ctrl-C stays, so it is told
        tally.tell(name, as_json=as_json)
    sys.exit(1 if tally.failures else 0)


Poll = Callable[[Recorded], Report | None]


class Tally:
    """What came of the lines so far."""

    def __init__(self) -> None:
        self.lines: Counter[str] = Counter()
        self.changes = 0
        self.failures: list[str] = []

    def add(self, report: Report | None) -> None:
        """Count a line; None is one that the source has seen already."""
        self.lines["already there" if report is None else report.outcome] += 1
        self.changes += sum(report.counts.values()) if report else 0

    def fail(self, line: int, error: BadResponse) -> None:
        """Count a line whose body is no catalog: it has left a failed run, and the next lines have their turn."""
        self.lines["failed"] += 1
        self.failures.append(f"line {line}: {error}")

    def tell(self, name: str, *, as_json: bool) -> None:
        """Say it: failures on stderr, then the summary."""
        for failure in self.failures:
            print_line(failure, out=sys.stderr)
        if as_json:
            counts = {what.replace(" ", "_"): self.lines[what] for what in _OUTCOMES}
            print_line(json_line({"source": name, "changes": self.changes, **counts}), out=sys.stdout)
            return
        looks = ", ".join(f"{self.lines[what]} {what}" for what in _OUTCOMES if self.lines[what]) or "nothing"
        print_line(f"{name}: {looks}; {self.changes} changes", out=sys.stdout)


_OUTCOMES = ("changed", "unchanged", "held", "failed", "already there")


def _poller(engine: Engine, source: SourceSettings | None, name: str, *, trust: bool) -> Poll:
    return lambda recorded: import_observation(engine, source, name, recorded, trust=trust, clock=now, owner=owner())


def _import_all(file: Path, poll: Poll, tally: Tally) -> None:
    total = count_lines(file) if sys.stderr.isatty() else None  # only a progress bar asks how many there are
    with progress("importing", total=total, err=sys.stderr) as advance:
        for recorded in read_recording(file):
            try:
                tally.add(poll(recorded))
            except BadResponse as error:
                tally.fail(recorded.line, error)
            advance()
