"""What a sync reads of the database: all that it asked for, and by a seek."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from syncer.core.model import Kind
from syncer.db import bulk, store
from syncer.db import engine as db
from syncer.settings import SourceSettings
from syncer.sync import sync_source
from tests.upstream import Upstream, model

MANY = 2 * bulk.PIECE + 1


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database with its schema."""
    engine = db.open_engine(database_url)
    db.ensure_schema(engine)
    yield engine
    engine.dispose()


def sync(engine: Engine, upstream: Upstream, day: int, prices: dict[str, int]) -> dict[Kind, int]:
    """Sync this catalog on that day of January, trust off; what was believed."""
    upstream.serve([model(name, price) for name, price in prices.items()])
    at = datetime(2026, 1, day, tzinfo=UTC)
    source = SourceSettings(name="shop", url=upstream.url, trust=False)
    return dict(sync_source(engine, source, key="k", clock=lambda: at, owner="a test").counts)


def test_a_catalog_of_many_pieces_moves_as_a_whole(engine: Engine, upstream: Upstream) -> None:
    """More models than one statement takes are added, repriced, removed and relisted without losing one."""
    names = [f"maker/{number}" for number in range(MANY)]
    assert sync(engine, upstream, 1, dict.fromkeys(names, 1)) == {Kind.ADDED: MANY}
    assert sync(engine, upstream, 2, dict.fromkeys(names, 2)) == {Kind.REPRICED: MANY}
    assert sync(engine, upstream, 3, {names[0]: 2}) == {Kind.REMOVED: MANY - 1}
    assert sync(engine, upstream, 4, dict.fromkeys(names, 3)) == {Kind.REPRICED: 1, Kind.RELISTED: MANY - 1}
    with db.reading(engine) as connection:
        known = store.known(connection, 1, [*names, "maker/none"])
        catalog = store.catalog(connection, 1)
    assert {name: model.listing.price for name, model in known.items()} == dict.fromkeys(names, Decimal(3))
    assert (catalog.listed, catalog.priced, catalog.pending) == (set(names), MANY, set())
    assert set(catalog.by_digest.values()) == set(names)


def test_unchanged_models_are_read_from_an_index(sqlite_url: str) -> None:
    """What a sync reads of each unchanged model stands in an index a tenth of the table's size."""
    engine = db.open_engine(sqlite_url)
    db.ensure_schema(engine)
    sent: list[tuple[Any, ...]] = []
    event.listen(engine, "before_cursor_execute", lambda *call: sent.append(call))
    with db.reading(engine) as connection:
        store.catalog(connection, 1)
        _, _, statement, parameters, *_ = sent[-1]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert [row[-1] for row in plan] == ["SEARCH models USING INDEX ix_models_current (source_id=?)"]
    engine.dispose()
