"""A history of ten times the rows (`--large`): the questions beside those on a million, and what reads all of it.

A question seeks, so it should cost the same; `db verify`, an export by month and `prune` read or write all there is, as
whole processes. Half of the rows' prices are of a second component, beside them in `prices`.
"""

import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from syncer.db import engine as db
from tests.benchmarks import processes, questions
from tests.benchmarks.databases import available
from tests.benchmarks.histories import MODELS, START, STEP, fill

Figure = dict[str, Any]
_QUICK_HOURS = 100
_BASE_HOURS = 1_000


def measure(rows: int, *, quick: bool, databases: Collection[str]) -> Iterator[Figure]:
    """The questions on the base and on `rows`, and then what the whole-database commands cost on `rows`."""
    base = _QUICK_HOURS if quick else _BASE_HOURS
    with ExitStack() as stack:
        for database in available(stack, databases):
            for hours in (base, rows // MODELS):
                url = database.create()
                engine = db.open_engine(url)
                sys.stderr.write(f"{database.name}: writing {hours * MODELS:,} changes\n")
                fill(engine, hours)
                yield from questions.ask(database.name, engine, hours, 50 if quick else 200)
                engine.dispose()
                if hours == base:
                    database.drop(url)
            yield from (_command(database.name, url, hours, name, command) for name, command in _commands(hours))
            database.drop(url)


def table(figures: list[Figure]) -> str:
    """The figures as aligned text."""
    asked = [one for one in figures if "question" in one]
    lines = [
        f"{one['database']:<11}{one['rows']:>12,}  {one['command']:<34}{one['wall']:>9.1f} s{one['peak_mb']:>9.0f} MB"
        for one in figures
        if "command" in one
    ]
    return questions.table(asked) + "\n".join(lines) + "\n"


def _commands(hours: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
    end = START + STEP * hours
    month = ("--since", f"{START:%Y-%m-%d}", "--until", f"{min(end, START.replace(month=2)):%Y-%m-%d}")
    return (
        ("db verify", ("db", "verify")),
        ("export of all, Parquet by month", ("export", "changes", "--format", "parquet", "-o", "all")),
        ("export of one month, Parquet", ("export", "changes", "--format", "parquet", "-o", "month", *month)),
        ("prune", ("prune", "--older-than", "1d")),
    )


def _command(database: str, url: str, hours: int, name: str, command: tuple[str, ...]) -> Figure:
    sys.stderr.write(f"{database}: {name}\n")
    folder = tempfile.mkdtemp()
    try:
        placed = [str(Path(folder) / word) if word in {"all", "month"} else word for word in command]
        sample = processes.run([processes.SYNCER, *placed], {"SYNCER_DATABASE_URL": url, "SYNCER_API_URL": "http://x"})
    finally:
        shutil.rmtree(folder)
    cost = {key: value for key, value in sample._asdict().items() if key != "printed"}
    return {"database": database, "rows": hours * MODELS, "command": name, **cost}
