"""The process around a daemon: its signals, what its supervisor hears, and its end."""

import logging
import os
import signal
import threading

from syncer import systemd
from syncer.daemon.dependencies import Dependencies
from syncer.daemon.loop import Daemon


def run(dependencies: Dependencies) -> int:
    """Run until a signal says stop; the exit code. To be called in the main thread of a process of its own."""
    inbox, outbox = os.pipe()  # a handler may interrupt anything, so it takes no lock: it writes one byte
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.write(outbox, bytes([number])))
    with Daemon(dependencies) as daemon:
        dependencies.on_state(systemd.READY)  # a database that is down is waited for, which is no reason to be killed
        while os.read(inbox, 1)[0] == signal.SIGHUP:
            daemon.ask_reload()
        dependencies.on_state(systemd.STOPPING)
        dependencies.stopping.set()
        threading.Thread(target=_wait_for_second, args=(inbox, daemon), daemon=True).start()
        if not daemon.finish():
            logging.shutdown()
            os._exit(0)  # the interpreter would wait for the threads that were given up
    return 0


def _wait_for_second(inbox: int, daemon: Daemon) -> None:
    while os.read(inbox, 1)[0] == signal.SIGHUP:
        pass
    daemon.hurry.set()
