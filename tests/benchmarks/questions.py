"""Scenario E: the questions of `syncer.history` on a long history, each beside the same question in raw SQL.

1,000 models with 1,000 changes each (a hundred of them with --quick), written by the driver, on SQLite and PostgreSQL.
"""

import random
import statistics
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import perf_counter
from typing import Any

from sqlalchemy.engine import Connection, Engine

from syncer import history
from syncer.db import engine as db
from syncer.db.migrate import ensure_schema
from tests.benchmarks.databases import available, copy_rows

START = datetime(2020, 1, 1, tzinfo=UTC)
MODELS = 1_000
STEP = timedelta(hours=1)

Figure = dict[str, Any]
Question = Callable[[Connection, int, datetime], object]


def measure(*, quick: bool, databases: Collection[str]) -> list[Figure]:
    """Medians and 99th percentiles in milliseconds, ours and raw, for each question and database."""
    changes, repeats = (100, 50) if quick else (1_000, 300)
    figures: list[Figure] = []
    with ExitStack() as stack:
        for database in available(stack, databases):
            engine = db.open_engine(database.create())
            _fill(engine, changes)
            figures += _ask(database.name, engine, changes, repeats)
    return figures


def table(figures: list[Figure]) -> str:
    """The figures as aligned text."""
    lines = [f"{'database':<11}{'question':<34}{'median':>9}{'p99':>9}{'raw':>9}{'ratio':>7}  (ms)"]
    lines += [
        f"{one['database']:<11}{one['question']:<34}{one['median_ms']:>9.3f}{one['p99_ms']:>9.3f}"
        f"{one['raw_median_ms']:>9.3f}{one['ratio']:>7.1f}"
        for one in figures
    ]
    return "\n".join(lines) + "\n"


# -- the history -------------------------------------------------------------------------------------------------------


def _fill(engine: Engine, changes: int) -> None:
    ensure_schema(engine)
    last = START + STEP * (changes - 1)
    sqlite = engine.dialect.name == "sqlite"
    with db.writing(engine) as connection:
        at = _stamp(sqlite)
        columns: tuple[str, ...] = ("id", "name", "url", "created_at", "salt", "last_good_look_at")
        copy_rows(connection, "sources", columns, [(1, "bench", "http://bench", at(START), b"0" * 16, at(last))])
        columns = ("id", "source_id", "kind", "started_at", "observed_at", "finished_at", "outcome")
        rows = [(i + 1, 1, "sync", *[at(START + STEP * i)] * 3, "changed") for i in range(changes)]
        copy_rows(connection, "runs", columns, rows)
        copy_rows(connection, "models", _MODEL_COLUMNS, list(_models(at, last)))
        for first in range(0, changes, 100):
            copy_rows(
                connection, "changes", _CHANGE_COLUMNS, list(_changes(at, sqlite, first, min(first + 100, changes)))
            )
        connection.exec_driver_sql(f"UPDATE feed SET last_id = {changes * MODELS}")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if sqlite else "VACUUM ANALYZE")


_MODEL_COLUMNS = (
    "id",
    "source_id",
    "name",
    "alias",
    "type",
    "context_length",
    "price",
    "extra",
    "digest",
    "first_seen_at",
    "last_changed_at",
)
_CHANGE_COLUMNS = (
    "id",
    "source_id",
    "run_id",
    "model_id",
    "kind",
    "observed_at",
    "effective_at",
    "changed_after",
    "old_price",
    "price",
    "name",
    "alias",
    "type",
    "context_length",
    "changed",
    "raw",
)


def _stamp(sqlite: bool) -> Callable[[datetime], Any]:
    return (lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S.%f")) if sqlite else (lambda moment: moment)


def _price(model: int, change: int) -> Decimal:
    return Decimal(100 + (model * 7 + change * 13) % 900) / 100


def _models(at: Callable[[datetime], Any], last: datetime) -> Iterator[tuple[Any, ...]]:
    for model in range(1, MODELS + 1):
        name = f"maker/model-{model}"
        yield model, 1, name, f"model-{model}", "Text", 8192, float(_price(model, 1)), "{}", b"", at(START), at(last)


def _changes(at: Callable[[datetime], Any], sqlite: bool, first: int, end: int) -> Iterator[tuple[Any, ...]]:
    number = float if sqlite else Decimal
    for change in range(first, end):
        moment = START + STEP * change
        for model in range(1, MODELS + 1):
            old, new = number(_price(model, change - 1)), number(_price(model, change))
            kind = "added" if change == 0 else "repriced"
            yield (
                change * MODELS + model, 1, change + 1, model, kind, at(moment), at(moment),
                at(moment - STEP) if change else None, old if change else None, new, f"maker/model-{model}",
                f"model-{model}", "Text", 8192, "{}", None,
            )  # fmt: skip


# -- the questions -----------------------------------------------------------------------------------------------------


def _ours() -> dict[str, Question]:
    return {
        "price_at": lambda c, model, at: history.price_at(c, f"maker/model-{model}", at=at),
        "catalog_at": lambda c, _, at: history.catalog_at(c, at=at),
        "changes of an hour": lambda c, _, at: list(history.changes(c, since=at, until=at + STEP)),
        "100 changes after an id": lambda c, model, _: list(history.changes(c, after=model * 50, limit=100)),
        "price_periods of a model": lambda c, model, _: history.price_periods(c, f"maker/model-{model}"),
    }


def _raw(sqlite: bool) -> dict[str, Question]:
    mark, at_of = ("?", _stamp(sqlite=True)) if sqlite else ("%s", _stamp(sqlite=False))

    def ask(sql: str, *values: Callable[[int, datetime], Any]) -> Question:
        text = sql.replace("?", mark)
        return lambda c, model, at: c.connection.driver_connection.execute(  # type: ignore[union-attr]
            text, [value(model, at) for value in values]
        ).fetchall()

    def name(model: int, _: datetime) -> str:
        return f"maker/model-{model}"

    def moment(_: int, at: datetime) -> Any:
        return at_of(at)

    def later(_: int, at: datetime) -> Any:
        return at_of(at + STEP)

    state = "SELECT {} FROM changes WHERE model_id = {} AND effective_at <= ? ORDER BY effective_at DESC LIMIT 1"
    one = "(SELECT id FROM models WHERE source_id = 1 AND name = ?)"
    at_once = "SELECT m.id, (" + state.format("price", "m.id") + ") FROM models m"
    return {
        "price_at": ask(state.format("kind, price, effective_at", one), name, moment),
        "catalog_at": ask(at_once, moment),
        "changes of an hour": ask(
            "SELECT * FROM changes WHERE observed_at >= ? AND observed_at < ? ORDER BY id", moment, later
        ),
        "100 changes after an id": ask(
            "SELECT * FROM changes WHERE id > ? ORDER BY id LIMIT 100", lambda model, _: model * 50
        ),
        "price_periods of a model": ask(
            f"SELECT effective_at, kind, price FROM changes WHERE model_id = {one} ORDER BY effective_at", name
        ),
    }


def _ask(name: str, engine: Engine, changes: int, repeats: int) -> list[Figure]:
    chance = random.Random(7)
    asked = [(chance.randint(1, MODELS), START + STEP * chance.uniform(1, changes - 2)) for _ in range(repeats)]
    figures = []
    raw = _raw(engine.dialect.name == "sqlite")
    with db.reading(engine) as connection:
        for question, ours in _ours().items():
            few = asked if question == "price_at" else asked[: max(20, repeats // 10)]
            pairs = [(_time(ours, connection, *one), _time(raw[question], connection, *one)) for one in few]
            mine, floor = sorted(pair[0] for pair in pairs), [pair[1] for pair in pairs]
            figures.append(
                {
                    "database": name,
                    "question": question,
                    "rows": changes * MODELS,
                    "median_ms": statistics.median(mine),
                    "p99_ms": mine[int(len(mine) * 0.99)],
                    "raw_median_ms": statistics.median(floor),
                    "ratio": statistics.median(mine) / statistics.median(floor),
                }
            )
    return figures


def _time(question: Question, connection: Connection, model: int, at: datetime) -> float:
    begin = perf_counter()
    question(connection, model, at)
    return (perf_counter() - begin) * 1_000
