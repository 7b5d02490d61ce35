"""What each HTTP client of ours needs: a deadline that nothing outlives, and text that is safe to show.

- The deadline is hard: it ends a slow name look-up, connect, TLS handshake, head and body alike.
- What the other side says is shown printable (law 12) and without the secrets that it may repeat (law 11).
"""

import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import httpx  # at run time only where something is sent: it costs 0.1 s to import

# httpx imports its own command line, if it can, and with that rich and pygments: a quarter of its start-up, never used.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None: "there is no such module"

_SHORTEST_CUT = 4  # fewer characters of a secret give nothing away
LONGEST_RETRY_AFTER = 10**9  # 31 years in seconds: the sum with any present date is still a date

Result = TypeVar("Result")


def run_with_deadline(
    ends_at: float, work: Callable[[], Result], abort: Callable[[], None], *, name: str
) -> tuple[Result | BaseException | None, bool]:
    """What `work` returned or raised (None: neither yet), and whether it was late; `ends_at` is time.monotonic().

    It runs in a thread of its own, called `name`, that the deadline leaves behind: httpx's timeouts are per read, so a
    byte a second outlives them all, and nothing can interrupt a name look-up. `abort` ends the connection and each one
    still to come: a thread that reads ends at once, one in a look-up or connect ends later, without an effect.
    """
    outcome: list[Result | BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - it is handed to the caller's thread
            outcome.append(error)

    worker = threading.Thread(target=run, name=name, daemon=True)
    worker.start()
    try:
        worker.join(max(ends_at - time.monotonic(), 0.0))
        late = worker.is_alive()
    finally:  # also when a signal ends the wait
        abort()
        worker.join(0.5)
    return (outcome[0] if outcome else None), late


class OpenConnection:
    """The TCP connection of an attempt, held so that another thread can cut it, and the last status seen on it.

    httpx tells of the connection through its `trace` extension (tried on httpx 0.28.1, httpcore 1.0.9). A duplicate
    of the socket is kept: TLS detaches the one that is told, and shutdown works through any duplicate, in the midst
    of a handshake, of a head and of a body.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self._lock = threading.Lock()
        self._held: socket.socket | None = None
        self._aborted = False

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """What httpx calls at each step of a request."""
        if event == "connection.connect_tcp.complete":
            self._hold(info["return_value"].get_extra_info("socket"))

    def abort(self) -> None:
        """End the connection, and each one that is still to come."""
        with self._lock:
            self._aborted = True
            self._shut_down()

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._held:
                self._held.close()
            self._held = None

    def _hold(self, connection: socket.socket) -> None:
        self.close()
        with self._lock:
            self._held = connection.dup()
            if self._aborted:
                self._shut_down()

    def _shut_down(self) -> None:
        if self._held:
            with suppress(OSError):  # it has ended by itself
                self._held.shutdown(socket.SHUT_RDWR)


def open_client(headers: Mapping[str, str], *, secure: bool, connect: float, read: float) -> "httpx.Client":
    """A client that takes proxies and CA bundles from the environment. (httpx reads no netrc unless told to.)

    `secure`: for https; `connect` and `read` are timeouts in seconds. Raises ValueError that says what to check in
    an environment it cannot start with.
    """
    import httpx

    for name in ("httpx", "httpcore"):  # they log whole URLs and headers (law 11)
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(read, connect=connect),
            # Loading CA certificates takes 20 to 50 ms, a client without them 0.5: for http:// it trusts nobody.
            verify=True if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
    except (OSError, ValueError, ImportError, httpx.InvalidURL):  # what it says may show a proxy's password
        raise ValueError(
            "the HTTP client cannot start with this environment; check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY "
            "(http:// or https:// URLs) and SSL_CERT_FILE and SSL_CERT_DIR (readable PEM files)"
        ) from None


def retry_after(text: str | None, now: datetime) -> float:
    """Seconds that a Retry-After asks for: a number or an HTTP date; 0 where it is missing, past or unreadable."""
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) < 10 else float(LONGEST_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    if date.tzinfo is None:  # "-0000", which means UTC of an unknown place
        date = date.replace(tzinfo=UTC)
    return min(max((date - now).total_seconds(), 0.0), float(LONGEST_RETRY_AFTER))


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, and without the beginning of one that the end of the text may have cut."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):  # a part of one may be another
        text = text.replace(secret, "***")
        abort = next((n for n in range(len(secret) - 1, _SHORTEST_CUT - 1, -1) if text.endswith(secret[:n])), 0)
        text = text[: len(text) - abort]
    return text


def escape(text: str) -> str:
    """The text with control, format and other invisible characters written as escapes (law 12)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
