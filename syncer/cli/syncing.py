"""`syncer sync`: one run of each source, and what is said about it."""

import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
from sqlalchemy.engine import Engine

from syncer.cli.app import DONE, FAILED, HELD, App, now, worst
from syncer.cli.output import json_line, print_line, progress
from syncer.cli.wording import change_line, summary
from syncer.core.decide import FindingKind
from syncer.core.model import Kind
from syncer.db import store
from syncer.db.engine import reading, writing
from syncer.errors import SettingsError, SourceBusy, SyncerError
from syncer.settings import SourceSettings, read_api_key
from syncer.sync import Archive, Report, record_failure, sync_source

log = logging.getLogger("syncer.cli")

_SHOWN = 100  # changes listed in text; a first sync may have a hundred thousand, and the feed has them all
_AT_ONCE = 8  # sources fetched at the same time: a slow one must not keep the others from their turn


class Outcome(NamedTuple):
    """What came of one source: a report or what went wrong instead, and whether that is news."""

    source: str
    report: Report | None = None
    error: Exception | None = None
    news: bool = True
    events: Sequence[dict[str, Any]] = ()

    @property
    def word(self) -> str:
        """The outcome in one word, as in `runs`; a source that somebody else has is `busy`."""
        if self.report is not None:
            return self.report.outcome
        return "busy" if isinstance(self.error, SourceBusy) else "failed"

    @property
    def exit_code(self) -> int:
        """This source's share of the exit code."""
        if self.error is not None:
            return self.error.exit_code if isinstance(self.error, SyncerError) else FAILED
        return HELD if self.word == "held" else DONE


Poll = Callable[[SourceSettings], Outcome]


@click.command("sync")
@click.option("--source", "names", multiple=True, metavar="NAME", help="Only this source; may be repeated.")
@click.option("--quiet", "-q", is_flag=True, help="Print only changes and new problems (for cron mail).")
@click.option("--dry-run", is_flag=True, help="Fetch and compare, print what would change, write nothing at all.")
@click.option(
    "--save-bodies",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep each response that had to be read: a line of a gzip JSONL file a month and source.",
)
@click.option("--json", "as_json", is_flag=True, help="One report object a source, one a line.")
@click.pass_context
def sync_command(
    ctx: click.Context, names: tuple[str, ...], *, quiet: bool, dry_run: bool, save_bodies: Path | None, as_json: bool
) -> None:
    """Look at each source once, and bring its catalog and history up to date.

    Put it into cron: `7 * * * * syncer sync --quiet`. Running it twice, or on two machines, does no harm.

    \b
    Exit codes, the worst of all sources: 0 done, 1 failed, 2 usage or configuration (such as a
    missing key), 3 something is held for you to decide (syncer held), 75 somebody else is syncing it.
    """
    app: App = ctx.obj
    app.start_logging()
    sources = app.settings.select(names)
    archive = archiver(app, save_bodies)
    with progress("syncing", total=len(sources), err=sys.stderr) as advance:
        if dry_run:
            outcomes = _each(sources, partial(_preview, app.looker()), advance)
        else:
            outcomes = _sync_each(app.writer(), sources, archive, advance, limit=None if as_json else _SHOWN)
    for outcome in outcomes:
        (_print_json if as_json else _print_text)(outcome, quiet=quiet)
    raise_bugs((outcome.error for outcome in outcomes), "sources")
    ctx.exit(worst({outcome.exit_code for outcome in outcomes}))


def owner() -> str:
    """Who holds the leases of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def archiver(app: App, directory: Path | None = None) -> Archive | None:
    """How bodies are kept, if they are: in `directory`, else where the settings say."""
    if directory is None and app.settings.save_bodies is None:
        return None
    from syncer.archive import archive_body

    return partial(archive_body, directory or Path(str(app.settings.save_bodies)))


def report_one(
    engine: Engine, source: SourceSettings, archive: Archive | None, *, approving: Collection[FindingKind]
) -> int:
    """Sync one source with a person's yes, print what came of it, and give the exit code."""
    outcome = _sync(engine, archive, source, approving)
    _print_text(outcome, quiet=False)
    return outcome.exit_code


def raise_bugs(errors: Iterable[Exception | None], of: str) -> None:
    """Raise what no person caused, when all have had their turn: one bug as it is, several in an ExceptionGroup.

    `of` says what the errors are of, in the plural.
    """
    bugs = [error for error in errors if error is not None and not isinstance(error, SyncerError)]
    if len(bugs) == 1:
        raise bugs[0]
    if bugs:
        raise ExceptionGroup(f"several {of} failed for reasons that are bugs in syncer", bugs)


# -- several sources at a time -----------------------------------------------------------------------------------------


def _sync_each(
    engine: Engine,
    sources: Sequence[SourceSettings],
    archive: Archive | None,
    advance: Callable[[], None],
    *,
    limit: int | None,
) -> list[Outcome]:
    try:
        return _each(sources, partial(_sync, engine, archive, limit=limit), advance)
    except BaseException as stop:
        if len(sources) > 1:  # the threads that go on can wait for a slow provider longer than a person will
            with writing(engine) as connection:
                store.release_all(connection, owner(), store.Failure(error=f"stopped ({stop!r})"), now=now())
        raise


def _each(sources: Sequence[SourceSettings], poll: Poll, advance: Callable[[], None]) -> list[Outcome]:
    """Look at all of them, several at a time; what came of each, in the order of the configuration."""
    if len(sources) == 1:  # in this thread: a signal then ends the fetch itself
        return [poll(sources[0])]
    from queue import SimpleQueue
    from threading import Thread

    waiting = list(reversed(sources))
    done: SimpleQueue[Outcome] = SimpleQueue()
    for _ in sources[:_AT_ONCE]:  # daemons: the process may end while a provider keeps them waiting
        Thread(target=_work, args=(waiting, poll, done), name="syncer-source", daemon=True).start()
    outcomes = {}
    try:
        for _ in sources:
            outcome = done.get()
            outcomes[outcome.source] = outcome
            advance()
    finally:
        waiting.clear()  # stopped by a signal: no thread begins another one
    return [outcomes[source.name] for source in sources]


def _work(waiting: list[SourceSettings], poll: Poll, done: Any) -> None:  # noqa: ANN401 - a SimpleQueue
    """One thread's share. A bug in one source is raised when all the others have had their turn."""
    while True:
        try:
            source = waiting.pop()
        except IndexError:
            return
        try:
            outcome = poll(source)
        except Exception as bug:  # noqa: BLE001 - it is raised by `raise_bugs`
            outcome = Outcome(source.name, error=bug)
        done.put(outcome)


# -- one source --------------------------------------------------------------------------------------------------------


def _sync(
    engine: Engine,
    archive: Archive | None,
    source: SourceSettings,
    approving: Collection[FindingKind] = (),
    *,
    limit: int | None = _SHOWN,
) -> Outcome:
    try:
        key = _key(engine, source)
        report = sync_source(engine, source, key=key, clock=now, owner=owner(), archive=archive, approving=approving)
        events = _events(engine, report, limit) if report.counts else []
    except SyncerError as error:
        return Outcome(source.name, error=error, news=_is_news(engine, source.name, error))
    log.info("%s: %s", source.name, report.outcome, extra={"run_id": report.run_id, "listed": report.listed})
    return Outcome(source.name, report, news=bool(report.doubts), events=events)


def _key(engine: Engine, source: SourceSettings) -> str | None:
    """The source's key; an attempt that fails for the lack of it leaves a run, too."""
    try:
        key = read_api_key(source, os.environ)
    except SettingsError as error:
        record_failure(engine, source, error, clock=now, owner=owner())
        raise
    return key.reveal() if key else None


def _preview(engine: Engine | None, source: SourceSettings) -> Outcome:
    from syncer.cli.wording import preview_event
    from syncer.preview import preview_source

    try:
        key = read_api_key(source, os.environ)
        report = preview_source(engine, source, key=key.reveal() if key else None, clock=now)
    except SyncerError as error:
        return Outcome(source.name, error=error)
    events = [preview_event(change, report, source) for change in report.changes]
    return Outcome(source.name, report, news=bool(report.doubts), events=events)


def _events(engine: Engine, report: Report, limit: int | None) -> list[dict[str, Any]]:
    from syncer.alerts.event import events

    with reading(engine) as connection:
        return list(events(connection, run=report.run_id, limit=limit))


def _is_news(engine: Engine, source: str, error: SyncerError) -> bool:
    """Whether the failure just recorded is another one than that of the run before."""
    from syncer import history

    if isinstance(error, SourceBusy):
        return False  # somebody is doing the work
    try:
        with reading(engine) as connection:
            last = list(history.runs(connection, source=source, limit=2))
    except SyncerError:
        return True
    return len(last) < 2 or last[1].outcome != "failed" or _gist(last[0].error) != _gist(last[1].error)


def _gist(error: str | None) -> str:
    """An error without what differs each time: numbers, and what is quoted of a page."""
    return re.sub(r"'.*'|\".*\"|\d+", "", error or "")


# -- what is said ------------------------------------------------------------------------------------------------------


def _print_json(outcome: Outcome, *, quiet: bool) -> None:
    if quiet and not (outcome.news or outcome.events):
        return
    report, error = outcome.report, outcome.error
    print_line(
        json_line(
            {
                "source": outcome.source,
                "run_id": report.run_id if report else None,
                "kind": report.kind if report else "sync",
                "outcome": outcome.word,
                "observed_at": report.observed_at if report else None,
                "http_status": report.http_status if report else getattr(error, "http_status", None),
                "listed": report.listed if report else None,
                **{kind.value: report.counts.get(kind, 0) if report else 0 for kind in Kind},
                "rejected": report.rejected if report else 0,
                "withheld": report.withheld if report else 0,
                "missing": report.missing if report else 0,
                "error": str(error) if error else report.error if report else None,
                "changes": outcome.events,
            }
        ),
        out=sys.stdout,
    )


def _print_text(outcome: Outcome, *, quiet: bool) -> None:
    if quiet and not (outcome.news or outcome.events):
        return
    if outcome.report is None:
        print_line(f"{outcome.source}: {outcome.word}: {outcome.error}", out=sys.stderr)
        return
    print_line(f"{outcome.source}: {summary(outcome.report)}", out=sys.stdout)
    shown = outcome.events[:_SHOWN]
    for event in shown:
        print_line(f"  {change_line(event['data'])}", out=sys.stdout)
    if more := sum(outcome.report.counts.values()) - len(shown):
        rest = f"syncer changes --source {outcome.source} --after {shown[-1]['id']}" if "id" in shown[-1] else "--json"
        print_line(f"  ... and {more} more: {rest}", out=sys.stdout)
    if outcome.report.error and (outcome.news or not quiet):
        print_line(f"  held: {outcome.report.error} (syncer held)", out=sys.stdout)
