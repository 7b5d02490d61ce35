"""The SQLite file under a daemon: somebody may delete it or put another in its place while it runs.

A connection goes on with the file that it opened, which nobody else sees any more, and a new connection would create
an empty file where one was deleted. So the file's identity is compared at each turn and at each new connection.
"""

import logging
import os
import sqlite3
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import Engine

from syncer.db.engine import reading
from syncer.errors import DatabaseError

log = logging.getLogger("syncer.daemon")


class DatabaseFile:
    """Which file it is, once it is known; of a database that is no file there is nothing to know."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._path: Path | None = None
        self._identity: tuple[int, int] | None = None
        if engine.dialect.name == "sqlite":
            event.listen(engine, "do_connect", self._refuse_another)

    def remember(self) -> None:
        """Learn which file is open, if none is known yet."""
        if self._engine.dialect.name == "sqlite" and self._path is None:
            with reading(self._engine) as connection:
                name = connection.exec_driver_sql("PRAGMA database_list").one().file
            if name:
                self._identity = _identity_of(Path(name))
                self._path = Path(name)

    def was_replaced(self) -> bool:
        """Whether it is another file than it was; then no connection to the old one stays open, and the log says so.

        Raises DatabaseError where there is no file any more: a new history is begun by a person, never by accident.
        """
        if self._path is None:
            return False
        found = _identity_of(self._path)
        if found is None:
            raise DatabaseError(
                f"the database file {self._path} was deleted or moved: put it back, or restart to begin a new history"
            )
        if found == self._identity:
            return False
        log.warning("the database file %s was replaced by another one: going on with that", self._path)
        self._identity = found
        self._engine.dispose()
        return True

    def _refuse_another(self, *_: object) -> None:
        if self._path is not None and _identity_of(self._path) != self._identity:
            raise sqlite3.OperationalError("its file was deleted or replaced")


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - the same for a path that is gone
    except OSError:
        return None
    return found.st_dev, found.st_ino
