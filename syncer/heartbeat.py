"""A dead-man switch (healthchecks style): somebody else hears of us after each round, and acts when they do not.

- All is well: GET the address. Something is wrong: GET the address with /fail behind its path.
- The deadline is hard (syncer.http_client), a redirect is not followed, and the body of a good answer is not read.
- The address is a secret: neither a log line nor an error holds it (law 11).
- That it was not heard is a warning and no more: whoever listens will miss it, which is what they are for.
"""

import logging
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from syncer.http_client import SUCCESS, Client, Limits, NoAnswer, Peer, url_secrets

if TYPE_CHECKING:
    from syncer.settings import Secret

_log = logging.getLogger(__name__)

DEADLINE = timedelta(seconds=10)
_PEER = Peer(name="its address", check="heartbeat_url", slow="check heartbeat_url, and that whoever listens is up")


def send(url: "Secret", *, ok: bool, deadline: timedelta = DEADLINE) -> bool:
    """Say that the last round was well, or that it was not; was it heard (2xx) within the deadline?"""
    address = url.reveal() if ok else failing(url.reveal())
    reason = _send(address, (*url_secrets(url.reveal()), *url_secrets(address)), deadline.total_seconds())
    if reason is not None:
        _log.warning("the heartbeat was not heard: %s", reason)
    return reason is None


def failing(address: str) -> str:
    """The address that hears of failure: /fail goes behind the path, before a query."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))


def _send(address: str, secrets: tuple[str, ...], seconds: float) -> str | None:
    """Why it was not heard, None if it was."""
    limits = Limits(connect=seconds + 1, read=seconds + 1, deadline=seconds)
    try:
        with Client(address, _PEER, limits, headers={}, secrets=secrets, thread="syncer-heartbeat") as client:
            answer = client.send(address, unread=SUCCESS)
            if answer.status in SUCCESS:
                return None
            said = client.said(answer)
    except NoAnswer as error:
        return str(error)
    advice = client.login_advice if answer.status == 407 else None
    reason = f"{client.called(_PEER.name)} answered with status {answer.status}; {advice or 'check heartbeat_url'}"
    return reason + (f" (it says: {said})" if said else "")
