"""`syncer runs`: each attempt to read a source, and what came of it."""

import sys
from typing import TYPE_CHECKING, Any

import click

from syncer.cli.app import App, form, row_options
from syncer.cli.output import print_rows
from syncer.core.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from syncer.history import RunRow

_OUTCOMES = ("changed", "unchanged", "held", "failed", "skipped", "running", "abandoned")
_COLUMNS = ("run", "source", "kind", "started_at", "outcome", "listed", "changes", "withheld", "rejected", "error")
_LESS_IMPORTANT = ("rejected", "withheld", "kind", "listed", "source", "changes")


@click.command("runs")
@click.option("--source", metavar="NAME", help="Only this source.")
@click.option(
    "--outcome", "outcomes", multiple=True, type=click.Choice(_OUTCOMES), help="Only this outcome; may be repeated."
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="At most N runs.")
@row_options
@click.pass_obj
def runs_command(app: App, source: str | None, outcomes: tuple[str, ...], limit: int) -> None:
    """List the runs, the newest first: every attempt to read a source leaves one.

    The number of a run is what `syncer revert` takes. --json and --csv have more columns.

    \b
    Examples:
      syncer runs --outcome failed --outcome held
      syncer runs --source acme --limit 100 --json
    """
    from syncer.history import RunRow

    columns = _COLUMNS if form() == "table" else tuple(RunRow.__struct_fields__)
    with app.reader() as connection:
        rows = [
            _row(run) if form() == "table" else tuple(getattr(run, column) for column in columns)
            for run in _runs(connection, source, outcomes, limit)
        ]
    which = " of that outcome" if outcomes else ""
    print_rows(
        columns,
        rows,
        format=form(),
        out=sys.stdout,
        title="Runs",
        drop=_LESS_IMPORTANT,
        empty=f"there is no run{which} yet" + (f" of {source}" if source else ""),
    )


def _runs(connection: "Connection", source: str | None, outcomes: tuple[str, ...], limit: int) -> "Iterator[RunRow]":
    from itertools import islice

    from syncer import history

    runs = history.runs(connection, source=source, limit=None if outcomes else limit)
    return islice((run for run in runs if not outcomes or run.outcome in outcomes), limit)


def _row(run: "RunRow") -> tuple[Any, ...]:
    changes = sum(getattr(run, kind.value) for kind in Kind)
    return (
        run.id,
        run.source,
        run.kind,
        run.started_at,
        run.outcome,
        run.listed,
        changes,
        run.withheld,
        run.rejected,
        run.error,
    )
