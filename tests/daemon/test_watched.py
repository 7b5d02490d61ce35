"""The daemon as others see it: systemd, Prometheus, the dead-man switch and the nightly upkeep."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from syncer.daemon import Daemon, Dependencies, Liveness
from syncer.db.engine import open_engine
from syncer.settings import Settings, SourceSettings
from tests.faults.child import wait_until
from tests.upstream import Upstream, model

PATIENCE = 30.0


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Queue[str]]:
    """What a socket such as systemd's hears, read at once: one that is full for a second loses what it is told."""
    heard: Queue[str] = Queue()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.bind(str(tmp_path / "notify"))

        def listen() -> None:
            while message := listening.recv(1000):
                for state in message.decode().splitlines():
                    heard.put(state)

        listener = threading.Thread(target=listen)
        listener.start()
        yield heard
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as end:
            end.sendto(b"", str(tmp_path / "notify"))
        listener.join()


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _states_until(supervisor: Queue[str], last: str) -> list[str]:
    """What it hears, up to this state and without the watchdog's."""
    ends_at, heard = time.monotonic() + PATIENCE, list[str]()
    while last not in heard:
        assert time.monotonic() < ends_at, f"never heard {last}, but {heard}"
        heard.append(supervisor.get(timeout=PATIENCE))
    return [state for state in heard if state != "WATCHDOG=1"]


def test_no_sigterm_is_lost(tmp_path: Path) -> None:
    """Threads come and go with each poll, and the kernel may hand a signal to any of them: every daemon ends by it."""
    command = [sys.executable, "-m", "tests.daemon.restless", str(tmp_path), "16"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["16"]


def test_the_running_daemon_can_be_watched(tmp_path: Path, upstream: Upstream, supervisor: Queue[str]) -> None:
    """`syncer run --listen` says READY and WATCHDOG, answers on its three pages, and ends with 0 on SIGTERM."""
    upstream.serve([model("a")])
    (tmp_path / "syncer.toml").write_text(
        f'database_url = "sqlite:///{tmp_path / "x.db"}"\n[[sources]]\nurl = "{upstream.url}"\ninterval = "1s"\n'
    )
    port = _free_port()
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    command = [sys.executable, "-m", "syncer", "run", "--listen", f"127.0.0.1:{port}"]
    with (
        subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as daemon,
        ExitStack() as stack,
    ):
        stack.callback(daemon.kill)  # where the test fails, nobody else would end it
        assert [supervisor.get(timeout=PATIENCE) for _ in range(3)] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
        pages = {}
        for page in ("healthz", "readyz", "metrics"):
            with urlopen(f"http://127.0.0.1:{port}/{page}", timeout=PATIENCE) as answer:
                pages[page] = (answer.status, answer.read().decode())
        daemon.send_signal(signal.SIGHUP)
        states = _states_until(supervisor, "READY=1")
        assert states[0] == "RELOADING=1"
        assert states[1].startswith("MONOTONIC_USEC=")
        daemon.send_signal(signal.SIGTERM)
        assert _states_until(supervisor, "STOPPING=1")
        _, said = daemon.communicate(timeout=PATIENCE)
    assert daemon.returncode == 0, said.decode()
    assert {status for status, _ in pages.values()} == {200}
    assert "syncer_database_up 1.0" in pages["metrics"][1]


def test_a_loop_that_stands_still_is_bad_health() -> None:
    """/healthz has a reason to be 503 when the loop missed three turns, or its work waited for minutes; else none."""
    at = [100.0]
    liveness = Liveness(monotonic=lambda: at[0])
    at[0] += 3
    assert liveness.trouble() is None
    at[0] += 1
    assert liveness.trouble() == "the daemon's loop has not turned for 4 s"
    liveness.note_turn()
    assert liveness.trouble() is None
    with liveness.working():
        at[0] += 301
        liveness.note_turn()
        assert liveness.trouble() == "the daemon has waited for the database for 301 s"
    assert liveness.trouble() is None


def test_it_says_where_it_listens(tmp_path: Path, upstream: Upstream) -> None:
    """`run --listen` says at its start where its pages are, and /healthz is 200 while its loop turns."""
    upstream.serve([model("a")])
    (tmp_path / "syncer.toml").write_text(
        f'database_url = "sqlite:///{tmp_path / "x.db"}"\n[[sources]]\nurl = "{upstream.url}"\n'
    )
    port = _free_port()
    command = [sys.executable, "-m", "syncer", "run", "--listen", f"127.0.0.1:{port}"]

    def health() -> int:
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE) as answer:
                return int(answer.status)
        except HTTPError as refused:
            return refused.code
        except URLError:
            return 0

    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as daemon, ExitStack() as stack:
        stack.callback(daemon.kill)
        wait_until(lambda: health() == 200, "a healthy daemon")
        daemon.send_signal(signal.SIGTERM)
        _, said = daemon.communicate(timeout=PATIENCE)
    assert f"listening at http://127.0.0.1:{port}: the pages, /healthz, /readyz and /metrics" in said.decode()


def test_upkeep_is_done_once_a_night(sqlite_url: str, upstream: Upstream) -> None:
    """The nightly work is done when a UTC day has begun, once, and not when the daemon starts."""
    present = [datetime(2026, 1, 1, 23, 58, tzinfo=UTC)]
    nights = threading.Semaphore(0)
    done: list[datetime] = []

    def nightly() -> None:
        done.append(present[0])
        nights.release()

    settings = Settings(database_url=sqlite_url, sources=(SourceSettings(url=upstream.url),))
    engine = open_engine(sqlite_url)
    dependencies = Dependencies(
        engine=engine,
        load=lambda: settings,
        with_credentials=lambda attempt: attempt,
        clock=lambda: present[0],
        owner="test",
        nightly=nightly,
    )
    daemon = Daemon(dependencies)
    for minute in range(1, 5):
        present[0] += timedelta(minutes=1)
        daemon.each_minute()
        if minute == 2:
            assert nights.acquire(timeout=PATIENCE)
    daemon.__exit__()
    engine.dispose()
    assert done == [datetime(2026, 1, 2, tzinfo=UTC)]
