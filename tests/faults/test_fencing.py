"""A syncer that is suspended past its lease wakes up fenced: it writes nothing and ends with 75 (law 7)."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from syncer.db import engine as db
from syncer.db.tables import sources
from syncer.errors import SourceBusy
from syncer.sync import sync_source
from tests.faults import (
    HOUR,
    MOVED,
    NOON,
    OFFERED,
    WITHOUT_FIRST,
    assert_consistent,
    attempt,
    effects,
    opened,
    outcomes,
    source_at,
    sync,
)
from tests.faults.child import Job, is_stopped, wait_until
from tests.upstream import Reply, catalog_body

if TYPE_CHECKING:
    from tests.faults.child import Ended, Nursery
    from tests.postgres import Postgres
    from tests.upstream import Upstream

pytestmark = pytest.mark.faults

LATER = NOON + 2 * HOUR


def _wake(nursery: Nursery, pid: int) -> Ended:
    os.kill(pid, signal.SIGCONT)
    return nursery.wait()[0]


def _assert_fenced(ended: Ended) -> None:
    assert (ended.code, ended.said.strip()) == (
        75,
        "Fenced: the lease ran out and another syncer took the source over: nothing of this run was written",
    )


@pytest.fixture
def known_url(database_url: str, upstream: Upstream) -> str:
    """A database that has seen one catalog."""
    sync(database_url, source_at(upstream.serve(OFFERED).url), NOON)
    return database_url


def test_suspended_in_its_fetch(known_url: str, upstream: Upstream, nursery: Nursery) -> None:
    """Suspended in its fetch past its lease, while another syncs, a syncer writes nothing when it wakes (law 7)."""
    stopped = threading.Event()
    late = Reply(body=catalog_body(MOVED), on_request=lambda: stopped.wait(30))
    upstream.reply(late, Reply(body=catalog_body(WITHOUT_FIRST)))
    [pid] = nursery.start(Job(database=known_url, upstream=upstream.url, at=NOON + HOUR))
    wait_until(lambda: len(upstream.requests) == 2, "the child to fetch")
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: is_stopped(pid), "the child to stop")
    stopped.set()
    sync(known_url, source_at(upstream.url), LATER)
    done = effects(known_url)
    _assert_fenced(_wake(nursery, pid))
    assert effects(known_url) == done
    assert outcomes(known_url) == ["changed", "abandoned", "changed"]
    assert_consistent(known_url)


@pytest.mark.parametrize("at_point", [None, 1], ids=["with the response to parse", "before its writing transaction"])
def test_suspended_with_the_response_in_hand(
    known_url: str, upstream: Upstream, nursery: Nursery, at_point: int | None
) -> None:
    """Suspended with no transaction open, a syncer cannot write over the one that took its place (law 7)."""
    upstream.reply(Reply(body=catalog_body(MOVED)), Reply(body=catalog_body(WITHOUT_FIRST)))
    job = Job(
        database=known_url,
        upstream=upstream.url,
        at=NOON + HOUR,
        signal=signal.SIGSTOP,
        on_entering="syncer.apply:read_response",
        at_point=at_point,
    )
    [pid] = nursery.start(job)
    wait_until(lambda: is_stopped(pid), "the child to stop")
    sync(known_url, source_at(upstream.url), LATER)
    done = effects(known_url)
    _assert_fenced(_wake(nursery, pid))
    assert effects(known_url) == done
    assert outcomes(known_url) == ["changed", "abandoned", "changed"]
    assert_consistent(known_url)


def test_suspended_before_an_unchanged_observation_is_closed(
    known_url: str, upstream: Upstream, nursery: Nursery
) -> None:
    """A poll that found nothing new is fenced too: it would move the source's last poll (laws 5 and 7)."""
    job = Job(
        database=known_url,
        upstream=upstream.url,
        at=NOON + HOUR,
        signal=signal.SIGSTOP,
        on_entering="syncer.sync:close_unchanged",
    )
    [pid] = nursery.start(job)
    wait_until(lambda: is_stopped(pid), "the child to stop")
    sync(known_url, source_at(upstream.serve(WITHOUT_FIRST).url), LATER)
    done = effects(known_url)
    _assert_fenced(_wake(nursery, pid))
    assert effects(known_url) == done
    assert_consistent(known_url)


def test_a_lease_that_nobody_took_may_still_commit(known_url: str, upstream: Upstream) -> None:
    """The fence asks the token, never the clock: a syncer that was slow but stayed alone is not thrown away (law 7)."""
    times = iter([NOON + HOUR] * 2 + [NOON + 5 * HOUR] + [NOON + 9 * HOUR] * 9)
    report = sync(known_url, source_at(upstream.serve(MOVED).url), NOON, clock=lambda: next(times))
    assert report.outcome == "held"
    assert_consistent(known_url)


def test_a_lease_from_the_far_future_is_taken_over(known_url: str, upstream: Upstream) -> None:
    """A lease that a wrong clock wrote, further ahead than its longest life, holds nobody up (law 7)."""
    with opened(known_url) as engine, db.writing(engine) as connection:
        connection.execute(sa.update(sources).values(lease_owner="wrong", lease_until=datetime(2099, 1, 1, tzinfo=UTC)))
    assert sync(known_url, source_at(upstream.serve(MOVED).url), LATER).outcome == "held"
    assert_consistent(known_url)


def test_a_failing_syncer_cannot_free_the_lease_of_another(
    known_url: str, upstream: Upstream, nursery: Nursery
) -> None:
    """A syncer that fails after its source was taken over leaves `abandoned` and the other's lease alone (law 7)."""
    woken = threading.Event()
    good = Reply(body=catalog_body(WITHOUT_FIRST), on_request=lambda: woken.wait(30))
    upstream.reply(Reply(status=404), good)
    job = Job(
        database=known_url,
        upstream=upstream.url,
        at=NOON + HOUR,
        signal=signal.SIGSTOP,
        on_entering="syncer.failures:record_failure_of",
    )
    [pid] = nursery.start(job)
    wait_until(lambda: is_stopped(pid), "the child to stop")
    with ThreadPoolExecutor(1) as other:
        report = other.submit(sync, known_url, source_at(upstream.url), LATER)
        wait_until(lambda: len(upstream.requests) == 3, "the other to fetch")
        try:
            ended = _wake(nursery, pid)
            with opened(known_url) as engine, db.reading(engine) as connection:
                holder = connection.execute(sa.select(sources.c.lease_owner)).scalar_one()
        finally:
            woken.set()
        assert report.result().outcome == "changed"
    assert ended.code == 1
    assert "status 404" in ended.said
    assert holder == "test"
    assert outcomes(known_url) == ["changed", "abandoned", "changed"]
    assert_consistent(known_url)


def test_closing_as_failed_and_taking_over_do_not_deadlock(
    postgres: Postgres, postgres_url: str, upstream: Upstream, nursery: Nursery
) -> None:
    """One that records its failure late and one that takes the source over lock in the same order, source first."""
    sync(postgres_url, source_at(upstream.serve(OFFERED).url), NOON)
    upstream.reply(Reply(status=404), Reply(body=catalog_body(WITHOUT_FIRST)))
    job = Job(
        database=postgres_url,
        upstream=upstream.url,
        at=NOON + HOUR,
        signal=signal.SIGSTOP,
        on_entering="syncer.db.results:close_failed",
        at_point=2,  # after its first statement
    )
    [pid] = nursery.start(job)
    wait_until(lambda: is_stopped(pid), "the child to stop")
    with ThreadPoolExecutor(1) as other:
        report = other.submit(sync, postgres_url, source_at(upstream.url), LATER)
        wait_until(lambda: _somebody_waits(postgres), "the other to wait for a lock")
        ended = _wake(nursery, pid)
        assert "status 404" in ended.said
        assert report.result().outcome == "changed"
    assert outcomes(postgres_url) == ["changed", "failed", "changed"]
    assert_consistent(postgres_url)


def test_suspended_inside_its_transaction_postgresql(postgres_url: str, upstream: Upstream, nursery: Nursery) -> None:
    """PostgreSQL ends the transaction of a syncer that sleeps in it; the source goes on, the sleeper writes nothing."""
    sync(postgres_url, source_at(upstream.serve(OFFERED).url), NOON)
    upstream.reply(Reply(body=catalog_body(MOVED)), Reply(body=catalog_body(WITHOUT_FIRST)))
    job = Job(
        database=postgres_url,
        upstream=upstream.url,
        at=NOON + HOUR,
        transaction="SET LOCAL idle_in_transaction_session_timeout = '1s'",  # syncer's own 30 s, sooner
        signal=signal.SIGSTOP,
        on_entering="syncer.db.writes:write_decision",
    )
    [pid] = nursery.start(job)
    wait_until(lambda: is_stopped(pid), "the child to stop")
    sync(postgres_url, source_at(upstream.url), LATER)
    done = effects(postgres_url)
    ended = _wake(nursery, pid)
    assert ended.code == 1
    assert "cannot be used" in ended.said
    assert effects(postgres_url) == done
    assert outcomes(postgres_url) == ["changed", "abandoned", "changed"]
    assert_consistent(postgres_url)


def test_sessions_are_ended_when_they_idle_in_a_transaction(postgres_url: str) -> None:
    """The limits that the test above hurries are set in every transaction: 30 s for idling in it, 10 s for a lock."""
    with opened(postgres_url) as engine, db.reading(engine) as connection:
        shown = [
            connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("idle_in_transaction_session_timeout", "lock_timeout", "transaction_isolation", "timezone")
        ]
    assert shown == ["30s", "10s", "read committed", "UTC"]


def test_suspended_inside_its_transaction_sqlite(sqlite_url: str, upstream: Upstream, nursery: Nursery) -> None:
    """SQLite cannot end a sleeper's transaction: others are told that the file is locked; nothing is half written."""
    sync(sqlite_url, source_at(upstream.serve(OFFERED).url), NOON)
    upstream.reply(Reply(body=catalog_body(MOVED)))
    job = Job(
        database=sqlite_url,
        upstream=upstream.url,
        at=NOON + HOUR,
        signal=signal.SIGSTOP,
        on_entering="syncer.db.writes:write_decision",
    )
    [pid] = nursery.start(job)
    wait_until(lambda: is_stopped(pid), "the child to stop")
    with opened(sqlite_url) as engine:
        sa.event.listen(engine, "connect", lambda link, _: link.execute("PRAGMA busy_timeout=100") and None)
        with pytest.raises(SourceBusy, match="locked by another program"):
            sync_source(attempt(engine, source_at(upstream.url), lambda: LATER))
    assert _wake(nursery, pid).code == 0
    assert outcomes(sqlite_url) == ["changed", "held"]
    assert_consistent(sqlite_url)


def _somebody_waits(postgres: Postgres) -> bool:
    with opened(postgres.url) as engine, db.reading(engine) as connection:
        return bool(connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar_one())
