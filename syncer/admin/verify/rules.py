"""What a check of the data is made of: verdicts, and rules in SQL that give them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

Check = Callable[[Connection], Iterator["Verdict"]]
"""Gives a verdict for each row that breaks its law, and none where all is well."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One claim that holds, or one row that breaks a law.

    `table` and `row` (its primary key as text) are None where all is well; then `what` is the claim.
    """

    law: str
    what: str
    table: str | None = None
    row: str | None = None

    @property
    def ok(self) -> bool:
        """Whether this says that something holds."""
        return self.table is None


class RowRule(msgspec.Struct, frozen=True, kw_only=True):
    """`broken` is true of the rows of `table` that break the law; `rows` is what it is asked of, if not the table."""

    law: str
    table: sa.Table
    what: str
    broken: sa.ColumnElement[bool]
    rows: sa.FromClause | None = None

    def verdicts(self, connection: Connection) -> Iterator[Verdict]:
        """One for each row that breaks the rule."""
        keys = sa.select(*self.table.primary_key).where(self.broken)
        query = keys.select_from(self.table if self.rows is None else self.rows)
        for key in stream(connection, query):
            yield Verdict(law=self.law, table=self.table.name, row=label(key), what=self.what)


def all_of(*rules: RowRule) -> Check:
    """A check that asks for each of these rules in turn."""

    def check(connection: Connection) -> Iterator[Verdict]:
        for rule in rules:
            yield from rule.verdicts(connection)

    return check


def stream(connection: Connection, query: sa.Select[Any]) -> Iterable[Any]:
    """The rows of a query, a few hundred in memory at a time."""
    return connection.execute(query, execution_options={"yield_per": 500})


def label(key: Iterable[Any]) -> str:
    """A primary key as text."""
    return "/".join(part.hex() if isinstance(part, bytes) else str(part) for part in key)
