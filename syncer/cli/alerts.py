"""`syncer alerts`: who is told what, how far they are, and what the other side says."""

import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from syncer.cli.app import App, Group, form, now, row_options
from syncer.cli.output import print_line, print_rows
from syncer.cli.syncing import owner
from syncer.cli.times import MOMENT
from syncer.errors import SyncerError, UsageError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from syncer.alerts.consumers import Consumer
    from syncer.alerts.delivery import Subscription
    from syncer.settings import AlertSettings

_AT_ONCE = 16  # consumers at the same time: a dead one costs a deadline, and must cost it nobody else


@click.group("alerts", cls=Group)
def alerts_command() -> None:
    """Tell other tools: each [[alerts]] table is a consumer with a position of its own in the feed.

    Nothing is lost: a consumer that cannot be reached is tried again for five days, then disabled where it stands.
    """


@alerts_command.command("list")
@row_options
@click.pass_obj
def list_command(app: App) -> None:
    """Show each consumer: its position, what it has not been told yet, its last error and next attempt.

    `lag` is in feed ids, `lag_seconds` the age of the oldest of them. A consumer that left the configuration is an
    `orphan`.
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
    rows += [(name, "new", None, None, None, None, None, None) for name in sorted(configured - known.keys())]
    print_rows(columns, rows, format=form(), out=sys.stdout, title="Consumers")


def _row(
    consumer: "Consumer", end: int, oldest: datetime | None, present: datetime, configured: set[str]
) -> tuple[Any, ...]:
    state = consumer.state if consumer.name in configured or consumer.state == "cursor" else "orphan"
    lag = max(end - consumer.position, 0) if state != "orphan" else None
    seconds = int((present - oldest).total_seconds()) if oldest and lag else 0 if lag == 0 else None
    error = consumer.reason or consumer.last_error
    if consumer.position > end:
        error = f"its position is beyond the feed's end {end}: was the database restored? (syncer alerts skip)"
    delivered, due = consumer.last_delivered_at, consumer.next_attempt_at
    return consumer.name, state, consumer.position, lag, seconds, delivered, due, error


@alerts_command.command("deliver")
@click.option("--quiet", "-q", is_flag=True, help="Print only problems.")
@click.pass_obj
def deliver_command(app: App, *, quiet: bool) -> None:
    """Hand every consumer what it has not been told; put it behind `syncer sync` in cron.

    One that is down is tried again later, and delays no other. Exit code 1 if one could not be reached.
    """
    app.start_logging()
    alerts = _configured(app)
    engine = app.amender()
    _note_stale_sources(app, engine)
    with ThreadPoolExecutor(min(_AT_ONCE, len(alerts))) as pool:
        outcomes = list(pool.map(lambda alert: _deliver(engine, alert), alerts))
    for name, line, failed in outcomes:
        if failed or not quiet:
            print_line(f"{name}: {line}", out=sys.stderr if failed else sys.stdout)
    sys.exit(1 if any(failed for _, _, failed in outcomes) else 0)


def _deliver(engine: "Engine", alert: "AlertSettings") -> tuple[str, str, bool]:
    from syncer.alerts.delivery import deliver

    try:
        done = deliver(engine, _subscription(alert), clock=now, owner=owner())
    except SyncerError as error:
        return alert.name, str(error), True
    told = f"{done.events} events in {done.messages} messages" if done.messages else "nothing new"
    return alert.name, done.error or told, done.error is not None


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
    from syncer.db.engine import writing

    for source in app.settings.sources:
        with writing(engine) as connection:
            notices.note_stale(connection, source.name, now=now(), interval=source.interval)


@alerts_command.command("test")
@click.argument("name")
@click.pass_obj
def test_command(app: App, name: str) -> None:
    """Send NAME a sample, clearly marked as one, and say what the other side answered."""
    from syncer.alerts.sample import sample
    from syncer.alerts.sinks import sink_for

    alert = _alert(app, name)
    sink_for(alert, os.environ, clock=now)(sample(name, now(), random.getrandbits(64)))
    print_line(f"{name}: the sample was taken", out=sys.stdout)


@alerts_command.command("replay")
@click.argument("name")
@click.option("--since", type=MOMENT, required=True, metavar="T", help="Tell it again what was seen from T on.")
@click.pass_obj
def replay_command(app: App, name: str, since: datetime) -> None:
    """Put NAME back, so that it is told again what happened since T, with the same event ids."""
    from syncer.alerts import consumers
    from syncer.db.engine import writing

    with writing(app.amender()) as connection:
        position = consumers.position_before(connection, since)
        consumers.reposition(connection, name, position)
    print_line(f"{name}: goes on behind feed id {position}", out=sys.stdout)


@alerts_command.command("skip")
@click.argument("name")
@click.pass_obj
def skip_command(app: App, name: str) -> None:
    """Put NAME to the end of the feed: what it was not told, it will not be."""
    from syncer import history
    from syncer.alerts import consumers
    from syncer.db.engine import writing

    with writing(app.amender()) as connection:
        position = history.feed_end(connection)
        consumers.reposition(connection, name, position)
    print_line(f"{name}: goes on behind feed id {position}, the end of the feed", out=sys.stdout)


@alerts_command.command("pause")
@click.argument("name")
@click.pass_obj
def pause_command(app: App, name: str) -> None:
    """Tell NAME nothing until it is resumed; it keeps its position."""
    _set_state(app, name, "paused")


@alerts_command.command("resume")
@click.argument("name")
@click.pass_obj
def resume_command(app: App, name: str) -> None:
    """Go on with a NAME that was paused or disabled, from where it stands, at once."""
    _set_state(app, name, "active")


def _set_state(app: App, name: str, state: str) -> None:
    from syncer.alerts import consumers
    from syncer.db.engine import writing

    with writing(app.amender()) as connection:
        consumers.require(connection, name)
        consumers.set_state(connection, name, state)
    print_line(f"{name}: {state}", out=sys.stdout)


def _configured(app: App) -> "tuple[AlertSettings, ...]":
    if not app.settings.alerts:
        raise UsageError("no consumer is configured: write an [[alerts]] table with a name and a url into syncer.toml")
    return app.settings.alerts


def _alert(app: App, name: str) -> "AlertSettings":
    found = [alert for alert in _configured(app) if alert.name == name]
    if not found:
        names = ", ".join(alert.name for alert in app.settings.alerts)
        raise UsageError(f"there is no [[alerts]] table named {name!r}; there are: {names}")
    return found[0]
