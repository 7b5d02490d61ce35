"""`syncer run` and `syncer schedule`: the daemon, and when it will do what."""

import logging
import os
import secrets
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import click

from syncer import systemd
from syncer.cli.app import App, form, now, row_options
from syncer.cli.output import print_rows
from syncer.cli.times import DURATION
from syncer.core.words import count_of
from syncer.errors import SyncerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Engine

    from syncer.daemon import Liveness
    from syncer.service import DeliveryOutcome
    from syncer.web.server import Served

_KEPT_RUNS = timedelta(days=90)

log = logging.getLogger("syncer.daemon")


@click.command("run")
@click.option("--workers", type=click.IntRange(1, 256), default=8, show_default=True, help="Sources synced at a time.")
@click.option("--grace", type=DURATION, default="30s", show_default=True, help="How long runs may finish on SIGTERM.")
@click.option("--listen", metavar="HOST:PORT", help="Serve /metrics, pages and all that `syncer serve` has.")
@click.option("--public", is_flag=True, help="With --listen: everybody who reaches it may read it, without a token.")
@click.option("--host", "hosts", metavar="NAME", multiple=True, help="With --listen: a further name of this host.")
@click.pass_obj
def run_command(
    app: App, *, workers: int, grace: timedelta, listen: str | None, public: bool, hosts: tuple[str, ...]
) -> None:
    """Keep syncing: each source on its interval or cron expression, and each consumer its news.

    Any number of these may share one PostgreSQL: each tick of a source is run by one of them. SIGTERM and SIGINT stop
    it after the running syncs (a second one at once); SIGHUP reads the configuration again. A database that is down is
    waited for. Old runs that nothing refers to are pruned each night.

    \b
    Example:
      syncer run --listen 127.0.0.1:8470
    """
    from threading import Event

    from syncer import daemon
    from syncer.admin.prune import prune
    from syncer.service import process_name

    app.start_logging(at_least=1)
    app.settings.select()
    engine, stopping, liveness = app.service.engine(), Event(), daemon.Liveness()
    problems: dict[str, str | None] = {}
    with ExitStack() as watched:
        served = watched.enter_context(_serve(engine, app, listen, hosts, liveness, public=public)) if listen else None
        dependencies = daemon.Dependencies(
            engine=engine,
            load=app.load_settings,
            with_credentials=app.service.with_credentials,
            clock=now,
            owner=f"{process_name()}:{secrets.token_hex(2)}",  # two containers may share a host name and a process id
            workers=workers,
            grace=grace,
            archive=app.service.archive(),
            deliver=lambda _, alert: _say(app.service.deliver_to(alert, stopping), problems),
            nightly=lambda: prune(engine, before=now() - _KEPT_RUNS),
            on_turn=_watchdog(),
            on_cycle=_heartbeat(app),
            on_reload=served.reconfigure if served else lambda _: None,
            on_state=partial(systemd.notify, os.environ),
            liveness=liveness,
            stopping=stopping,
        )
        sys.exit(daemon.run(dependencies))


@contextmanager
def _serve(
    engine: "Engine", app: App, listen: str, hosts: tuple[str, ...], liveness: "Liveness", *, public: bool
) -> "Iterator[Served]":
    from syncer.settings import read_web_token
    from syncer.web.server import serve

    token = read_web_token(os.environ)
    with serve(
        engine,
        app.settings,
        listen,
        clock=now,
        token=token,
        public=public,
        hosts=hosts,
        trouble=liveness.trouble,
    ) as served:
        log.info("listening at %s: the pages, /healthz, /readyz and /metrics", served.url)
        yield served


def _watchdog() -> "Callable[[], object]":
    """Tell systemd that the daemon is alive, as often as it wants to hear it."""
    every = systemd.watchdog_interval(os.environ, os.getpid())
    if every is None:
        return lambda: None
    next_at = time.monotonic()

    def on_turn() -> None:
        nonlocal next_at
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + every.total_seconds()
            systemd.notify(os.environ, systemd.WATCHDOG)

    return on_turn


def _heartbeat(app: App) -> "Callable[[bool], object] | None":
    """The dead-man switch: somebody else notices when syncer itself stops."""
    from syncer.heartbeat import send
    from syncer.settings import read_heartbeat_url

    url = read_heartbeat_url(app.settings, os.environ)
    return None if url is None else lambda well: send(url, ok=well)


def _say(outcome: "DeliveryOutcome", problems: dict[str, str | None]) -> None:
    """One log line for what came of a delivery, if anything did; a problem that stays is named once."""
    before, problems[outcome.consumer] = problems.get(outcome.consumer), outcome.problem
    if outcome.problem is not None:
        bug = None if isinstance(outcome.error, SyncerError) else outcome.error
        if outcome.problem != before:
            log.warning("%s: %s", outcome.consumer, outcome.problem, exc_info=bug)
    elif outcome.done is not None and outcome.done.messages:
        log.info("%s: delivered %s", outcome.consumer, count_of(outcome.done.events, "event"))


@click.command("schedule")
@click.option(
    "--count", type=click.IntRange(1, 1000), default=3, show_default=True, metavar="N", help="Ticks a source."
)
@row_options
@click.pass_obj
def schedule_command(app: App, count: int) -> None:
    """Show when each source is due next, in UTC and in its own time zone.

    \b
    Example:
      syncer schedule --count 5
    """
    from zoneinfo import ZoneInfo

    from syncer.daemon import next_tick

    rows = []
    for source in app.settings.select():
        at = now()
        for _ in range(count):
            at = next_tick(source, at)
            local = at.astimezone(ZoneInfo(source.timezone))
            rows.append((source.name, source.cron or _words(source.interval), at, f"{local:%Y-%m-%d %H:%M:%S %Z}"))
    print_rows(
        ("source", "schedule", "due_at", "local"),
        rows,
        format=form(),
        out=sys.stdout,
        title="Schedule",
        drop=("schedule",),
    )


def _words(interval: timedelta) -> str:
    from syncer.settings import format_duration

    return f"every {format_duration(interval)}"
