"""A hard deadline: what is waited for is left behind, and its connection is ended."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_with_deadline(
    ends_at: float, work: Callable[[], Result], abort: Callable[[], None], *, name: str
) -> tuple[Result | BaseException | None, bool]:
    """What `work` returned or raised (None: neither yet), and whether it was late; `ends_at` is time.monotonic().

    It runs in a thread of its own, called `name`, that the deadline leaves behind: httpx's timeouts are per read, so a
    byte a second outlives them all, and nothing can interrupt a name look-up. `abort`, called if it has not ended, ends
    the connection and each one still to come: a thread that reads ends at once, one in a look-up or connect ends
    later, without an effect.
    """
    outcome: list[Result | BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - it is handed to the caller's thread
            outcome.append(error)

    worker = threading.Thread(target=run, name=name, daemon=True)
    worker.start()
    late = True
    try:
        worker.join(max(ends_at - time.monotonic(), 0.0))
        late = worker.is_alive()
    finally:  # also when a signal ends the wait
        if late:
            abort()
            worker.join(0.5)
    return (outcome[0] if outcome else None), late


class OpenConnection:
    """The TCP connection of a client, held so that another thread can abort it, and the last status seen on it.

    httpx tells of the connection through its `trace` extension (tried on httpx 0.28.1, httpcore 1.0.9). A duplicate
    of the socket is kept: TLS detaches the one that is told, and shutdown works through any duplicate, in the midst
    of a handshake, of a head and of a body.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.is_tunnelled = False
        self.is_aborted = False
        self._lock = threading.Lock()
        self._held: socket.socket | None = None

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """What httpx calls at each step of a request."""
        if event == "connection.connect_tcp.started":
            self.is_tunnelled = False
        elif event == "connection.connect_tcp.complete":
            self._hold(info["return_value"].get_extra_info("socket"))
        elif event == "proxy.start_tls.started":  # the proxy has opened the way to the other side
            self.is_tunnelled = True

    def abort(self) -> None:
        """End the connection, and each one that is still to come."""
        with self._lock:
            self.is_aborted = True
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
            if self.is_aborted:
                self._shut_down()

    def _shut_down(self) -> None:
        if self._held:
            with suppress(OSError):  # it has ended by itself
                self._held.shutdown(socket.SHUT_RDWR)
