"""URL -> Engine.

- Money and times need drivers set up one way only, so every engine of syncer is made here.
- SQLite: WAL, foreign keys on; a *writing* transaction begins IMMEDIATE (a plain BEGIN that reads first fails the
  moment somebody else commits), a reading one never does (it would lock all writers out).
- PostgreSQL: READ COMMITTED is pinned (law 8 counts on it); a syncer that stops inside a transaction is ended by the
  server instead of blocking everybody. What a transaction needs is set for it alone, in one round trip, and nothing of
  a session is relied on: it may be shared. Statements are prepared in the server, which makes many small updates twice
  as fast, but for a pooler in transaction mode: there `?pooler=transaction` turns it off.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine

from syncer.db import faults, interrupt, unwritable
from syncer.db.faults import translated
from syncer.db.types import read_json, write_json
from syncer.db.url import POOLER, is_sqlite, parse, sqlite_path
from syncer.db.url import location as shown
from syncer.errors import SettingsError

_WRITES, _PATIENT = "syncer_writes", "syncer_patient"
_BUSY_MS = 10_000
_POSTGRESQL_TRANSACTION = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "lock_timeout": f"{_BUSY_MS}",
    "idle_in_transaction_session_timeout": "30000",
    "jit": "off",  # compiling a question costs more than most of them
    "cursor_tuple_fraction": "1",  # what streams is read to its end: plan for that, not for a quick first row
    "random_page_cost": "1.1",  # the default is for spinning disks: there, a scan beats a thousand seeks
}
_MIGRATION_LOCK = 7_303_014  # any constant: the key of PostgreSQL's advisory lock around schema changes


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """An engine for `url` (SQLite or PostgreSQL); nothing is connected or created yet.

    `read_only` never creates a SQLite file. Raises SettingsError for a URL that is none or names another database.
    """
    parsed = parse(url)
    return _open_sqlite(parsed, read_only=read_only) if is_sqlite(parsed) else _open_postgresql(parsed)


def _open_sqlite(url: URL, *, read_only: bool) -> Engine:
    path = sqlite_path(url)
    if read_only:
        url = url.set(database=unwritable.read_only_url_path(path), query={"mode": "ro", "uri": "true"})
    engine = _create(url, {})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "invalidate", _roll_back_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    if read_only:
        unwritable.allow(engine, path)
    return engine


def _open_postgresql(url: URL) -> Engine:
    arguments: dict[str, Any] = {"client_encoding": "utf8"}
    if POOLER in url.query:
        arguments["prepare_threshold"] = None
    options = {"isolation_level": "READ COMMITTED", "pool_pre_ping": True, "connect_args": arguments}
    engine = _create(url.difference_update_query([POOLER]), options)
    event.listen(engine, "connect", lambda raw, _: _require_utf8(engine, raw))
    event.listen(engine, "begin", _begin_postgresql)
    event.listen(engine, "handle_error", faults.give_up_stale_sessions)
    return engine


def _create(url: URL, options: Mapping[str, Any]) -> Engine:
    try:
        return sa.create_engine(url, json_serializer=write_json, json_deserializer=read_json, **options)
    except (sa.exc.ArgumentError, TypeError, ValueError):
        raise SettingsError(
            "database_url has an option whose value cannot be used: look at what stands behind its ?"
        ) from None


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One writing transaction: committed at the end of the block, rolled back on any error."""
    with translated(engine), engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine, *, one_moment: bool = False) -> Iterator[Connection]:
    """One reading transaction; it blocks no writer.

    With `one_moment` all its statements see the database as it was at the first, on PostgreSQL too, which then refuses
    to write.
    """
    source = at_one_moment(engine) if one_moment else engine
    with translated(engine), source.connect() as connection:
        yield connection


def at_one_moment(engine: Engine) -> Engine:
    """The engine for transactions of which all statements see the database as it was at the first."""
    if engine.dialect.name != "postgresql":
        return engine  # SQLite's are so
    # The server ends writers that stop; whoever reads on through a pager makes nobody wait.
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True, _PATIENT: True}
    return engine.execution_options(**options)


@contextmanager
def schema_change(engine: Engine) -> Iterator[Connection]:
    """A transaction in which tables may be altered: alone, and on SQLite with foreign keys checked at its end."""
    with translated(engine), engine.execution_options(**{_WRITES: True}).connect() as connection:
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
    return is_sqlite(engine.url) and not sqlite_path(engine.url).exists()


def location(engine: Engine) -> str:
    """The database's URL as it may be shown: without a password (law 11)."""
    return shown(engine.url)


# -- drivers -----------------------------------------------------------------------------------------------------------


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
    patient = {"idle_in_transaction_session_timeout": "0"} if connection.get_execution_options().get(_PATIENT) else {}
    settings = _POSTGRESQL_TRANSACTION | patient
    calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
    connection.exec_driver_sql(f"SELECT {calls}", execution_options={"no_parameters": True}).close()


def _require_utf8(engine: Engine, connection: Any) -> None:  # noqa: ANN401 - psycopg's
    """Raise SettingsError for a database that cannot hold every name that a model may have."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in {None, "UTF8"}:
        connection.close()
        raise SettingsError(
            f"the database at {location(engine)} has the encoding {encoding}, and syncer needs UTF8: "
            "make another one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )
