"""What is handed to a sink, and how a sink says no."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import msgspec

from syncer.errors import SyncerError


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Some events for one consumer, frozen: a repeat carries the same id and the same bytes.

    `id` is unique to this hand-over and stable over its repeats; `body` is the JSON array of the events (CloudEvents
    batch format), UTF-8; `events` is that array parsed, numbers with a fraction as Decimals. `is_test` marks a sample.
    """

    id: str
    consumer: str
    body: bytes
    events: tuple[Mapping[str, Any], ...]
    is_test: bool = False


class DeliveryError(SyncerError):
    """A sink could not hand a message over; the message says what the other side answered, and holds no secret.

    `retry_after` is how long the other side asked to be left alone; `gone` that it never wants to hear again.
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None, gone: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.gone = gone


Sink = Callable[[Message], None]
"""The one seam: hand the message over whole and return, or raise DeliveryError.

Each request of a message ends within `DEADLINE`, the message with all of its requests within `LONGEST`.
"""

DEADLINE = timedelta(seconds=15)

LONGEST = timedelta(seconds=90)
"""Shorter than a consumer's lease (2 min): a process that was suspended sends nothing after another took over."""
