"""All that syncer does for whoever asks: the command line, the daemon, the web face, a Python program (`syncer.open`).

- Nothing here prints, parses arguments or reads the clock; what a person is told is made of what is returned.
- Each source and each consumer has its turn: what went wrong with one is in its outcome, and keeps no other waiting.
- Only `sync` and `import_history` create a database that is not there yet; nothing creates one for a question.
"""

import logging
import os
import random
import re
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from itertools import takewhile
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import msgspec
from sqlalchemy.engine import Connection, Engine

from syncer.core.words import did_you_mean
from syncer.db import migrate
from syncer.db.engine import open_engine, reading, writing
from syncer.errors import (
    DONE,
    FAILED,
    HELD,
    BadResponse,
    SettingsError,
    SeveralErrors,
    SourceBusy,
    SyncerError,
    UsageError,
)
from syncer.settings import AlertSettings, Secret, Settings, SourceSettings, format_of, read_api_key, read_headers

if TYPE_CHECKING:
    from syncer.alerts.consumers import Consumer
    from syncer.alerts.delivery import Delivered, Subscription
    from syncer.attempt import Archive, Attempt
    from syncer.core.decide import Approval, Policy
    from syncer.core.formats import CompiledFormat
    from syncer.core.model import Listing, Snapshot
    from syncer.core.notices import Notice
    from syncer.core.parse import Unmatched
    from syncer.importing import Recorded
    from syncer.revert import Reverted
    from syncer.sync import Report

Clock = Callable[[], datetime]

log = logging.getLogger("syncer.service")

NO_CONSUMER = "no consumer is configured: write an [[alerts]] table with a name and a url into syncer.toml"
_AT_ONCE = 8  # sources fetched at the same time: a slow one must not keep the others from their turn


class SyncOutcome(NamedTuple):
    """What came of one source: a report, or what went wrong instead.

    `news` is False for what was said before: the same failure, or what was held already. `events` are the changes as
    CloudEvents, in feed order. `notices` is what it told of the source's health, a sentence each, but for its failure
    and what it holds.
    """

    source: str
    report: "Report | None" = None
    error: Exception | None = None
    news: bool = True
    events: Sequence[dict[str, Any]] = ()
    failed_run: int | None = None
    notices: Sequence[str] = ()

    @property
    def run_id(self) -> int | None:
        """The run that this left, where it left one: a busy source leaves none, nor does a preview."""
        return self.failed_run if self.report is None else self.report.run_id

    @property
    def word(self) -> str:
        """The outcome in one word, as in `runs`; a source that somebody else has is `busy`."""
        if self.report is not None:
            return self.report.outcome
        return "busy" if isinstance(self.error, SourceBusy) else "failed"

    @property
    def exit_code(self) -> int:
        """This source's share of a command's exit code."""
        if self.error is not None:
            return _exit_code(self.error)
        return HELD if self.word == "held" else DONE


class DeliveryOutcome(NamedTuple):
    """What came of one consumer: what was done, or what went wrong instead."""

    consumer: str
    done: "Delivered | None" = None
    error: Exception | None = None

    @property
    def exit_code(self) -> int:
        """This consumer's share of a command's exit code."""
        if self.error is not None:
            return _exit_code(self.error)
        return FAILED if self.done and (self.done.error or self.done.disabled) else DONE

    @property
    def problem(self) -> str | None:
        """What went wrong in this very round."""
        if self.error is not None:
            return str(self.error) if isinstance(self.error, SyncerError) else repr(self.error)
        return self.done.error if self.done else None


class Imported(NamedTuple):
    """What came of one line of a recording: a report, None if the source has seen it already, or why it failed."""

    line: int
    report: "Report | None" = None
    error: BadResponse | None = None

    @property
    def word(self) -> str:
        """The outcome in a word or two: as in `runs`, or `already there`."""
        if self.error is not None:
            return "failed"
        return "already there" if self.report is None else self.report.outcome


class Tried(NamedTuple):
    """What a format makes of one response: the models as they are read, and what does not fit."""

    format: "CompiledFormat"
    snapshot: "Snapshot"
    unmatched: "Unmatched"


class Syncer:
    """One configuration with its database, and all that can be done with them; `syncer.open(...)` makes one.

    To be closed, or used in a `with` block. It may be shared by threads once it has been used; time is UTC.
    """

    def __init__(
        self, settings: Settings, *, environ: Mapping[str, str], clock: Clock, owner: str | None = None
    ) -> None:
        self.settings = settings
        self._environ, self._clock = environ, clock
        self._owner = owner or process_name()
        self._engines: dict[bool, Engine] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the database."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()

    # -- the database --------------------------------------------------------------------------------------------------

    def engine(self, *, read_only: bool = False) -> Engine:
        """The configured database, whatever its schema."""
        if read_only not in self._engines:
            self._engines[read_only] = open_engine(self.settings.database_url, read_only=read_only)
        return self._engines[read_only]

    def created_database(self) -> Engine:
        """The database for what syncs: created if it is empty, refused if it is older or newer."""
        engine = self.engine()
        migrate.ensure_schema(engine)
        return engine

    def existing_database(self, *, read_only: bool = False) -> Engine:
        """The database for what writes, or asks, about what is there; raises DatabaseNotReady where there is none."""
        engine = self.engine(read_only=read_only)
        migrate.require_schema(engine)
        return engine

    def database_or_none(self) -> Engine | None:
        """The database for a dry run, which may not even create it: None where there is none yet."""
        return None if migrate.current(self.engine(read_only=True)) is None else self.existing_database(read_only=True)

    def connect(self) -> AbstractContextManager[Connection]:
        """A read-only connection for the questions of `syncer.history`, all at one moment; creates nothing.

        with syncer.open() as s, s.connect() as connection:
            history.price_at(connection, "deepseek-ai/DeepSeek-R1", at=noon)
        """
        return reading(self.existing_database(read_only=True), one_moment=True)

    # -- sources -------------------------------------------------------------------------------------------------------

    def sync(
        self,
        *names: str,
        check: bool = True,
        save_bodies: Path | None = None,
        limit: int | None = None,
        advance: Callable[[], object] = lambda: None,
    ) -> list[SyncOutcome]:
        """One run of each source called `names`, of all if there are none; the outcomes, in that order.

        When all have had their turn, what went wrong is raised: one error as it is, several as SeveralErrors; with
        `check=False` it is only in the outcomes (a bug is raised all the same). `limit` bounds the events of each
        outcome; `save_bodies` is the directory in which responses are kept, if it is not that of the settings;
        `advance` is called as each source is done.
        """
        sources = self.settings.select(names)
        engine, archive = self.created_database(), self.archive(save_bodies)
        if self.settings.alerts:
            self._enlist_new_consumers(engine)
        try:
            outcomes = _each(sources, partial(self._sync_one, engine, archive, limit=limit), advance)
        except BaseException as stop:
            if len(sources) > 1:  # the threads that go on can wait for a slow provider longer than a person will
                from syncer.db import leases
                from syncer.db.interrupt import interrupting

                with interrupting(stop), writing(engine) as connection:
                    leases.release_all(connection, self._owner, "stopped by its operator", now=self._clock())
            raise
        return _checked(outcomes, check=check)

    def preview(
        self, *names: str, check: bool = True, advance: Callable[[], object] = lambda: None
    ) -> list[SyncOutcome]:
        """What `sync` would do now, fetched and decided in the same way, and not one byte written."""
        sources = self.settings.select(names)
        return _checked(_each(sources, partial(self._preview_one, self.database_or_none()), advance), check=check)

    def approve(
        self,
        source: str,
        *,
        findings: Collection[int] | None = None,
        models: Collection[str] = (),
        comment: str | None = None,
        check: bool = True,
    ) -> SyncOutcome:
        """Say yes, once, to what is held of `source`: it is fetched again, and at most what is held is applied.

        `findings` are ids (rejected ones too), `models` globs: only those. Raises UsageError if nothing of that is
        held, and what `sync` raises.
        """
        from syncer.core.decide import Approval

        (configured,) = self.settings.select([source])
        engine = self.existing_database()
        _require_held(engine, source, findings, models)
        approval = Approval(
            findings=None if findings is None else frozenset(findings), models=tuple(models), comment=comment
        )
        try:
            outcome = self._sync_one(engine, self.archive(), configured, approval)
        except Exception as bug:  # noqa: BLE001 - it is raised by `raise_bugs`
            outcome = SyncOutcome(source, error=bug)
        return _checked([outcome], check=check)[0]

    def reject(
        self,
        source: str,
        *,
        findings: Collection[int] | None = None,
        models: Collection[str] = (),
        comment: str | None = None,
    ) -> int:
        """Say no to what is held of `source`, and how many findings that were: the known state stays.

        Nobody is asked again while upstream says the same. Raises UsageError if nothing of that is held.
        """
        from syncer.rejection import reject_findings

        engine = self.existing_database()
        _require_held(engine, source, findings, models)
        return reject_findings(engine, source, findings, models, comment, now=self._clock())

    def take_back(self, source: str, finding: int) -> None:
        """Take a rejection back: what upstream still says of it is asked again. Raises UsageError if it is none."""
        from syncer.rejection import take_back

        take_back(self.existing_database(), source, finding)

    def revert(self, run: int) -> "Reverted":
        """Take back what a run believed, by appending compensating changes; nothing is deleted.

        Raises UsageError if there is no such run, or if nothing of it can be taken back.
        """
        from syncer.revert import revert_run

        return revert_run(self.existing_database(), run, clock=self._clock, owner=self._owner)

    def import_history(
        self,
        path: Path | str,
        source: str = "default",
        *,
        trust: bool | None = None,
        format: str | None = None,  # noqa: A002 - the name of the setting
        on_line: Callable[[Imported], object] = lambda _: None,
    ) -> list[Imported]:
        """Import recorded responses, each with its own time, as if syncer had polled then; what came of each line.

        `path` is JSON lines as `save_bodies` keeps them; interrupted, it may be repeated. `source` needs no settings;
        `trust` and `format` overrule them; `on_line` is called as each line is done. Raises UsageError for a line that
        is none, or that is not later than what the source has seen: what came before it stays.
        """
        from syncer.importing import extent, read_recording

        whole = extent(Path(path))
        poll = self._importer(source, trust, format, whole.ends_at if whole else None)
        return _in_turn(map(poll, read_recording(Path(path))), on_line)

    def import_git(
        self,
        repository: Path | str,
        path: str,
        source: str = "default",
        *,
        trust: bool | None = None,
        format: str | None = None,  # noqa: A002 - the name of the setting
        on_line: Callable[[Imported], object] = lambda _: None,
    ) -> list[Imported]:
        """Import the history of a file in a git repository: each commit that changed it, at its committer time.

        `path` is from the repository's top; all else as in `import_history`.
        """
        from syncer.git_history import read_versions, versions

        found = versions(Path(repository), path)
        poll = self._importer(source, trust, format, found[-1].at)
        return _in_turn(map(poll, read_versions(Path(repository), path, found)), on_line)

    def formats(self) -> "list[CompiledFormat]":
        """The formats that a source may name: those of the configuration, then the built-in ones."""
        from syncer.core import formats
        from syncer.settings.formats import compile_format

        names = dict.fromkeys((*self.settings.formats, *formats.names()))
        return [compile_format(name, self.settings.formats, f"formats.{name}") for name in names]

    def try_format(self, url: str | None, name: str | None = None) -> Tried:
        """Fetch the catalog at `url` (or at the format's own) once, and read it by the format; no database is opened.

        Raises SettingsError where there is no URL, and UpstreamError where the response is no catalog.
        """
        from syncer.attempt import limits, request_of
        from syncer.core import parse
        from syncer.fetch import fetch
        from syncer.settings import load

        given = {"SYNCER_API_URL": url, "SYNCER_FORMAT": name, "SYNCER_API_KEY": self._environ.get("SYNCER_API_KEY")}
        plain = {variable: text for variable, text in given.items() if text}
        tables = {"formats": {name: dict(table) for name, table in self.settings.formats.items()}}
        (source,) = load(plain, cwd=Path.cwd(), table=tables).select()
        if "SYNCER_API_KEY" not in plain:  # a list may be open all the same: upstream will say
            source = msgspec.structs.replace(source, api_key_env=None)
        attempt = self._attempt(self.engine(read_only=True), source)
        attempt = self.with_credentials(attempt)
        response = fetch(request_of(attempt), clock=self._clock, limits=limits(source))
        snapshot = parse.snapshot(
            response.bodies, attempt.format, observed_at=response.received_at, http_partial=response.partial
        )
        return Tried(attempt.format, snapshot, parse.unmatched(snapshot, attempt.format))

    def reader_of_elements(self) -> "Callable[[str, str], Listing]":
        """What reads a stored element by the format of a name, as it is today; it raises ValueError where it cannot."""
        from syncer.core import parse
        from syncer.settings.formats import compile_format

        return lambda raw, name: parse.element(
            raw.encode(), compile_format(name, self.settings.formats, f"formats.{name}")
        )

    def archive(self, directory: Path | None = None) -> "Archive | None":
        """How the bodies of responses are kept, if they are: in `directory`, else where the settings say."""
        folder = directory or self.settings.save_bodies
        if folder is None:
            return None
        from syncer.archive import archive_body

        return partial(archive_body, Path(folder))

    # -- consumers -----------------------------------------------------------------------------------------------------

    def deliver(self, *, check: bool = True) -> list[DeliveryOutcome]:
        """Hand each consumer what it has not been told; the outcomes, in the order of the settings.

        One that is down is tried again later and delays no other. What went wrong is raised as by `sync`; a message
        that did not arrive is no error of ours: it is in the outcome, and will be tried again.
        """
        self._require_consumers()
        engine = self.existing_database()
        self._note_stale_sources(engine)
        return _checked(self._deliver_all(), check=check)

    def deliver_to(self, alert: AlertSettings, stop: Event) -> DeliveryOutcome:
        """Hand one consumer what it has not been told, until `stop` is set; what came of it, errors too."""
        from syncer.alerts.delivery import deliver

        try:
            subscription = _subscription(alert, self._environ, self._clock)
            done = deliver(
                self.engine(), subscription, clock=self._clock, owner=self._owner, keep_going=lambda: not stop.is_set()
            )
        except Exception as error:  # noqa: BLE001 - a bug is raised when all have had their turn
            return DeliveryOutcome(alert.name, error=error)
        return DeliveryOutcome(alert.name, done)

    def send_sample(self, consumer: str) -> str:
        """Send a consumer a sample, clearly marked as one, and what it means that its sink took it.

        Raises DeliveryError where it does not take it.
        """
        from syncer.alerts.sample import sample
        from syncer.alerts.sinks import sink_for

        alert = self._alert(consumer)
        sink = sink_for(alert, self._environ, clock=self._clock)
        sink(sample(consumer, self._clock(), random.getrandbits(64)))
        return alert.to.TOOK

    def replay(self, consumer: str, *, since: datetime) -> "Consumer":
        """Put a consumer back, so that it is told again what was observed since then, with the same event ids."""
        from syncer.alerts import consumers

        with self._writing_about(consumer) as connection:
            consumers.reposition(connection, consumer, consumers.position_before(connection, since))
            return consumers.require(connection, consumer)

    def skip(self, consumer: str) -> "Consumer":
        """Put a consumer to the end of the feed: what it has not been told, it never will be."""
        from syncer import history
        from syncer.alerts import consumers

        with self._writing_about(consumer) as connection:
            consumers.reposition(connection, consumer, history.feed_end(connection))
            return consumers.require(connection, consumer)

    def pause(self, consumer: str) -> "Consumer":
        """Tell a consumer nothing until it is resumed; it keeps its position."""
        from syncer.alerts import consumers

        with self._writing_about(consumer) as connection:
            return consumers.pause(connection, consumer, now=self._clock())

    def resume(self, consumer: str) -> "Consumer":
        """Go on, at once, with a consumer that was paused or disabled, from its position."""
        from syncer.alerts import consumers

        with self._writing_about(consumer) as connection:
            return consumers.resume(connection, consumer, now=self._clock())

    # -- inside --------------------------------------------------------------------------------------------------------

    def _attempt(self, engine: Engine, source: SourceSettings, **more: Any) -> "Attempt":  # noqa: ANN401 - fields of it
        """What an attempt at `source` is made with, but for its key; raises SettingsError for what cannot be read."""
        from syncer.attempt import Attempt

        return Attempt(
            engine=engine,
            source=source,
            format=format_of(source),
            clock=self._clock,
            owner=self._owner,
            **more,
        )

    def with_credentials(self, attempt: "Attempt") -> "Attempt":
        """The attempt with the source's key and headers as they are now; raises SettingsError where one is missing."""
        key = read_api_key(attempt.source, self._environ)
        headers = read_headers(attempt.source, self._environ)
        hidden = [value.reveal() for value in headers.values() if isinstance(value, Secret)]
        plain = {name: value.reveal() if isinstance(value, Secret) else value for name, value in headers.items()}
        return msgspec.structs.replace(attempt, key=key.reveal() if key else None, headers=plain, secrets=tuple(hidden))

    def _sync_one(
        self,
        engine: Engine,
        archive: "Archive | None",
        source: SourceSettings,
        approval: "Approval | None" = None,
        *,
        limit: int | None = None,
    ) -> SyncOutcome:
        from syncer.sync import record_failure, sync_source

        try:
            kind = "sync" if approval is None else "approve"
            attempt = self._attempt(engine, source, archive=archive, approval=approval, kind=kind)
            try:
                attempt = self.with_credentials(attempt)
            except SettingsError as error:  # an attempt that fails for the lack of a key leaves a run, too
                record_failure(attempt, error)
                raise
            report = sync_source(attempt)
            events = _events(engine, report, limit) if report.result.counts else []
            said = _sentences(engine, report)
        except SyncerError as error:
            run_id, news = _failed_run(engine, source.name, error)
            return SyncOutcome(source.name, error=error, news=news, failed_run=run_id)
        listed = report.result.listed
        log.info("%s: %s", source.name, report.outcome, extra={"run_id": report.run_id, "listed": listed})
        return SyncOutcome(source.name, report, news=bool(report.announced), events=events, notices=said)

    def _preview_one(self, engine: Engine | None, source: SourceSettings) -> SyncOutcome:
        from syncer.preview import preview_event, preview_source

        try:
            attempt = self.with_credentials(self._attempt(engine or self.engine(read_only=True), source))
            report = preview_source(attempt, is_new=engine is None)
            said = _sentences(engine, report)
        except SyncerError as error:
            return SyncOutcome(source.name, error=error)
        events = [preview_event(change, report, attempt) for change in report.changes]
        return SyncOutcome(source.name, report, news=bool(report.announced), events=events, notices=said)

    def _importer(
        self,
        source: str,
        trust: bool | None,  # noqa: FBT001 - on, off, or as set
        fmt: str | None,
        ends_at: datetime | None,
    ) -> "Callable[[Recorded], Imported]":
        from syncer.db import leases
        from syncer.importing import import_observation, import_settings
        from syncer.settings import unconfigured_trust

        known = next((known for known in self.settings.sources if known.name == source), None)
        configured = unconfigured_trust(source, self._environ) if known is None else known.trust
        engine = self.created_database()
        with reading(engine) as connection:
            stored = leases.stored_record(connection, source)
        settings = import_settings(stored, known, source)
        settings = msgspec.structs.replace(
            settings,
            trust=configured if trust is None else trust,
            format=fmt or settings.format,
            formats=self.settings.formats,
        )
        attempt = self._attempt(engine, settings, kind="import")

        def poll(recorded: "Recorded") -> Imported:
            try:
                report = import_observation(attempt, recorded, ends_at=ends_at)
            except BadResponse as error:
                return Imported(recorded.line, error=error)
            return Imported(recorded.line, report)

        return poll

    def _deliver_all(self) -> list[DeliveryOutcome]:
        """A thread for each: a dead one costs a deadline, and nobody else's time."""
        from concurrent.futures import ThreadPoolExecutor

        stop = Event()
        with ThreadPoolExecutor(len(self.settings.alerts), thread_name_prefix="syncer-alerts") as pool:
            try:
                return list(pool.map(partial(self.deliver_to, stop=stop), self.settings.alerts))
            except BaseException:
                stop.set()  # by a signal: each thread ends with the message at hand
                raise

    def _note_stale_sources(self, engine: Engine) -> None:
        """A source that nobody syncs any more says nothing by itself."""
        from syncer.db import feed

        for source in self.settings.sources:
            feed.note_late(engine, source.name, now=self._clock(), interval=source.interval)

    def _alert(self, name: str) -> AlertSettings:
        """The settings of a consumer; raises UsageError, with the nearest name, for one that is not configured."""
        self._require_consumers()
        by_name = {alert.name: alert for alert in self.settings.alerts}
        if name not in by_name:
            raise UsageError(f"there is no [[alerts]] table named {name!r}{did_you_mean(name, by_name, cutoff=0)}")
        return by_name[name]

    def _require_consumers(self) -> None:
        if not self.settings.alerts:
            raise UsageError(NO_CONSUMER)

    @contextmanager
    def _writing_about(self, consumer: str) -> Iterator[Connection]:
        """A writing transaction; a configured consumer may be spoken of before its first delivery."""
        with writing(self.existing_database()) as connection:
            self._enlist(connection, [alert for alert in self.settings.alerts if alert.name == consumer])
            yield connection

    def _enlist_new_consumers(self, engine: Engine) -> None:
        """Give each its position before anything is synced: what this very sync finds is news to it."""
        from syncer.alerts import consumers

        with reading(engine) as connection:
            known = {consumer.name for consumer in consumers.all_consumers(connection)}
        new = [alert for alert in self.settings.alerts if alert.name not in known]
        if new:
            with writing(engine) as connection:
                self._enlist(connection, new)

    def _enlist(self, connection: Connection, alerts: Iterable[AlertSettings]) -> None:
        from syncer.alerts import consumers

        for alert in alerts:
            consumers.enlist(connection, alert.name, start=alert.start, now=self._clock())


def _in_turn(lines: Iterable[Imported], on_line: Callable[[Imported], object]) -> list[Imported]:
    done = []
    for line in lines:
        done.append(line)
        on_line(line)
    return done


def policies(settings: Settings) -> "dict[str, Policy]":
    """The rules of each configured source by its name, as far as it has any."""
    from syncer.attempt import policy

    found = ((source.name, policy(source)) for source in settings.sources)
    return {name: rules for name, rules in found if rules is not None}


def process_name() -> str:
    """Who holds the leases of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def raise_bugs(outcomes: Iterable[SyncOutcome | DeliveryOutcome]) -> None:
    """Raise what no person caused, when all have had their turn: one bug as it is, several in an ExceptionGroup."""
    bugs = [one.error for one in outcomes if one.error is not None and not isinstance(one.error, SyncerError)]
    if len(bugs) == 1:
        raise bugs[0]
    if bugs:
        raise ExceptionGroup("several failed for reasons that are bugs in syncer", bugs)


def raise_errors(outcomes: Iterable[SyncOutcome | DeliveryOutcome]) -> None:
    """Raise what went wrong, bugs first: one error as it is, several as SeveralErrors."""
    outcomes = list(outcomes)
    raise_bugs(outcomes)
    errors = [one.error for one in outcomes if isinstance(one.error, SyncerError)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SeveralErrors(errors)


_Outcome = TypeVar("_Outcome", SyncOutcome, DeliveryOutcome)


def _checked(outcomes: list[_Outcome], *, check: bool) -> list[_Outcome]:
    if check:
        raise_errors(outcomes)
    return outcomes


def _exit_code(error: Exception) -> int:
    return error.exit_code if isinstance(error, SyncerError) else FAILED


# -- several sources at a time -----------------------------------------------------------------------------------------


def _each(
    sources: Sequence[SourceSettings], sync: Callable[[SourceSettings], SyncOutcome], advance: Callable[[], object]
) -> list[SyncOutcome]:
    """Poll all of them, several at a time; what came of each, in the order of the configuration."""
    if len(sources) == 1:  # in this thread: a signal then ends the fetch itself
        return [sync(sources[0])]
    from queue import SimpleQueue
    from threading import Thread

    waiting = list(reversed(sources))
    done: SimpleQueue[SyncOutcome] = SimpleQueue()
    for _ in sources[:_AT_ONCE]:  # daemons: the process may end while a provider keeps them waiting
        Thread(target=_work, args=(waiting, sync, done), name="syncer-source", daemon=True).start()
    outcomes = {}
    try:
        for _ in sources:
            outcome = done.get()
            outcomes[outcome.source] = outcome
            advance()
    finally:
        waiting.clear()  # stopped by a signal: no thread begins another one
    return [outcomes[source.name] for source in sources]


def _work(waiting: list[SourceSettings], sync: Callable[[SourceSettings], SyncOutcome], done: Any) -> None:  # noqa: ANN401 - a SimpleQueue
    """One thread's share. A bug in one source is raised when all the others have had their turn."""
    while True:
        try:
            source = waiting.pop()
        except IndexError:
            return
        try:
            outcome = sync(source)
        except Exception as bug:  # noqa: BLE001 - it is raised by `raise_bugs`
            outcome = SyncOutcome(source.name, error=bug)
        done.put(outcome)


# -- what is told of one run -------------------------------------------------------------------------------------------


def _require_held(engine: Engine, source: str, findings: Collection[int] | None, models: Collection[str]) -> None:
    """Raise UsageError where nothing of that is held; a rejection is meant only by its id."""
    from syncer import history

    with reading(engine) as connection:
        held = history.held(connection, source=source)
        if findings is not None:
            held += history.held(connection, source=source, rejected=True)
    if not any(
        (findings is None or finding.id in findings)
        and (not models or any(fnmatchcase(model.model, glob) for model in finding.models for glob in models))
        for finding in held
    ):
        raise UsageError(f"nothing like that is held for {source}: see `syncer held`")


def _events(engine: Engine, report: "Report", limit: int | None) -> list[dict[str, Any]]:
    from syncer.alerts.event import events

    with reading(engine) as connection:
        return list(events(connection, run=report.run_id, limit=limit))


def _sentences(engine: Engine | None, report: "Report") -> list[str]:
    """What a run told of its source's health: not of single models, nor what it holds, which is said in full."""
    from syncer.core.notices import NoticeKind

    left_out = {NoticeKind.HELD, NoticeKind.MISSING, NoticeKind.RETURNED}
    return [_sentence(engine, report, notice) for notice in report.notices if notice.kind not in left_out]


def _sentence(engine: Engine | None, report: "Report", notice: "Notice") -> str:
    from syncer.core.notices import FAILED, LATE, NoticeKind
    from syncer.core.words import describe_duration, describe_notice
    from syncer.db import feed

    if notice.kind == NoticeKind.RECOVERED and notice.data["from"] in {FAILED, LATE}:
        if engine is None or report.run_id is None:  # a preview: it has not recovered yet
            return "is back"
        with reading(engine) as connection:
            lasted = feed.last_outage(connection, report.source)
        return "is back" if lasted is None else f"is back after {describe_duration(lasted)}"
    return f"{notice.kind.value}: {describe_notice({'kind': notice.kind.value, **notice.data})}"


_AN_OUTAGE = 200  # failed runs of one outage in which an error is looked for


def _failed_run(engine: Engine, source: str, error: SyncerError) -> tuple[int | None, bool]:
    """The run in which this was just recorded, and whether it is the first failure of its kind in this outage."""
    from syncer import history

    if isinstance(error, SourceBusy):
        return None, False  # somebody is doing the work
    try:
        with reading(engine) as connection:
            last = list(history.runs(connection, source=source, limit=_AN_OUTAGE))
    except SyncerError:
        return None, True
    if not last or last[0].outcome != "failed":
        return None, True
    outage = takewhile(lambda run: run.outcome not in _OBSERVATIONS, last[1:])
    return last[0].id, _gist(last[0].error) not in {_gist(run.error) for run in outage if run.outcome == "failed"}


_OBSERVATIONS = frozenset({"changed", "unchanged", "held"})


def _gist(error: str | None) -> str:
    """An error without what differs each time: numbers, and what is quoted of a page."""
    return re.sub(r"'.*'|\".*\"|\d+", "", error or "")


def _subscription(alert: AlertSettings, environ: Mapping[str, str], clock: Clock) -> "Subscription":
    from syncer.alerts.delivery import Subscription
    from syncer.alerts.rules import AlertRule
    from syncer.alerts.sinks import sink_for

    rule = AlertRule(
        kinds=frozenset(alert.kinds),
        models=alert.models,
        types=alert.types,
        sources=alert.sources,
        components=frozenset(alert.components),
        direction=alert.direction,
        min_percent=alert.min_percent,
        min_absolute=alert.min_absolute,
        quiet=timedelta(minutes=alert.quiet_minutes),
        net=alert.net,
        news_only=alert.start == "end",
    )
    sink = sink_for(alert, environ, clock=clock)
    return Subscription(name=alert.name, rule=rule, sink=sink, start=alert.start, digest=alert.digest)
