"""One daemon: its loop, what each turn and each minute do, and its end."""

import logging
import threading
from datetime import timedelta
from functools import partial
from typing import Self

from syncer import systemd
from syncer.attempt import record_of
from syncer.core.words import count_of
from syncer.daemon.background import BackgroundTasks
from syncer.daemon.backoff import DatabaseBackoff
from syncer.daemon.database_file import DatabaseFile
from syncer.daemon.dependencies import Dependencies
from syncer.daemon.liveness import TURN
from syncer.daemon.runs import Runs
from syncer.daemon.schedule import next_tick
from syncer.daemon.scheduler import SteadyScheduler
from syncer.db import feed, leases, ticks
from syncer.db.engine import reading, writing
from syncer.db.migrate import ensure_schema, require_schema
from syncer.errors import DatabaseError, DatabaseNotReady, SettingsError, SourceBusy, SyncerError
from syncer.settings import Settings, SourceSettings, format_duration

log = logging.getLogger("syncer.daemon")

_SHUTDOWN_TIMEOUT = 5.0  # seconds for closing what is given up
_POLL_INTERVAL = 0.1


class Daemon:
    """The loop and its workers; entered, it runs.

    Raises SettingsError and DatabaseNotReady where it cannot start; a database that is down is no reason.
    """

    def __init__(self, dependencies: Dependencies) -> None:
        self.dependencies = dependencies
        self.settings = dependencies.load()
        self.hurry = threading.Event()
        """Set by the second signal: what runs is given up at once."""
        self._working = threading.Lock()
        self._backoff = DatabaseBackoff()
        self._file = DatabaseFile(dependencies.engine)
        self._is_open = self._was_open = False
        self._runs = Runs(dependencies, on_free=self.run_due)
        self._background = BackgroundTasks()
        self._last_night = dependencies.clock().date()
        self._scheduler = SteadyScheduler(turn=TURN, on_step=self._note_clock_step)
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)  # a job that takes longer is no news
        always = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        self._scheduler.add_job(self._turn, "interval", seconds=TURN, **always)
        self._scheduler.add_job(self.each_minute, "interval", minutes=1, **always)

    def __enter__(self) -> Self:
        try:
            self._open()
        except (DatabaseError, SourceBusy) as error:
            self._backoff.note_down(error)
        self._scheduler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.dependencies.stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        self._runs.close()
        self._background.close()

    @property
    def busy(self) -> int:
        """How many runs are under way."""
        return self._runs.busy

    # -- each turn -----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Say that the loop turns; its work has a thread of its own, for a database may take its time."""
        liveness = self.dependencies.liveness
        liveness.note_turn()
        if liveness.trouble() is None:
            self.dependencies.on_turn()
        self._background.do("what is due", self.run_due)

    def run_due(self) -> None:
        """Begin what is due, as far as there are workers for it, and deliver to each consumer."""
        if not self._working.acquire(blocking=False):
            return
        try:
            if not self._backoff.skips_turn() and not self.dependencies.stopping.is_set():
                with self.dependencies.liveness.working():
                    self._open()
                    self._runs.begin_due(_by_name(self.settings))
                self._backoff.note_up()
                self._deliver()
        except (DatabaseError, DatabaseNotReady, SourceBusy) as error:
            self._backoff.note_down(error)
        finally:
            self._working.release()

    def _open(self) -> None:
        """As soon as the database answers, and again for another file in its place: its schema, a row for each source.

        Only the first is created where it is empty.
        """
        if self._file.was_replaced():
            self._is_open = False
        if self._is_open:
            return
        (require_schema if self._was_open else ensure_schema)(self.dependencies.engine)
        self._file.remember()
        self._register(self.settings)
        self._is_open = self._was_open = True
        log.info("running %s; %s", count_of(len(self.settings.sources), "source"), self._next_poll())

    def _next_poll(self) -> str:
        with reading(self.dependencies.engine) as connection:
            first = ticks.first_due(connection, list(_by_name(self.settings)))
            now = ticks.database_now(connection) or self.dependencies.clock()
        if first is None:
            return "no poll is due"
        at = "now" if first.tick is None or first.tick <= now else f"at {first.tick:%Y-%m-%dT%H:%M:%SZ}"
        return f"the next poll is of {first.name}, {at}"

    def _deliver(self) -> None:
        settings, deliver = self.settings, self.dependencies.deliver  # another thread may put others in force
        if deliver is not None:
            for alert in settings.alerts:
                self._background.do(f"delivery to {alert.name}", partial(deliver, settings, alert))

    def _note_clock_step(self, step: timedelta) -> None:
        """The wall clock was set: what is due is counted by it, so the schedule is read anew."""
        size = format_duration(abs(step))
        how = f"set back by {size}" if step < timedelta() else f"set forward by {size}, or this machine slept"
        log.warning("the wall clock was %s: the schedule goes on from the time it shows now", how)
        self._background.do("schedule", self._catch_up_schedule)

    # -- each minute ---------------------------------------------------------------------------------------------------

    def each_minute(self) -> None:
        """Say which sources are late, in case their own runs do not come, and how the last runs went."""
        if self._is_open:
            self._background.do("schedule", self._catch_up_schedule)
            self._background.do("lateness", self._note_late)
        today = self.dependencies.clock().date()
        if self.dependencies.nightly is not None and today != self._last_night:
            self._last_night = today
            self._background.do("nightly upkeep", self.dependencies.nightly)
        went_well = self._runs.latest.cycle(_by_name(self.settings))
        if went_well is not None and self.dependencies.on_cycle is not None:
            self._background.do("heartbeat", partial(self.dependencies.on_cycle, went_well))

    def _note_late(self) -> None:
        for source in self.settings.sources:
            now = self.dependencies.clock()
            feed.note_late(self.dependencies.engine, source.name, now=now, interval=source.interval)

    def _catch_up_schedule(self) -> None:
        """Bring back each due time that lies beyond a tick of its own schedule, such as one set by a wrong clock."""
        for source in self.settings.sources:
            now = self.dependencies.clock()
            with writing(self.dependencies.engine) as connection:
                passed_over = ticks.bring_back(connection, source.name, partial(next_tick, source), now)
            if passed_over is not None:
                log.warning(
                    "%s: its next poll was set for %s, which passes over ticks of its schedule: it is brought back",
                    source.name,
                    f"{passed_over:%Y-%m-%dT%H:%M:%SZ}",
                )

    # -- from outside --------------------------------------------------------------------------------------------------

    def finish(self) -> bool:
        """Wait for what is under way, as long as the grace lasts and nobody hurries; then close the runs as abandoned.

        True if everything had ended by itself.
        """
        self._scheduler.shutdown(wait=False)
        log.info("stopping: no new work; %s may finish", count_of(self.busy, "run"))
        left = self.dependencies.grace.total_seconds()
        while not self._is_idle() and left > 0 and not self.hurry.wait(_POLL_INTERVAL):
            self.dependencies.liveness.note_turn()
            left -= _POLL_INTERVAL
        if self._is_idle():
            return True
        log.warning("giving up %s", count_of(self.busy, "run"))
        closing = threading.Thread(target=self._give_up, daemon=True)  # the database may hang as well
        closing.start()
        closing.join(_SHUTDOWN_TIMEOUT)
        return False

    def _is_idle(self) -> bool:
        if self._working.locked():  # asked first: the work of this turn may still begin something, a later one may not
            return False
        return self.busy == 0 and self._background.is_idle

    def _give_up(self) -> None:
        try:
            self._runs.give_up("the daemon was stopped")
        except SyncerError as error:
            log.warning("the runs could not be closed, later ones will find them: %s", error)

    def ask_reload(self) -> None:
        """SIGHUP: read the configuration again, beside the runs."""
        self._background.do("configuration", self.reload)

    def reload(self) -> None:
        """Read the configuration again; a bad one is refused."""
        self.dependencies.on_state(*systemd.reloading())
        try:
            fresh = self.dependencies.load()
            fresh.select()
            if fresh.database_url != self.settings.database_url:
                raise SettingsError("database_url is another one: restart the daemon for that")
            self._register(fresh)
        except SyncerError as error:
            log.error("the new configuration is refused, the old one stays: %s", error)  # noqa: TRY400 - a person's
        else:
            self.settings = fresh
            self.dependencies.on_reload(fresh)
            log.info("the configuration was read again: %s", count_of(len(fresh.sources), "source"))
        finally:
            self.dependencies.on_state(systemd.READY)

    def _register(self, settings: Settings) -> None:
        """Give each configured source its row, so that it can be due; a new schedule counts from now on."""
        now = self.dependencies.clock()
        for source in settings.sources:
            record = record_of(source, self.dependencies.attempt(source).format)
            with writing(self.dependencies.engine) as connection:
                leases.register(connection, record, now)
                ticks.reschedule(connection, source.name, partial(next_tick, source), now)


def _by_name(settings: Settings) -> dict[str, SourceSettings]:
    return {source.name: source for source in settings.sources}
