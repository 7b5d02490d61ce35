"""Databases to measure in: made empty, with the schema, or as a copy of a prepared one; SQLite and PostgreSQL."""

import itertools
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.db import engine as db
from syncer.db.migrate import ensure_schema
from tests.postgres import Postgres, find_binaries


class Database(Protocol):
    """A place for databases of one kind; they are named by their SQLAlchemy URLs."""

    name: str

    def create(self, template: str | None = None) -> str:
        """A new database, empty or a copy of a settled one."""

    def settle(self, url: str) -> None:
        """Bring a database that nobody uses to rest, so that it can be copied."""

    def drop(self, url: str) -> None:
        """Delete a database."""


class Sqlite:
    """Files in one folder."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._paths = (folder / f"{number}.db" for number in itertools.count(1))

    def create(self, template: str | None = None) -> str:
        """A path; with a template, of its copy, which is written out: no run pays for the copying."""
        path = next(self._paths)
        if template:
            shutil.copyfile(_path(template), path)
            with path.open("rb+") as copied:
                os.fsync(copied.fileno())
        return f"sqlite:///{path}"

    def settle(self, url: str) -> None:
        """Everything into the one file; the last connection takes the log away."""
        connection = sqlite3.connect(_path(url))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        assert not Path(f"{_path(url)}-wal").exists()

    def drop(self, url: str) -> None:
        """The file and what lies beside it."""
        for path in _path(url).parent.glob(f"{_path(url).name}*"):
            path.unlink()


class PostgreSql:
    """Databases of one throwaway cluster."""

    name = "postgresql"

    def __init__(self, server: Postgres) -> None:
        self._server = server

    def create(self, template: str | None = None) -> str:
        """Written out by a checkpoint, so that no run pays for the copying."""
        url = self._server.create_database(template=_name(template) if template else "template1")
        self._say("CHECKPOINT")
        return url

    def settle(self, url: str) -> None:
        """As autovacuum leaves it."""
        self._say("VACUUM ANALYZE", url)

    def drop(self, url: str) -> None:
        """Even if a connection is about to end."""
        self._say(f"DROP DATABASE {_name(url)} WITH (FORCE)")

    def _say(self, statement: str, url: str | None = None) -> None:
        with psycopg.connect(plain(url or self._server.url), autocommit=True) as connection:
            connection.execute(statement.encode())


def available(stack: ExitStack, names: Collection[str]) -> Iterator[Database]:
    """The named kinds of database as far as this machine has them; they live as long as the stack."""
    if "sqlite" in names:
        yield Sqlite(Path(stack.enter_context(tempfile.TemporaryDirectory())))
    binaries = find_binaries()
    if "postgresql" in names and binaries is not None:
        yield PostgreSql(stack.enter_context(Postgres(binaries, cache="128MB")))


def with_schema(database: Database) -> str:
    """A settled database with syncer's schema and nothing in it."""
    url = database.create()
    engine = db.open_engine(url)
    ensure_schema(engine)
    engine.dispose()
    database.settle(url)
    return url


def plain(url: str) -> str:
    """The URL as the driver itself takes it: libpq's, or a path."""
    return str(_path(url)) if url.startswith("sqlite") else url.replace("+psycopg", "")


def ask(url: str, query: str) -> dict[str, Any]:
    """The one row that a query gives."""
    engine = db.open_engine(url)
    with engine.connect() as connection:
        row = connection.exec_driver_sql(query).mappings().one()
    engine.dispose()
    return dict(row)


def copy_rows(connection: Connection, name: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Write rows by the driver alone, within the connection's transaction."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        driver.executemany(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", rows)
        return
    with driver.cursor().copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def _name(url: str) -> str:
    return str(sa.make_url(url).database)
