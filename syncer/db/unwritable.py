"""A SQLite file that we may only read, in a folder that we may only read: read all the same, and never wrong.

- SQLite asks each reader of a WAL file to write beside it. `mode=ro` is tried first, always; it works wherever a
  syncer has the file open, or the folder can be written.
- Only where that fails, no `-wal` exists and we can write neither file nor folder, the file is copied into a temporary
  database of SQLite's own by `immutable=1`, which takes no locks. The copy counts only if size, time and the absence of
  a `-wal` are afterwards what they were before: beside a writer an immutable reader is told wrong without an error.
- So nobody holds an immutable connection, and what is asked is one moment of the file. A pool gives the copy to its
  next user only while the file is untouched.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from syncer.errors import DatabaseError

_ATTEMPTS = 2
_STATE = "syncer_state_of_the_file"

State = tuple[int, int, int] | None
"""Inode, size and time of a file without a `-wal`; None while it has one."""


def read_only_url_path(path: Path) -> str:
    """A path as SQLite's own URL has it."""
    return f"file:{quote(str(path.absolute()))}"


def allow(engine: Engine, path: Path) -> None:
    """Make this read-only engine of the file at `path` read it where only a copy can be read."""

    def connect(_dialect: object, record: Any, arguments: Any, options: Any) -> sqlite3.Connection:  # noqa: ANN401
        try:
            return _probed(*arguments, **options)
        except sqlite3.OperationalError as error:
            state = _state(path)
            if (error.sqlite_errorcode & 0xFF) not in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
                raise
            if state is None or _can_be_written(path):
                raise
            connection, record.info[_STATE] = _copied(path)
            return connection

    def check(_raw: object, record: Any, _fairy: object) -> None:  # noqa: ANN401 - SQLAlchemy's own
        if _STATE in record.info and record.info[_STATE] != _state(path):
            del record.info[_STATE]
            raise sa.exc.DisconnectionError

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkout", check)


def _probed(*arguments: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401 - the driver's own
    """A connection that has read once: what mode=ro cannot do shows only then."""
    connection: sqlite3.Connection = sqlite3.connect(*arguments, **options)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _copied(path: Path) -> tuple[sqlite3.Connection, State]:
    """A copy of the file, and the state that it was in before and after."""
    for _ in range(_ATTEMPTS):
        before = _state(path)
        copy = sqlite3.connect("", check_same_thread=False)
        try:
            with closing(sqlite3.connect(f"{read_only_url_path(path)}?mode=ro&immutable=1", uri=True)) as file:
                file.backup(copy)
            copy.execute("PRAGMA query_only=ON")
            if before is not None and _state(path) == before:
                return copy, before
        except sqlite3.DatabaseError:  # a writer at work tears what is read
            if _state(path) == before:
                copy.close()
                raise
        copy.close()
    raise DatabaseError(
        f"the database at sqlite:///{path} is being written, and this account may write neither the file nor its "
        "folder, which a reader needs then: try again, or let it write the folder"
    )


def _state(path: Path) -> State:
    try:
        found = path.stat()
    except OSError:
        return None
    if path.with_name(f"{path.name}-wal").exists():
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _can_be_written(path: Path) -> bool:
    return os.access(path, os.W_OK) or os.access(path.parent, os.W_OK)
