"""Many rows at once, by the driver's own fastest way: INSERT of plain tuples on SQLite, COPY on PostgreSQL.

- Each value goes through its column's type, as in any other statement: what is written reads back the same.
- Rows are taken a piece at a time, as they are needed, and never held all at once.
- It is part of the caller's transaction, and what the driver raises is raised as SQLAlchemy would raise it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.db.types import JSONBinary, write_json

PIECE = 500
"""How many rows, or names, one statement takes: enough to forget what a statement costs, few enough to hold."""

Row = Sequence[Any]
Item = TypeVar("Item")


def select(connection: Connection, query: sa.Select[Any], parameters: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    """The rows of `query` in pieces, as the driver gives them: half of what typed rows cost.

    For very many narrow rows of text, bytes and numbers alone, which no column type has to change.
    """
    cursor = connection.execute(query, parameters).cursor
    assert cursor is not None  # noqa: S101 - a SELECT has rows, if only none

    def fetch() -> Sequence[Row]:
        with _raised_as_usual(connection, cursor, query):
            return cursor.fetchmany(PIECE)

    while piece := fetch():
        yield piece
    cursor.close()


def insert(connection: Connection, table: sa.Table, names: Sequence[str], rows: Iterable[Row]) -> None:
    """Insert `rows`, each with a value for each of the columns `names`, in that order.

    Raises sqlalchemy.exc.DBAPIError, such as IntegrityError, and ValueError for what a column's type refuses.
    """
    bound = _bound(rows, [table.c[name] for name in names], connection.dialect)
    if connection.dialect.name == "postgresql":
        _copy(connection, f"COPY {table.name} ({', '.join(names)}) FROM STDIN", chain.from_iterable(bound))
        return
    marks = ", ".join("?" for _ in names)
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - our own names
    for piece in bound:
        connection.exec_driver_sql(statement, piece)


def update(connection: Connection, table: sa.Table, names: Sequence[str], rows: Iterable[Row]) -> None:
    """Update `table` by its `id`: each row has a value for each of the columns `names`, in that order, and then the id.

    Raises as `insert` does.
    """
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    setting = ", ".join(f"{name} = {mark}" for name in names)
    statement = f"UPDATE {table.name} SET {setting} WHERE id = {mark}"  # noqa: S608 - our own names
    bound = _bound(rows, [table.c[name] for name in (*names, "id")], connection.dialect)
    for piece in bound:
        connection.exec_driver_sql(statement, piece)


def pieces(items: Iterable[Item]) -> Iterator[list[Item]]:
    """`items` in lists of PIECE, the last one shorter."""
    rest = iter(items)
    while piece := list(islice(rest, PIECE)):
        yield piece


def _bound(
    rows: Iterable[Row], columns: Sequence[sa.Column[Any]], dialect: sa.Dialect
) -> Iterator[list[tuple[Any, ...]]]:
    """The rows as the driver takes them, in pieces; bound a column at a time, which costs half of a row at a time."""
    binders = [_binder(column.type, dialect) for column in columns]
    for piece in pieces(rows):
        values: list[Iterable[Any]] = list(zip(*piece, strict=True))
        for position, bind in enumerate(binders):
            if bind is not None:
                values[position] = _bind(bind, values[position])
        yield list(zip(*values, strict=True))


def _binder(kind: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    """How a value of this type becomes one for the driver; None where it is one already."""
    if isinstance(
        kind, sa.JSON | JSONBinary
    ):  # as text: psycopg's own wrapper for it costs more than all the rest of a row
        return lambda value: None if value is None else write_json(value)
    if isinstance(kind, sa.LargeBinary):  # both drivers take bytes as they are; wrapped, they cost four times as much
        return None
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _bind(bind: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
    """Each value bound; the very object that was bound just before is not bound again: a run's rows share its times."""
    last: Any = None
    bound = bind(None)
    found = []
    for value in values:
        if value is not last:
            last, bound = value, bind(value)
        found.append(bound)
    return found


def _copy(connection: Connection, statement: str, rows: Iterable[Row]) -> None:
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor()
    with _raised_as_usual(connection, cursor, statement), cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


@contextmanager
def _raised_as_usual(connection: Connection, cursor: Any, statement: object) -> Iterator[None]:  # noqa: ANN401 - the driver's
    """Within the block, what the driver raises is raised as SQLAlchemy would raise it."""
    dialect, driver = connection.dialect, connection.connection.driver_connection
    try:
        yield
    except dialect.loaded_dbapi.Error as error:
        lost = dialect.is_disconnect(error, driver, cursor)
        raise sa.exc.DBAPIError.instance(
            str(statement), None, error, dialect.loaded_dbapi.Error, connection_invalidated=lost, dialect=dialect
        ) from error
