"""A signal ends a statement of SQLite, however long that is.

Python runs the handler of a signal between two of its own instructions, and a statement of SQLite, a million rows
included, is one of them. So SQLite asks us every few milliseconds whether to go on: a pending handler runs in that very
moment. What it raises is lost in there, so it says it here first, and whoever runs a statement raises it again.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

_STEPS = 100_000  # of SQLite's machine between two questions: some milliseconds, and more than any small statement has

_FEWER_STEPS = 10_000  # where a statement has a deadline: well below a millisecond

_reasons: list[BaseException] = []  # of this process: so is a signal


def watch(connection: sqlite3.Connection) -> None:
    """Let the statements of a connection be interrupted."""
    connection.set_progress_handler(_is_over, _STEPS)


class Deadline:
    """Ends a statement of a connection that goes on for too long; it, and no signal, until `watch` is called again."""

    def __init__(self, connection: sqlite3.Connection, seconds: float) -> None:
        self._seconds, self.is_over = seconds, False
        self.begin()
        connection.set_progress_handler(self._ask, _FEWER_STEPS)

    def begin(self, *_: object) -> None:
        """A statement begins: from now on its time is counted."""
        self._ends_at = time.monotonic() + self._seconds

    def _ask(self) -> bool:
        self.is_over = time.monotonic() > self._ends_at
        return self.is_over


def interrupt(reason: BaseException) -> None:
    """End each statement that is under way in any thread, and each long one from now on, with this exception."""
    _reasons.append(reason)


@contextmanager
def interrupting(reason: BaseException) -> Iterator[None]:
    """The same while the block lasts: for a process that goes on afterwards."""
    _reasons.append(reason)
    try:
        yield
    finally:
        _reasons.remove(reason)


def reason_of(error: BaseException) -> BaseException | None:
    """What an interrupted statement is to be raised as; None if `error` is anything else."""
    if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
        return None
    return _reasons[0] if _reasons else KeyboardInterrupt()  # Python's own handler of Ctrl-C says nothing here


def _is_over() -> bool:
    return bool(_reasons)
