"""The server: one application at one address, from a thread, while a block runs.

Who may listen where is decided here: on this machine anybody; elsewhere only with a token, or where a person said that
everybody may read it.
"""

import ipaddress
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from syncer.db.engine import open_engine
from syncer.errors import UsageError
from syncer.settings import Secret, Settings
from syncer.web.app import Access, Face, Trouble
from syncer.web.site import Clock, Site

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

_MOST_CONNECTIONS = 96


class Served:
    """What is being served, and where: `url` is http://HOST:PORT with the port that was bound."""

    def __init__(self, site: Site, url: str) -> None:
        self._site = site
        self.url = url

    def reconfigure(self, settings: Settings) -> None:
        """Answer by these settings from now on."""
        self._site.settings = settings


@contextmanager
def serve(
    engine: "Engine",
    settings: Settings,
    listen: str,
    *,
    clock: Clock,
    token: Secret | None = None,
    public: bool = False,
    hosts: Sequence[str] = (),
    trouble: Trouble = lambda: None,
) -> Iterator[Served]:
    """Serve all of it at `listen` (HOST:PORT, port 0 takes a free one) while the block runs, from a thread.

    `engine` names the database; it is read through an engine of our own that cannot write. `hosts` are further names
    under which it may be asked. `trouble` says why this process should be restarted, None while all is well.
    Signals stay with the caller. Raises UsageError for an address that is none, cannot be bound, or is open to others
    without a token and without `public`.
    """
    listener = _bind(listen)
    host, port = listener.getsockname()[:2]
    if token is None and not public and not ipaddress.ip_address(host).is_loopback:
        listener.close()
        raise UsageError(
            f"{listen} is open to other machines: set SYNCER_WEB_TOKEN to the token that they have to send, "
            "or say --public if everybody may read it"
        )
    site = Site(read_only(engine), settings, clock=clock)
    access = Access(token=token, hosts=_hosts(host, hosts, token, public=public))
    server = uvicorn.Server(
        uvicorn.Config(
            Face(site, access, trouble=trouble).application(),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=2,
        )
    )
    worker = threading.Thread(target=server.run, args=([listener],), name="syncer-web", daemon=True)
    worker.start()
    try:
        yield Served(site, f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    finally:
        server.should_exit = True
        worker.join(5)
        listener.close()
        site.engine.dispose()


def read_only(engine: "Engine") -> "Engine":
    """An engine of the same database that cannot write to it."""
    url = engine.url.render_as_string(hide_password=False)
    return engine if "mode=ro" in url else open_engine(url, read_only=True)


def _hosts(bound: str, more: Sequence[str], token: Secret | None, *, public: bool) -> frozenset[str] | None:
    """Under which names it may be asked; None: under any.

    A page of somebody else can make a browser ask us under its own name: without a token, on this machine, that would
    hand it everything. A token is sent to the name it was given for only, and what is public is no secret.
    """
    if not more and (token is not None or public):
        return None
    return frozenset({"localhost", "127.0.0.1", "[::1]", bound, *(name.lower() for name in more)})


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise UsageError(f"{listen!r} is not an address to listen at. Expected: HOST:PORT such as 127.0.0.1:8470.")
    return host, int(port)


def _bind(listen: str) -> socket.socket:
    host, port = _address(listen)
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"cannot listen at {listen}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot listen at {listen}: {error.strerror}; is it taken already?") from None
    return listener
