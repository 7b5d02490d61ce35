"""The consumers' rows: a position in the feed each, a frozen batch while it is being handed over, and what was told.

Each function takes a connection in a transaction and never commits. As for sources, a claim is one UPDATE that decides
and the fence is one UPDATE that checks the token, so that two daemons hand a message over once in normal running.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer import history
from syncer.alerts.rules import Told
from syncer.db.tables import changes, consumers, told
from syncer.errors import Fenced, UsageError

LEASE = timedelta(minutes=2)
LONGEST_LEASE = timedelta(hours=1)


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it was frozen before its first attempt: the same bytes on each repeat, whatever happens meanwhile.

    `end` is the position once it is delivered; `told` and `failing` are what is then remembered of models and sources;
    `since` is the first attempt.
    """

    id: str
    end: int
    rules: str
    body: str
    told: Mapping[int, Told]
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
    """The consumer called `name`; raises UsageError if it has never been seen."""
    consumer = find(connection, name)
    if consumer is None:
        raise UsageError(
            f"there is no consumer {name!r} yet: `syncer alerts deliver` makes one of each [[alerts]] table"
        )
    return consumer


def register(connection: Connection, name: str, *, position: int, now: datetime) -> None:
    """Make the consumer's row if it has none."""
    if find(connection, name) is None:
        row = {"name": name, "position": position, "state": "active", "created_at": now, "failing": []}
        connection.execute(consumers.insert().values(row))


def claim(connection: Connection, name: str, *, owner: str, now: datetime) -> Consumer | None:
    """Take the consumer if it is active, due and nobody else's; None otherwise."""
    free = sa.or_(
        consumers.c.lease_until.is_(None),
        consumers.c.lease_until <= now,
        consumers.c.lease_until > now + LONGEST_LEASE,
    )
    due = sa.or_(consumers.c.next_attempt_at.is_(None), consumers.c.next_attempt_at <= now)
    taken = connection.execute(
        sa.update(consumers)
        .where(consumers.c.name == name, consumers.c.state == "active", free, due)
        .values(lease_token=consumers.c.lease_token + 1, lease_owner=owner, lease_until=now + LEASE)
    )
    return find(connection, name) if taken.rowcount else None


def fence(connection: Connection, held: Consumer) -> None:
    """The first statement of a writing transaction: ours still, or Fenced."""
    _set(connection, held, lease_owner=consumers.c.lease_owner)


def freeze(connection: Connection, held: Consumer, batch: Batch) -> None:
    """Commit to a message before it is sent."""
    values = {
        "batch_id": batch.id,
        "batch_end": batch.end,
        "batch_rules": batch.rules,
        "batch_body": batch.body,
        "batch_told": {
            "failing": sorted(batch.failing),
            "models": {str(model): [one.price, one.at and one.at.isoformat()] for model, one in batch.told.items()},
        },
        "batch_since": batch.since,
    }
    _set(connection, held, **values)


def move(
    connection: Connection, held: Consumer, end: int, remembered: Mapping[int, Told], failing: frozenset[str]
) -> None:
    """Go on to `end` and remember what was told; the batch is done with."""
    _remember(connection, held, remembered)
    _set(connection, held, position=end, failing=sorted(failing), **_NO_BATCH)


def delivered(connection: Connection, held: Consumer, now: datetime) -> None:
    """The batch has arrived."""
    assert held.batch is not None, "only a batch can arrive"  # noqa: S101 - narrows the type
    move(connection, held, held.batch.end, held.batch.told, held.batch.failing)
    _set(connection, held, last_delivered_at=now, attempts=0, next_attempt_at=None, last_error=None)


def prolong(connection: Connection, held: Consumer, now: datetime) -> None:
    """Keep the consumer for another hand-over."""
    _set(connection, held, lease_until=now + LEASE)


def failed(
    connection: Connection, held: Consumer, *, error: str, next_attempt_at: datetime | None, disabled: str | None
) -> None:
    """The batch has not arrived: try again later, or never (with the reason)."""
    state = {"state": "disabled", "reason": disabled} if disabled else {}
    _set(connection, held, attempts=held.attempts + 1, next_attempt_at=next_attempt_at, last_error=error, **state)


def release(connection: Connection, held: Consumer) -> None:
    """Give the consumer back."""
    _set(connection, held, lease_owner=None, lease_until=None)


def set_state(connection: Connection, name: str, state: str, reason: str | None = None) -> None:
    """Pause, resume or disable; an attempt is due at once when it becomes active."""
    again = {"next_attempt_at": None, "attempts": 0, "batch_since": None} if state == "active" else {}
    row = sa.update(consumers).where(consumers.c.name == name)
    connection.execute(row.values(state=state, reason=reason, **again))


def reposition(connection: Connection, name: str, position: int) -> None:
    """Put the consumer to another position, forgetting batch and memory; whoever is delivering now is fenced off."""
    consumer = require(connection, name)
    connection.execute(told.delete().where(told.c.consumer_id == consumer.id))
    connection.execute(
        sa.update(consumers)
        .where(consumers.c.id == consumer.id)
        .values(
            position=position,
            lease_token=consumers.c.lease_token + 1,
            lease_owner=None,
            lease_until=None,
            next_attempt_at=None,
            attempts=0,
            last_error=None,
            failing=[],
            **_NO_BATCH,
        )
    )


def move_cursor(connection: Connection, name: str, seen: int, end: int, *, now: datetime) -> None:
    """Put a person's cursor from `seen` to `end`, making it if need be; Fenced if another look has moved it."""
    if find(connection, name) is None:
        row = {"name": name, "position": end, "state": "cursor", "created_at": now, "failing": []}
        connection.execute(consumers.insert().values(row))
        return
    where = sa.and_(consumers.c.name == name, consumers.c.position == seen)
    moved = connection.execute(sa.update(consumers).where(where).values(position=end, last_delivered_at=now))
    if moved.rowcount == 0:
        raise Fenced(f"the cursor {name} was moved by somebody else meanwhile: look again")


def position_before(connection: Connection, moment: datetime) -> int:
    """The position behind which everything was observed at `moment` or later."""
    first = connection.execute(sa.select(sa.func.min(changes.c.id)).where(changes.c.observed_at >= moment)).scalar()
    return history.feed_end(connection) if first is None else int(first) - 1


def memory(connection: Connection, consumer: Consumer) -> dict[int, Told]:
    """What the consumer was told of each model."""
    rows = connection.execute(sa.select(told).where(told.c.consumer_id == consumer.id))
    return {row.model_id: Told(price=row.price, at=row.told_at) for row in rows}


_NO_BATCH = dict.fromkeys(("batch_id", "batch_end", "batch_rules", "batch_body", "batch_told", "batch_since"))


def _set(connection: Connection, held: Consumer, **values: Any) -> None:  # noqa: ANN401 - columns
    ours = connection.execute(
        sa.update(consumers).where(consumers.c.id == held.id, consumers.c.lease_token == held.token).values(values)
    )
    if ours.rowcount == 0:
        raise Fenced(f"another syncer took over the consumer {held.name}, or a person moved it")


def _remember(connection: Connection, held: Consumer, remembered: Mapping[int, Told]) -> None:
    for model, one in remembered.items():
        values = {"price": one.price, "told_at": one.at}
        this = sa.and_(told.c.consumer_id == held.id, told.c.model_id == model)
        if connection.execute(sa.update(told).where(this).values(values)).rowcount == 0:
            connection.execute(told.insert().values(consumer_id=held.id, model_id=model, **values))


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
        rules=row.batch_rules,
        body=row.batch_body,
        told={int(model): _told(*pair) for model, pair in row.batch_told["models"].items()},
        failing=frozenset(row.batch_told["failing"]),
        since=row.batch_since,
    )


def _told(price: Decimal | int | None, at: str | None) -> Told:
    return Told(price=None if price is None else Decimal(price), at=None if at is None else datetime.fromisoformat(at))
