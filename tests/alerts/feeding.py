"""A consumer as a story's calendar drives it: rounds of delivery at walked times, to a sink that remembers."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from syncer.alerts import consumers
from syncer.alerts.consumers import Consumer
from syncer.alerts.delivery import Delivered, Subscription, deliver
from syncer.alerts.message import DeliveryError, Message, Sink
from syncer.alerts.rules import AlertRule
from syncer.db.engine import reading
from syncer.db.tables import consumers as table
from tests.story import Story, instant


class Target:
    """A sink. `messages` is all that came, refused or not; it refuses as `refusals` say, oldest first, then takes."""

    def __init__(self, *refusals: Exception) -> None:
        self.messages: list[Message] = []
        self.refusals = list(refusals)
        self.on_message: Callable[[], object] = lambda: None

    def __call__(self, message: Message) -> None:
        """Take it, or refuse."""
        self.messages.append(message)
        self.on_message()
        if self.refusals:
            raise self.refusals.pop(0)

    @property
    def told(self) -> list[str]:
        """Each event that came, as "repriced A 1 -> 2"."""
        return [line(event) for message in self.messages for event in message.events]

    @property
    def by_message(self) -> list[list[str]]:
        """The same, message by message."""
        return [[line(event) for event in message.events] for message in self.messages]


REFUSED = DeliveryError("the other side said no")


def line(event: Any) -> str:
    """An event in a few words."""
    data = event["data"]
    if event["type"].startswith("syncer.source."):
        return f"{data['kind']} {data['source']}"
    moved = f" {_short(data['old_price'])} -> {_short(data['price'])}" if data["kind"] == "repriced" else ""
    return f"{data['kind']} {data['model']}{moved}"


def _short(price: Any) -> str:
    return "unknown" if price is None else f"{Decimal(str(price)).normalize():f}"


def subscription(sink: Sink, name: str = "team", **wanted: Any) -> Subscription:
    """A subscription whose rule is made of what is neither `start` nor `digest`."""
    own = {key: wanted.pop(key) for key in ("start", "digest") if key in wanted}
    rule = AlertRule(news_only=own.get("start") != "beginning", **wanted)
    return Subscription(name=name, rule=rule, sink=sink, **own)


def round_at(story: Story, at: datetime | str, wanted: Subscription, owner: str = "test") -> Delivered:
    """One round of delivery, the clock standing at `at`."""
    moment = instant(at) if isinstance(at, str) else at
    return deliver(story.engine, wanted, clock=lambda: moment, owner=owner, jitter=lambda: 0.0)


def consumer(story: Story, name: str = "team") -> Consumer:
    """The consumer's row."""
    with reading(story.engine) as connection:
        return consumers.require(connection, name)


def lease(story: Story, name: str = "team") -> str | None:
    """Who holds the consumer."""
    query = sa.select(table.c.lease_owner).where(table.c.name == name)
    with reading(story.engine) as connection:
        owner: str | None = connection.execute(query).scalar_one()
    return owner


def walk(story: Story, start: datetime, wanted: Subscription, *, until: datetime) -> list[datetime]:
    """Rounds, each when the consumer is due, until it has nothing left or is disabled; when something was tried."""
    tried, now = [], start
    while now <= until:
        done = round_at(story, now, wanted)
        tried.append(now)
        due = consumer(story).next_attempt_at
        if done.error is None or done.disabled or due is None:
            break
        now = due
    return tried


def bodies_by_id(messages: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
    """Message id -> its bytes; an id that came with two bodies fails."""
    bodies: dict[str, bytes] = {}
    for name, body in messages:
        assert bodies.setdefault(name, body) == body, "law 10: a repeat is the same bytes"
    return bodies


def event_ids(bodies: Iterable[bytes]) -> list[int]:
    """The feed ids of the events in these bodies: batches, or single ones."""
    told = [json.loads(body) for body in bodies]
    return [int(event["id"]) for body in told for event in (body if isinstance(body, list) else [body])]


HOUR = timedelta(hours=1)
