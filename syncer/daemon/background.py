"""Work beside the runs, each piece by its name: what is still being done is not begun a second time."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from syncer.errors import DatabaseError, SourceBusy, SyncerError

log = logging.getLogger("syncer.daemon")


class BackgroundTasks:
    """So many threads. What goes wrong in one is logged, a bug with its traceback, and ends nothing else."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="beside")
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
        log.info("%s: %s", name, error)  # the beat has it in its log when the database is down
    except SyncerError as error:
        log.warning("%s: %s", name, error)
    except Exception:
        log.exception("%s: a bug in syncer", name)
