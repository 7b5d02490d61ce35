"""`fleet_upstream.py SECONDS`: one process that serves every source of the fleet; prints its port.

A source's catalog is one of a few; the next one, with other prices of 1 or 2 %, comes every SECONDS, at a time of each
source's own. In between it has the same ETag, and a poll gets a 304.
"""

import sys
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.benchmarks.catalogs import Catalog
from tests.benchmarks.fleet_sizes import MODELS

_VERSIONS = 8


def _bodies() -> list[bytes]:
    catalog = Catalog.of(MODELS)
    return [catalog.moved(seed, listings_too=False)[0].body() for seed in range(_VERSIONS)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bodies: list[bytes]
    seconds: float

    def do_GET(self) -> None:
        """The catalog of the source that the path names."""
        own = zlib.crc32(self.path.encode()) % 1_000 / 1_000
        version = int(time.monotonic() / self.seconds + own) % _VERSIONS
        etag, body = f'"v{version}"', self.bodies[version]
        same = self.headers.get("If-None-Match") == etag
        self.send_response(304 if same else 200)
        self.send_header("ETag", etag)
        if not same:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not same:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: what is printed is the port."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Serve until killed."""
    _Handler.bodies, _Handler.seconds = _bodies(), float(sys.argv[1])
    server = _Server(("127.0.0.1", 0), _Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
