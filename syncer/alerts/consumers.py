"""The consumers' rows: a position in the feed, a frozen batch while it is being handed over, and what it was told.

Each function takes a connection in a transaction and never commits. A consumer has a lease as a source has
(syncer.db.leases), so that two daemons hand a message over once in normal running.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.alerts.rules import Key, Notified
from syncer.core.prices import canonical
from syncer.core.text import rfc3339
from syncer.core.words import did_you_mean
from syncer.db import feed, leases
from syncer.db.leases import insert_into
from syncer.db.tables import changes, consumers, notices, notified
from syncer.errors import Fenced, UsageError

LEASE = timedelta(minutes=2)
ACTIVE, PAUSED, DISABLED = "active", "paused", "disabled"
CURSOR = "cursor"
"""The state of a consumer that nothing is handed to: a person asks it, with `syncer changes --cursor`."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it was frozen before its first attempt: the same bytes on each repeat, whatever happens meanwhile.

    `end` is the position once it is delivered; `notified` and `failing` are what is then remembered of prices and
    sources; `since` is the first attempt. Without an `id` it is a stretch of the feed that holds nothing to tell.
    """

    id: str
    end: int
    body: str
    notified: Mapping[Key, Notified]
    failing: frozenset[str]
    since: datetime


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """One named reader of the feed, as stored. `position` is the last feed id that it is done with."""

    id: int
    name: str
    position: int
    state: str
    reason: str | None
    created_at: datetime
    failing: frozenset[str]
    batch: Batch | None
    attempts: int
    next_attempt_at: datetime | None
    last_delivered_at: datetime | None
    last_error: str | None
    token: int


def find(connection: Connection, name: str) -> Consumer | None:
    """The consumer called `name`, None if it has never been seen."""
    row = connection.execute(sa.select(consumers).where(consumers.c.name == name)).first()
    return None if row is None else _consumer(row)


def all_consumers(connection: Connection) -> list[Consumer]:
    """All of them, by name."""
    return [_consumer(row) for row in connection.execute(sa.select(consumers).order_by(consumers.c.name))]


def require(connection: Connection, name: str) -> Consumer:
    """The consumer called `name`; raises UsageError, which names the nearest one, if it has never been seen."""
    consumer = find(connection, name)
    if consumer is None:
        meant = did_you_mean(name, [other.name for other in all_consumers(connection)], cutoff=0)
        raise UsageError(f"there is no consumer {name!r}{meant} (`syncer alerts list` shows all)")
    return consumer


def register(connection: Connection, name: str, *, position: int, now: datetime, state: str = ACTIVE) -> bool:
    """Make the consumer's row if it has none; was there none?"""
    if find(connection, name) is not None:  # on PostgreSQL even a refused INSERT uses up an id
        return False
    row = {"name": name, "position": position, "state": state, "created_at": now, "failing": []}
    new = insert_into(connection, consumers).values(row).on_conflict_do_nothing(index_elements=["name"])
    return connection.execute(new.returning(consumers.c.id)).first() is not None


def enlist(connection: Connection, name: str, *, start: str, now: datetime) -> None:
    """Make the consumer's row if it has none, at the end of the feed, or for `start` "beginning" at that."""
    register(connection, name, position=0 if start == "beginning" else feed.end(connection), now=now)


def require_within(consumer: Consumer, end: int) -> None:
    """Raise UsageError if the consumer's position is beyond the feed's end."""
    if consumer.position > end:
        raise UsageError(
            f"{consumer.name} is at feed id {consumer.position}, but the feed ends at {end}: the database was restored "
            f"or replaced; `syncer alerts skip {consumer.name}` goes on from there"
        )


def acquire(connection: Connection, name: str, *, owner: str, now: datetime) -> Consumer | None:
    """Take the consumer if it is active, due and nobody else's; None otherwise."""
    due = sa.or_(consumers.c.next_attempt_at.is_(None), consumers.c.next_attempt_at <= now)
    which = sa.and_(consumers.c.name == name, consumers.c.state == ACTIVE, due)
    taken = leases.take(connection, consumers, which, owner=owner, now=now, lasts=LEASE)
    return find(connection, name) if taken else None


# -- by whoever holds its lease: each begins with the check of its token, or raises Fenced -----------------------------


def freeze(connection: Connection, consumer: Consumer, batch: Batch, now: datetime) -> Consumer:
    """Commit to a message before it is sent."""
    values = {
        "batch_id": batch.id,
        "batch_end": batch.end,
        "batch_body": batch.body,
        "batch_notified": {
            "failing": sorted(batch.failing),
            "prices": [
                [model, component, one.price, one.at and rfc3339(one.at)]
                for (model, component), one in batch.notified.items()
            ],
        },
        "batch_since": batch.since,
    }
    return _set(connection, consumer, lease_until=now + LEASE, **values)


def move(connection: Connection, consumer: Consumer, batch: Batch, now: datetime) -> Consumer:
    """Go on behind a batch that told nothing, and remember what it leaves to be remembered."""
    moved = _set(connection, consumer, lease_until=now + LEASE, **_behind(batch))
    _remember(connection, consumer, batch.notified)
    return moved


def delivered(connection: Connection, consumer: Consumer, batch: Batch, now: datetime) -> Consumer:
    """The frozen batch has arrived: go on behind it, and remember what it told."""
    well = {"last_delivered_at": now, "attempts": 0, "next_attempt_at": None, "last_error": None}
    moved = _set(connection, consumer, lease_until=now + LEASE, **_behind(batch), **well)
    _remember(connection, consumer, batch.notified)
    return moved


def failed(
    connection: Connection, consumer: Consumer, *, error: str, next_attempt_at: datetime | None, disabled: str | None
) -> None:
    """The batch has not arrived: try again later, or never (with the reason)."""
    state = {"state": DISABLED, "reason": disabled} if disabled else {}
    _set(
        connection, consumer, attempts=consumer.attempts + 1, next_attempt_at=next_attempt_at, last_error=error, **state
    )


def release(connection: Connection, consumer: Consumer) -> None:
    """Give the consumer back, if it is still ours."""
    leases.release(connection, consumers, consumer.id, consumer.token)


# -- by a person -------------------------------------------------------------------------------------------------------


def pause(connection: Connection, name: str, *, now: datetime) -> Consumer:
    """Hand it nothing from the next message on. Raises UsageError for a cursor, and where there is no such consumer."""
    consumer = _require_pushed(connection, name)
    if consumer.state == ACTIVE:
        reason = f"by a person, {now:%Y-%m-%d %H:%M}Z"
        connection.execute(_row(consumer).values(state=PAUSED, reason=reason))
    return require(connection, name)


def resume(connection: Connection, name: str, *, now: datetime) -> Consumer:
    """Go on where it stands, at once, with five new days of patience. Raises as `pause`."""
    consumer = _require_pushed(connection, name)
    fresh = {"next_attempt_at": None, "attempts": 0, "batch_since": None if consumer.batch is None else now}
    connection.execute(_row(consumer).values(state=ACTIVE, reason=None, **fresh))
    return require(connection, name)


def reposition(connection: Connection, name: str, position: int) -> Consumer:
    """Put the consumer to another position, forgetting batch and memory; whoever is delivering now is fenced off."""
    consumer = require(connection, name)
    fresh: dict[str, Any] = {"next_attempt_at": None, "attempts": 0, "last_error": None, "failing": [], **_NO_BATCH}
    connection.execute(_row(consumer).values(position=position, **leases.fenced_off(consumers), **fresh))
    connection.execute(notified.delete().where(notified.c.consumer_id == consumer.id))
    return consumer


def move_cursor(connection: Connection, name: str, seen: int, end: int, *, now: datetime) -> None:
    """Put a person's cursor from `seen` to `end`, making it if need be; Fenced if somebody else has moved it."""
    if register(connection, name, position=end, now=now, state=CURSOR):
        return
    where = sa.and_(consumers.c.name == name, consumers.c.position == seen)
    moved = connection.execute(sa.update(consumers).where(where).values(position=end, last_delivered_at=now))
    if moved.rowcount == 0:
        raise Fenced(f"the cursor {name} was moved by somebody else meanwhile: ask again")


def position_before(connection: Connection, moment: datetime) -> int:
    """The position behind which everything stands that was observed at `moment` or later."""
    tables = (changes, notices)
    queries = [sa.select(sa.func.min(table.c.id)).where(table.c.observed_at >= moment) for table in tables]
    first = [one for one in (connection.execute(query).scalar() for query in queries) if one is not None]
    return min(first) - 1 if first else feed.end(connection)


def memory(connection: Connection, consumer: Consumer, models: Collection[int]) -> dict[Key, Notified]:
    """What the consumer was told of the prices of these models."""
    query = sa.select(notified).where(notified.c.consumer_id == consumer.id, notified.c.model_id.in_(models))
    rows = connection.execute(query)
    return {(row.model_id, row.component): Notified(price=row.price, at=row.notified_at) for row in rows}


_NO_BATCH = dict.fromkeys(("batch_id", "batch_end", "batch_body", "batch_notified", "batch_since"))


def _behind(batch: Batch) -> dict[str, Any]:
    return {"position": batch.end, "failing": sorted(batch.failing), **_NO_BATCH}


def _row(consumer: Consumer) -> sa.Update:
    return sa.update(consumers).where(consumers.c.id == consumer.id)


def _require_pushed(connection: Connection, name: str) -> Consumer:
    consumer = require(connection, name)
    if consumer.state == CURSOR:
        raise UsageError(f"{name} is a cursor of `syncer changes`: nothing is handed to it unless you ask")
    return consumer


def _set(connection: Connection, consumer: Consumer, **values: Any) -> Consumer:  # noqa: ANN401 - columns
    if not leases.update_held(connection, consumers, consumer.id, consumer.token, **values):
        raise Fenced(f"another syncer took over the consumer {consumer.name}, or a person moved it")
    return require(connection, consumer.name)


def _remember(connection: Connection, consumer: Consumer, remembered: Mapping[Key, Notified]) -> None:
    if not remembered:
        return
    new = insert_into(connection, notified)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=["consumer_id", "model_id", "component"],
            set_={"price": new.excluded.price, "notified_at": new.excluded.notified_at},
        ),
        [
            {
                "consumer_id": consumer.id,
                "model_id": model,
                "component": component,
                "price": one.price,
                "notified_at": one.at,
            }
            for (model, component), one in remembered.items()
        ],
    )


def _consumer(row: Any) -> Consumer:  # noqa: ANN401 - a row of consumers
    same = ("id", "name", "position", "state", "reason", "created_at", "attempts", "next_attempt_at")
    return Consumer(
        **{name: getattr(row, name) for name in (*same, "last_delivered_at", "last_error")},
        token=row.lease_token,
        failing=frozenset(row.failing),
        batch=None if row.batch_id is None else _batch(row),
    )


def _batch(row: Any) -> Batch:  # noqa: ANN401 - a row of consumers
    return Batch(
        id=row.batch_id,
        end=row.batch_end,
        body=row.batch_body,
        notified={
            (int(model), component): _notified(price, at)
            for model, component, price, at in row.batch_notified["prices"]
        },
        failing=frozenset(row.batch_notified["failing"]),
        since=row.batch_since,
    )


def _notified(price: Decimal | int | None, at: str | None) -> Notified:
    known = None if price is None else canonical(Decimal(price))
    return Notified(price=known, at=None if at is None else datetime.fromisoformat(at))
