"""Work beside the runs, each piece by its name: what is still being done is not begun a second time."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from syncer.errors import DatabaseError, SourceBusy, SyncerError

log = logging.getLogger("syncer.daemon")

_UNBOUNDED = 2**20  # a thread is made only where none is idle, so there are never more than names


class BackgroundTasks:
    """A thread for each piece of work that is under way: however many of them hang, they delay no other.

    What goes wrong in one is logged, a bug with its traceback, and ends nothing else.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_UNBOUNDED, thread_name_prefix="background")
        self._latest: dict[str, Future[None]] = {}

    def do(self, name: str, work: Callable[[], object]) -> None:
        """Do it in a thread of its own, unless it is still being done."""
        before = self._latest.get(name)
        if before is None or before.done():
            self._latest[name] = self._pool.submit(_try, name, work)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being done."""
        return all(future.done() for future in list(self._latest.values()))

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _try(name: str, work: Callable[[], object]) -> None:
    try:
        work()
    except (DatabaseError, SourceBusy) as error:
        log.info("%s: %s", name, error)  # a database that is down has its own line in the log
    except SyncerError as error:
        log.warning("%s: %s", name, error)
    except Exception:
        log.exception("%s: a bug in syncer", name)
