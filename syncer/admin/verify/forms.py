"""The form of each value and reference: what a database that keeps to its schema by itself cannot get wrong."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.admin.verify.rules import RowRule, Verdict
from syncer.db.tables import metadata
from syncer.db.types import JSONBinary, Price, UtcDateTime

_TIME_GLOB = "{0}{0}{0}{0}-{0}{0}-{0}{0} {0}{0}:{0}{0}:{0}{0}.{0}{0}{0}{0}{0}{0}".format("[0-9]")


def illegible(connection: Connection) -> Iterator[Verdict]:
    """Values that cannot be read. PostgreSQL refuses a value of another form; SQLite stores anything anywhere."""
    if connection.dialect.name != "sqlite":
        return
    for table in metadata.sorted_tables:
        for column in table.columns:
            for law, what, broken in _sqlite_forms(column):
                rule = RowRule(law=law, table=table, what=f"{column.name} {what}", broken=broken)
                yield from rule.verdicts(connection)


def _sqlite_forms(column: sa.Column[Any]) -> Iterator[tuple[str, str, sa.ColumnElement[bool]]]:
    plain = sa.type_coerce(column, sa.Text)
    if isinstance(column.type, UtcDateTime):
        seconds = sa.func.substr(plain, 1, 19)
        real = sa.func.strftime("%Y-%m-%d %H:%M:%S", seconds, "0 days").is_not_distinct_from(seconds)
        good = plain.op("GLOB", is_comparison=True)(_TIME_GLOB) & real
        yield "law 5", "is no time in the form YYYY-MM-DD HH:MM:SS.ffffff", plain.is_not(None) & ~good
    if isinstance(column.type, Price):
        yield "law 4", "is not a number", sa.func.typeof(column).not_in(["real", "null"])
    if isinstance(column.type, sa.JSON | JSONBinary):
        yield "contract", "is not JSON", plain.is_not(None) & (sa.func.json_valid(plain) == 0)


def references(connection: Connection) -> Iterator[Verdict]:
    """Foreign keys that point to nothing: SQLite checks them only where a connection asks for it."""
    for table in metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            parent = key.column.table.alias()
            target = parent.c[key.column.name]
            rule = RowRule(
                law="contract",
                table=table,
                what=f"{key.parent.name} points to no row of {key.column.table.name}",
                broken=key.parent.is_not(None) & target.is_(None),
                rows=table.outerjoin(parent, target == key.parent),
            )
            yield from rule.verdicts(connection)
