"""Histories to ask about: lived through by real syncs, on a calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import pytest

from syncer.attempt import Attempt
from syncer.db.engine import open_engine, reading
from syncer.db.migrate import ensure_schema
from syncer.settings import SourceSettings, format_of
from syncer.sync import sync_source
from tests.upstream import model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import Connection, Engine

    from tests.upstream import Upstream

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    """The start of the `number`-th of January 2026; 1.5 is noon of the first."""
    return NEW_YEAR + timedelta(days=number - 1)


class Calendar:
    """A source whose catalog is written down day by day, and synced for real on each of them."""

    def __init__(self, engine: Engine, upstream: Upstream) -> None:
        self.engine = engine
        self.upstream = upstream

    def on(self, number: float, *rows: dict[str, Any], source: str = "default", **prices: Any) -> Self:
        """On that day the source lists `rows`, and models of these names at these prices."""
        self.upstream.serve([*rows, *(model(name, price) for name, price in prices.items())])
        return self.poll(number, source=source)

    def poll(self, number: float, *, source: str = "default", **settings: Any) -> Self:
        """Sync on that day, whatever upstream serves."""
        units = {"price": {"Text": (1_000_000, "token")}}
        known: dict[str, Any] = {"currency": "USD", "price_units": units, "trust": False, "trust_date": False}
        configured = SourceSettings(name=source, url=self.upstream.url, **(known | settings))
        sync_source(
            Attempt(
                engine=self.engine,
                source=configured,
                format=format_of(configured),
                clock=lambda: day(number),
                owner="test",
                key="k",
            )
        )
        return self

    def read(self) -> AbstractContextManager[Connection]:
        """A reading transaction."""
        return reading(self.engine)


@pytest.fixture
def calendar(database_url: str, upstream: Upstream) -> Iterator[Calendar]:
    """An empty history on each kind of database."""
    engine = open_engine(database_url)
    ensure_schema(engine)
    yield Calendar(engine, upstream)
    engine.dispose()
