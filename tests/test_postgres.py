"""The throwaway PostgreSQL of the tests leaves nothing behind, however its test run ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.postgres import find_binaries

ROOT = Path(__file__).resolve().parent.parent
RUN = """
import sys
from tests.postgres import Postgres, find_binaries
with Postgres(find_binaries()) as postgres:
    print(postgres.url, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(find_binaries() is None, reason="no PostgreSQL on this machine")
def test_a_killed_run_leaves_no_server() -> None:
    """`kill -9` of a test run ends its PostgreSQL, and its folder goes with it."""
    run = subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    folder = Path(run.stdout.readline().strip().split("host=")[1])
    server = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    run.send_signal(signal.SIGKILL)
    run.communicate()
    deadline = time.monotonic() + 60
    while folder.exists() or _is_alive(server):
        assert time.monotonic() < deadline, "the server outlives its test run"
        time.sleep(0.05)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
