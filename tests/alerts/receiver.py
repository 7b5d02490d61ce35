"""A loopback HTTP receiver of webhooks that misbehaves as it is told; an independent library verifies what came."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from standardwebhooks import Webhook

from tests.upstream import Reply, Request, Upstream

OK = Reply(status=204)


@dataclass(frozen=True, kw_only=True)
class Endless(Reply):
    """A body that never ends."""

    content_length: int | None = 10**15

    def pieces(self) -> Iterator[bytes]:
        """Bytes, for as long as somebody takes them."""
        while True:
            yield b"x" * 65536


class Receiver(Upstream):
    """What was sent is in `requests`, oldest first; `reply` says what it answers, 204 unless told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.reply(OK)
        self.url = f"{self.origin}/hooks/t0ken-in-the-path"

    @property
    def request(self) -> Request:
        """The one request that came."""
        (request,) = self.requests
        return request

    def verified(self, secret: str) -> list[Any]:
        """The body of each request; raises WebhookVerificationError for one that `secret` has not signed just now."""
        return [Webhook(secret).verify(request.body, dict(request.headers)) for request in self.requests]
