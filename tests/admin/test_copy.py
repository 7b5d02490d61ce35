"""A copy is equal, on either kind of database; read anew, its past has what nobody mapped then."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncer.admin.copy import copy_database, count_batches
from syncer.admin.drift import drift
from syncer.alerts.delivery import Subscription, deliver
from syncer.alerts.rules import AlertRule
from syncer.core.model import Listing
from syncer.db import migrate
from syncer.errors import DatabaseError, UsageError
from syncer.settings import SourceSettings
from tests.admin import acquire, all_tables, broken, table
from tests.admin.conftest import Fresh
from tests.db import START, execute, opened, rows
from tests.db.shop import Shop, listing
from tests.db.shop import wander as wander_in_components
from tests.syncing import sync
from tests.upstream import Upstream, model
from tests.wandering import wander

ROOT = Path(__file__).resolve().parents[2]
HOUR = timedelta(hours=1)
WAYS = [("sqlite", "postgresql"), ("postgresql", "sqlite")]
LATER = START + timedelta(days=30)


@pytest.fixture
def lived(upstream: Upstream) -> Callable[[Engine], None]:
    """Fills a database with a real history: doubts, faults, consumers who were told."""

    def live(engine: Engine) -> None:
        wander(engine, upstream, polls=25, seed=7)
        wander(engine, upstream, polls=4, seed=8, name="other", trust=False)
        wander_in_components(engine, runs=10, seed=3, name="components")
        reader = Subscription(name="reader", rule=AlertRule(min_percent=1), sink=lambda _: None, start="beginning")  # type: ignore[arg-type]
        deliver(engine, reader, clock=lambda: LATER, owner="test")

    return live


@pytest.mark.parametrize(("old", "new"), WAYS)
def test_a_copy_is_equal(fresh: Fresh, upstream: Upstream, lived: Callable[[Engine], None], old: str, new: str) -> None:
    """A copy has the same rows, feed, positions and memory, keeps every law, and goes on with the same next ids."""
    with opened(fresh(old)) as source, opened(fresh(new), ready=False) as target:
        lived(source)
        before = all_tables(source)
        assert all(before.values()), "every table has rows, or too little is proved"
        batches: list[None] = []
        copied = copy_database(source, target, now=LATER, advance=lambda: batches.append(None))
        assert all_tables(source) == before
        assert all_tables(target) == before
        assert {one.table: one.rows for one in copied} == {name: len(found) for name, found in before.items()}
        assert len(batches) == count_batches(source)
        assert (drift(target), broken(target)) == ([], [])
        for engine in (source, target):
            poll(engine, upstream, LATER + timedelta(days=1), A="1", B="2")
            poll(engine, upstream, LATER + timedelta(days=2), name="newcomer", A="1")
        assert table(target, "changes") == table(source, "changes")
        assert broken(target) == []


def poll(engine: Engine, upstream: Upstream, at: datetime, *, name: str = "shop", **prices: str) -> None:
    """One poll of a catalog of these names."""
    upstream.serve([model(each, float(price)) for each, price in prices.items()])
    source = SourceSettings(name=name, url=upstream.url, trust=False, trust_date=False)
    sync(engine, source, key="k", clock=lambda: at)


def test_a_copy_of_a_database_at_work(fresh: Fresh, upstream: Upstream) -> None:
    """A lease does not travel: the run that was open is abandoned in the copy, and its source can be synced at once."""
    with opened(fresh("sqlite")) as source, opened(fresh("sqlite"), ready=False) as target:
        poll(source, upstream, START, A="1")
        acquire(source, "shop", LATER)
        copy_database(source, target, now=LATER)
        assert rows(source, "SELECT outcome FROM runs ORDER BY id") == [("changed",), ("running",)]
        assert rows(target, "SELECT outcome FROM runs ORDER BY id") == [("changed",), ("abandoned",)]
        assert rows(target, "SELECT lease_owner, lease_until FROM sources") == [(None, None)]
        assert broken(target) == []
        poll(target, upstream, LATER, A="2")


@pytest.mark.parametrize(("old", "new"), WAYS)
def test_a_copy_into_what_is_not_empty(fresh: Fresh, upstream: Upstream, old: str, new: str) -> None:
    """A target that holds anything of syncer's is refused, the original itself too; nothing of it is touched."""
    with opened(fresh(old)) as source, opened(fresh(new)) as target:
        poll(source, upstream, START, A="1")
        before = all_tables(target)
        for into in (target, source):
            with pytest.raises(UsageError, match="is not empty"):
                copy_database(source, into, now=LATER)
        assert all_tables(target) == before


def test_a_copy_that_postgresql_cannot_hold(fresh: Fresh, upstream: Upstream) -> None:
    """A NUL in a SQLite text is named with its row, and nothing is left in PostgreSQL."""
    with opened(fresh("sqlite")) as source, opened(fresh("postgresql"), ready=False) as target:
        poll(source, upstream, START, A="1")
        execute(source, "UPDATE runs SET error = 'a' || char(0) || 'b'")
        with pytest.raises(UsageError, match="NUL character, and runs 1 has one in error"):
            copy_database(source, target, now=LATER)
        execute(source, f"UPDATE runs SET error = NULL, body_digest = '{'x' * 99}'")
        with pytest.raises(UsageError, match="refuses a row of runs between 1 and 1: value too long"):
            copy_database(source, target, now=LATER)
        assert sa.inspect(target).get_table_names() == []


def test_a_broken_original(fresh: Fresh, upstream: Upstream) -> None:
    """A database that breaks a law is not carried on: the row and the law are named, the target stays empty."""
    with opened(fresh("sqlite")) as source, opened(fresh("sqlite"), ready=False) as target:
        poll(source, upstream, START, A="1")
        execute(source, "UPDATE models SET price = 7")
        with pytest.raises(DatabaseError, match="the original breaks law 2 in models 1: price"):
            copy_database(source, target, now=LATER)
        assert sa.inspect(target).get_table_names() == []


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from syncer.admin.copy import copy_database
from syncer.db.engine import open_engine
left = [6]
def advance():
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
copy_database(open_engine(sys.argv[1]), open_engine(sys.argv[2]), now=datetime.now(UTC), advance=advance)
"""


@pytest.mark.parametrize(("old", "new"), WAYS)
def test_a_killed_copy(fresh: Fresh, lived: Callable[[Engine], None], old: str, new: str) -> None:
    """`kill -9` midway leaves the target without a schema, so that the copy can simply be made again."""
    urls = fresh(old), fresh(new)
    with opened(urls[0]) as source:
        lived(source)
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, *urls], cwd=ROOT, env={"PATH": os.defpath}, check=False, timeout=60
        )
        assert killed.returncode == -signal.SIGKILL
        with opened(urls[1], ready=False) as target:
            assert migrate.current(target) is None
            copy_database(source, target, now=LATER)
            assert all_tables(target) == all_tables(source)


def read(raw: str, _format: str) -> Listing:
    """What the format reads today: all prices of an element."""
    element = json.loads(raw)
    return listing(element["name"], element["prices"], type=element.get("type"))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_past_read_anew(fresh: Fresh, kind: str) -> None:
    """A component that nobody mapped has its past in a copy that is read anew, under another feed id."""
    with opened(fresh(kind)) as old, opened(fresh(kind), ready=False) as new:
        shop = Shop(old)

        def sent(hour: int, prices: dict[str, str], **fields: Any) -> None:
            raw = json.dumps({"name": "A", "prices": prices, **fields})
            only = {"input": prices["input"]}
            shop.at(START + hour * HOUR, {"A": listing("A", only, raw=raw, **fields)})

        sent(0, {"input": "1", "output": "2"})
        sent(1, {"input": "2", "output": "2"})
        sent(2, {"input": "2", "output": "3"}, type="Text")
        shop.at(START + 3 * HOUR, {"A": None, "B": listing("B", {"input": "1"}, raw="no JSON")})
        shop.at(START + 4 * HOUR, {"B": listing("B", {"input": "1"}, raw="no JSON either", description="x")})
        shop.at(START + 5 * HOUR, {"A": listing("A", {"input": "2"}, raw='{"name": "A", "prices": {"input": "2"}}')})
        wander_in_components(old, runs=20, seed=4, name="other")
        execute(
            old,
            "INSERT INTO consumers (name, position, state, created_at, failing)"
            " VALUES ('bot', 3, 'active', '2026-01-01 00:00:00.000000', '[]')",
        )
        copy_database(old, new, now=LATER, read=read)
        query = (
            "SELECT component, price FROM price_periods WHERE source = 'shop' AND model = 'A' ORDER BY 1, valid_from"
        )
        assert rows(new, query) == [
            ("input", 1), ("input", 2), ("input", 2), ("output", 2), ("output", 3), ("output", None),
        ]  # fmt: skip
        query = "SELECT kind FROM changes WHERE name = 'A' ORDER BY id"
        assert rows(new, query) == [("added",), ("repriced",), ("repriced",), ("removed",), ("relisted",)]
        assert rows(old, query)[2] == ("updated",)
        assert rows(new, "SELECT description FROM models WHERE name = 'B'") == [("x",)]
        assert rows(new, "SELECT feed_id FROM feed") != rows(old, "SELECT feed_id FROM feed")
        assert rows(new, "SELECT position FROM consumers") == [(3,)]
        assert broken(new) == []
