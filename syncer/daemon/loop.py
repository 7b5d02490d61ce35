"""One daemon: its beat, the runs that it starts, and its end."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self

import msgspec
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy.engine import Connection, Engine

from syncer.daemon.background import BackgroundTasks
from syncer.daemon.backoff import DatabaseBackoff
from syncer.daemon.schedule import next_tick
from syncer.db import notices, store, ticks
from syncer.db.engine import ensure_schema, reading, writing
from syncer.db.store import Lease
from syncer.errors import DatabaseError, SettingsError, SourceBusy, SyncerError
from syncer.settings import AlertSettings, Secret, Settings, SourceSettings
from syncer.sync import Archive, origin, record_failure_of, sync_leased

log = logging.getLogger("syncer.daemon")

Clock = Callable[[], datetime]
_BEAT = 1.0  # seconds
_LAST_WORD = 5.0  # seconds for closing what is given up
_STEP = 0.1
_BACKGROUND_THREADS = 16  # threads for deliveries and other work beside the runs


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon is made of: everything that touches the world is handed in.

    `load` reads the configuration, `read_key` a source's key, `deliver` hands one consumer of the settings in force its
    news. `on_round` is told, after each minute in which runs ended, whether the latest of every source was a good look;
    `on_beat` that the daemon is alive, about once a second; `on_reload` the settings that are in force from then on;
    `nightly` is done once a UTC day. `stopping` is set by the first signal.
    """

    engine: Engine
    load: Callable[[], Settings]
    read_key: Callable[[SourceSettings], Secret | None]
    clock: Clock
    owner: str
    workers: int = 8
    grace: timedelta = timedelta(seconds=30)
    archive: Archive | None = None
    deliver: Callable[[Settings, AlertSettings], object] | None = None
    on_round: Callable[[bool], object] | None = None
    on_beat: Callable[[], object] | None = None
    on_reload: Callable[[Settings], object] | None = None
    nightly: Callable[[], object] | None = None
    stopping: threading.Event = msgspec.field(default_factory=threading.Event)


def run(parts: Parts) -> int:
    """Run until a signal says stop; the exit code. To be called in the main thread of a process of its own."""
    inbox, outbox = os.pipe()  # a handler may interrupt anything, so it takes no lock: it writes one byte
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.write(outbox, bytes([number])))
    with Daemon(parts) as daemon:
        while os.read(inbox, 1)[0] == signal.SIGHUP:
            daemon.ask_reload()
        parts.stopping.set()
        threading.Thread(target=_wait_for_second, args=(inbox, daemon), daemon=True).start()
        if not daemon.finish():
            logging.shutdown()
            os._exit(0)  # the interpreter would wait for the threads that were given up
    return 0


def _wait_for_second(inbox: int, daemon: "Daemon") -> None:
    while os.read(inbox, 1)[0] == signal.SIGHUP:
        pass
    daemon.hurry.set()


class Daemon:
    """The beat and its workers; entered, it runs.

    Raises SettingsError and DatabaseNotReady where it cannot start; a database that is down is no reason.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.settings = parts.load()
        self.hurry = threading.Event()
        """Set by the second signal: what runs is given up at once."""
        self._beating = threading.Lock()
        self._backoff = DatabaseBackoff()
        self._is_open = False
        self._more_is_due = False
        self._pool = ThreadPoolExecutor(parts.workers, thread_name_prefix="sync")
        self._runs: dict[Future[bool], str] = {}
        self._background = BackgroundTasks(_BACKGROUND_THREADS)
        self._went_well: dict[str, bool] = {}  # of the runs that ended since the last minute
        self._latest: dict[str, bool] = {}  # of each source that ever ran here
        self._last_night = parts.clock().date()
        self._scheduler = BackgroundScheduler(timezone=UTC)
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)  # a beat that takes longer is no news
        always = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        self._scheduler.add_job(self.run_due, "interval", seconds=_BEAT, **always)
        self._scheduler.add_job(self.each_minute, "interval", minutes=1, **always)

    def __enter__(self) -> Self:
        try:
            self._open()
        except (DatabaseError, SourceBusy) as error:
            self._backoff.note_down(error)
        self._scheduler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.parts.stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._background.close()

    @property
    def busy(self) -> int:
        """How many runs are under way."""
        return sum(not future.done() for future in list(self._runs))

    # -- the beat ------------------------------------------------------------------------------------------------------

    def run_due(self) -> None:
        """Take what is due, as far as there are workers for it, and let each consumer have its news."""
        if not self._beating.acquire(blocking=False):
            return
        try:
            if self.parts.on_beat is not None:
                self.parts.on_beat()
            if not self._backoff.skips_beat() and not self.parts.stopping.is_set():
                self._open()
                self._take_due()
                self._backoff.note_up()
                self._deliver()
        except (DatabaseError, SourceBusy) as error:
            self._backoff.note_down(error)
        finally:
            self._beating.release()

    def _open(self) -> None:
        """Once, as soon as the database answers: its schema, and a row for each source."""
        if not self._is_open:
            ensure_schema(self.parts.engine)
            self._register(self.settings)
            self._is_open = True

    def _take_due(self) -> None:
        self._note_ended()
        free = self.parts.workers - len(self._runs)
        configured = {source.name: source for source in self.settings.sources}
        with reading(self.parts.engine) as connection:
            now = ticks.database_now(connection) or self.parts.clock()
            due = ticks.due(connection, list(configured), now, free + 1)
        self._more_is_due = len(due) > free
        for one in due[:free]:
            if not self.parts.stopping.is_set():
                self._try_start(configured[one.name], one, now)

    def _try_start(self, source: SourceSettings, one: ticks.Due, now: datetime) -> None:
        try:
            self._start(source, one, now)
        except SyncerError:
            raise
        except Exception:
            log.exception("%s: a bug in syncer kept it from its tick", source.name)

    def _start(self, source: SourceSettings, one: ticks.Due, now: datetime) -> None:
        """Take the tick, and the source with it, in one transaction; the run goes on in a worker."""
        key: Secret | None = None
        problem: SettingsError | None = None
        try:
            key = self.parts.read_key(source)
        except SettingsError as error:  # without a key nothing can be asked, which the run will say
            problem = error
        secret = key.reveal() if key else None
        with writing(self.parts.engine) as connection:
            if not ticks.take(connection, one, next_tick(source, now)):
                return
            if one.tick is not None and next_tick(source, one.tick) <= now:
                why = f"the ticks from {one.tick:%Y-%m-%dT%H:%M:%SZ} on were passed over: no daemon was there, or free"
                ticks.skip(connection, one.source_id, now=now, why=why)
            lease = self._acquire(connection, source, one, secret, now)
        if lease is not None:
            future = self._pool.submit(self._sync, source, lease, secret, problem)
            self._runs[future] = source.name
            future.add_done_callback(self._go_on)

    def _acquire(
        self, connection: Connection, source: SourceSettings, one: ticks.Due, secret: str | None, now: datetime
    ) -> Lease | None:
        """The source, together with its tick; a tick whose source is still in other hands is recorded as skipped."""
        try:
            return store.acquire(
                connection,
                origin(source),
                kind="sync",
                owner=self.parts.owner,
                now=now,
                lease_for=source.lease,
                key=secret,
            )
        except SourceBusy as busy:
            ticks.skip(connection, one.source_id, now=now, why=f"the tick was passed over: {busy}")
            log.warning("%s: skipped: %s", source.name, busy)
            return None

    def _sync(self, source: SourceSettings, lease: Lease, secret: str | None, problem: SettingsError | None) -> bool:
        """One run in a worker; was it a good look?"""
        engine, clock = self.parts.engine, self.parts.clock
        try:
            if problem is not None:
                record_failure_of(engine, lease, problem, None, clock)
            report = sync_leased(engine, source, lease, key=secret, clock=clock, archive=self.parts.archive)
        except SyncerError as error:
            log.warning("%s: failed: %s", source.name, error)
            return False
        except Exception:
            log.exception("%s: a bug in syncer ended run %s", source.name, lease.run_id)
            return False
        log.info("%s: %s", source.name, report.outcome, extra={"run_id": report.run_id, "listed": report.listed})
        return True

    def _go_on(self, _ended: Future[bool]) -> None:
        """A worker is free: where more was due than there were workers, do not wait for the next beat."""
        if self._more_is_due:
            self.run_due()

    def _note_ended(self) -> None:
        for future in [future for future in self._runs if future.done()]:
            self._went_well[self._runs.pop(future)] = future.result()

    # -- beside the runs -----------------------------------------------------------------------------------------------

    def each_minute(self) -> None:
        """Say which sources are late, in case their own runs do not come, and how the last runs went."""
        self._background.do("staleness", self.note_stale)
        today = self.parts.clock().date()
        if self.parts.nightly is not None and today != self._last_night:
            self._last_night = today
            self._background.do("nightly upkeep", self.parts.nightly)
        ended, self._went_well = self._went_well, {}
        if ended and self.parts.on_round is not None:
            configured = {source.name for source in self.settings.sources}
            self._latest = {name: well for name, well in (self._latest | ended).items() if name in configured}
            self._background.do("round", partial(self.parts.on_round, all(self._latest.values())))

    def note_stale(self) -> None:
        """Say of each source that is late that it is, once."""
        for source in self.settings.sources:
            notices.note_stale(self.parts.engine, source.name, now=self.parts.clock(), interval=source.interval)

    def _deliver(self) -> None:
        settings = self.settings  # another thread may put others in force
        if self.parts.deliver is not None:
            for alert in settings.alerts:
                self._background.do(f"delivery to {alert.name}", partial(self.parts.deliver, settings, alert))

    # -- from outside --------------------------------------------------------------------------------------------------

    def finish(self) -> bool:
        """Wait for what is under way, as long as the grace lasts and nobody hurries; then close the runs as failed.

        True if everything had ended by itself.
        """
        self._scheduler.shutdown(wait=False)
        log.info("stopping: no new work; %s runs may finish", self.busy)
        left = self.parts.grace.total_seconds()
        while not self._is_idle() and left > 0 and not self.hurry.wait(_STEP):
            left -= _STEP
        if self._is_idle():
            return True
        log.warning("giving up %s runs", self.busy)
        last_word = threading.Thread(target=self._give_up, daemon=True)  # the database may hang as well
        last_word.start()
        last_word.join(_LAST_WORD)
        return False

    def _is_idle(self) -> bool:
        if self._beating.locked():  # asked first: the beat under way may still start something, a later one may not
            return False
        return self.busy == 0 and self._background.is_idle

    def _give_up(self) -> None:
        try:
            with writing(self.parts.engine) as connection:
                failure = store.Failure(error="the daemon was stopped")
                store.release_all(connection, self.parts.owner, failure, now=self.parts.clock())
        except SyncerError as error:
            log.warning("the runs could not be closed, later ones will find them: %s", error)

    def ask_reload(self) -> None:
        """SIGHUP: read the configuration again, beside the runs."""
        self._background.do("configuration", self.reload)

    def reload(self) -> None:
        """Read the configuration again; a bad one is refused."""
        try:
            fresh = self.parts.load()
            fresh.select()
            if fresh.database_url != self.settings.database_url:
                raise SettingsError("database_url is another one: restart the daemon for that")
            self._register(fresh)
        except SyncerError as error:
            log.error("the new configuration is refused, the old one stays: %s", error)  # noqa: TRY400 - a person's
            return
        self.settings = fresh
        if self.parts.on_reload is not None:
            self.parts.on_reload(fresh)
        log.info("the configuration was read again: %s sources", len(fresh.sources))

    def _register(self, settings: Settings) -> None:
        """Give each configured source its row, so that it can be due; a new schedule counts from now on."""
        now = self.parts.clock()
        for source in settings.sources:
            with writing(self.parts.engine) as connection:
                store.register(connection, origin(source), now)
                ticks.reschedule(connection, source.name, partial(next_tick, source), now)
