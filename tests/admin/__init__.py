"""The work on whole databases, and the means to compare them."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncer.admin.verify import verify
from syncer.db import engine as db
from syncer.db import leases
from syncer.db.schema import metadata


def broken(engine: Engine) -> list[Any]:
    """What `syncer db verify` would complain of."""
    return [verdict for verdict in verify(engine) if not verdict.ok]


def table(engine: Engine, name: str, *, but: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The rows of a table as Python values, in the order of their keys, without some columns."""
    which = metadata.tables[name]
    with db.reading(engine) as connection:
        found = connection.execute(sa.select(which).order_by(*which.primary_key)).mappings().all()
    return [{key: value for key, value in row.items() if key not in but} for row in found]


def all_tables(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    return {name: table(engine, name) for name in metadata.tables}


def acquire(engine: Engine, name: str, now: datetime) -> leases.Lease:
    """A syncer takes the source for ten minutes."""
    record = leases.SourceRecord(name=name, url="http://x.example", format="serverless", headline="price")
    with db.writing(engine) as connection:
        return leases.acquire(
            connection, record, kind="sync", owner="test", now=now, lasts=timedelta(minutes=10), key=None
        )
