"""The one event shape, wherever a change leaves syncer: CloudEvents 1.0 (https://cloudevents.io), JSON format.

`id` is the feed id as a string, the same on each repeat; `source` carries the database's random feed id, so that a
restored or copied database is told apart; `time` is when the source was observed, `data` holds when it happened.
`as_json` is the one way in which it is written, so that an event is the same bytes in a webhook, a file and on the
command line. syncer.alerts.schema says all this to programs.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from sqlalchemy.engine import Connection

from syncer import history
from syncer.alerts.schema import CHANGE_TYPE, NOTICE_TYPE
from syncer.core import prices
from syncer.core.model import TRACKED, Kind, component_of, price_field
from syncer.core.text import json_line
from syncer.db import feed
from syncer.history import ChangeRow, NoticeRow

Item = ChangeRow | NoticeRow
_ABOUT_ALL_PRICES = frozenset({Kind.ADDED, Kind.REMOVED, Kind.RELISTED})


def events(connection: Connection, **filters: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - those of history.changes
    """The events of `history.changes(connection, **filters)`, in feed order."""
    feed_id = feed.feed_id(connection)
    return (event(row, feed_id) for row in history.changes(connection, **filters))


def event(row: ChangeRow, feed_id: str) -> dict[str, Any]:
    """One change as a CloudEvent; prices are Decimals, times aware datetimes."""
    return _envelope(row, feed_id, CHANGE_TYPE + row.kind.value, row.name, event_data(row))


def notice_event(row: NoticeRow, feed_id: str) -> dict[str, Any]:
    """One notice as a CloudEvent; its subject is the model that it is about, or the source."""
    data = {
        "source": row.source,
        "kind": row.kind,
        "run_id": row.run_id,
        "finding_id": row.finding_id,
        "observed_at": row.observed_at,
        **row.data,
    }
    return _envelope(row, feed_id, NOTICE_TYPE + row.kind, row.model or row.source, data)


def event_of(item: Item, feed_id: str) -> dict[str, Any]:
    """Any item of the feed as a CloudEvent."""
    return event(item, feed_id) if isinstance(item, ChangeRow) else notice_event(item, feed_id)


def as_json(event: Mapping[str, Any]) -> str:
    """An event on one line of JSON."""
    return json_line(event)


def _envelope(row: Item, feed_id: str, kind: str, subject: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(row.id),
        "source": f"urn:syncer:{feed_id}:{quote(row.source, safe='')}",
        "type": kind,
        "subject": subject,
        "time": row.observed_at,
        "datacontenttype": "application/json",
        "data": data,
    }


def event_data(row: ChangeRow) -> dict[str, Any]:
    """What an event says of its change: before, after, the moves, its window and its run.

    `percent` is to 12 digits, null from unknown, 0 or a negative price; a unit is [quantity, word] or null. The scalars
    are those of the headline, `prices` has each component that moved, or all of a model that came, went or returned.
    """
    state = {field: getattr(row, field) for field in TRACKED} | {"price": row.price, "prices": row.prices}
    return {
        "source": row.source,
        "model": row.name,
        "kind": row.kind.value,
        "run_id": row.run_id,
        "observed_at": row.observed_at,
        "effective_at": row.effective_at,
        "changed_after": row.changed_after,
        "before": None if row.kind is Kind.ADDED else _before(row, state),
        "after": None if row.kind is Kind.REMOVED else state,
        "changed": row.changed,
        "component": row.component,
        "old_price": row.old_price,
        "price": row.price,
        "percent": _percent(row.kind, row.old_price, row.price),
        "prices": _prices(row),
        "currency": row.currency,
        "unit": row.unit,
        "units": row.units,
        "reverts_id": row.reverts_id,
    }


def _before(row: ChangeRow, state: Mapping[str, Any]) -> dict[str, Any]:
    fields = {field: pair[0] for field, pair in row.changed.items() if component_of(field) is None}
    return {**state, **fields, "price": row.old_price, "prices": {name: _old(row, name) for name in row.prices}}


def _prices(row: ChangeRow) -> dict[str, dict[str, Decimal | None]]:
    """What the change says of each price, as its rows in the table `prices` do: of all of a model that comes or goes.

    Otherwise it says something of those that moved.
    """
    said = {}
    for component, new in row.prices.items():
        if row.kind in _ABOUT_ALL_PRICES or price_field(component) in row.changed:
            old = None if row.kind is Kind.ADDED else _old(row, component)
            said[component] = {"old": old, "new": new, "percent": _percent(row.kind, old, new)}
    return said


def _old(row: ChangeRow, component: str) -> Decimal | None:
    pair: Sequence[Decimal | None] = row.changed.get(price_field(component), (row.prices[component],))
    return pair[0]


def _percent(kind: Kind, old: Decimal | None, new: Decimal | None) -> Decimal | None:
    """None where nothing moved; a new reading of old bytes is no move."""
    return None if old == new or kind is Kind.REREAD else prices.percent(old, new)
