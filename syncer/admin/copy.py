"""A whole database into another one: SQLite to PostgreSQL when one machine is outgrown, and back.

- All or nothing: schema and rows are written in one transaction of the target; a copy that is killed leaves none of it.
- Ids, feed, positions and what consumers were notified of stay as they are; leases do not travel, so a run that was
  open is abandoned in the copy. The source is one moment of it, and only read.
- Proved before it is committed: each table has as many rows and the same digest of its values on both sides, as they
  are read back, and every law that SQL can check holds.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from syncer.admin.reread import RENUMBERED, Reader, copy_history
from syncer.admin.verify import verify_rows
from syncer.admin.verify.rules import label
from syncer.db.engine import location, reading, schema_change
from syncer.db.migrate import VERSION_TABLE, create_schema, require_schema
from syncer.db.tables import feed, metadata, runs
from syncer.errors import DatabaseError, UsageError

BATCH = 1_000
"""Rows that are read and written at a time; `advance` is called once for each such batch."""

_LEASE = ("lease_owner", "lease_until")


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """One table: its rows, and the digest of their values, which is the same on both sides."""

    table: str
    rows: int
    digest: str


def count_batches(engine: Engine) -> int:
    """How many batches a copy of this database takes, about."""
    with reading(engine) as connection:
        counts = [
            connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        ]
    return sum(-(-count // BATCH) for count in counts)


def copy_database(
    source: Engine,
    target: Engine,
    *,
    now: datetime,
    advance: Callable[[], None] = lambda: None,
    read: Reader | None = None,
) -> list[Copied]:
    """Copy all of `source` into `target`, which must have no syncer schema; what was copied, table by table.

    With `read` the history is read anew from its own elements (admin/reread.py), under a new feed id.
    Raises DatabaseNotReady for a source of another schema, UsageError for a target that is not empty or refuses a
    value, DatabaseError if either side breaks a law or they differ; then nothing is left in the target.
    """
    require_schema(source)
    with reading(source, one_moment=True) as old, schema_change(target) as new:
        _be_patient(new)
        _refuse_used(new)
        _require_lawful(old, "the original")
        create_schema(new)
        new.execute(feed.delete())  # which came with the schema
        anew = () if read is None else RENUMBERED
        tables = [table for table in metadata.sorted_tables if table not in anew]
        copied = [_copy_table(old, new, table, now, advance) for table in tables]
        if new.dialect.name == "postgresql":
            _go_on_counting(new)
            new.exec_driver_sql("ANALYZE")  # what follows would otherwise be planned for empty tables
        _prove(new, copied)
        if read is not None:
            copy_history(old, new, read)
        _require_lawful(new, "the copy")
    return copied


def _be_patient(target: Connection) -> None:
    """It waits for the source for as long as that takes, as the source's one moment does for it."""
    if target.dialect.name == "postgresql":
        target.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")


def _refuse_used(target: Connection) -> None:
    used = sorted({*metadata.tables, VERSION_TABLE} & set(sa.inspect(target).get_table_names()))
    if used:
        raise UsageError(
            f"the database at {location(target.engine)} is not empty (it has a table {used[0]}): "
            "a copy goes into one that holds nothing of syncer's yet; nothing was written"
        )


# -- rows --------------------------------------------------------------------------------------------------------------


def _copy_table(
    source: Connection, target: Connection, table: sa.Table, now: datetime, advance: Callable[[], None]
) -> Copied:
    digest, count = blake2b(digest_size=16), 0
    for rows in _batches(source, table):
        settled = [_settled(table, row, now) for row in rows]
        _insert(target, table, settled)
        _digest(digest, settled)
        count += len(settled)
        advance()
    return Copied(table=table.name, rows=count, digest=digest.hexdigest())


def _batches(connection: Connection, table: sa.Table) -> Iterator[Sequence[dict[str, Any]]]:
    query = sa.select(table).order_by(*table.primary_key)
    result = connection.execute(query, execution_options={"yield_per": BATCH})
    for rows in result.mappings().partitions():
        yield [dict(row) for row in rows]


def _settled(table: sa.Table, row: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The row as it is true of a database that nobody is working on."""
    if table is runs and row["outcome"] == "running":
        return row | {"outcome": "abandoned", "finished_at": now, "error": "its database was copied meanwhile"}
    return row | dict.fromkeys(_LEASE) if "lease_until" in row else row


def _insert(target: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    if target.dialect.name == "postgresql":
        for row in rows:
            _refuse_nul(target, table, row)
    try:
        target.execute(table.insert(), rows)
    except sa.exc.DataError as error:
        keys = [_key(table, rows[0]), _key(table, rows[-1])]
        why = " ".join(str(error.orig).split())
        raise UsageError(
            f"{target.dialect.name} refuses a row of {table.name} between {' and '.join(keys)}: {why}; "
            "nothing was written"
        ) from None


def _refuse_nul(target: Connection, table: sa.Table, row: dict[str, Any]) -> None:
    held = [name for name, value in row.items() if isinstance(value, str) and "\0" in value]
    if held:
        raise UsageError(
            f"{target.dialect.name} cannot hold a NUL character, and {table.name} {_key(table, row)} has one in "
            f"{held[0]}: nothing was written"
        )


def _key(table: sa.Table, row: dict[str, Any]) -> str:
    return label(row[column.name] for column in table.primary_key)


# -- what makes it a database of its own, and proves it ----------------------------------------------------------------


def _go_on_counting(target: Connection) -> None:
    """Ids were given, not drawn: PostgreSQL's sequences have to be told where to go on."""
    for table in metadata.sorted_tables:
        for column in table.primary_key:
            sequence = target.execute(sa.select(sa.func.pg_get_serial_sequence(table.name, column.name))).scalar()
            last = sequence and target.execute(sa.select(sa.func.max(column))).scalar()
            if last:
                target.execute(sa.select(sa.func.setval(sequence, last)))


def _prove(target: Connection, copied: Sequence[Copied]) -> None:
    for one in copied:
        found = _read_back(target, metadata.tables[one.table])
        if found != one:
            raise DatabaseError(
                f"the copy of {one.table} differs from the original ({found.rows} rows of {one.rows}, or other "
                "values): nothing was kept of it"
            )


def _require_lawful(connection: Connection, which: str) -> None:
    broken = next((verdict for verdict in verify_rows(connection) if not verdict.ok), None)
    if broken is not None:
        raise DatabaseError(
            f"{which} breaks {broken.law} in {broken.table} {broken.row}: {broken.what}; nothing was written "
            "(`syncer db verify` names all such rows of the original)"
        )


def _read_back(target: Connection, table: sa.Table) -> Copied:
    digest, count = blake2b(digest_size=16), 0
    for rows in _batches(target, table):
        _digest(digest, rows)
        count += len(rows)
    return Copied(table=table.name, rows=count, digest=digest.hexdigest())


def _digest(digest: blake2b, rows: Iterable[dict[str, Any]]) -> None:
    """Values as Python has them, alike from each database: instants in UTC, canonical prices, parsed documents."""
    for row in rows:
        digest.update(repr(list(map(_ordered, row.values()))).encode("utf-8", "surrogatepass"))


def _ordered(value: Any) -> Any:  # noqa: ANN401 - a column's value
    """A document with its keys in order: JSONB keeps them in an order of its own."""
    return {key: _ordered(value[key]) for key in sorted(value)} if isinstance(value, dict) else value
