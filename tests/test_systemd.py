"""What systemd is told, heard at a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from syncer import systemd


@pytest.fixture(params=["path", "abstract"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A socket as systemd listens at, with the text for NOTIFY_SOCKET: a file, or an abstract address."""
    name = f"@syncer-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1) if request.param == "abstract" else name)
        listener.settimeout(5)
        yield name, listener


def test_states_arrive_in_one_message(supervisor: tuple[str, socket.socket]) -> None:
    """READY and a status are one datagram, a line each, at a path and at an abstract address."""
    name, listener = supervisor
    assert systemd.notify({"NOTIFY_SOCKET": name}, systemd.READY, "STATUS=3 sources")
    assert listener.recv(4096) == b"READY=1\nSTATUS=3 sources"
    assert systemd.notify({"NOTIFY_SOCKET": name}, systemd.WATCHDOG)
    assert listener.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", [None, "", "nonsense", "/nobody/listens/here", "@syncer-nobody", "/" + "x" * 200])
def test_without_a_supervisor_nothing_is_said_and_nothing_fails(address: str | None) -> None:
    """No socket, or one at which nobody listens, is no error: the daemon goes on."""
    environ = {} if address is None else {"NOTIFY_SOCKET": address}
    assert not systemd.notify(environ, systemd.READY)


def test_a_supervisor_that_does_not_listen_holds_nobody_up(tmp_path: Path) -> None:
    """A socket whose queue is full delays a message by a second, and no longer."""
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    other.sendto(b"x" * 1024, name)
        assert not systemd.notify({"NOTIFY_SOCKET": name}, systemd.WATCHDOG)


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, timedelta(seconds=15)),
        ({"WATCHDOG_USEC": "30000000"}, timedelta(seconds=15)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_time(environ: dict[str, str], interval: timedelta | None) -> None:
    """The watchdog is spoken to twice within its patience, and only by the process that it is meant for."""
    assert systemd.watchdog_interval(environ, 7) == interval
