"""A message that is clearly a test, in the shape of a real one."""

import json
from datetime import datetime
from decimal import Decimal

from syncer.alerts.message import Message


def sample(consumer: str, now: datetime, chance: int) -> Message:
    """One made-up repricing of a model that does not exist; its id is no feed id, and new each time."""
    at = now.isoformat().replace("+00:00", "Z")
    event = {
        "specversion": "1.0",
        "id": f"test-{chance:016x}",
        "source": "urn:syncer:test",
        "type": "syncer.model.repriced",
        "subject": "syncer/this-is-a-test",
        "time": at,
        "datacontenttype": "application/json",
        "data": {
            "test": True,
            "source": "test",
            "model": "syncer/this-is-a-test",
            "kind": "repriced",
            "run_id": None,
            "observed_at": at,
            "effective_at": at,
            "changed_after": None,
            "before": {"price": 1},
            "after": {"price": 2},
            "changed": {"price": [1, 2]},
            "old_price": 1,
            "price": 2,
            "percent": 100,
            "currency": None,
            "unit": None,
            "reverts_id": None,
        },
    }
    body = json.dumps([event])
    events = tuple(json.loads(body, parse_float=Decimal))
    return Message(id=f"test-{chance:016x}", consumer=consumer, body=body.encode(), events=events, is_test=True)
