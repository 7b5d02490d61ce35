"""Law 7: one writer for each source and consumer, by a lease that an UPDATE decides and a token that one checks."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy.engine import Engine

from syncer.db import leases, results
from syncer.db.engine import reading, writing
from syncer.db.inputs import moved_source
from syncer.db.leases import LONGEST_LEASE, Lease
from syncer.db.results import Failure, RunResult, Shortcut
from syncer.db.tables import consumers, sources
from syncer.errors import Fenced, SourceBusy
from tests.db import START, execute, opened, rows
from tests.db.shop import Shop

HOUR = timedelta(hours=1)
RUNS = "SELECT outcome, error IS NULL FROM runs ORDER BY id"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A fresh database of each kind."""
    with opened(database_url) as made:
        yield made


def acquire(shop: Shop, owner: str, when: Any = START, **values: Any) -> Lease:
    """A lease of five minutes."""
    with writing(shop.engine) as connection:
        given: dict[str, Any] = {"kind": "sync", "lasts": timedelta(minutes=5), "key": "k"} | values
        return leases.acquire(connection, shop.record, owner=owner, now=when, **given)


def close(shop: Shop, lease: Lease, when: Any = START, **values: Any) -> None:
    """A run that observed nothing new."""
    with writing(shop.engine) as connection:
        leases.check_fencing_token(connection, lease)
        results.close(connection, lease, RunResult(outcome="unchanged", observed_at=when, finished_at=when, **values))


def test_a_source_is_held_by_one(engine: Engine) -> None:
    """While one has the lease another is told who has it and until when; once it is given back, it is free."""
    shop = Shop(engine)
    lease = acquire(shop, "one")
    with pytest.raises(SourceBusy, match=r"shop is being synced by one \(until 00:05:00Z\)"):
        acquire(shop, "two", START + timedelta(minutes=1))
    close(shop, lease)
    acquire(shop, "two", START + timedelta(minutes=1))
    assert rows(engine, RUNS) == [("unchanged", True), ("running", True)]


def test_a_lease_that_ran_out(engine: Engine) -> None:
    """A lease that is over is taken over, its run abandoned, and who comes back with the old token is fenced off."""
    shop = Shop(engine)
    lost = acquire(shop, "one")
    acquire(shop, "two", START + HOUR)
    with pytest.raises(Fenced, match="nothing of this run was written"):
        close(shop, lost)
    with writing(engine) as connection:
        assert not results.close_failed(connection, lost, Failure(error="late"), now=START + HOUR)
    assert rows(engine, RUNS) == [("abandoned", False), ("running", True)]
    assert rows(engine, "SELECT lease_owner FROM sources") == [("two",)]


def test_an_expired_lease_that_nobody_took(engine: Engine) -> None:
    """The token is compared and never the clock: a slow run that nobody replaced may still write."""
    shop = Shop(engine)
    close(shop, acquire(shop, "one"), START + 3 * HOUR)
    assert rows(engine, RUNS) == [("unchanged", True)]


def test_a_lease_from_a_wrong_clock(engine: Engine) -> None:
    """A lease that ends later than any may is of a clock that was wrong, and is taken over."""
    shop = Shop(engine)
    acquire(shop, "one", START + 365 * 24 * HOUR)
    acquire(shop, "two", START)
    assert rows(engine, "SELECT lease_token FROM sources") == [(2,)]
    assert LONGEST_LEASE < 2 * HOUR


def test_release_all(engine: Engine) -> None:
    """Whoever is stopped gives all its sources back; its runs are abandoned, and its threads are fenced off."""
    shop, other = Shop(engine), Shop(engine, "other")
    lease = acquire(shop, "me")
    acquire(other, "them")
    with writing(engine) as connection:
        assert leases.release_all(connection, "me", "the daemon was stopped", now=START) == [lease.source_id]
    with pytest.raises(Fenced):
        close(shop, lease)
    assert rows(engine, RUNS) == [("abandoned", False), ("running", True)]
    acquire(shop, "next")


def test_what_a_lease_finds(engine: Engine) -> None:
    """A lease has what the last observation left; the endpoint is that of the last observation, not of the settings."""
    shop = Shop(engine)
    shortcut = Shortcut(etag="e", body_digest="d", stored_with="w", stored_at=START)
    close(shop, acquire(shop, "one"), shown_at=START - HOUR, shortcut=shortcut)
    close(shop, acquire(shop, "one", START + HOUR), START + HOUR, judged=False)
    shop.record = leases.SourceRecord(name="shop", url="https://new.example", format="other", headline="price")
    found = acquire(shop, "one", START + 2 * HOUR, key="another")
    assert (found.past.last, found.past.last_shown, found.past.judged) == (START + HOUR, START + HOUR, START)
    assert (found.observed_url, found.observed_format) == ("https://x.example/models", "test")
    assert (found.etag, found.body_digest, found.last_time) == (None, None, START + HOUR)
    assert found.credential not in {None, found.last_credential}
    assert not found.ever_listed
    close(shop, found, START + 2 * HOUR)
    assert rows(engine, "SELECT url, format, headline FROM sources") == [("https://new.example", "other", "price")]


def test_a_shortcut_is_kept_until_something_is_pending(engine: Engine) -> None:
    """Law 3: the stored bytes are forgotten by the first run that leaves anything pending, and by a revert."""
    shop = Shop(engine)
    shortcut = Shortcut(etag="e", body_digest="d", stored_with="w", stored_at=START)
    for number, left in enumerate(({}, {"is_observation": False})):
        when = START + 2 * number * HOUR
        close(shop, acquire(shop, "one", when), when, shortcut=shortcut)
        assert rows(engine, "SELECT etag, body_digest FROM sources") == [("e", "d")]
        close(shop, acquire(shop, "one", when + HOUR), when + HOUR, **left)
        assert rows(engine, "SELECT etag, body_digest FROM sources") == [(None, None)]


def test_peeking_takes_nothing(engine: Engine) -> None:
    """A preview finds what a lease would find, and the source stays free; one never synced is unknown."""
    shop = Shop(engine)
    with reading(engine) as connection:
        assert leases.peek(connection, shop.record, "k") is None
    shop.at(START, {"A": {"input": "1"}})
    with reading(engine) as connection:
        found = leases.peek(connection, shop.record, "k")
    assert found is not None
    assert (found.run_id, found.ever_listed, found.past.last) == (0, True, START)
    acquire(shop, "one", START + HOUR)


def test_consumers_have_the_same_leases(engine: Engine) -> None:
    """A consumer is taken, held, moved by its holder only, and given back, as a source is."""
    execute(
        engine,
        "INSERT INTO consumers (name, position, state, created_at, failing)"
        " VALUES ('bot', 0, 'active', '2026-01-01 00:00:00.000000', '[]')",
    )
    this = consumers.c.name == "bot"
    given: Any = {"now": START, "lasts": timedelta(minutes=2)}
    with writing(engine) as connection:
        assert leases.take(connection, consumers, this, owner="one", **given)
        assert not leases.take(connection, consumers, this, owner="two", **given)
        assert not leases.take(connection, consumers, this & (consumers.c.state == "paused"), owner="two", **given)
        assert leases.update_held(connection, consumers, 1, 1, position=7)
        assert not leases.update_held(connection, consumers, 1, 0, position=9)
        assert leases.release(connection, consumers, 1, 1)
        assert leases.take(connection, consumers, this, owner="two", **given)
        assert not leases.release(connection, consumers, 1, 1)
    assert rows(engine, "SELECT position, lease_owner, lease_token FROM consumers") == [(7, "two", 2)]


def test_the_operators_own_stop_is_no_failure(engine: Engine) -> None:
    """Law 9: an interruption by its own operator closes the run as abandoned, with the reason, and frees the source."""
    shop = Shop(engine)
    lease = acquire(shop, "one")
    with writing(engine) as connection:
        assert results.close_failed(connection, lease, Failure(error="interrupted", abandoned=True), now=START)
    assert rows(engine, "SELECT outcome, error FROM runs") == [("abandoned", "interrupted")]
    assert rows(engine, f"SELECT lease_owner FROM {sources.name}") == [(None,)]


MOVES = [
    ("http://x.example:80/v1/", "https://x.example/v1?key=1", False),
    ("http://x.example/v1", "https://X.example:443/v1", False),
    ("http://x.example/v1", "http://x.example:8080/v1", True),
    ("http://x.example/v1", "http://x.example/v2", True),
]


def test_a_source_has_moved_where_host_port_or_path_are_others(sqlite_url: str) -> None:
    """Scheme, with the port that goes with it, trailing slash and query do not count (the rule of moved sources)."""
    with opened(sqlite_url) as made:
        lease = acquire(Shop(made), "me")
    past = msgspec.structs.replace(lease.past, last=START)
    for observed, now, moved in MOVES:
        record = msgspec.structs.replace(lease.record, url=now)
        again = msgspec.structs.replace(lease, record=record, observed_url=observed, past=past)
        assert (moved_source(again) is not None) is moved, (observed, now)
