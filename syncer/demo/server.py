"""The demo's provider: a loopback HTTP server in a thread, which answers with one step of the sample at a time.

It listens on 127.0.0.1 only, at a port the system picks, and asks nothing of any network or name server.
What it answers is decided by `answer`, which knows no socket.
"""

import hashlib
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread
from types import TracebackType
from typing import NamedTuple, Self

from syncer.demo.catalog import Day

PATH = "/serverless/models"


class Reply(NamedTuple):
    """One HTTP response: its status, its headers (without the length) and its body."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


def answer(step: Day, path: str, authorization: str | None, if_none_match: str | None) -> Reply:
    """What the provider says at `step` to a GET: any bearer token that begins with `demo` is a valid key."""
    if path != PATH:
        return _refuse(404, f"There is nothing here; the catalog is at {PATH}.")
    if not (authorization or "").startswith("Bearer demo"):
        return _refuse(401, "Send 'Authorization: Bearer demo'.")
    headers = {"Content-Type": step.content_type}
    if step.status != 200:
        return Reply(step.status, headers, step.body)
    headers["ETag"] = f'"{hashlib.blake2b(step.body, digest_size=8).hexdigest()}"'
    if if_none_match == headers["ETag"]:
        return Reply(304, headers)
    return Reply(200, headers, step.body)


def _refuse(status: int, message: str) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, f'{{"message":"{message}","status":"failed"}}'.encode())


class DemoServer:
    """Serves `steps` while entered: the first one, until `step` is set to the index of another.

    `url` is the base URL to configure, to which a client adds `/serverless/models`.
    """

    def __init__(self, steps: Sequence[Day]) -> None:
        self._steps = steps
        self._step = 0
        self._server = _Server(steps[0])
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), name="syncer-demo", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def step(self) -> int:
        """The index of the step that is served from the next request on; IndexError if there is none such."""
        return self._step

    @step.setter
    def step(self, index: int) -> None:
        self._server.current = self._steps[index]
        self._step = index


class _Server(ThreadingTCPServer):
    # Not http.server.HTTPServer: binding that one asks a name server who 127.0.0.1 is.
    daemon_threads = True

    def __init__(self, current: Day) -> None:
        self.current = current
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        said = answer(
            self.server.current, self.path, self.headers.get("Authorization"), self.headers.get("If-None-Match")
        )
        self.send_response(said.status)
        for name, value in said.headers.items():
            self.send_header(name, value)
        if said.status != 304:
            self.send_header("Content-Length", str(len(said.body)))
        self.end_headers()
        self.wfile.write(said.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        """Says nothing: the demo's output is syncer's."""
