"""Handing the feed over, consumer by consumer: at least once, in order, and nothing is ever dropped.

claim the consumer -> freeze its next message -> hand it over (no transaction open) -> move its position.

- A message is committed before its first attempt: a repeat carries the same id and the same bytes (law 10).
- A failed one is tried again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, then every 12 h; after 5 days the consumer is
  disabled with the reason, keeping its position.
- One slow or dead consumer never delays another: each is delivered to in a thread of its own.
"""

import json
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from sqlalchemy.engine import Connection, Engine

from syncer import history
from syncer.alerts import consumers
from syncer.alerts.consumers import Batch, Consumer
from syncer.alerts.event import event_of, feed_id
from syncer.alerts.feed import import_runs, read_feed
from syncer.alerts.message import DeliveryError, Message, Sink
from syncer.alerts.rules import Item, Rule, select
from syncer.db.engine import writing
from syncer.errors import Fenced, UsageError

MOST_EVENTS = 100
MOST_BYTES = 256 * 1024
GIVE_UP_AFTER = timedelta(days=5)
RETRIES = tuple(
    timedelta(seconds=seconds) for seconds in (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 12 * 3600)
)
_ITEMS_AT_ONCE = 1_000
_NOTHING = "[]"
_JSON = msgspec.json.Encoder(decimal_format="number")

Clock = Callable[[], datetime]


class Subscription(NamedTuple):
    """What one consumer wants: its rule, where it starts, how often at most, and how to reach it."""

    name: str
    rule: Rule
    sink: Sink
    start: str = "end"
    digest: timedelta | None = None


class Delivered(NamedTuple):
    """What one round did for one consumer."""

    name: str
    messages: int
    events: int
    error: str | None


def deliver(engine: Engine, subscription: Subscription, *, clock: Clock, owner: str) -> Delivered:
    """Hand the consumer everything that it has not seen; raises UsageError if its position is beyond the feed.

    A consumer that is paused, disabled, not due or in other hands gets nothing. A failed attempt is recorded, and
    its next one left to a later round.
    """
    held = _claim(engine, subscription, clock, owner)
    messages = events = 0
    error = None
    while held is not None:
        batch = held.batch or _freeze_next(engine, subscription, held, clock)
        if batch is None:
            break
        message = Message(id=batch.id, consumer=held.name, body=batch.body.encode(), events=_parsed(batch.body))
        try:
            subscription.sink(message)
        except DeliveryError as refusal:
            error = _record_failure(engine, msgspec.structs.replace(held, batch=batch), refusal, clock())
            break
        messages, events = messages + 1, events + len(message.events)
        held = _record_arrival(engine, msgspec.structs.replace(held, batch=batch), clock())
    if held is not None and error is None:
        _release(engine, held)
    return Delivered(subscription.name, messages, events, error)


def next_attempt(attempts: int, chance: float) -> timedelta:
    """How long to wait after that many failed attempts; `chance` in [0, 1) spreads it by up to a tenth."""
    wait = RETRIES[min(attempts, len(RETRIES) - 1)]
    return wait * (1 + chance / 10)


# -- the next message --------------------------------------------------------------------------------------------------


def _claim(engine: Engine, subscription: Subscription, clock: Clock, owner: str) -> Consumer | None:
    now = clock()
    with writing(engine) as connection:
        start = 0 if subscription.start == "beginning" else history.feed_end(connection)
        consumers.register(connection, subscription.name, position=start, now=now)
        held = consumers.claim(connection, subscription.name, owner=owner, now=now)
        end = history.feed_end(connection)
    if held is not None and held.position > end:
        raise UsageError(
            f"the consumer {held.name} is at feed id {held.position}, but the feed ends at {end}: the database was "
            f"restored or replaced; see what it missed, then run `syncer alerts skip {held.name}`"
        )
    return held


def _freeze_next(engine: Engine, subscription: Subscription, held: Consumer, clock: Clock) -> Batch | None:
    """The consumer's next message, committed; None if there is nothing to tell (it then stands at the feed's end)."""
    now = clock()
    if subscription.digest and now - (held.last_delivered_at or held.created_at) < subscription.digest:
        return None
    while True:
        with writing(engine) as connection:
            consumers.fence(connection, held)
            step = _next_step(connection, subscription.rule, consumers.require(connection, held.name), now)
            if step is None:
                return None
            if step.body != _NOTHING:
                consumers.freeze(connection, held, step)
                return step
            consumers.move(connection, held, step.end, step.told, step.failing)


def _next_step(connection: Connection, rule: Rule, held: Consumer, now: datetime) -> Batch | None:
    """How the consumer goes on: with a message, or silently past items that it is not told; None at the feed's end."""
    items = list(read_feed(connection, after=held.position, limit=None if rule.net else _ITEMS_AT_ONCE))
    if not items:
        return None
    told = consumers.memory(connection, held)
    imported = import_runs(connection) if rule.news_only else frozenset[int]()
    chosen = select(rule, items, told, imported_runs=imported, failing=held.failing).chosen
    feed = feed_id(connection)
    fitting, body = _fitting(chosen, feed)
    end = fitting[-1].id if len(fitting) < len(chosen) else items[-1].id
    behind = [item for item in items if item.id <= end]
    remembered = select(rule, behind, told, imported_runs=imported, failing=held.failing)
    name = f"{feed[:12]}-{held.name}-{fitting[0].id}-{fitting[-1].id}" if fitting else ""
    return Batch(
        id=name,
        end=end,
        rules=rule.digest(),
        body=body,
        told=remembered.told,
        failing=remembered.failing,
        since=now,
    )


def _fitting(chosen: Sequence[Item], feed: str) -> tuple[list[Item], str]:
    """As many items, all of one run, as one message may hold, and their JSON; one that is too large goes alone."""
    fitting: list[Item] = []
    parts: list[str] = []
    size = 2
    for item in chosen[:MOST_EVENTS]:
        part = _JSON.encode(event_of(item, feed)).decode()
        size += len(part.encode()) + 1
        if fitting and (size > MOST_BYTES or item.run_id != fitting[0].run_id):
            break
        fitting.append(item)
        parts.append(part)
    return fitting, f"[{','.join(parts)}]"


def _parsed(body: str) -> tuple[Any, ...]:
    return tuple(json.loads(body, parse_float=Decimal))


# -- what came of it ---------------------------------------------------------------------------------------------------


def _record_arrival(engine: Engine, held: Consumer, now: datetime) -> Consumer:
    """Move on; the lease is taken anew, since a hand-over may last as long as its deadline."""
    with writing(engine) as connection:
        consumers.fence(connection, held)
        consumers.delivered(connection, held, now)
        consumers.prolong(connection, held, now)
        return consumers.require(connection, held.name)


def _record_failure(engine: Engine, held: Consumer, refusal: DeliveryError, now: datetime) -> str:
    assert held.batch is not None  # noqa: S101 - narrows the type
    wait = refusal.retry_after or next_attempt(held.attempts, random.random())
    disabled = None
    if refusal.gone:
        disabled = f"the other side never wants to hear again: {refusal}"
    elif now + wait - held.batch.since > GIVE_UP_AFTER:
        disabled = f"nothing got through for {GIVE_UP_AFTER.days} days: {refusal}"
    with writing(engine) as connection:
        consumers.fence(connection, held)
        at = None if disabled else now + wait
        consumers.failed(connection, held, error=str(refusal), next_attempt_at=at, disabled=disabled)
        consumers.release(connection, held)
    return disabled or str(refusal)


def _release(engine: Engine, held: Consumer) -> None:
    try:
        with writing(engine) as connection:
            consumers.release(connection, held)
    except Fenced:
        pass  # somebody took it over meanwhile: it is theirs to release
