"""Many processes at once: one history (law 7), one schema, and a feed without holes (law 8)."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from syncer.core.model import Kind
from syncer.db import engine as db
from syncer.db.migrate import ensure_schema
from syncer.db.tables import changes
from tests.faults import HOUR, MOVED, NOON, OFFERED, assert_consistent, history, opened, outcomes, source_at, sync
from tests.faults.child import Job, is_over, wait_until
from tests.upstream import Reply, catalog_body, model

if TYPE_CHECKING:
    from tests.faults.child import Nursery
    from tests.upstream import Upstream

pytestmark = pytest.mark.faults

EIGHT = 8
BUSY = 75


def test_eight_first_syncs_on_an_empty_database(database_url: str, upstream: Upstream, nursery: Nursery) -> None:
    """Eight syncers that meet on an empty database make one schema and one history; each ends with 0 or 75 (law 7)."""
    upstream.serve(OFFERED, etag=False)
    ended = nursery.run(*[Job(database=database_url, upstream=upstream.url, at=NOON)] * EIGHT)
    assert {process.code for process in ended} <= {0, BUSY}, [process.said for process in ended]
    assert_consistent(database_url)
    found = outcomes(database_url)
    assert found.count("changed") == 1
    assert set(found) == {"changed", "unchanged"} - ({"unchanged"} if len(found) == 1 else set())


@pytest.mark.parametrize("attempt", range(3))
def test_eight_first_syncs_of_eight_sources(
    database_url: str, upstream: Upstream, nursery: Nursery, attempt: int
) -> None:
    """Eight syncers of different sources that meet on an empty database are in nobody's way: all end well."""
    upstream.serve(OFFERED, etag=False)
    jobs = [Job(database=database_url, upstream=upstream.url, at=NOON, sources=(f"s{n}",)) for n in range(EIGHT)]
    ended = nursery.run(*jobs)
    assert [process.code for process in ended] == [0] * EIGHT, [process.said for process in ended]
    assert outcomes(database_url) == ["changed"] * EIGHT
    assert_consistent(database_url)


def test_eight_syncers_of_one_source(database_url: str, upstream: Upstream, nursery: Nursery) -> None:
    """While one of eight is in its fetch the seven others are busy (75) and leave no run: one history (law 7)."""
    sync(database_url, source_at(upstream.serve(OFFERED).url), NOON)
    others_ended = threading.Event()
    upstream.reply(Reply(body=catalog_body(MOVED), on_request=lambda: others_ended.wait(30)))
    job = Job(database=database_url, upstream=upstream.url, at=NOON + HOUR)
    pids = nursery.start(*[job] * EIGHT)
    wait_until(lambda: sum(map(is_over, pids)) == EIGHT - 1, "seven of eight to give up")
    others_ended.set()
    ended = nursery.wait()
    assert sorted(process.code for process in ended) == [0] + [BUSY] * (EIGHT - 1)
    assert {re.sub(r"by \d+", "by PID", process.said.strip()) for process in ended if process.code} == {
        "SourceBusy: main is being synced by PID (until 13:10:00Z)"
    }
    assert outcomes(database_url) == ["changed", "held"]
    assert_consistent(database_url)


def test_many_syncs_of_one_source_write_one_history(
    database_url: str, sqlite_url: str, upstream: Upstream, nursery: Nursery
) -> None:
    """Eight syncers that race for one source again and again write what a single one would have written (law 10)."""
    polls = [[model("a", 1), model("b", price)] for price in range(1, 9)]
    replies = [Reply(body=catalog_body(poll)) for poll in polls]
    upstream.reply(*replies)
    ended = nursery.run(*[Job(database=database_url, upstream=upstream.url, at=NOON, rounds=1)] * EIGHT)
    while len(upstream.requests) < len(polls):
        ended += nursery.run(*[Job(database=database_url, upstream=upstream.url, at=NOON)] * EIGHT)
    assert {process.code for process in ended} <= {0, BUSY}, [process.said for process in ended]
    assert_consistent(database_url)
    told = [(row["name"], row["kind"], row["price"]) for row in history(database_url)["changes"]]
    baseline = [("a", Kind.ADDED, 1), ("b", Kind.ADDED, 1)]
    assert told == baseline + [("b", Kind.REPRICED, price) for price in range(2, 9)]


def test_a_reader_of_the_feed_misses_nothing(database_url: str, upstream: Upstream, nursery: Nursery) -> None:
    """Who polls `id > last ORDER BY id` while four processes write sees every id, in order, with no hole (law 8)."""
    catalogs = [[model(f"m{n}", price + n) for n in range(40)] for price in range(60)]
    upstream.reply(*(Reply(body=catalog_body(catalog)) for catalog in catalogs))
    with opened(database_url) as engine:
        ensure_schema(engine)
    jobs = [
        Job(
            database=database_url,
            upstream=upstream.url,
            at=NOON,
            sources=tuple(f"s{process}{n}" for n in range(3)),
            settings={"trust": False},
            rounds=5,
        )
        for process in range(4)
    ]
    nursery.start(*jobs)
    finished = threading.Event()
    seen: list[int] = []
    polls: list[int] = []
    reader = threading.Thread(target=_read_feed, args=(database_url, finished, seen, polls))
    reader.start()
    try:
        ended = nursery.wait()
    finally:
        finished.set()
        reader.join()
    assert [process.code for process in ended] == [0] * 4, [process.said for process in ended]
    assert_consistent(database_url)
    assert len(seen) >= 12 * 40
    assert seen == list(range(1, len(seen) + 1))
    assert len([count for count in polls if count]) > 5, "the reader read while the others wrote"


def _read_feed(url: str, finished: threading.Event, seen: list[int], polls: list[int]) -> None:
    """Follow the feed as a consumer does, until once more after the last writer has finished."""
    query = sa.select(changes.c.id).order_by(changes.c.id)
    with opened(url) as engine:
        while True:
            last_time = finished.is_set()
            with db.reading(engine) as connection:
                new = connection.execute(query.where(changes.c.id > (seen[-1] if seen else 0))).scalars().all()
            seen += new
            polls.append(len(new))
            if last_time:
                return
            finished.wait(0.005)
