"""Floor "raw": `raw.py load|syncs URL DATABASE [COUNT]`: the same tables and rows with the driver alone.

- `load`: a first load: fetch, parse, and one transaction of sqlite3's executemany or psycopg's COPY.
- `syncs`: COUNT times fetch, parse, compare with what the database holds, and one transaction with what moved.

There is no lease, no trust, no rejected element and no failure in it. DATABASE is a path or a libpq URL; its schema is
there already, with syncer's indexes and triggers. Prints JSON: `seconds` of each sync, `write_seconds` of it.
"""

import json
import sqlite3
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from time import perf_counter
from typing import Any

import msgspec

from tests.benchmarks.floors.fetch import Model, fetch

Row = tuple[Any, ...]

_SOURCE = (
    "id", "name", "url", "format", "headline", "created_at", "salt", "lease_token", "body_digest", "stored_with",
    "last_observed_at",
)  # fmt: skip
_RUN = (
    "id", "source_id", "kind", "started_at", "observed_at", "finished_at", "outcome", "http_status", "listed", "added",
    "repriced", "body_digest",
)  # fmt: skip
_STATE = (
    "alias", "type", "context_length", "max_completion_tokens", "description", "huggingface_url", "price", "prices",
)  # fmt: skip
_MODEL = ("id", "source_id", "name", *_STATE, "extra", "digest", "parser", "first_seen_at", "last_changed_at")
_CHANGE = (
    "id", "source_id", "run_id", "model_id", "kind", "observed_at", "effective_at", "changed_after", "old_price",
    "name", *_STATE, "changed", "raw",
)  # fmt: skip
_PRICE = ("model_id", "component", "effective_at", "change_id", "kind", "changed_after", "old_price", "price")
_PARSER = "raw"


class _Data(msgspec.Struct):
    models: list[msgspec.Raw]


class _Envelope(msgspec.Struct):
    data: _Data
    status: str


_read_envelope = msgspec.json.Decoder(_Envelope).decode
_read_model = msgspec.json.Decoder(Model).decode
_read_prices = msgspec.json.Decoder(dict[str, Decimal]).decode


class Sqlite:
    """sqlite3, set up as syncer does it."""

    mark = "?"

    def __init__(self, path: str) -> None:
        self.link = sqlite3.connect(path, isolation_level=None)
        self.link.execute("PRAGMA foreign_keys=ON")

    def begin(self) -> None:
        """Take the write lock at once."""
        self.link.execute("BEGIN IMMEDIATE")

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Many rows in one statement."""
        marks = ", ".join("?" * len(columns))
        self.link.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    def time(self, at: datetime) -> Any:
        """Text in UTC."""
        return at.strftime("%Y-%m-%d %H:%M:%S.%f")

    def price(self, price: Decimal | None) -> Any:
        """A REAL."""
        return None if price is None else float(price)


class PostgreSql:
    """psycopg."""

    mark = "%s"

    def __init__(self, url: str) -> None:
        import psycopg

        self.link = psycopg.connect(url, autocommit=True)

    def begin(self) -> None:
        """A plain transaction."""
        self.link.execute("BEGIN")

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """COPY."""
        with self.link.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def time(self, at: datetime) -> Any:
        """A timestamp with time zone."""
        return at

    def price(self, price: Decimal | None) -> Any:
        """NUMERIC."""
        return price


Driver = Sqlite | PostgreSql


def load(driver: Driver, url: str) -> dict[str, Any]:
    """A first load; how long the writing took."""
    body = fetch(url)
    elements = _parse(body)
    begin, now = perf_counter(), driver.time(datetime.now(UTC))
    digest = blake2b(body, digest_size=16).hexdigest()
    driver.begin()
    source = (1, "default", url, "serverless", "price", now, bytes(16), 1, digest, digest, now)
    driver.insert("sources", _SOURCE, [source])
    count = len(elements)
    driver.insert("runs", _RUN, [(1, 1, "sync", now, now, now, "changed", 200, count, count, 0, digest)])
    driver.insert(
        "models",
        _MODEL,
        (
            (number, 1, model.model_name, *_state(driver, model), "{}", _digest(raw), _PARSER, now, now)
            for number, (raw, model) in enumerate(elements, 1)
        ),
    )
    driver.insert(
        "changes",
        _CHANGE,
        (
            (number, 1, 1, number, "added", now, now, None, None, model.model_name, *_state(driver, model), "{}",
             raw.decode())
            for number, (raw, model) in enumerate(elements, 1)
        ),
    )  # fmt: skip
    driver.insert(
        "prices",
        _PRICE,
        (
            (number, component, now, number, "added", None, None, driver.price(price))
            for number, (_, model) in enumerate(elements, 1)
            for component, price in _prices(model).items()
        ),
    )
    driver.link.execute(f"UPDATE feed SET last_id = {count}")
    driver.link.execute("COMMIT")
    return {"write_seconds": perf_counter() - begin}


def sync(driver: Driver, url: str) -> None:
    """One sync of a catalog in which only prices move. Each has a client of its own, as an hourly one would."""
    body = fetch(url)
    elements = _parse(body)
    known = _known(driver)
    now, mark = driver.time(datetime.now(UTC)), driver.mark
    moved = [
        (known[model.model_name], raw, model)
        for raw, model in elements
        if known[model.model_name][1:] != (*_values(model), _prices(model))
    ]
    digest = blake2b(body, digest_size=16).hexdigest()
    driver.begin()
    run, last = _one(driver, "SELECT max(id) + 1 FROM runs"), _one(driver, "SELECT last_id FROM feed")
    after = _one(driver, "SELECT last_observed_at FROM sources WHERE id = 1")
    driver.insert("runs", _RUN, [(run, 1, "sync", now, now, now, "changed", 200, len(elements), 0, len(moved), digest)])
    setting = ", ".join(f"{column} = {mark}" for column in (*_STATE, "digest", "last_changed_at"))
    driver.link.cursor().executemany(
        f"UPDATE models SET {setting} WHERE id = {mark}",
        [(*_state(driver, model), _digest(raw), now, before[0]) for before, raw, model in moved],
    )
    driver.insert(
        "changes",
        _CHANGE,
        [
            (number, 1, run, before[0], "repriced", now, now, after, driver.price(before[-1]["price"]),
             model.model_name, *_state(driver, model), _changed(before[-1], _prices(model)), raw.decode())
            for number, (before, raw, model) in enumerate(moved, last + 1)
        ],
    )  # fmt: skip
    driver.insert(
        "prices",
        _PRICE,
        (
            (before[0], component, now, number, "repriced", after, driver.price(old), driver.price(new))
            for number, (before, _, model) in enumerate(moved, last + 1)
            for component, old, new in _moves(before[-1], _prices(model))
        ),
    )
    driver.link.execute(f"UPDATE feed SET last_id = {last + len(moved)}")
    driver.link.execute(f"UPDATE sources SET body_digest = {mark}, last_observed_at = {mark}", (digest, now))
    driver.link.execute("COMMIT")


def _parse(body: bytes) -> list[tuple[bytes, Model]]:
    elements = (bytes(raw) for raw in _read_envelope(body).data.models)
    return [(raw, _read_model(raw)) for raw in elements]


def _values(model: Model) -> Row:
    context, longest = model.context_length, model.max_completion_tokens
    return (
        model.model_alias,
        model.model_type,
        None if context is None else int(context),
        None if longest is None else int(longest),
        model.description,
        model.huggingface_url,
    )


def _prices(model: Model) -> dict[str, Decimal]:
    """Component -> price, as the formats of the shapes call them."""
    found = {"price": model.price}
    if model.price_output is not None:
        found |= {
            "output": model.price_output,
            "cache_read": model.price_cache_read,
            "cache_write": model.price_cache_write,
        }
    return {component: price for component, price in found.items() if price is not None}


def _state(driver: Driver, model: Model) -> Row:
    prices = _prices(model)
    written = "{" + ",".join(f'"{component}":{price}' for component, price in prices.items()) + "}"
    return (*_values(model), driver.price(model.price), written)


def _moves(old: Mapping[str, Decimal], new: Mapping[str, Decimal]) -> list[tuple[str, Decimal, Decimal]]:
    return [(component, old[component], price) for component, price in new.items() if price != old[component]]


def _changed(old: Mapping[str, Decimal], new: Mapping[str, Decimal]) -> str:
    return "{" + ",".join(f'"prices.{name}":[{before},{after}]' for name, before, after in _moves(old, new)) + "}"


def _known(driver: Driver) -> Mapping[str, Row]:
    """Name -> (id, tracked values, prices)."""
    first = _STATE[:-2]
    rows = driver.link.execute(f"SELECT name, id, {', '.join(first)}, CAST(prices AS TEXT) FROM models")
    return {name: (*rest, _read_prices(prices)) for name, *rest, prices in rows}


def _digest(raw: bytes) -> bytes:
    return blake2b(b"1" + raw, digest_size=16).digest()


def _one(driver: Driver, query: str) -> Any:
    return next(iter(driver.link.cursor().execute(query)))[0]


def _timed(driver: Driver, url: str) -> float:
    begin = perf_counter()
    sync(driver, url)
    return perf_counter() - begin


def main() -> None:
    """Do what was asked, and say how long it took."""
    what, url, database, *count = sys.argv[1:]
    driver: Driver = PostgreSql(database) if database.startswith("postgresql:") else Sqlite(database)
    if what == "syncs":
        sys.stdout.write(json.dumps({"seconds": [_timed(driver, url) for _ in range(int(count[0]))]}))
    else:
        sys.stdout.write(json.dumps(load(driver, url)))
    driver.link.close()


if __name__ == "__main__":
    main()
