"""Runs of sources: one, a preview of one, several at a time."""

import logging
from collections.abc import Callable, Collection, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Engine

from syncer.db.engine import reading, writing
from syncer.errors import SettingsError, SyncerError, UsageError
from syncer.service.context import Context
from syncer.service.outcomes import SyncOutcome
from syncer.service.run_news import events_of, failed_run, sentences_of
from syncer.settings import SourceSettings

if TYPE_CHECKING:
    from syncer.attempt import Archive
    from syncer.core.decide import Approval

log = logging.getLogger("syncer.service")

_AT_ONCE = 8  # sources fetched at the same time: a slow one must not keep the others from their turn


def sync_all(
    context: Context,
    sources: Sequence[SourceSettings],
    archive: "Archive | None",
    limit: int | None,
    advance: Callable[[], object],
) -> list[SyncOutcome]:
    """One run of each of them; what came of each, in that order."""
    engine = context.created_database()
    if context.settings.alerts:
        from syncer.service.deliveries import enlist_new

        enlist_new(context, engine)
    try:
        return _each(sources, partial(sync_one, context, engine, archive, limit=limit), advance)
    except BaseException as stop:
        if len(sources) > 1:  # the threads that go on can wait for a slow provider longer than a person will
            from syncer.db import leases
            from syncer.db.interrupt import interrupting

            with interrupting(stop), writing(engine) as connection:
                leases.release_all(connection, context.owner, "stopped by its operator", now=context.clock())
        raise


def preview_all(
    context: Context, sources: Sequence[SourceSettings], advance: Callable[[], object]
) -> list[SyncOutcome]:
    """What a run of each of them would do."""
    return _each(sources, partial(preview_one, context, context.database_or_none()), advance)


def approve(context: Context, source: SourceSettings, approval: "Approval") -> SyncOutcome:
    """A run that applies what a person has said yes to, and no more than was held; a bug is in the outcome, too."""
    engine = context.existing_database()
    require_held(engine, source.name, approval.findings, approval.models)
    try:
        return sync_one(context, engine, context.archive(), source, approval)
    except Exception as bug:  # noqa: BLE001 - it is raised by `raise_bugs`
        return SyncOutcome(source.name, error=bug)


def sync_one(
    context: Context,
    engine: Engine,
    archive: "Archive | None",
    source: SourceSettings,
    approval: "Approval | None" = None,
    *,
    limit: int | None = None,
) -> SyncOutcome:
    """One run of one source; what a person can mend is in the outcome, a bug is raised."""
    from syncer.failures import record_failure
    from syncer.sync import sync_source

    try:
        kind = "sync" if approval is None else "approve"
        attempt = context.attempt(engine, source, archive=archive, approval=approval, kind=kind)
        try:
            attempt = context.with_credentials(attempt)
        except SettingsError as error:  # an attempt that fails for the lack of a key leaves a run, too
            record_failure(attempt, error)
            raise
        report = sync_source(attempt)
        events = events_of(engine, report, limit) if report.result.counts else []
        said = sentences_of(engine, report)
    except SyncerError as error:
        run_id, news = failed_run(engine, source.name, error)
        return SyncOutcome(source.name, error=error, news=news, failed_run=run_id)
    listed = report.result.listed
    log.info("%s: %s", source.name, report.outcome, extra={"run_id": report.run_id, "listed": listed})
    return SyncOutcome(source.name, report, news=bool(report.announced), events=events, notices=said)


def preview_one(context: Context, engine: Engine | None, source: SourceSettings) -> SyncOutcome:
    """What a run of one source would do; `engine` is None where there is no database yet."""
    from syncer.preview import preview_event, preview_source

    try:
        attempt = context.with_credentials(context.attempt(engine or context.engine(read_only=True), source))
        report = preview_source(attempt, is_new=engine is None)
        said = sentences_of(engine, report)
    except SyncerError as error:
        return SyncOutcome(source.name, error=error)
    events = [preview_event(change, report, attempt) for change in report.changes]
    return SyncOutcome(source.name, report, news=bool(report.announced), events=events, notices=said)


def require_held(engine: Engine, source: str, findings: Collection[int] | None, models: Collection[str]) -> None:
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
