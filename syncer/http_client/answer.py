"""What a client is given and what it gives: limits, who the other side is, an answer or none."""

from collections.abc import Mapping

import msgspec

SUCCESS = range(200, 300)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may cost. `connect` bounds a connect or TLS handshake, `read` one silence, in seconds.

    `deadline` bounds all that one client sends together, in seconds; `max_body` one body, in decoded bytes.
    """

    connect: float = 10.0
    read: float = 30.0
    deadline: float = 120.0
    max_body: int = 64 * 1024 * 1024


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """The other side as sentences speak of it: its `name`, which setting to `check`, and what to do if it is `slow`."""

    name: str
    check: str
    slow: str


class NoAnswer(Exception):  # noqa: N818 - what happened, for the caller to judge
    """No usable answer came; the text is a sentence without a secret.

    `is_transient`: another attempt may end otherwise. `status` is the last one seen, None if none came.
    """

    def __init__(self, message: str, *, is_transient: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.is_transient = is_transient
        self.status = status


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back from `url`. Header names are lower-case.

    `body` is the whole decoded body of a status that was wanted; of any other it is what an excerpt needs.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytearray
