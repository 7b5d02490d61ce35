"""A real loopback HTTP server that serves catalogs, and misbehaves as it is told.

- It answers every path and method with the next reply; the last reply repeats.
- A reply that carries an ETag answers 304 to a request that names this ETag.
- Leaving the `with` block cuts every connection, hung ones too, and joins every thread.
"""

import contextlib
import json
import re
import select
import socket
import ssl
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self, cast

PREFIX = "/api/v1"
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it arrived. Header names are lower-case; `at` is time.monotonic()."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer and the way in which it goes wrong; as it stands it is a whole, honest one.

    `drip`: seconds between single bytes, of the head or of the body (`drip_in`). `hang`: nothing is ever sent.
    `close_after`: the connection ends after so many bytes of the body. `content_length`: said instead of the true
    one. `gzip_bomb`: so many zero bytes follow instead of `body`, compressed while they are sent.
    `tunnel`: a CONNECT is granted, and the way opened to where it leads.
    `on_request` is called in the server's thread, after the request was recorded and before anything is sent: let
    it wait on an Event (with a timeout) to hold a client inside its fetch.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: float = 0.0
    drip_in: Literal["head", "body"] = "body"
    hang: bool = False
    close_after: int | None = None
    content_length: int | None = None
    gzip_bomb: int = 0
    tunnel: bool = False
    on_request: Callable[[], object] | None = None

    @property
    def faulty(self) -> bool:
        """Whether the connection is of no use after this reply."""
        return bool(self.gzip_bomb) or self.close_after is not None or self.content_length is not None

    def head(self) -> bytes:
        """The status line and headers."""
        headers = dict(self.headers)
        if self.gzip_bomb:
            headers["Content-Encoding"] = "gzip"
        elif self.status != 304:
            headers["Content-Length"] = str(len(self.body) if self.content_length is None else self.content_length)
        if self.faulty:
            headers["Connection"] = "close"
        phrase = HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode("utf-8")

    def pieces(self) -> Iterator[bytes]:
        """The bytes after the head, made as they are needed."""
        if self.gzip_bomb:
            yield from _gzip_zeros(self.gzip_bomb)
        elif self.status != 304:
            yield self.body[: self.close_after]


def _gzip_zeros(size: int) -> Iterator[bytes]:
    squeeze = zlib.compressobj(level=1, wbits=31)
    block = bytes(MEBIBYTE)
    for start in range(0, size, MEBIBYTE):
        yield squeeze.compress(block[: size - start])
    yield squeeze.flush()


class Upstream:
    """The server. Replies come from `reply` or `serve`; what was asked is in `requests`, oldest first.

    `url` is the base URL that a user would configure. `tls`: a server-side context makes it https.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._replies = [Reply(status=503)]
        self._lock = threading.Lock()
        self._server = _Server(self, tls)
        self.port: int = self._server.server_address[1]
        self.origin = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.url = self.origin + PREFIX
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="upstream")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.cut()
        self._server.server_close()
        self._thread.join()

    def reply(self, *replies: Reply) -> Self:
        """Answer the next requests with these, in order; the last one repeats."""
        with self._lock:
            self._replies = list(replies)
        return self

    def serve(self, models: list[dict[str, Any]] | bytes, *, etag: bool = True) -> Self:
        """Answer 200 with this catalog (or these very bytes) from now on, with a strong ETag unless told not to."""
        body = models if isinstance(models, bytes) else catalog_body(models)
        headers = {"Content-Type": "application/json"}
        if etag:
            headers["ETag"] = etag_of(body)
        return self.reply(Reply(body=body, headers=headers))

    def take(self, request: Request) -> Reply:
        """Record a request and say what to answer: a 304 if the client already has what would be sent."""
        with self._lock:
            self.requests.append(request)
            reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        known = request.headers.get("if-none-match")
        if known is not None and known == reply.headers.get("ETag"):
            return Reply(status=304, headers={"ETag": known}, on_request=reply.on_request)
        return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() joins the handlers: no test leaves a thread behind
    request_queue_size = 128

    def __init__(self, upstream: Upstream, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self._tls = tls
        self._open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls:
            # The handshake then happens in the handler's thread, on its first read.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the game; anything else is a bug and is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def cut(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        upstream = cast("_Server", self.server).upstream
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(method=self.command, path=self.path, headers=headers, body=body, at=time.monotonic())
        reply = upstream.take(request)
        if reply.on_request:
            reply.on_request()
        if reply.hang:
            upstream.closing.wait()
        if reply.tunnel:
            self._relay(upstream.closing)
            return
        self.close_connection = reply.faulty or upstream.closing.is_set()
        if not upstream.closing.is_set():
            self._send(reply, upstream.closing)

    do_POST = do_GET  # noqa: N815 - http.server's name
    do_CONNECT = do_GET  # noqa: N815 - likewise

    def _relay(self, closing: threading.Event) -> None:
        """Carry bytes to where the CONNECT leads, and back, until one side ends."""
        host, _, port = self.path.rpartition(":")
        self.close_connection = True
        with socket.create_connection((host, int(port))) as there:
            self.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            ways = {self.connection: there, there: self.connection}
            while not closing.is_set():
                for side in select.select(list(ways), [], [], 0.05)[0]:
                    data = side.recv(65536)
                    if not data:
                        return
                    ways[side].sendall(data)

    def _send(self, reply: Reply, closing: threading.Event) -> None:
        self._write(reply.head(), reply.drip if reply.drip_in == "head" else 0, closing)
        for piece in reply.pieces():
            self._write(piece, reply.drip if reply.drip_in == "body" else 0, closing)

    def _write(self, data: bytes, drip: float, closing: threading.Event) -> None:
        if not drip:
            self.wfile.write(data)
            return
        for byte in data:
            self.wfile.write(bytes([byte]))
            if closing.wait(drip):
                raise ConnectionAbortedError

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Nothing: tests look at `requests`."""


def model(name: str, price: Any = Decimal("0.5"), **fields: Any) -> dict[str, Any]:
    """A full documented row; `fields` replace or add. A Decimal is written as this exact JSON number."""
    return {
        "model_name": name,
        "model_alias": name.rpartition("/")[2],
        "model_type": "Text",
        "context_length": 32768,
        "max_completion_tokens": 10000,
        "description": f"What {name} is good for",
        "price": price,
        "huggingface_url": f"https://huggingface.co/{name}",
    } | fields


def catalog_body(models: list[Any], **envelope: Any) -> bytes:
    """The documented response around these rows; `envelope` replaces or adds top-level fields."""
    whole = {"data": {"models": models}, "message": "Get models list successfully.", "status": "success"} | envelope
    text = json.dumps(whole, default=lambda number: f"__number__{number}")
    return re.sub(r'"__number__([^"]*)"', r"\1", text).encode("ascii")


def etag_of(body: bytes) -> str:
    """The strong ETag under which `serve` offers a body."""
    return f'"{sha256(body).hexdigest()[:32]}"'
