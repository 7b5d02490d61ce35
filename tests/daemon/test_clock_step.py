"""A wall clock that somebody sets under a running daemon: it goes on, and says so once."""

from __future__ import annotations

import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.home import Home
from tests.daemon.test_daemon import MODELS, Command, good, provider, rows_of, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.upstream import Upstream

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The real clock, and as many seconds more as the file says. */
int clock_gettime(clockid_t id, struct timespec *at) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(id, at);
    FILE *file = id == CLOCK_REALTIME ? fopen(getenv("CLOCK_STEP_FILE"), "r") : NULL;
    long step = 0;
    if (file && fscanf(file, "%ld", &step) == 1) at->tv_sec += step;
    if (file) fclose(file);
    return done;
}
"""


class WallClock:
    """The wall clock of the processes with `environ`: a library between Python and the machine's own."""

    def __init__(self, path: Path, compiler: str) -> None:
        source, library = path / "clock.c", path / "clock.so"
        self._file = path / "step"
        source.write_text(SHIM)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
        self.set(0)
        self.environ = {"LD_PRELOAD": str(library), "CLOCK_STEP_FILE": str(self._file)}

    def set(self, seconds: int) -> None:
        """Put it so many seconds before or behind the machine's own."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._file)


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    """A wall clock that can be set; it needs a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is here to make a clock that can be set")
    return WallClock(tmp_path, compiler)


STEPS = {"an hour back": (-3600, "set back by 1h"), "two days forward": (172_800, "set forward by 2d")}


@pytest.mark.parametrize(("seconds", "said"), STEPS.values(), ids=STEPS)
def test_a_step_of_the_wall_clock_costs_no_poll(
    tmp_path: Path, sqlite_url: str, upstream: Upstream, wall_clock: WallClock, seconds: int, said: str
) -> None:
    """The daemon goes on polling at once, the time of its polls is judged by law 5, and the log has one line of it."""
    home = Home(tmp_path, sqlite_url, upstream.serve(MODELS))
    home.configure(provider(upstream, "shop", trust_date=False))
    with Command(home, environ=wall_clock.environ) as command:
        wait_for(lambda: good(home.url, "shop"), what="a poll")
        wall_clock.set(seconds)
        command.says(f"the wall clock was {said}")
        before = len(rows_of(home.url))
        wait_for(lambda: len(rows_of(home.url)) >= before + 3, what="polls after it")
        command.signal(signal.SIGTERM)
        assert command.ends() == 0
    assert command.log.count("the wall clock was") == 1
    last = rows_of(home.url)[-1]
    assert (last.outcome == "failed" and "clock" in last.error) if seconds < 0 else last.outcome == "unchanged"
