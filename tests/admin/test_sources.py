"""A source keeps its history under another name and in retirement; pruning changes no answer but the list of runs."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy.engine import Engine

from syncer.admin.prune import Pruned, prune
from syncer.admin.sources import Beyond, rename_source, renew_feed, retire_source
from syncer.admin.verify import verify
from syncer.errors import SourceBusy, UnknownSource, UsageError
from tests.db import START, execute, opened, rows
from tests.db.shop import Shop, wander

HOUR = timedelta(hours=1)
LATER = START + 1000 * HOUR
BOT = (
    "INSERT INTO consumers (name, position, state, created_at, failing, batch_notified)"
    " VALUES ('bot', {}, 'active', '2026-01-01 00:00:00.000000', '[\"shop\"]', '{{\"failing\": [\"shop\"]}}')"
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A fresh database of each kind."""
    with opened(database_url) as made:
        yield made


def test_a_source_under_another_name(engine: Engine) -> None:
    """All of a source's past is under the new name; consumers that wait for its recovery wait for the new one."""
    shop = wander(engine, runs=5, seed=1)
    execute(engine, BOT.format(1))
    lease = shop.lease(LATER)
    with pytest.raises(SourceBusy, match="being synced by test"):
        rename_source(engine, "shop", "store", now=LATER)
    renamed = rename_source(engine, "shop", "store", now=LATER + HOUR)
    assert (renamed.new, renamed.consumers, lease.token) == ("store", ("bot",), lease.token)
    assert {source for (source,) in rows(engine, "SELECT source FROM feed_events")} == {"store"}
    assert rows(engine, "SELECT CAST(failing AS TEXT), lease_token FROM consumers") == [('["store"]', 1)]
    Shop(engine, "other").at(LATER, {})
    with pytest.raises(UsageError, match="already"):
        rename_source(engine, "store", "other", now=LATER + HOUR)
    with pytest.raises(UnknownSource, match="'shop'"):
        rename_source(engine, "shop", "x", now=LATER + HOUR)


def test_a_retired_source_comes_back_with_a_sync(engine: Engine) -> None:
    """A retired source keeps all it has; the next sync of it clears the mark."""
    shop = Shop(engine)
    shop.at(START, {"A": {"input": "1"}})
    assert retire_source(engine, "shop", now=LATER).retired_at == LATER
    assert rows(engine, "SELECT count(*) FROM catalog") == [(1,)]
    shop.at(LATER + HOUR, {})
    assert rows(engine, "SELECT retired_at FROM sources") == [(None,)]


def test_a_feed_after_a_restore(engine: Engine) -> None:
    """After a restore the feed has a new id, and consumers that are beyond its end are named."""
    wander(engine, runs=3, seed=1)
    execute(engine, BOT.format(9999))
    renewed = renew_feed(engine)
    assert renewed.old != renewed.new
    assert rows(engine, "SELECT feed_id FROM feed") == [(renewed.new,)]
    assert renewed.beyond == (Beyond(consumer="bot", position=9999),)


def test_pruning_changes_no_answer(engine: Engine) -> None:
    """Runs that nothing rests on go; history, catalog, findings and every law are as before, and syncs go on."""
    shop = wander(engine, runs=60, seed=5)
    for hour in range(60, 80):
        shop.at(START + hour * HOUR, {})
    queries = [f"SELECT * FROM {view} ORDER BY 1, 2" for view in ("catalog", "price_periods", "feed_events")]
    before = [sorted(map(repr, rows(engine, query))) for query in queries]
    runs = rows(engine, "SELECT count(*) FROM runs")[0][0]
    (told,) = prune(engine, before=START + 90 * HOUR, dry_run=True)
    (done,) = prune(engine, before=START + 90 * HOUR)
    assert told == done == Pruned(source="shop", runs=done.runs, rejected_rows=0)
    assert done.runs > 10
    assert rows(engine, "SELECT count(*) FROM runs") == [(runs - done.runs,)]
    assert [sorted(map(repr, rows(engine, query))) for query in queries] == before
    assert [verdict for verdict in verify(engine) if not verdict.ok] == []
    shop.at(LATER, {"new": {"input": "1"}})
    assert [verdict for verdict in verify(engine) if not verdict.ok] == []
