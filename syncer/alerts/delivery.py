"""Handing the feed over, consumer by consumer: at least once, in order, and nothing is ever dropped.

take the consumer's lease -> freeze its next message -> hand it over (no transaction open) -> move its position.

- A message is committed before its first attempt: a repeat carries the same id and the same bytes (law 10), whatever
  becomes of the rules and the history meanwhile.
- It holds what one run brought, or with `net` or a digest whatever has come together: at most 100 events or 256 KiB.
  `net` is asked of what one message covers, at most `_NET_WINDOW` items: what it tells is then always true of itself.
- A failed one is tried again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, then every 12 h; after 5 days the consumer is
  disabled with the reason, keeping its position.
- One slow or dead consumer never delays another: each is delivered to in a thread of its own.
"""

import json
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import NamedTuple

from sqlalchemy.engine import Connection, Engine

from syncer.alerts import consumers
from syncer.alerts.consumers import Batch, Consumer
from syncer.alerts.event import as_json, event_of
from syncer.alerts.feed import import_runs, read_feed
from syncer.alerts.message import DeliveryError, Message, Sink
from syncer.alerts.rules import AlertRule, Item, Key, Notified, Selection, select
from syncer.db import feed
from syncer.db.engine import reading, writing
from syncer.errors import SyncerError, UsageError
from syncer.history.feed import ChangeRow

MOST_EVENTS = 100
MOST_BYTES = 256 * 1024
GIVE_UP_AFTER = timedelta(days=5)
RETRIES = tuple(
    timedelta(seconds=seconds) for seconds in (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 12 * 3600)
)
_WINDOW = 250  # items considered for one message; a stretch that holds nothing to tell is passed over silently
_NET_WINDOW = 5_000
_A_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)

Clock = Callable[[], datetime]


class Subscription(NamedTuple):
    """What one consumer wants: its rule, where it starts, how often at most, and how to reach it."""

    name: str
    rule: AlertRule
    sink: Sink
    start: str = "end"
    digest: timedelta | None = None


class Delivered(NamedTuple):
    """What one round did for one consumer.

    `error` is why its last message did not arrive, `again`: as in the round before. `healed`: it is reached again.
    `idle` is why nothing was tried at all; `disabled`: it gets nothing until a person resumes it.
    """

    name: str
    messages: int = 0
    events: int = 0
    error: str | None = None
    idle: str | None = None
    disabled: bool = False
    again: bool = False
    healed: bool = False


def deliver(
    engine: Engine,
    subscription: Subscription,
    *,
    clock: Clock,
    owner: str,
    jitter: Callable[[], float] = random.random,
    keep_going: Callable[[], bool] = lambda: True,
) -> Delivered:
    """Hand the consumer everything that it has not seen, until `keep_going`, asked between two messages, says no.

    A consumer that is paused, disabled, not due or in other hands gets nothing. A failed attempt is recorded, and
    its next one left to a later round; `jitter` in [0, 1) spreads it. Raises UsageError for a position beyond the feed
    and for a name that is a cursor's, Fenced if somebody else took the consumer over.
    """
    with reading(engine, one_moment=True) as connection:  # most rounds end here, and make no writer wait
        idle = _idle(connection, subscription, clock())
    if idle is not None:
        return idle
    with writing(engine) as connection:
        consumer = _acquire(connection, subscription, clock(), owner)
    if consumer is None:
        return Delivered(subscription.name, idle="another syncer is delivering to it")
    try:
        return _hand_over(engine, subscription, consumer, clock, jitter, keep_going)
    finally:  # after a bug in a sink and a signal, too: nobody is to wait for the end of the lease
        with suppress(SyncerError), writing(engine) as connection:
            consumers.release(connection, consumer)


def next_attempt(attempts: int, jitter: float) -> timedelta:
    """How long to wait after that many failed attempts; `jitter` in [0, 1) spreads it by up to a tenth."""
    wait = RETRIES[min(attempts, len(RETRIES) - 1)]
    return wait * (1 + jitter / 10)


def digest_due_at(last: datetime, every: timedelta) -> datetime:
    """When what was collected since `last` is due: at the next whole `every` in UTC (1d: midnight, 1w: Monday)."""
    return _A_MONDAY + ((last - _A_MONDAY) // every + 1) * every


# -- one round ---------------------------------------------------------------------------------------------------------


def _idle(connection: Connection, subscription: Subscription, now: datetime) -> Delivered | None:
    """Why there is nothing to do for this consumer now; None if there is."""
    consumer = consumers.find(connection, subscription.name)
    if consumer is None:
        return None
    if consumer.state == consumers.CURSOR:
        raise UsageError(f"{consumer.name} is a cursor of `syncer changes` already: give the [[alerts]] another name")
    end = feed.end(connection)
    consumers.require_within(consumer, end)
    why = _why_not(consumer, now)
    if why is None and consumer.batch is None:
        if consumer.position == end:
            return Delivered(consumer.name)
        why = _collects(consumer, subscription.digest, now)
    return None if why is None else Delivered(consumer.name, idle=why, disabled=consumer.state == consumers.DISABLED)


def _why_not(consumer: Consumer, now: datetime) -> str | None:
    if consumer.state != consumers.ACTIVE:
        return f"{consumer.state}: {consumer.reason}"
    if consumer.next_attempt_at is not None and consumer.next_attempt_at > now:
        return f"the next attempt is at {consumer.next_attempt_at:%Y-%m-%d %H:%M:%S}Z, since {consumer.last_error}"
    return None


def _collects(consumer: Consumer, every: timedelta | None, now: datetime) -> str | None:
    if every is None:
        return None
    due_at = digest_due_at(consumer.last_delivered_at or consumer.created_at, every)
    return f"collects until {due_at:%Y-%m-%d %H:%M}Z" if now < due_at else None


def _acquire(connection: Connection, subscription: Subscription, now: datetime, owner: str) -> Consumer | None:
    consumers.enlist(connection, subscription.name, start=subscription.start, now=now)
    return consumers.acquire(connection, subscription.name, owner=owner, now=now)


def _hand_over(
    engine: Engine,
    subscription: Subscription,
    consumer: Consumer,
    clock: Clock,
    jitter: Callable[[], float],
    keep_going: Callable[[], bool],
) -> Delivered:
    messages = events = 0
    failed_before = consumer.attempts > 0
    while consumer.state == consumers.ACTIVE and keep_going():
        if consumer.batch is None:
            step = _next_step(engine, subscription, consumer, clock())
            if step is None:
                break
            consumer = _take(engine, consumer, step, clock())
            continue
        message = _message(consumer.name, consumer.batch)
        try:
            subscription.sink(message)
        except DeliveryError as refusal:
            error, disabled = _record_failure(engine, consumer, consumer.batch, refusal, clock(), jitter())
            again = consumer.attempts > 0 and not disabled
            return Delivered(consumer.name, messages, events, error=error, disabled=disabled, again=again)
        with writing(engine) as connection:
            consumer = consumers.delivered(connection, consumer, consumer.batch, clock())
        messages, events = messages + 1, events + len(message.events)
    return Delivered(consumer.name, messages, events, healed=failed_before and messages > 0)


def _take(engine: Engine, consumer: Consumer, step: Batch, now: datetime) -> Consumer:
    """Commit to a message, or to have passed over what is not told."""
    with writing(engine) as connection:
        return (consumers.freeze if step.id else consumers.move)(connection, consumer, step, now)


def _message(consumer: str, batch: Batch) -> Message:
    events = tuple(json.loads(batch.body, parse_float=Decimal))
    return Message(id=batch.id, consumer=consumer, body=batch.body.encode(), events=events)


def _record_failure(
    engine: Engine, consumer: Consumer, batch: Batch, refusal: DeliveryError, now: datetime, jitter: float
) -> tuple[str, bool]:
    """Leave the batch to a later attempt, or disable the consumer; what to say of it."""
    last_at = batch.since + GIVE_UP_AFTER
    disabled = None
    if refusal.gone:
        disabled = f"the other side never wants to hear again: {refusal}"
    elif now >= last_at:
        disabled = f"nothing got through for {GIVE_UP_AFTER.days} days: {refusal}"
    wait = refusal.retry_after or next_attempt(consumer.attempts, jitter)
    at = None if disabled else max(min(now + wait, last_at), now)
    with writing(engine) as connection:
        consumers.failed(connection, consumer, error=str(refusal), next_attempt_at=at, disabled=disabled)
    return disabled or str(refusal), disabled is not None


# -- the next message --------------------------------------------------------------------------------------------------


def _next_step(engine: Engine, subscription: Subscription, consumer: Consumer, now: datetime) -> Batch | None:
    """How the consumer goes on: with a message, or silently past items that it is not told; None at the feed's end.

    No writer waits meanwhile: the lease keeps the consumer as it is, and the next writing transaction makes sure.
    """
    rule = subscription.rule
    with reading(engine, one_moment=True) as connection:
        items = list(read_feed(connection, after=consumer.position, limit=_NET_WINDOW if rule.net else _WINDOW))
        models = {item.model_id for item in items if isinstance(item, ChangeRow)}
        notified = consumers.memory(connection, consumer, models)
        imported = import_runs(connection) if rule.news_only else frozenset[int]()
        feed_id = feed.feed_id(connection)
    if not items:
        return None
    one_run = not rule.net and subscription.digest is None
    end, selection, parts = _fill(rule, items, notified, imported, consumer.failing, feed_id, one_run=one_run)
    body = f"[{','.join(parts)}]"
    return Batch(
        id=_message_id(feed_id, consumer.name, selection.chosen, body) if parts else "",
        end=end,
        body=body,
        notified=selection.notified,
        failing=selection.failing,
        since=now,
    )


def _fill(
    rule: AlertRule,
    items: Sequence[Item],
    notified: Mapping[Key, Notified],
    imported: Collection[int],
    failing: Collection[str],
    feed_id: str,
    *,
    one_run: bool,
) -> tuple[int, Selection, list[str]]:
    """The largest stretch of `items` whose events fit into one message: its end, what is chosen of it, and their JSON.

    What is chosen of a shorter stretch may be more with `net`, so it is chosen anew until it fits.
    """
    while True:
        selection = select(rule, items, notified, imported_runs=imported, failing=failing)
        parts = _fitting(selection.chosen, feed_id, one_run=one_run)
        if len(parts) == len(selection.chosen):
            return items[-1].id, selection, parts
        end = selection.chosen[len(parts) - 1].id
        items = [item for item in items if item.id <= end]


def _fitting(chosen: Sequence[Item], feed_id: str, *, one_run: bool) -> list[str]:
    """The events of as many items as one message may hold; one that is too large goes alone."""
    parts: list[str] = []
    size = 1
    for item in chosen[:MOST_EVENTS]:
        part = as_json(event_of(item, feed_id))
        size += len(part.encode()) + 1
        if parts and (size > MOST_BYTES or (one_run and item.run_id != chosen[0].run_id)):
            break
        parts.append(part)
    return parts


def _message_id(feed_id: str, consumer: str, chosen: Sequence[Item], body: str) -> str:
    """Equal for equal bodies only: a replay under other rules must not look like a repeat of what was received."""
    content = blake2b(body.encode(), digest_size=8).hexdigest()
    return f"{feed_id[:12]}-{consumer}-{chosen[0].id}-{chosen[-1].id}-{content}"
