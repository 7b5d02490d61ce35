"""Daemons in whose processes threads come and go: `python -m tests.daemon.restless FOLDER COUNT`.

Each is told to end by SIGTERM as soon as it is ready; prints how many of them ended by it.
"""

import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from syncer import daemon, systemd
from syncer.db.engine import open_engine
from syncer.settings import Settings

PATIENCE = 10.0
_THREADS = 6


def main(folder: Path, count: int) -> int:
    """How many ended."""
    ready, say = os.pipe()
    pids = [_started(f"sqlite:///{folder / str(number)}.db", say) for number in range(count)]
    for _ in pids:
        os.read(ready, 1)
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    ends_at = time.monotonic() + PATIENCE
    ended: set[int] = set()
    while len(ended) < count and time.monotonic() < ends_at:
        ended.update(pid for pid in pids if pid not in ended and os.waitpid(pid, os.WNOHANG)[0])
        time.sleep(0.01)
    for pid in set(pids) - ended:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return len(ended)


def _started(url: str, say: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    for _ in range(_THREADS):
        threading.Thread(target=_be_restless, daemon=True).start()
    dependencies = daemon.Dependencies(
        engine=open_engine(url),
        load=lambda: Settings(database_url=url),
        with_credentials=lambda attempt: attempt,
        clock=lambda: datetime.now(UTC),
        owner="restless",
        on_state=lambda state, *_: os.write(say, b"!") if state == systemd.READY else None,
    )
    os._exit(daemon.run(dependencies))


def _be_restless() -> None:
    while True:
        short = threading.Thread(target=lambda: sum(range(1_000)))
        short.start()
        short.join()
        time.sleep(0.0005)


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(sys.argv[1]), int(sys.argv[2]))}\n")
