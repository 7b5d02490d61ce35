"""A message that is clearly a test, in the shape of a real one."""

import json
from datetime import datetime, timedelta
from decimal import Decimal

from syncer.alerts.event import as_json, event
from syncer.alerts.message import Message
from syncer.core.model import Kind, price_field
from syncer.history import ChangeRow

_NAME = "syncer/this-is-a-test"
_COMPONENT = "price"


def sample(consumer: str, now: datetime, number: int) -> Message:
    """One made-up repricing of a model that does not exist; its id is no feed id, and new with each `number`."""
    made_up = event(_repricing(now), "test")
    name = f"test-{number:016x}"
    body = f"[{as_json(made_up | {'id': name, 'data': made_up['data'] | {'test': True}})}]"
    events = tuple(json.loads(body, parse_float=Decimal))
    return Message(id=name, consumer=consumer, body=body.encode(), events=events, is_test=True)


def _repricing(now: datetime) -> ChangeRow:
    old, new = Decimal(1), Decimal(2)
    return ChangeRow(
        id=0,
        source="test",
        run_id=0,
        model_id=0,
        kind=Kind.REPRICED,
        observed_at=now,
        effective_at=now,
        changed_after=now - timedelta(hours=1),
        name=_NAME,
        type="Text",
        context_length=32768,
        description="A sample: nothing has happened",
        component=_COMPONENT,
        price=new,
        old_price=old,
        prices={_COMPONENT: new},
        changed={price_field(_COMPONENT): [old, new]},
        reverts_id=None,
        currency=None,
        unit=None,
        units={_COMPONENT: None},
    )
