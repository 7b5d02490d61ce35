"""A long history, written by the driver alone: each hour moves every price of every model. `db verify` accepts it.

Two components a model: the headline `price`, and `output` at four times that. Each half hour a run finds nothing new.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.engine import Engine

from syncer.db import engine as db
from syncer.db.migrate import ensure_schema
from tests.benchmarks.databases import copy_rows

START = datetime(2020, 1, 1, tzinfo=UTC)
MODELS = 1_000
STEP = timedelta(hours=1)
_QUIET = STEP / 2
_HOURS_AT_ONCE = 100

_SOURCE = (
    "id", "name", "url", "format", "headline", "created_at", "salt", "interval_seconds", "last_observed_at",
    "last_shown_at", "last_judged_at",
)  # fmt: skip
_RUN = (
    "id", "source_id", "kind", "started_at", "observed_at", "finished_at", "outcome", "http_status", "listed", "added",
    "repriced",
)  # fmt: skip
_STATE = ("name", "alias", "type", "context_length", "price", "prices")
_MODEL = ("id", "source_id", *_STATE, "extra", "digest", "parser", "first_seen_at", "last_changed_at")
_CHANGE = (
    "id", "source_id", "run_id", "model_id", "kind", "observed_at", "effective_at", "changed_after", "old_price",
    *_STATE, "changed", "raw",
)  # fmt: skip
_PRICE = ("model_id", "component", "effective_at", "change_id", "kind", "changed_after", "old_price", "price")


def stamp(*, sqlite: bool) -> Callable[[datetime], Any]:
    """A time as the driver takes it."""
    return (lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S.%f")) if sqlite else (lambda moment: moment)


def fill(engine: Engine, hours: int) -> None:
    """Make the schema, and a history of MODELS times `hours` changes of one source."""
    ensure_schema(engine)
    sqlite = engine.dialect.name == "sqlite"
    at, last = stamp(sqlite=sqlite), START + STEP * hours - _QUIET
    with db.writing(engine) as connection:
        source = (1, "bench", "http://bench", "serverless", "price", at(START), b"0" * 16, 3600, *[at(last)] * 3)
        copy_rows(connection, "sources", _SOURCE, [source])
        copy_rows(connection, "runs", _RUN, [run for hour in range(hours) for run in _runs(hour, at)])
        copy_rows(connection, "models", _MODEL, [_model(number, hours - 1, at, sqlite) for number in _models()])
    for first in range(0, hours, _HOURS_AT_ONCE):
        some = range(first, min(first + _HOURS_AT_ONCE, hours))
        with db.writing(engine) as connection:
            copy_rows(connection, "changes", _CHANGE, list(_changes(some, at, sqlite)))
            copy_rows(connection, "prices", _PRICE, list(_prices(some, at, sqlite)))
            connection.exec_driver_sql(f"UPDATE feed SET last_id = {some.stop * MODELS}")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if sqlite else "VACUUM ANALYZE")


def name_of(number: int) -> str:
    """What a model is called."""
    return f"maker/model-{number}"


def _models() -> range:
    return range(1, MODELS + 1)


def _runs(hour: int, at: Callable[[datetime], Any]) -> Iterator[tuple[Any, ...]]:
    moment, later = at(START + STEP * hour), at(START + STEP * hour + _QUIET)
    counts = (0, MODELS) if hour else (MODELS, 0)
    yield (2 * hour + 1, 1, "sync", *[moment] * 3, "changed", 200, MODELS, *counts)
    yield (2 * hour + 2, 1, "sync", *[later] * 3, "unchanged", 304, None, 0, 0)


def _amounts(number: int, hour: int) -> tuple[Decimal, Decimal]:
    headline = Decimal(100 + (number * 7 + hour * 13) % 900) / 100
    return headline, headline * 4


def _state(number: int, hour: int, sqlite: bool) -> tuple[Any, ...]:
    headline, output = _amounts(number, hour)
    written = f'{{"price":{headline:f},"output":{output:f}}}'
    price = float(headline) if sqlite else headline
    return (name_of(number), f"model-{number}", "Text", 8192, price, written)


def _model(number: int, hour: int, at: Callable[[datetime], Any], sqlite: bool) -> tuple[Any, ...]:
    read = ("{}", b"", "bench", at(START), at(START + STEP * hour))
    return (number, 1, *_state(number, hour, sqlite), *read)


def _changes(hours: range, at: Callable[[datetime], Any], sqlite: bool) -> Iterator[tuple[Any, ...]]:
    for hour in hours:
        moment, before = at(START + STEP * hour), at(START + STEP * hour - _QUIET) if hour else None
        for number in _models():
            old, new = _amounts(number, hour - 1), _amounts(number, hour)
            moved = f'{{"prices.output":[{old[1]:f},{new[1]:f}],"prices.price":[{old[0]:f},{new[0]:f}]}}'
            was = (float(old[0]) if sqlite else old[0]) if hour else None
            yield (
                hour * MODELS + number, 1, 2 * hour + 1, number, "repriced" if hour else "added", moment, moment,
                before, was, *_state(number, hour, sqlite), moved if hour else "{}", None,
            )  # fmt: skip


def _prices(hours: range, at: Callable[[datetime], Any], sqlite: bool) -> Iterator[tuple[Any, ...]]:
    number_of: Callable[[Decimal], Any] = float if sqlite else Decimal
    for hour in hours:
        moment, before = at(START + STEP * hour), at(START + STEP * hour - _QUIET) if hour else None
        for number in _models():
            pairs = zip(("price", "output"), _amounts(number, hour - 1), _amounts(number, hour), strict=True)
            for component, old, new in pairs:
                was = number_of(old) if hour else None
                kind = "repriced" if hour else "added"
                yield number, component, moment, hour * MODELS + number, kind, before, was, number_of(new)
