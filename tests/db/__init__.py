"""Tests of the database layer, and the means to look into a database with plain SQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncer.db import engine as db
from syncer.db.migrate import ensure_schema

START = datetime(2026, 1, 1, tzinfo=UTC)


@contextmanager
def opened(url: str, *, ready: bool = True, read_only: bool = False) -> Iterator[Engine]:
    """An engine on the database at `url`, with its schema unless `ready` is false; closed at the end."""
    engine = db.open_engine(url, read_only=read_only)
    try:
        if ready:
            ensure_schema(engine)
        yield engine
    finally:
        engine.dispose()


def execute(engine: Engine, *statements: str) -> None:
    """Run plain SQL in one writing transaction."""
    with db.writing(engine) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    """The rows of a plain SQL query."""
    with db.reading(engine) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]
