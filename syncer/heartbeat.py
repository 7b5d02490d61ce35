"""A dead-man switch (healthchecks style): somebody else hears of us after each round, and acts when they do not.

- All is well: GET the address. Something is wrong: GET the address with /fail behind its path.
- The deadline is hard (syncer.http_client), a redirect is not followed, and the answer's body is not read.
- The address is a secret: neither a log line nor an error holds it (law 11).
- That it was not heard is a warning and no more: whoever listens will miss it, which is what they are for.
"""

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from syncer import __version__, http_client

if TYPE_CHECKING:
    from syncer.settings import Secret

_log = logging.getLogger(__name__)

DEADLINE = timedelta(seconds=10)


def beat(url: "Secret", *, ok: bool, deadline: timedelta = DEADLINE) -> bool:
    """Say that the last round was well, or that it was not; was it heard (2xx) within the deadline?"""
    address = url.reveal() if ok else failing(url.reveal())
    line = http_client.OpenConnection()
    seconds = deadline.total_seconds()
    outcome, late = http_client.run_with_deadline(
        time.monotonic() + seconds, lambda: _get(address, line, seconds), line.abort, name="syncer-heartbeat"
    )
    if isinstance(outcome, int) and 200 <= outcome < 300:
        return True
    _log.warning("the heartbeat was not heard: %s", _reason(outcome, seconds, late=late))
    return False


def failing(address: str) -> str:
    """The address that hears of failure: /fail goes behind the path, before a query."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))


def _get(address: str, line: http_client.OpenConnection, seconds: float) -> int:
    headers = {"User-Agent": f"syncer/{__version__}"}
    try:
        secure = address.lower().startswith("https:")
        with (
            http_client.open_client(headers, secure=secure, connect=seconds + 1, read=seconds + 1) as client,
            client.stream("GET", address, extensions={"trace": line.trace}) as response,
        ):
            return response.status_code
    finally:
        line.close()


def _reason(outcome: int | BaseException | None, seconds: float, *, late: bool) -> str:
    """Why, in words that hold nothing of the address; a bug keeps its traceback."""
    import httpx

    if isinstance(outcome, int):
        return f"its address answered with status {outcome}; check heartbeat_url"
    if late:
        return f"no answer within {seconds:g} s"
    if not isinstance(outcome, (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError)):
        assert outcome is not None  # noqa: S101 - in time, it returned or raised
        raise outcome
    return f"its address cannot be reached ({type(outcome).__name__}); check heartbeat_url and the network"
