"""The one event shape, wherever a change leaves syncer: CloudEvents 1.0 (https://cloudevents.io), JSON format.

`id` is the feed id as a string, the same on each repeat; `source` carries the database's random feed id, so that a
restored or copied database is told apart; `time` is when syncer looked, `data` holds when it happened. `as_json` is
the one way in which it is written, so that an event is the same bytes in a webhook, a file and on the command line.
`schema` says all this to programs.
"""

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer import history
from syncer.core import prices
from syncer.core.model import TRACKED, Kind
from syncer.core.text import json_line
from syncer.db.tables import feed as feed_table
from syncer.history import ChangeRow, NoticeRow

CHANGE_TYPE = "syncer.model."
NOTICE_TYPE = "syncer.source."


def feed_id(connection: Connection) -> str:
    """The database's random feed id, part of each event's `source`."""
    return str(connection.execute(sa.select(feed_table.c.feed_id)).scalar_one())


def events(connection: Connection, **filters: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - those of history.changes
    """The events of `history.changes(connection, **filters)`, in feed order."""
    feed = feed_id(connection)
    return (event(row, feed) for row in history.changes(connection, **filters))


def event(row: ChangeRow, feed: str) -> dict[str, Any]:
    """One change as a CloudEvent; prices are Decimals, times aware datetimes."""
    return _envelope(row, feed, CHANGE_TYPE + row.kind.value, row.name, event_data(row))


def notice_event(row: NoticeRow, feed: str) -> dict[str, Any]:
    """One notice of a source's health as a CloudEvent; its subject is the source."""
    data = {
        "source": row.source,
        "kind": row.kind,
        "run_id": row.run_id,
        "finding_id": row.finding_id,
        "observed_at": row.observed_at,
        **row.data,
    }
    return _envelope(row, feed, NOTICE_TYPE + row.kind, row.source, data)


def event_of(item: ChangeRow | NoticeRow, feed: str) -> dict[str, Any]:
    """Any item of the feed as a CloudEvent."""
    return event(item, feed) if isinstance(item, ChangeRow) else notice_event(item, feed)


def as_json(event: Mapping[str, Any]) -> str:
    """An event on one line of JSON."""
    return json_line(event)


def schema() -> str:
    """The JSON Schema (2020-12) of each event, as text."""
    return resources.files(__package__).joinpath("event.schema.json").read_text("utf-8")


def _envelope(row: ChangeRow | NoticeRow, feed: str, kind: str, subject: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(row.id),
        "source": f"urn:syncer:{feed}:{quote(row.source, safe='')}",
        "type": kind,
        "subject": subject,
        "time": row.observed_at,
        "datacontenttype": "application/json",
        "data": data,
    }


def event_data(row: ChangeRow) -> dict[str, Any]:
    """What an event says of its change: before, after, the move, its window and its run.

    `percent` is exact to 12 digits, null from unknown, 0 or a negative price; `unit` is [quantity, word] or null.
    """
    state = {field: getattr(row, field) for field in TRACKED}
    earlier = state | {field: pair[0] for field, pair in row.changed.items()}
    return {
        "source": row.source,
        "model": row.name,
        "kind": row.kind.value,
        "run_id": row.run_id,
        "observed_at": row.observed_at,
        "effective_at": row.effective_at,
        "changed_after": row.changed_after,
        "before": None if row.kind is Kind.ADDED else earlier,
        "after": None if row.kind is Kind.REMOVED else state,
        "changed": row.changed,
        "old_price": row.old_price,
        "price": row.price,
        "percent": prices.percent(row.old_price, row.price) if "price" in row.changed else None,
        "currency": row.currency,
        "unit": row.unit,
        "reverts_id": row.reverts_id,
    }
