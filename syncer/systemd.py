"""What systemd wants to hear from a service of Type=notify, over the datagram socket that it names in NOTIFY_SOCKET.

Anywhere else (a terminal, a container) there is no such socket, and nothing is said. Whether the supervisor hears it is
its own affair: no failure here ever stops the daemon.
"""

import socket
import time
from collections.abc import Mapping
from datetime import timedelta

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"


def notify(environ: Mapping[str, str], *states: str) -> bool:
    """Tell the supervisor these states, `READY` and so on or STATUS=text, in one message; was it handed over?"""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    place = f"\0{address[1:]}" if address[0] == "@" else address  # "@" is how an abstract address is written
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.settimeout(1)
            line.connect(place)  # else Linux calls a full receiver writable, and the wait for it is a busy one
            line.send("\n".join(states).encode())
    except OSError:
        return False
    return True


def reloading() -> tuple[str, str]:
    """The states of a service that reads its configuration again; to be followed by `READY`."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"


def watchdog_interval(environ: Mapping[str, str], pid: int) -> timedelta | None:
    """How often `WATCHDOG` is to be said: half of what is waited for. None if nobody expects it of process `pid`."""
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
        meant = int(environ.get("WATCHDOG_PID", pid)) == pid
    except ValueError:
        return None
    return timedelta(microseconds=microseconds) / 2 if meant and microseconds > 0 else None
