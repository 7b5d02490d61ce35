"""A throwaway Redis: without persistence, on loopback, gone with its `with` block."""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

PROGRAM = shutil.which("redis-server")
_SECONDS = 10


class RedisServer:
    """A server that needs `password`, or none. `authority` is what stands between redis:// and the path."""

    def __init__(self, folder: Path, *, password: str = "") -> None:
        self.password = password
        self.port = _free_port()
        self.authority = f"{':' * bool(password)}{password}{'@' * bool(password)}127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert PROGRAM
        words = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder), "--appendonly", "no"]
        secret = ["--requirepass", self.password] if self.password else []
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen([PROGRAM, *words, "--save", "", *secret], stdout=log, stderr=log)
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def client(self, database: int = 0) -> "Redis":
        """A client for looking at what arrived."""
        return Redis(port=self.port, db=database, password=self.password or None, decode_responses=True)

    def _wait(self) -> None:
        ends_at = time.monotonic() + _SECONDS
        while True:
            try:
                with self.client() as client:
                    client.ping()
            except RedisError:
                assert time.monotonic() < ends_at, (self._folder / "log").read_text()
                time.sleep(0.02)
            else:
                return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
