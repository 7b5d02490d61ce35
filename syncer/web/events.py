"""The feed as server-sent events: each change and notice, in order, without a hole.

- The id of an event is its feed id: a client that comes back with `Last-Event-ID` misses nothing (law 8).
- A stream holds no connection of the database while it waits, and no more events than one batch while it is slow.
- There are at most so many streams; a comment keeps each of them open; all end when the server stops.
"""

import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from syncer.alerts.event import as_json, event_of
from syncer.alerts.feed import read_feed
from syncer.db import feed
from syncer.history import ChangeRow
from syncer.web.problems import document
from syncer.web.query import Query
from syncer.web.site import Site

MOST_STREAMS = 32
_BATCH = 100
_EVERY = 1.0  # seconds between two looks at the end of the feed
_COMMENT = 15.0  # seconds of silence after which a comment says that the stream is alive


class Events:
    """The streams of one server."""

    def __init__(self, site: Site, *, most: int = MOST_STREAMS) -> None:
        self._site, self._most = site, most
        self._open = 0

    async def answer(self, request: Request) -> Response:
        """`/events?after=`: what comes behind that position, or behind `Last-Event-ID`, or from now on."""
        if self._open >= self._most:
            return document(503, f"{self._most} streams are open already", {"retry-after": "30"})
        query = Query(request.query_params.multi_items(), self._site.clock())
        query.require_known(("after",))
        resumed = Query([("Last-Event-ID", request.headers.get("last-event-id", ""))], query.present)
        after = resumed.number("Last-Event-ID", query.number("after"))
        end = await to_thread.run_sync(self._end)
        if after is not None and after > end:
            said = f"feed id {after} does not exist yet, the feed ends at {end}: is it a position of another database?"
            return document(409, said, {"cache-control": "no-store"})
        body = self._stream(end if after is None else after)
        return StreamingResponse(body, media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def _stream(self, position: int) -> AsyncIterator[str]:
        self._open += 1
        try:
            said_at = time.monotonic()
            yield ": this is the feed\n\n"
            while True:
                batch = await to_thread.run_sync(self._behind, position)
                for number, text in batch:
                    yield text
                    position, said_at = number, time.monotonic()
                if not batch:
                    if time.monotonic() - said_at > _COMMENT:
                        yield ": still here\n\n"
                        said_at = time.monotonic()
                    await anyio.sleep(_EVERY)
        finally:
            self._open -= 1

    def _end(self) -> int:
        with self._site.reading() as connection:
            return feed.end(connection)

    def _behind(self, position: int) -> list[tuple[int, str]]:
        """The next events as they are sent."""
        with self._site.reading() as connection:
            if feed.end(connection) <= position:
                return []
            made = feed.feed_id(connection)
            items = read_feed(connection, after=position, limit=_BATCH)
            return [(item.id, _event(item, as_json(event_of(item, made)))) for item in items]


def _event(item: Any, data: str) -> str:  # noqa: ANN401 - an item of the feed
    kind = "change" if isinstance(item, ChangeRow) else "notice"
    return f"id: {item.id}\nevent: {kind}\ndata: {data}\n\n"
