"""Databases to measure in: made empty, with the schema, or as a copy of a prepared one; SQLite and PostgreSQL."""

import itertools
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

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


class Pooled(PostgreSql):
    """The same behind PgBouncer in transaction mode, with the limits for statements and idle transactions set."""

    name = "pgbouncer"

    def __init__(self, server: Postgres, stack: ExitStack) -> None:
        super().__init__(server)
        self._port = stack.enter_context(_pooler(parse_qs(urlsplit(server.url).query)["host"][0]))
        for limit in ("statement_timeout = '60s'", "idle_in_transaction_session_timeout = '30s'"):
            self._say(f"ALTER SYSTEM SET {limit}")
        self._say("SELECT pg_reload_conf()")

    def create(self, template: str | None = None) -> str:
        """By its URL through the pooler."""
        name = _name(super().create(template))
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/{name}?pooler=transaction"

    def settle(self, url: str) -> None:
        """Without the sessions that the pooler keeps: a database with a session cannot be copied."""
        self._say(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_name(url)}'")
        super().settle(str(sa.make_url(self._server.url).set(database=_name(url))))


@contextmanager
def _pooler(folder: str) -> Iterator[int]:
    """A pgbouncer before the server whose socket is in `folder`; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    settings = Path(folder) / f"pgbouncer-{port}.ini"
    settings.write_text(
        f"[databases]\n* = host={folder} port=5432 user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n"
    )
    settings.chmod(0o644)
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    user = "nobody" if os.geteuid() == 0 else None  # the program refuses to be root
    with subprocess.Popen([program, "-q", str(settings)], cwd="/", user=user) as process:
        try:
            yield port
        finally:
            process.kill()


def available(stack: ExitStack, names: Collection[str]) -> Iterator[Database]:
    """The named kinds of database as far as this machine has them; they live as long as the stack."""
    if "sqlite" in names:
        yield Sqlite(Path(stack.enter_context(tempfile.TemporaryDirectory())))
    binaries = find_binaries()
    if "postgresql" in names and binaries is not None:
        yield PostgreSql(stack.enter_context(Postgres(binaries, cache="128MB")))
    if "pgbouncer" in names and binaries is not None:
        yield Pooled(stack.enter_context(Postgres(binaries, cache="128MB")), stack)


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
    return (
        str(_path(url)) if url.startswith("sqlite") else url.replace("+psycopg", "").replace("?pooler=transaction", "")
    )


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
