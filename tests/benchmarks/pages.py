"""`python -m tests.benchmarks.pages`: what a page costs at the server, how much of that the database takes, its size.

3,000 models with three prices each and 100,000 changes in ten months (a tenth with --quick), written by the functions
by which a sync writes, on SQLite and PostgreSQL. The application is asked as a server asks it, without a network; the
database's share is the time that its driver takes, fetching included. CPU is that of our process: on a busy machine it
says more than the clock does.
"""

import argparse
import asyncio
import random
import sqlite3
import statistics
import sys
from collections.abc import Callable, Collection
from contextlib import ExitStack
from datetime import datetime, timedelta
from time import perf_counter, process_time
from typing import Any

import httpx
import msgspec
import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncer.core.model import Listing
from syncer.db import engine as db
from syncer.db.migrate import ensure_schema
from syncer.settings import Settings
from syncer.web.app import Access, Face
from syncer.web.site import Site
from tests.benchmarks.databases import available
from tests.db.shop import Shop, listing

START = datetime.fromisoformat("2026-02-01T00:00:00+00:00")
EVERY, RUNS = timedelta(days=3), 98
MOVED = 1_000  # models, in each run

PAGE_MS, NOT_MODIFIED_MS, LARGEST = 50, 3, 60_000
"""What was promised: at most so many milliseconds at the server, and bytes of HTML."""
DATABASES = ("sqlite", "postgresql")
PAGES = {
    "overview": "/",
    "catalog": "/catalog",
    "catalog, by price": "/catalog?sort=-price&page=3",
    "catalog, searched": "/catalog?q=model-17",
    "catalog, 30 days ago": "/catalog?at=30d",
    "model": "/model?source=bench&name=maker-3%2Fmodel-103",
    "model, restless": "/model?source=bench&name=maker-0%2Fmodel-0",
    "changes": "/changes",
    "changes of a kind": "/changes?kind=repriced&since=7d",
    "sources": "/sources",
    "compare": "/compare?from=7d",
}

Figure = dict[str, Any]


def measure(*, quick: bool, databases: Collection[str]) -> list[Figure]:
    """Medians and 99th percentiles in milliseconds for each page and its 304, on each kind of database."""
    models, repeats = (300, 10) if quick else (3_000, 40)
    figures: list[Figure] = []
    with ExitStack() as stack:
        for database in available(stack, databases):
            url = database.create()
            now = _fill(url, models)
            database.settle(url)
            spent = DriverTime()
            engine = db.open_engine(url)  # whoever may only read connects in a way of its own
            spent.listen(engine)
            site = Site(engine, Settings(), clock=lambda now=now: now)  # type: ignore[misc]
            figures += asyncio.run(_ask_all(database.name, site, spent, repeats))
            engine.dispose()
    return figures


def table(figures: list[Figure]) -> str:
    """The figures as aligned text, each with what was promised."""
    lines = [f"{'database':<11}{'page':<24}{'median':>8}{'p99':>8}{'CPU':>7}{'database':>10}{'304':>7}{'KB':>7}  (ms)"]
    lines += [
        f"{one['database']:<11}{one['page']:<24}{one['median_ms']:>8.1f}{one['p99_ms']:>8.1f}"
        f"{one['cpu_ms']:>7.1f}{one['database_ms']:>10.1f}{one['not_modified_ms']:>7.1f}{one['bytes'] / 1000:>7.1f}"
        f"  {_verdict(one)}"
        for one in figures
    ]
    return "\n".join(lines) + "\n"


def _verdict(one: Figure) -> str:
    missed = [
        *[f"<= {PAGE_MS} ms"] * (one["median_ms"] > PAGE_MS),
        *[f"304 <= {NOT_MODIFIED_MS} ms"] * (one["not_modified_ms"] > NOT_MODIFIED_MS),
        *[f"<= {LARGEST // 1000} KB"] * (one["bytes"] > LARGEST),
    ]
    return f"missed: {', '.join(missed)}" if missed else "met"


# -- the history -------------------------------------------------------------------------------------------------------


def _fill(url: str, models: int) -> datetime:
    """A source whose prices move a third at a time, one restless model among them; the time of the last observation."""
    engine, chance = db.open_engine(url), random.Random(7)
    ensure_schema(engine)
    shop, names = Shop(engine, "bench"), [f"maker-{number % 10}/model-{number}" for number in range(models)]
    shop.record = msgspec.structs.replace(
        shop.record, price_units={one: [1_000_000, "token"] for one in ("input", "output", "cache_read")}
    )
    for run in range(RUNS):
        moved = names if run == 0 else [names[0], *chance.sample(names[1:], min(MOVED, models // 3))]
        shop.at(START + run * EVERY, {name: _listing(chance, name) for name in moved})
    engine.dispose()
    return START + (RUNS - 1) * EVERY + timedelta(minutes=21)


def _listing(chance: random.Random, name: str) -> Listing:
    base = chance.randint(10, 900)
    prices = {"input": f"{base}e-2", "output": f"{base * 4}e-2", "cache_read": f"{base}e-3"}
    return listing(name, prices, type="Text", context_length=131_072, alias=name.title(), description="A model. " * 25)


# -- the database's share ----------------------------------------------------------------------------------------------


class DriverTime:
    """The seconds that an engine's drivers took: statements and fetching."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def listen(self, engine: Engine) -> None:
        """Count those of the connections that it makes from now on."""
        sqlite = engine.dialect.name == "sqlite"
        plain = self._timed(sqlite3.Cursor if sqlite else psycopg.Cursor)
        streaming = self._timed(psycopg.ServerCursor)

        class Connection(sqlite3.Connection):
            def cursor(self, factory: Any = plain) -> Any:
                return super().cursor(factory)

        def connecting(_dialect: object, _record: object, _arguments: object, options: dict[str, Any]) -> None:
            options |= {"factory": Connection} if sqlite else {"cursor_factory": plain}

        def connected(connection: Any, _record: object) -> None:
            connection.server_cursor_factory = streaming

        sa.event.listen(engine, "do_connect", connecting)
        if not sqlite:
            sa.event.listen(engine, "connect", connected)

    def _timed(self, kind: type[Any]) -> type[Any]:
        names = ("execute", "fetchall", "fetchmany", "fetchone", "close")
        return type("Timed", (kind,), {name: self._timing(getattr(kind, name)) for name in names})

    def _timing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            begin = perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                self.seconds += perf_counter() - begin

        return timed


# -- the pages ---------------------------------------------------------------------------------------------------------


async def _ask_all(name: str, site: Site, spent: DriverTime, repeats: int) -> list[Figure]:
    transport = httpx.ASGITransport(Face(site, Access()).application())
    async with httpx.AsyncClient(transport=transport, base_url="http://bench") as client:
        return [await _ask(client, name, page, path, spent, repeats) for page, path in PAGES.items()]


async def _ask(client: httpx.AsyncClient, name: str, page: str, path: str, spent: DriverTime, repeats: int) -> Figure:
    first = await client.get(path)
    assert first.status_code == 200, f"{path}: {first.text}"
    whole, cpu, database, held = [], [], [], []
    for _ in range(repeats):
        spent.seconds, begin = 0.0, process_time()
        whole.append(await _time(client, path, {}, 200))
        cpu.append((process_time() - begin) * 1_000)
        database.append(spent.seconds * 1_000)
        held.append(await _time(client, path, {"If-None-Match": first.headers["etag"]}, 304))
    return {
        "database": name,
        "page": page,
        "median_ms": statistics.median(whole),
        "p99_ms": sorted(whole)[int(len(whole) * 0.99)],
        "cpu_ms": statistics.median(cpu),
        "database_ms": statistics.median(database),
        "not_modified_ms": statistics.median(held),
        "bytes": len(first.content),
    }


async def _time(client: httpx.AsyncClient, path: str, headers: dict[str, str], status: int) -> float:
    begin = perf_counter()
    answer = await client.get(path, headers=headers)
    taken = (perf_counter() - begin) * 1_000
    assert answer.status_code == status
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pages", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the history, fewer repetitions")
    parser.add_argument("--database", nargs="+", choices=DATABASES, default=DATABASES, help="only these")
    chosen = parser.parse_args()
    sys.stdout.write(table(measure(quick=chosen.quick, databases=chosen.database)))


if __name__ == "__main__":
    main()
