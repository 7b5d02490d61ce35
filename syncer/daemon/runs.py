"""The runs of a daemon: ticks that are due become syncs in a pool of workers."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from sqlalchemy.engine import Connection

from syncer.attempt import Attempt, acquire
from syncer.daemon.dependencies import Dependencies
from syncer.daemon.schedule import next_tick
from syncer.db import leases, ticks
from syncer.db.engine import reading, writing
from syncer.db.interrupt import interrupting
from syncer.db.leases import Lease
from syncer.errors import SettingsError, SourceBusy, SyncerError
from syncer.failures import record_failure_of
from syncer.settings import SourceSettings
from syncer.sync import sync_leased

log = logging.getLogger("syncer.daemon")


class LatestRuns:
    """How the latest run of each source went, of those that ran here."""

    def __init__(self) -> None:
        self._went_well: dict[str, bool] = {}
        self._is_new = False

    def note(self, source: str, *, well: bool) -> None:
        """A run ended."""
        self._went_well[source] = well
        self._is_new = True

    def cycle(self, configured: Mapping[str, object]) -> bool | None:
        """Whether the latest run of every configured source was good; None if none ended since this was last asked."""
        is_new, self._is_new = self._is_new, False
        known = [well for source, well in self._went_well.items() if source in configured]
        return all(known) if is_new else None


class Runs:
    """A pool of workers, each with one sync; `on_free` is called when one has ended while more was due than fits in."""

    def __init__(self, dependencies: Dependencies, on_free: Callable[[], object]) -> None:
        self.latest = LatestRuns()
        self._dependencies = dependencies
        self._engine = dependencies.engine
        self._on_free = on_free
        self._pool = ThreadPoolExecutor(dependencies.workers, thread_name_prefix="sync")
        self._under_way: dict[Future[bool], str] = {}
        self._more_is_due = False

    @property
    def busy(self) -> int:
        """How many runs are under way."""
        return sum(not future.done() for future in list(self._under_way))

    def begin_due(self, configured: Mapping[str, SourceSettings]) -> None:
        """Begin what is due of these sources, as far as there are workers for it."""
        self._note_ended()
        free = self._dependencies.workers - len(self._under_way)
        with reading(self._engine) as connection:
            now = ticks.database_now(connection) or self._dependencies.clock()
            due = ticks.due(connection, list(configured), now, free + 1)
        self._more_is_due = len(due) > free
        for one in due[:free]:
            if not self._dependencies.stopping.is_set():
                self._try_begin(configured[one.name], one, now)

    def give_up(self, why: str) -> None:
        """Close what is under way as abandoned: a write to SQLite is interrupted, and what goes on is fenced off."""
        with interrupting(SystemExit(why)), writing(self._engine) as connection:
            now = self._dependencies.clock()
            leases.release_all(connection, self._dependencies.owner, why, now=now)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- one run -------------------------------------------------------------------------------------------------------

    def _try_begin(self, source: SourceSettings, one: ticks.Due, now: datetime) -> None:
        try:
            self._begin(source, one, now)
        except SyncerError:
            raise
        except Exception:
            log.exception("%s: a bug in syncer kept it from its tick", source.name)

    def _begin(self, source: SourceSettings, one: ticks.Due, now: datetime) -> None:
        """Take the tick, and the source with it, in one transaction; the run goes on in a worker."""
        attempt = self._dependencies.attempt(source)
        problem: SettingsError | None = None
        try:
            attempt = self._dependencies.with_credentials(attempt)
        except SettingsError as error:  # without a key nothing can be asked, which the run will say
            problem = error
        with writing(self._engine) as connection:
            if not ticks.take(connection, one, next_tick(source, now)):
                return
            if one.tick is not None and next_tick(source, one.tick) <= now:
                why = f"the ticks from {one.tick:%Y-%m-%dT%H:%M:%SZ} on were passed over: no daemon was there, or free"
                ticks.skip(connection, one.source_id, now=now, why=why)
            lease = _acquire(connection, attempt, one, now)
        if lease is not None:
            future = self._pool.submit(_sync, attempt, lease, problem)
            self._under_way[future] = source.name
            future.add_done_callback(self._go_on)

    def _go_on(self, _ended: Future[bool]) -> None:
        """A worker is free: where more was due than there were workers, do not wait for the next turn."""
        if self._more_is_due:
            self._on_free()

    def _note_ended(self) -> None:
        for future in [future for future in self._under_way if future.done()]:
            self.latest.note(self._under_way.pop(future), well=future.result())


def _acquire(connection: Connection, attempt: Attempt, one: ticks.Due, now: datetime) -> Lease | None:
    """The source, together with its tick; a tick whose source is still in other hands is recorded as skipped."""
    try:
        return acquire(connection, attempt, now)
    except SourceBusy as busy:
        ticks.skip(connection, one.source_id, now=now, why=f"the tick was passed over: {busy}")
        log.warning("%s: skipped: %s", attempt.source.name, busy)
        return None


def _sync(attempt: Attempt, lease: Lease, problem: SettingsError | None) -> bool:
    """One run in a worker; was it good?"""
    name = attempt.source.name
    try:
        if problem is not None:
            record_failure_of(attempt, lease, problem)
        report = sync_leased(attempt, lease)
    except SyncerError as error:
        log.warning("%s: failed: %s", name, error, extra={"run_id": lease.run_id})
        return False
    except Exception:
        log.exception("%s: a bug in syncer ended run %s", name, lease.run_id)
        return False
    log.info("%s: %s", name, report.result.outcome, extra={"run_id": report.run_id, "listed": report.result.listed})
    return True
