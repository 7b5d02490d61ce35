"""What a database or its driver refuses -> our error, in one line with what to do; a wrong statement stays a traceback.

- Whatever a person, a server or a file can cause is one of ours. What is left is a bug in syncer.
- What the driver says is repeated, but for what of the URL is secret (law 11).
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from syncer.db import interrupt
from syncer.db.url import is_sqlite, location, secrets, sqlite_path
from syncer.errors import DatabaseError, SourceBusy, SyncerError

NOT_ALLOWED, CANCELLED, _READ_ONLY, _LOCKED = "42501", "57014", "25006", "55P03"
_SHARED_SESSION = frozenset({"42P05", "26000", "08P01"})
"""A prepared statement that is there already, is gone, or is another one: the session was somebody else's meanwhile."""
_ADVICE = {
    NOT_ALLOWED: "grant the role what it lacks (`GRANT ... TO {role}`), or use the role that owns syncer's tables",
    _READ_ONLY: "it is a standby, or default_transaction_read_only is on: name the primary, or wait until it may write",
}
_POOLER = "it is reached through a pooler in transaction mode, such as PgBouncer: add ?pooler=transaction to its URL"
_ENDED = re.compile(r"received \d+ results from command '(?:ROLLBACK|COMMIT)'")
"""What psycopg says where a pooler has lost the server's session and answers for it, in place of why."""
_WRITABLE = "this account must be able to write the file and its folder"


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Within the block, an error that the outside caused is raised as one of ours."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        if error.orig is not None and (stop := interrupt.reason_of(error.orig)) is not None:
            raise stop from None
        if not is_outside(error):
            raise
        raise our_error(engine.url, error) from error
    except sa.exc.TimeoutError as error:  # of the pool: each of its connections waits for a database that hangs
        raise DatabaseError(f"the database at {location(engine.url)} does not answer: {error}") from error


def translate_errors(engine: Engine) -> None:
    """Make our errors of those of its connections that are used outside of a `reading` block."""

    def translate(context: sa.engine.ExceptionContext) -> BaseException | None:
        error = context.sqlalchemy_exception
        outside = isinstance(error, sa.exc.DBAPIError) and is_outside(error)
        return our_error(engine.url, error) if outside and isinstance(error, sa.exc.DBAPIError) else None

    sa.event.listen(engine, "handle_error", translate, retval=True)


def give_up_stale_sessions(context: sa.engine.ExceptionContext) -> None:
    """After a failover, a pool may hold connections to what is a standby now: their next user connects anew.

    A transaction that was to be read-only says the same of itself, and its connection is as good as before.
    """
    connection = context.connection
    meant = connection is not None and connection.get_execution_options().get("postgresql_readonly")
    if sqlstate(context.original_exception) == _READ_ONLY and not meant:
        context.is_disconnect = True


def is_outside(error: sa.exc.DBAPIError) -> bool:
    """Whether the database failed us. PostgreSQL ends an idle transaction with an "internal" error; SQLite says only
    "database error" of a file that is damaged or none of its own.
    """
    if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return False  # what SQLite has to say about a wrong statement
    plain = type(error) is sa.exc.DatabaseError or isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError))
    state = sqlstate(error.orig) or ""
    return plain or error.connection_invalidated or state in _ADVICE or state in _SHARED_SESSION or state[:2] == "XX"


def our_error(url: URL, error: sa.exc.DBAPIError) -> SyncerError:
    """The error of ours that says what happened, where, and what to do."""
    where, reason = f"the database at {location(url)}", said(url, error)
    state = sqlstate(error.orig)
    if "database is locked" in reason or state == _LOCKED:
        return SourceBusy(f"{where} is locked by another program ({reason}): try again")
    advice = _POOLER if state in _SHARED_SESSION else _advice(url, error)
    return DatabaseError(f"{where} cannot be used: {reason}{advice and '; ' + advice}")


def said(url: URL, error: sa.exc.DBAPIError) -> str:
    """What the driver says, on one line, without what of the URL is secret."""
    from syncer.http_client import redact

    if _ENDED.match(str(error.orig)):
        return "the server or the pooler ended the session in the middle of a transaction"
    return redact(" ".join(str(error.orig).split()), secrets(url))


def sqlstate(error: object) -> str | None:
    """PostgreSQL's own code of an error, if it has one."""
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def create_advice(url: URL, reason: str) -> str:
    """What to do where a role may not make tables in a schema, as since PostgreSQL 15 in the schema public."""
    schema = re.search(r"permission denied for schema (\S+)", reason)
    role = url.username or "the role"
    return f"GRANT USAGE, CREATE ON SCHEMA {schema[1] if schema else 'public'} TO {role}"


def _advice(url: URL, error: sa.exc.DBAPIError) -> str:
    if is_sqlite(url):
        return _sqlite_advice(url, getattr(error.orig, "sqlite_errorcode", 0) & 0xFF)
    return _ADVICE.get(sqlstate(error.orig) or "", "").format(role=url.username or "the role")


def _sqlite_advice(url: URL, code: int) -> str:
    path = sqlite_path(url)
    if code == sqlite3.SQLITE_READONLY:
        return _WRITABLE
    if code != sqlite3.SQLITE_CANTOPEN:
        return ""
    if path.is_dir():
        return "it is a directory: name a file in it"
    if not path.parent.is_dir():
        return f"the directory {path.parent} does not exist"
    return "" if os.access(path.parent, os.W_OK) else _WRITABLE
