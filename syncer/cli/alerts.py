"""`syncer alerts`: who is told what, how far they are, and what the other side says."""

import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from syncer.cli.app import DONE, FAILED, App, Group, form, now, row_options, worst
from syncer.cli.output import print_line, print_rows
from syncer.cli.syncing import owner, raise_bugs
from syncer.cli.times import MOMENT
from syncer.errors import SyncerError, UsageError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from syncer.alerts.consumers import Consumer
    from syncer.alerts.delivery import Delivered, Subscription
    from syncer.settings import AlertSettings, Settings


@click.group("alerts", cls=Group)
def alerts_command() -> None:
    """Tell other tools: each [[alerts]] table is a consumer with a position of its own in the feed.

    Nothing is lost: a consumer that cannot be reached is tried again for five days, then disabled where it stands.
    """


# -- list --------------------------------------------------------------------------------------------------------------


@alerts_command.command("list")
@row_options
@click.pass_obj
def list_command(app: App) -> None:
    """Show each consumer: its position, what it has not been told yet, its last error and next attempt.

    `lag` is in feed ids, `lag_seconds` the age of the oldest of them. A consumer that left the configuration is an
    `orphan`, and has no lag; a `new` one begins with the first `syncer alerts deliver`.
    """
    from syncer import history
    from syncer.alerts import consumers
    from syncer.alerts.feed import oldest_after

    configured = {alert.name for alert in app.settings.alerts}
    present = now()
    with app.reader() as connection:
        end = history.feed_end(connection)
        known = {consumer.name: consumer for consumer in consumers.all_consumers(connection)}
        ages = {name: oldest_after(connection, consumer.position) for name, consumer in known.items()}
    columns = ("consumer", "state", "position", "lag", "lag_seconds", "last_delivered_at", "next_attempt_at", "error")
    rows = [_row(consumer, end, ages[name], present, configured) for name, consumer in known.items()]
    rows += [(name, "new", *[None] * 6) for name in sorted(configured - known.keys())]
    print_rows(columns, rows, format=form(), out=sys.stdout, title="Consumers")


def _row(
    consumer: "Consumer", end: int, oldest: datetime | None, present: datetime, configured: set[str]
) -> tuple[Any, ...]:
    from syncer.alerts import consumers

    is_orphan = consumer.name not in configured and consumer.state != consumers.CURSOR
    lag = None if is_orphan or consumer.position > end else end - consumer.position
    seconds = None if lag is None else int((present - oldest).total_seconds()) if oldest else 0
    state = "orphan" if is_orphan else consumer.state
    delivered, due = consumer.last_delivered_at, consumer.next_attempt_at
    return consumer.name, state, consumer.position, lag, seconds, delivered, due, _trouble(consumer, end)


def _trouble(consumer: "Consumer", end: int) -> str | None:
    """What is wrong, or why it is not told anything."""
    from syncer.alerts import consumers

    try:
        consumers.require_within(consumer, end)
    except UsageError as beyond:
        return str(beyond)
    return consumer.reason or consumer.last_error


# -- deliver -----------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What came of one consumer: what was done, or what went wrong instead."""

    name: str
    done: "Delivered | None" = None
    error: Exception | None = None

    @property
    def exit_code(self) -> int:
        """This consumer's share of the exit code."""
        if self.error is not None:
            return self.error.exit_code if isinstance(self.error, SyncerError) else FAILED
        return FAILED if self.done and (self.done.error or self.done.disabled) else DONE

    @property
    def problem(self) -> str | None:
        """What went wrong in this very round."""
        if self.error is not None:
            return str(self.error) if isinstance(self.error, SyncerError) else repr(self.error)
        return self.done.error if self.done else None


@alerts_command.command("deliver")
@click.option("--quiet", "-q", is_flag=True, help="Print only new problems (for cron mail).")
@click.pass_context
def deliver_command(ctx: click.Context, *, quiet: bool) -> None:
    """Hand every consumer what it has not been told; put it behind `syncer sync` in cron.

    One that is down is tried again later, and delays no other.

    \b
    Exit codes, the worst of all consumers: 0 done, 1 one could not be reached or is disabled,
    2 usage or configuration, 75 another syncer took one over.
    """
    app: App = ctx.obj
    app.start_logging()
    _require_some(app)
    engine = app.amender()
    _note_stale_sources(app, engine)
    outcomes = _deliver_all(engine, app.settings)
    for outcome in outcomes:
        _print_outcome(outcome, quiet=quiet)
    raise_bugs((outcome.error for outcome in outcomes), "consumers")
    ctx.exit(worst({outcome.exit_code for outcome in outcomes}))


def _deliver_all(engine: "Engine", settings: "Settings") -> list[Outcome]:
    """A thread for each: a dead one costs a deadline, and nobody else's time."""
    stop = Event()
    with ThreadPoolExecutor(len(settings.alerts), thread_name_prefix="syncer-alerts") as pool:
        try:
            return list(pool.map(partial(deliver_to, engine, stop), settings.alerts))
        except BaseException:
            stop.set()  # by a signal: each thread ends with the message at hand
            raise


def deliver_to(engine: "Engine", stop: Event, alert: "AlertSettings") -> Outcome:
    """Hand one consumer what it was not told, until `stop` is set; what came of it, errors too."""
    from syncer.alerts.delivery import deliver

    try:
        subscription = _subscription(alert)
        done = deliver(engine, subscription, clock=now, owner=owner(), keep_going=lambda: not stop.is_set())
    except Exception as error:  # noqa: BLE001 - a bug is raised by `raise_bugs`, when all have had their turn
        return Outcome(alert.name, error=error)
    return Outcome(alert.name, done)


def _print_outcome(outcome: Outcome, *, quiet: bool) -> None:
    if outcome.problem is not None:
        print_line(f"{outcome.name}: {outcome.problem}", out=sys.stderr)
    done = outcome.done
    if done is None or quiet:
        return
    if done.messages:
        told = f"{_count(done.events, 'event')} in {_count(done.messages, 'message')}"
        print_line(f"{outcome.name}: {told}", out=sys.stdout)
    elif done.error is None:
        print_line(f"{outcome.name}: {done.idle or 'nothing new'}", out=sys.stdout)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _subscription(alert: "AlertSettings") -> "Subscription":
    from syncer.alerts.delivery import Subscription
    from syncer.alerts.rules import Rule
    from syncer.alerts.sinks import sink_for

    rule = Rule(
        kinds=frozenset(alert.kinds),
        models=alert.models,
        types=alert.types,
        sources=alert.sources,
        direction=alert.direction,
        min_percent=alert.min_percent,
        min_absolute=alert.min_absolute,
        quiet=timedelta(minutes=alert.quiet_minutes),
        net=alert.net,
        news_only=alert.start == "end",
    )
    sink = sink_for(alert, os.environ, clock=now)
    return Subscription(name=alert.name, rule=rule, sink=sink, start=alert.start, digest=alert.digest)


def _note_stale_sources(app: App, engine: "Engine") -> None:
    """A source that nobody syncs any more says nothing by itself."""
    from syncer.db import notices

    for source in app.settings.sources:
        notices.note_stale(engine, source.name, now=now(), interval=source.interval)


# -- test --------------------------------------------------------------------------------------------------------------


@alerts_command.command("test")
@click.argument("name")
@click.pass_obj
def test_command(app: App, name: str) -> None:
    """Send NAME a sample, clearly marked as one, and say what the other side answered."""
    from syncer.alerts.sample import sample
    from syncer.alerts.sinks import sink_for

    alert = _alert(app, name)
    sink_for(alert, os.environ, clock=now)(sample(name, now(), random.getrandbits(64)))
    print_line(f"{name}: {alert.to.TOOK}", out=sys.stdout)


# -- what a person does with one ---------------------------------------------------------------------------------------


@alerts_command.command("replay")
@click.argument("name")
@click.option("--since", type=MOMENT, required=True, metavar="T", help="Tell it again what was seen from T on.")
@click.pass_obj
def replay_command(app: App, name: str, since: datetime) -> None:
    """Put NAME back, so that it is told again what happened since T, with the same event ids."""
    from syncer.alerts import consumers
    from syncer.db.engine import writing

    with writing(app.amender()) as connection:
        _ensure(app, connection, name)
        position = consumers.position_before(connection, since)
        consumer = consumers.reposition(connection, name, position)
    print_line(f"{name}: goes on behind feed id {position}{_but(consumer)}", out=sys.stdout)


@alerts_command.command("skip")
@click.argument("name")
@click.pass_obj
def skip_command(app: App, name: str) -> None:
    """Put NAME to the end of the feed: what it was not told, it will not be."""
    from syncer import history
    from syncer.alerts import consumers
    from syncer.db.engine import writing

    with writing(app.amender()) as connection:
        _ensure(app, connection, name)
        position = history.feed_end(connection)
        consumer = consumers.reposition(connection, name, position)
    print_line(f"{name}: goes on behind feed id {position}, the end of the feed{_but(consumer)}", out=sys.stdout)


@alerts_command.command("pause")
@click.argument("name")
@click.pass_obj
def pause_command(app: App, name: str) -> None:
    """Tell NAME nothing until it is resumed; it keeps its position."""
    from syncer.alerts import consumers
    from syncer.db.engine import writing

    with writing(app.amender()) as connection:
        _ensure(app, connection, name)
        consumer = consumers.pause(connection, name, now=now())
    print_line(f"{name}: {consumer.state}, behind feed id {consumer.position}", out=sys.stdout)


@alerts_command.command("resume")
@click.argument("name")
@click.pass_obj
def resume_command(app: App, name: str) -> None:
    """Go on with a NAME that was paused or disabled, from where it stands, at once."""
    from syncer.alerts import consumers
    from syncer.db.engine import writing

    with writing(app.amender()) as connection:
        _ensure(app, connection, name)
        consumer = consumers.resume(connection, name, now=now())
    print_line(f"{name}: {consumer.state}, goes on behind feed id {consumer.position}", out=sys.stdout)


def _but(consumer: "Consumer") -> str:
    from syncer.alerts import consumers

    stopped = consumer.state in {consumers.PAUSED, consumers.DISABLED}
    return f", once it is resumed (it is {consumer.state})" if stopped else ""


def _ensure(app: App, connection: "Connection", name: str) -> None:
    """A configured consumer may be spoken of before its first delivery."""
    from syncer import history
    from syncer.alerts import consumers

    for alert in app.settings.alerts:
        if alert.name == name:
            position = 0 if alert.start == "beginning" else history.feed_end(connection)
            consumers.register(connection, name, position=position, now=now())


def _require_some(app: App) -> None:
    if not app.settings.alerts:
        raise UsageError("no consumer is configured: write an [[alerts]] table with a name and a url into syncer.toml")


def _alert(app: App, name: str) -> "AlertSettings":
    from difflib import get_close_matches

    _require_some(app)
    by_name = {alert.name: alert for alert in app.settings.alerts}
    if name not in by_name:
        (nearest,) = get_close_matches(name, list(by_name), n=1, cutoff=0)
        raise UsageError(f"there is no [[alerts]] table named {name!r}: did you mean {nearest}?")
    return by_name[name]
