"""`syncer alerts`: who receives what, how far they are, and what the other side says."""

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from syncer.cli.app import YES, App, Group, confirm, form, now, row_options
from syncer.cli.output import print_line, print_rows
from syncer.cli.times import MOMENT
from syncer.errors import UsageError, worst

if TYPE_CHECKING:
    from syncer.alerts.consumers import Consumer


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
    """Show each consumer: its position, what it has not received yet, its last error and next attempt.

    `lag` is in feed ids, `lag_seconds` the age of the oldest of them. A consumer that left the configuration is an
    `orphan`, and has no lag; a `new` one begins with the next sync or delivery.

    \b
    Example:
      syncer alerts list
    """
    from syncer import history
    from syncer.alerts import consumers
    from syncer.alerts.feed import oldest_after
    from syncer.service.deliveries import NO_CONSUMER

    configured = {alert.name for alert in app.settings.alerts}
    present = now()
    with app.reader() as connection:
        end = history.feed_end(connection)
        known = {consumer.name: consumer for consumer in consumers.all_consumers(connection)}
        ages = {name: oldest_after(connection, consumer.position) for name, consumer in known.items()}
    columns = ("consumer", "state", "position", "lag", "lag_seconds", "last_delivered_at", "next_attempt_at", "error")
    rows = [_row(consumer, end, ages[name], present, configured) for name, consumer in known.items()]
    rows += [(name, "new", *[None] * 6) for name in sorted(configured - known.keys())]
    print_rows(columns, rows, format=form(), out=sys.stdout, title="Consumers", drop=_DROP, empty=NO_CONSUMER)


_DROP = ("last_delivered_at", "lag_seconds", "next_attempt_at", "position")


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
    """What is wrong, or why it receives nothing."""
    from syncer.alerts import consumers

    try:
        consumers.require_within(consumer, end)
    except UsageError as beyond:
        return str(beyond)
    return consumer.reason or consumer.last_error


# -- deliver -----------------------------------------------------------------------------------------------------------


@alerts_command.command("deliver")
@click.option("--quiet", "-q", is_flag=True, help="Print only new problems (for cron mail).")
@click.pass_context
def deliver_command(ctx: click.Context, *, quiet: bool) -> None:
    """Hand every consumer what it has not received, as `syncer sync` does when it is done.

    One that is down is tried again later, and delays no other.

    \b
    Exit codes, the worst of all consumers: 0 done, 1 one could not be reached or is disabled,
    2 usage or configuration, 75 another syncer took one over.

    \b
    Example:
      syncer alerts deliver --quiet            in cron, where nothing syncs or runs as often as you want news
    """
    from syncer.cli.syncing import print_delivery
    from syncer.service import raise_bugs

    app: App = ctx.obj
    app.start_logging()
    outcomes = app.service.deliver(check=False)
    for outcome in outcomes:
        print_delivery(outcome, quiet=quiet, idle=True)
    raise_bugs(outcomes)
    ctx.exit(worst({outcome.exit_code for outcome in outcomes}))


# -- test --------------------------------------------------------------------------------------------------------------


@alerts_command.command("test")
@click.argument("name")
@click.pass_obj
def test_command(app: App, name: str) -> None:
    """Send NAME a sample, clearly marked as one, and say what the other side answered.

    \b
    Example:
      syncer alerts test team
    """
    print_line(f"{name}: {app.service.send_sample(name)}", out=sys.stdout)


# -- what a person does with one ---------------------------------------------------------------------------------------


@alerts_command.command("replay")
@click.argument("name")
@click.option("--since", type=MOMENT, required=True, metavar="T", help="Tell it again what was seen from T on.")
@click.pass_obj
def replay_command(app: App, name: str, since: datetime) -> None:
    """Put NAME back, so that it receives again what happened since T, with the same event ids.

    \b
    Example:
      syncer alerts replay team --since yesterday
    """
    consumer = app.service.replay(name, since=since)
    print_line(f"{name}: goes on behind feed id {consumer.position}{_but(consumer)}", out=sys.stdout)


@alerts_command.command("skip")
@click.argument("name")
@YES
@click.pass_obj
def skip_command(app: App, name: str, *, yes: bool) -> None:
    """Put NAME to the end of the feed: what it has not received, it never will.

    \b
    Example:
      syncer alerts skip team
    """
    confirm(f"Skip what {name} has not received yet? It never will be sent.", yes=yes)
    consumer = app.service.skip(name)
    end = f"feed id {consumer.position}, the end of the feed"
    print_line(f"{name}: goes on behind {end}{_but(consumer)}", out=sys.stdout)


@alerts_command.command("pause")
@click.argument("name")
@click.pass_obj
def pause_command(app: App, name: str) -> None:
    """Tell NAME nothing until it is resumed; it keeps its position.

    \b
    Example:
      syncer alerts pause team
    """
    consumer = app.service.pause(name)
    print_line(f"{name}: {consumer.state}, behind feed id {consumer.position}", out=sys.stdout)


@alerts_command.command("resume")
@click.argument("name")
@click.pass_obj
def resume_command(app: App, name: str) -> None:
    """Go on with a NAME that was paused or disabled, from where it stands, at once.

    \b
    Example:
      syncer alerts resume team
    """
    consumer = app.service.resume(name)
    print_line(f"{name}: {consumer.state}, goes on behind feed id {consumer.position}", out=sys.stdout)


def _but(consumer: "Consumer") -> str:
    from syncer.alerts import consumers

    stopped = consumer.state in {consumers.PAUSED, consumers.DISABLED}
    return f", once it is resumed (it is {consumer.state})" if stopped else ""
