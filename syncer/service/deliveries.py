"""Consumers: each is handed what it has not been told, and put back, put forward, paused, resumed."""

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from threading import Event

from sqlalchemy.engine import Connection, Engine

from syncer import history
from syncer.alerts import consumers
from syncer.alerts.consumers import Consumer
from syncer.alerts.delivery import Subscription, deliver
from syncer.alerts.rules import AlertRule
from syncer.alerts.sample import sample
from syncer.alerts.sinks import sink_for
from syncer.core.words import did_you_mean
from syncer.db import feed
from syncer.db.engine import reading, writing
from syncer.errors import UsageError
from syncer.service.context import Clock, Context
from syncer.service.outcomes import DeliveryOutcome
from syncer.settings import AlertSettings

NO_CONSUMER = "no consumer is configured: write an [[alerts]] table with a name and a url into syncer.toml"


def deliver_all(context: Context) -> list[DeliveryOutcome]:
    """Hand each consumer what it has not been told; what came of each, in the order of the settings."""
    _require_consumers(context)
    _note_stale_sources(context, context.existing_database())
    return _each(context)


def deliver_to(context: Context, alert: AlertSettings, stop: Event) -> DeliveryOutcome:
    """Hand one consumer its news; a bug is in the outcome, too: it is raised when all have had their turn."""
    try:
        subscription = _subscription(alert, context.environ, context.clock)
        done = deliver(
            context.engine(),
            subscription,
            clock=context.clock,
            owner=context.owner,
            keep_going=lambda: not stop.is_set(),
        )
    except Exception as error:  # noqa: BLE001 - it is raised by `raise_bugs`
        return DeliveryOutcome(alert.name, error=error)
    return DeliveryOutcome(alert.name, done)


def send_sample(context: Context, consumer: str) -> str:
    """Send a sample; what it means that its sink took it. Raises DeliveryError where it does not."""
    alert = _alert(context, consumer)
    sink = sink_for(alert, context.environ, clock=context.clock)
    sink(sample(consumer, context.clock(), random.getrandbits(64)))
    return alert.to.TOOK


def replay(context: Context, consumer: str, *, since: datetime) -> Consumer:
    """Put a consumer back before what was observed since then."""
    with _writing_about(context, consumer) as connection:
        consumers.reposition(connection, consumer, consumers.position_before(connection, since))
        return consumers.require(connection, consumer)


def skip(context: Context, consumer: str) -> Consumer:
    """Put a consumer to the end of the feed."""
    with _writing_about(context, consumer) as connection:
        consumers.reposition(connection, consumer, history.feed_end(connection))
        return consumers.require(connection, consumer)


def pause(context: Context, consumer: str) -> Consumer:
    """Tell a consumer nothing for now."""
    with _writing_about(context, consumer) as connection:
        return consumers.pause(connection, consumer, now=context.clock())


def resume(context: Context, consumer: str) -> Consumer:
    """Go on with a consumer from its position."""
    with _writing_about(context, consumer) as connection:
        return consumers.resume(connection, consumer, now=context.clock())


def _each(context: Context) -> list[DeliveryOutcome]:
    """A thread for each: a dead one costs a deadline, and nobody else's time."""
    from concurrent.futures import ThreadPoolExecutor

    stop = Event()
    with ThreadPoolExecutor(len(context.settings.alerts), thread_name_prefix="syncer-alerts") as pool:
        try:
            return list(pool.map(partial(deliver_to, context, stop=stop), context.settings.alerts))
        except BaseException:
            stop.set()  # by a signal: each thread ends with the message at hand
            raise


def _note_stale_sources(context: Context, engine: Engine) -> None:
    """A source that nobody syncs any more says nothing by itself."""
    for source in context.settings.sources:
        feed.note_late(engine, source.name, now=context.clock(), interval=source.interval)


def _alert(context: Context, name: str) -> AlertSettings:
    """The settings of a consumer; raises UsageError, with the nearest name, for one that is not configured."""
    _require_consumers(context)
    by_name = {alert.name: alert for alert in context.settings.alerts}
    if name not in by_name:
        raise UsageError(f"there is no [[alerts]] table named {name!r}{did_you_mean(name, by_name, cutoff=0)}")
    return by_name[name]


def _require_consumers(context: Context) -> None:
    if not context.settings.alerts:
        raise UsageError(NO_CONSUMER)


@contextmanager
def _writing_about(context: Context, consumer: str) -> Iterator[Connection]:
    """A writing transaction; a configured consumer may be spoken of before its first delivery."""
    with writing(context.existing_database()) as connection:
        _enlist(context, connection, [alert for alert in context.settings.alerts if alert.name == consumer])
        yield connection


def enlist_new(context: Context, engine: Engine) -> None:
    """Give each its position before anything is synced: what this very sync finds is news to it."""
    with reading(engine) as connection:
        known = {consumer.name for consumer in consumers.all_consumers(connection)}
    new = [alert for alert in context.settings.alerts if alert.name not in known]
    if new:
        with writing(engine) as connection:
            _enlist(context, connection, new)


def _enlist(context: Context, connection: Connection, alerts: Iterable[AlertSettings]) -> None:
    for alert in alerts:
        consumers.enlist(connection, alert.name, start=alert.start, now=context.clock())


def _subscription(alert: AlertSettings, environ: Mapping[str, str], clock: Clock) -> Subscription:
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
