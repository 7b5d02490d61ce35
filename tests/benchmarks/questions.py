"""Scenario E: the questions of `syncer.history` on a long history, each beside the same question in raw SQL.

1,000 models with 1,000 changes each (a hundred of them with --quick), written by the driver, on SQLite and PostgreSQL.
"""

import random
import statistics
from collections.abc import Callable, Collection
from contextlib import ExitStack
from datetime import datetime
from time import perf_counter
from typing import Any

from sqlalchemy.engine import Connection, Engine

from syncer import history
from syncer.db import engine as db
from tests.benchmarks.databases import available
from tests.benchmarks.histories import MODELS, START, STEP, fill, name_of, stamp

Figure = dict[str, Any]
Question = Callable[[Connection, int, datetime], object]
_OFTEN = ("price_at", "price_at, a component")


def measure(*, quick: bool, databases: Collection[str]) -> list[Figure]:
    """Medians and 99th percentiles in milliseconds, ours and raw, for each question and database."""
    hours, repeats = (100, 50) if quick else (1_000, 300)
    figures: list[Figure] = []
    with ExitStack() as stack:
        for database in available(stack, databases):
            engine = db.open_engine(database.create())
            fill(engine, hours)
            figures += ask(database.name, engine, hours, repeats)
            engine.dispose()
    return figures


def table(figures: list[Figure]) -> str:
    """The figures as aligned text."""
    lines = [
        f"{'database':<11}{'rows':>11}  {'question':<34}{'p10':>9}{'median':>9}{'p99':>9}{'raw':>9}{'ratio':>7}  (ms)"
    ]
    lines += [
        f"{one['database']:<11}{one['rows']:>11,}  {one['question']:<34}"
        f"{one['p10_ms']:>9.3f}{one['median_ms']:>9.3f}{one['p99_ms']:>9.3f}"
        f"{one['raw_median_ms']:>9.3f}{one['ratio']:>7.1f}"
        for one in figures
    ]
    return "\n".join(lines) + "\n"


# -- the questions -----------------------------------------------------------------------------------------------------


def _ours() -> dict[str, Question]:
    return {
        "price_at": lambda c, model, at: history.price_at(c, name_of(model), at=at),
        "price_at, a component": lambda c, model, at: history.price_at(c, name_of(model), "output", at=at),
        "catalog page": lambda c, _, at: history.catalog_page(c, now=at),
        "catalog_at": lambda c, _, at: history.catalog_at(c, at=at),
        "changes of an hour": lambda c, _, at: list(history.changes(c, since=at, until=at + STEP)),
        "100 changes after an id": lambda c, model, _: list(history.changes(c, after=model * 15, limit=100)),
        "price_periods of a model": lambda c, model, _: history.price_periods(c, name_of(model)),
    }


def _raw(sqlite: bool) -> dict[str, Question]:
    mark, at_of = "?" if sqlite else "%s", stamp(sqlite=sqlite)

    def ask(sql: str, *values: Callable[[int, datetime], Any]) -> Question:
        text = sql.replace("?", mark)
        return lambda c, model, at: c.connection.driver_connection.execute(  # type: ignore[union-attr]
            text, [value(model, at) for value in values]
        ).fetchall()

    def name(model: int, _: datetime) -> str:
        return name_of(model)

    def moment(_: int, at: datetime) -> Any:
        return at_of(at)

    def later(_: int, at: datetime) -> Any:
        return at_of(at + STEP)

    one = "(SELECT id FROM models WHERE source_id = 1 AND name = ?)"
    latest = "effective_at <= ? ORDER BY effective_at DESC LIMIT 1"
    price = f"SELECT kind, price, effective_at FROM prices WHERE model_id = {one} AND component = '{{}}' AND {latest}"
    state = f"(SELECT prices FROM changes WHERE model_id = m.id AND {latest})"
    periods = "SELECT effective_at, kind, price FROM prices WHERE model_id = {} AND component = 'price' ORDER BY 1"
    return {
        "price_at": ask(price.format("price"), name, moment),
        "price_at, a component": ask(price.format("output"), name, moment),
        "catalog page": ask("SELECT * FROM models WHERE removed_at IS NULL ORDER BY name LIMIT 50"),
        "catalog_at": ask(f"SELECT m.id, {state} FROM models m", moment),
        "changes of an hour": ask(
            "SELECT * FROM changes WHERE observed_at >= ? AND observed_at < ? ORDER BY id", moment, later
        ),
        "100 changes after an id": ask(
            "SELECT * FROM changes WHERE id > ? ORDER BY id LIMIT 100", lambda model, _: model * 15
        ),
        "price_periods of a model": ask(periods.format(one), name),
    }


def ask(name: str, engine: Engine, hours: int, repeats: int) -> list[Figure]:
    """Ask each question `repeats` times (the dear ones a tenth of that), ours and the raw one in turn."""
    chance = random.Random(7)
    asked = [(chance.randint(1, MODELS), START + STEP * chance.uniform(1, hours - 2)) for _ in range(repeats)]
    figures = []
    raw = _raw(engine.dialect.name == "sqlite")
    with db.reading(engine) as connection:
        for question, ours in _ours().items():
            few = asked if question in _OFTEN else asked[: max(20, repeats // 10)]
            pairs = [(_time(ours, connection, *one), _time(raw[question], connection, *one)) for one in few]
            mine, floor = sorted(pair[0] for pair in pairs), [pair[1] for pair in pairs]
            figures.append(
                {
                    "database": name,
                    "question": question,
                    "rows": hours * MODELS,
                    "median_ms": statistics.median(mine),
                    "p10_ms": mine[len(mine) // 10],
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
