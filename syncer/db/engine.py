"""URL -> Engine.

- Money and times need drivers set up one way only, so every engine of syncer is made here.
- SQLite: WAL, foreign keys on; a *writing* transaction begins IMMEDIATE (a plain BEGIN that reads first fails the
  moment somebody else commits), a reading one never does (it would lock all writers out).
- PostgreSQL: READ COMMITTED is pinned (law 8 counts on it); a syncer that stops inside a transaction is ended by the
  server instead of blocking everybody. What a transaction needs is set for it alone, in one round trip: behind a pooler
  such as PgBouncer the session is shared, so it gets no setting and no prepared statement of ours.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine

from syncer.core.words import how_to_install
from syncer.db import interrupt
from syncer.db.types import read_json, write_json
from syncer.errors import DatabaseError, SettingsError, SourceBusy, SyncerError

_WRITES = "syncer_writes"
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg", "sqlite": "sqlite"}
_BUSY_MS = 10_000
_POSTGRESQL_TRANSACTION = (
    f"SET LOCAL TIME ZONE 'UTC'; SET LOCAL datestyle = 'ISO'; SET LOCAL lock_timeout = {_BUSY_MS}; "
    "SET LOCAL idle_in_transaction_session_timeout = 30000; "
    "SET LOCAL jit = off; "  # compiling a question costs more than most of them
    "SET LOCAL cursor_tuple_fraction = 1; "  # what streams is read to its end: plan for that, not for a quick first row
    "SET LOCAL random_page_cost = 1.1"  # the default is for spinning disks: there, a scan beats a thousand seeks
)
_POSTGRESQL_OPTIONS = {
    "isolation_level": "READ COMMITTED",
    "pool_pre_ping": True,
    "connect_args": {"prepare_threshold": None},
}
_MIGRATION_LOCK = 7_303_014  # any constant: the key of PostgreSQL's advisory lock around schema changes


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """An engine for `url` (SQLite or PostgreSQL); nothing is connected or created yet.

    `read_only` never creates a SQLite file. Raises SettingsError for a URL that is none or names another database.
    """
    parsed = _parse(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    options: dict[str, Any] = {} if sqlite else _POSTGRESQL_OPTIONS
    if sqlite and read_only and _is_file(parsed):
        path = quote(str(Path(str(parsed.database)).absolute()))
        parsed = parsed.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})
    try:
        engine = sa.create_engine(parsed, json_serializer=write_json, json_deserializer=read_json, **options)
    except ModuleNotFoundError as missing:
        raise SettingsError(
            f"{parsed.drivername} needs the driver {missing.name}: {how_to_install('postgres')}"
        ) from None
    except sa.exc.NoSuchModuleError:
        raise SettingsError(f"database_url names a driver that there is not: {parsed.drivername}") from None
    if sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "invalidate", _roll_back_sqlite)
    event.listen(engine, "begin", _begin_sqlite if sqlite else _begin_postgresql)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One writing transaction: committed at the end of the block, rolled back on any error."""
    with _translated(engine), engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine, *, one_moment: bool = False) -> Iterator[Connection]:
    """One reading transaction; it blocks no writer.

    With `one_moment` all its statements see the database as it was at the first, on PostgreSQL too, which then refuses
    to write.
    """
    snapshot = one_moment and engine.dialect.name == "postgresql"
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if snapshot else {}
    source = engine.execution_options(**options)
    with _translated(engine), source.connect() as connection:
        if snapshot:  # the server ends writers that stop; whoever reads on through a pager makes nobody wait
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield connection


def translate_errors(engine: Engine) -> None:
    """Make our errors of those of its connections that are used outside of a `reading` block."""

    def translate(context: sa.engine.ExceptionContext) -> BaseException | None:
        error = context.sqlalchemy_exception
        return _our_error(engine, error) if isinstance(error, sa.exc.DBAPIError) and _is_outside(error) else None

    event.listen(engine, "handle_error", translate, retval=True)


@contextmanager
def schema_change(engine: Engine) -> Iterator[Connection]:
    """A transaction in which tables may be altered: alone, and on SQLite with foreign keys checked at its end."""
    with _translated(engine), engine.execution_options(**{_WRITES: True}).connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        if sqlite:  # inside a transaction this PRAGMA would silently do nothing
            connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]
        try:
            with connection.begin():
                if not sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                yield connection
                if sqlite:
                    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                    assert not broken, f"the migration broke foreign keys: {broken}"  # noqa: S101 - a bug, rolled back
        finally:
            connection.invalidate()  # the next user of the pool gets a connection with foreign keys on


def is_to_be_made(engine: Engine) -> bool:
    """Whether this is a SQLite file that does not exist yet: connecting would create it."""
    return engine.dialect.name == "sqlite" and _is_file(engine.url) and not _sqlite_path(engine.url).exists()


def location(engine: Engine) -> str:
    """The database's URL as it may be shown: without a password (law 11)."""
    if engine.dialect.name == "sqlite" and _is_file(engine.url):
        return f"sqlite:///{_sqlite_path(engine.url)}"
    shown = {name: "***" if "password" in name else value for name, value in engine.url.query.items()}
    return engine.url.set(query=shown).render_as_string(hide_password=True)


# -- drivers -----------------------------------------------------------------------------------------------------------


def _parse(url: str) -> URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise SettingsError("database_url is not a database URL: try sqlite:///syncer.db") from None
    backend, _, driver = parsed.drivername.partition("+")
    if backend not in _DRIVERS:
        raise SettingsError(f"database_url names {backend!r}: syncer keeps its history in sqlite or postgresql")
    return parsed if driver else parsed.set(drivername=_DRIVERS[backend])


def _is_file(url: URL) -> bool:
    return url.database not in {None, "", ":memory:"}


def _sqlite_path(url: URL) -> Path:
    name = str(url.database)
    return Path(unquote(name.removeprefix("file:")) if name.startswith("file:") else name)


def _set_up_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - sqlite3's or a stand-in's
    interrupt.watch(connection)
    connection.isolation_level = None  # we say BEGIN ourselves; DDL is transactional only so
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    connection.execute("PRAGMA foreign_keys=ON")


def _roll_back_sqlite(connection: Any, *_: object) -> None:  # noqa: ANN401 - sqlite3's or a stand-in's
    """Before a connection is thrown away: a statement that a signal cut off would keep it, and its lock, open."""
    connection.rollback()


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get(_WRITES):
        # WAL is a property of the file: this is a no-op but for the first writers ever.
        if connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
            with suppress(sa.exc.OperationalError):  # a writer at work fails it at once, unlike BEGIN, which waits
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    connection.exec_driver_sql(_POSTGRESQL_TRANSACTION, execution_options={"no_parameters": True})


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    """What the database's outside world does wrong becomes our error; a wrong statement stays a traceback."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        if error.orig is not None and (stop := interrupt.reason_of(error.orig)) is not None:
            raise stop from None
        if not _is_outside(error):
            raise
        raise _our_error(engine, error) from error
    except sa.exc.TimeoutError as error:  # of the pool: each of its connections waits for a database that hangs
        raise DatabaseError(f"the database at {location(engine)} does not answer: {error}") from error


def _is_outside(error: sa.exc.DBAPIError) -> bool:
    """Whether the database failed us. PostgreSQL ends an idle transaction with an "internal" error; SQLite says only
    "database error" of a file that is damaged or none of its own.
    """
    if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return False  # what SQLite has to say about a wrong statement
    plain = type(error) is sa.exc.DatabaseError or isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError))
    return plain or error.connection_invalidated


def _our_error(engine: Engine, error: sa.exc.DBAPIError) -> SyncerError:
    reason = " ".join(str(error.orig).split())
    if "database is locked" in reason or getattr(error.orig, "sqlstate", None) == "55P03":
        return SourceBusy(f"the database at {location(engine)} is locked by another program ({reason}): try again")
    if "unable to open database file" in reason:
        reason += " (does its directory exist, and may it be written?)"
    return DatabaseError(f"the database at {location(engine)} cannot be used: {reason}")
