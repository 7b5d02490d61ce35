"""A message that is clearly a test, in the shape of a real one."""

import json
from datetime import datetime, timedelta
from decimal import Decimal

from syncer.alerts.event import as_json, event
from syncer.alerts.message import Message
from syncer.core.model import Kind
from syncer.history import ChangeRow

_NAME = "syncer/this-is-a-test"


def sample(consumer: str, now: datetime, chance: int) -> Message:
    """One made-up repricing of a model that does not exist; its id is no feed id, and new with each `chance`."""
    made_up = event(_repricing(now), "test")
    name = f"test-{chance:016x}"
    body = f"[{as_json(made_up | {'id': name, 'data': made_up['data'] | {'test': True}})}]"
    events = tuple(json.loads(body, parse_float=Decimal))
    return Message(id=name, consumer=consumer, body=body.encode(), events=events, is_test=True)


def _repricing(now: datetime) -> ChangeRow:
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
        alias=None,
        type="Text",
        context_length=32768,
        max_completion_tokens=None,
        description="A sample: nothing has happened",
        price=Decimal(2),
        old_price=Decimal(1),
        huggingface_url=None,
        changed={"price": [Decimal(1), Decimal(2)]},
        reverts_id=None,
        currency=None,
        unit=None,
    )
