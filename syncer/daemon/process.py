"""The process around a daemon: its signals, what its supervisor hears, and its end."""

import logging
import os
import signal
import threading

from syncer import systemd
from syncer.daemon.dependencies import Dependencies
from syncer.daemon.loop import Daemon

_HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(dependencies: Dependencies) -> int:
    """Run until a signal says stop; the exit code. To be called in the main thread of a process of its own."""
    inbox = _inbox()
    with Daemon(dependencies) as daemon:
        dependencies.on_state(systemd.READY)  # a database that is down is waited for, which is no reason to be killed
        while _next_signal(inbox) == signal.SIGHUP:
            daemon.ask_reload()
        dependencies.on_state(systemd.STOPPING)
        dependencies.stopping.set()
        threading.Thread(target=_wait_for_second, args=(inbox, daemon), daemon=True).start()
        if not daemon.finish():
            logging.shutdown()
            os._exit(0)  # the interpreter would wait for the threads that were given up
    return 0


def _wait_for_second(inbox: int, daemon: Daemon) -> None:
    while _next_signal(inbox) == signal.SIGHUP:
        pass
    daemon.hurry.set()


def _inbox() -> int:
    """A pipe that gets the number of each signal.

    The kernel may hand a signal to any thread, and a handler in Python runs in the main one alone, which waits here and
    would not hear of it: threads come and go with each poll. So what writes is Python's own handler in C.
    """
    inbox, outbox = os.pipe()
    os.set_blocking(outbox, False)
    signal.set_wakeup_fd(outbox, warn_on_full_buffer=False)
    for number in _HEEDED:
        signal.signal(number, lambda *_: None)
    return inbox


def _next_signal(inbox: int) -> int:
    while (number := os.read(inbox, 1)[0]) not in _HEEDED:
        pass
    return number
