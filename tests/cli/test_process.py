"""The shipped entry point as a process: start-up, signals, pipes, and a full disk."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from syncer import __version__
from tests.cli.home import KEY, Home
from tests.upstream import Reply, Upstream, model

UNWANTED = {"alembic", "jinja2", "apscheduler", "starlette", "sqlalchemy.orm", "uvicorn", "zoneinfo", "difflib"}
UNWANTED |= {"syncer.apply", "syncer.core.parse", "syncer.core.decide", "syncer.db.writes", "syncer.history"}
"""Modules that a sync which finds nothing new has no use for. rich comes in through httpx, whose package imports it."""
MANY = [model(f"acme/model-{number}", number, description="x" * 200) for number in range(2000)]


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until it holds, for half a minute at most."""
    ends_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends_at, "it never came"
        time.sleep(0.01)


# -- demo --------------------------------------------------------------------------------------------------------------


def test_the_demo(home: Home) -> None:
    """`syncer demo`, with no key, setting or network: each day, the history and what next, in under 15 seconds."""
    (home.path / "syncer.toml").unlink()
    file = home.path / "demo.db"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = home.process("demo", "--file", str(file), https_proxy="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 15  # of work: this machine may be busy
    assert (said.code, said.err) == (0, "")
    days = [line for line in said.out.splitlines() if line.startswith("Day ")]
    assert [line.split(":")[0] for line in days] == [f"Day {number}" for number in range(1, 15)]
    for kind in ("added", "removed", "relisted", "repriced", "updated", "failed", "held", "unreadable"):
        assert kind in said.out
    assert "The history that came of it" in said.out
    assert f"syncer --database {file} status\n" in said.out
    assert "export" not in said.out  # nothing that is pasted leaves the shell pointed at the demo
    assert not file.with_name("demo.db-wal").exists(), "a copy of the file alone would be empty"
    home.url = f"sqlite:///{file}"
    home.configure()
    assert home.syncer("models").code == 0
    again = home.syncer("demo", "--file", str(file))
    assert again.code == 2
    assert "exists already" in again.err
    assert home.syncer("demo", "--file", str(home.path / "no" / "demo.db")).code == 2


# -- entry points ------------------------------------------------------------------------------------------------------


def test_python_m_syncer(home: Home) -> None:
    """`python -m syncer` is `syncer`: it has the same name, version and exit codes."""
    assert home.process("--version") == (0, f"syncer, version {__version__}\n", "")
    usage = home.process("sync", "--nonsense")
    assert usage.code == 2
    assert usage.err.startswith("Usage: syncer sync")


def test_a_304_starts_up_light(home: Home) -> None:
    """A sync that finds nothing new imports no more than it needs: start-up is most of a cron run."""
    home.serve(*MANY[:3])
    assert home.syncer("sync").code == 0
    command = [sys.executable, "-X", "importtime", "-m", "syncer", "sync"]
    done = subprocess.run(command, cwd=home.path, env=home.environ, capture_output=True, text=True, check=True)
    assert done.stdout == "shop: unchanged [run 2]\n"
    assert home.sql("SELECT http_status FROM runs ORDER BY id") == [(200,), (304,)]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "syncer.fetch" in imported
    assert imported & UNWANTED == set()


# -- pipes and disks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("changes", "--json"), ("changes",), ("sync",)])
def test_a_reader_that_leaves_is_no_error(home: Home, arguments: tuple[str, ...]) -> None:
    """`syncer changes | head -1` ends silently, whether the rest is still to be written or only to be flushed."""
    if arguments == ("sync",):
        home.serve(*MANY)
    else:
        home.day(*MANY)
    with home.started(*arguments) as child:
        assert child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(60) in {141, 0}
    assert home.sql("SELECT outcome FROM runs") == [("changed",)]


def test_a_reader_that_is_gone_from_the_start(home: Home) -> None:
    """A short answer that nobody reads is found out at the last flush, and is no traceback either."""
    read, write = os.pipe()
    os.close(read)
    with home.started("config", options={"stdout": write}) as child:
        os.close(write)
        assert child.stderr.read() == ""
        assert child.wait(60) == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_to_a_full_disk(home: Home) -> None:
    """An answer that cannot be written is an error in one line, exit code 1."""
    with Path("/dev/full").open("w") as full, home.started("config", options={"stdout": full}) as child:
        assert child.stderr.read() == "syncer: the output cannot be written: No space left on device\n"
        assert child.wait(60) == 1


def test_bodies_on_a_full_disk(home: Home) -> None:
    """A body that does not fit leaves no half a line behind, fails the run, and the next ones can be kept."""
    small, folder = [model("acme/a", 1)], home.path / "bodies"
    home.serve(*small)
    assert home.syncer("sync", "--save-bodies", str(folder)).code == 0
    (file,) = folder.iterdir()
    before = file.read_bytes()
    home.serve(*small, model("acme/b", 1, junk=os.urandom(3_000_000).hex()))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    with home.started("sync", "--save-bodies", str(folder), options={"preexec_fn": limit}) as child:
        _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert f"could not be kept in {file}: File too large" in err
    assert "Traceback" not in err
    assert file.read_bytes() == before
    assert home.sql("SELECT outcome FROM runs ORDER BY id") == [("changed",), ("failed",)]


# -- signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_closes_the_run(home: Home, number: signal.Signals, code: int) -> None:
    """SIGTERM or Ctrl-C during a fetch ends at once: an abandoned run, nobody told (law 9), and a free lease."""
    asked = threading.Event()
    home.upstream.reply(Reply(hang=True, on_request=asked.set))
    with home.started("sync") as child:
        assert asked.wait(30)
        child.send_signal(number)
        assert child.wait(20) == code
        assert "Traceback" not in child.stderr.read()
    assert home.sql("SELECT outcome FROM runs") == [("abandoned",)]
    assert home.sql("SELECT lease_owner FROM sources") == [(None,)]
    assert home.sql("SELECT kind FROM notices") == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_closes_the_runs_of_all_sources(home: Home, number: signal.Signals, code: int) -> None:
    """Of several sources those that are done stay done, those that hang are abandoned, none keeps its lease."""
    asked = threading.Semaphore(0)
    home.upstream.reply(Reply(hang=True, on_request=asked.release))
    good = Upstream().serve(MANY[:3])
    with good:
        hanging = ({"name": f"hangs{n}", "url": home.upstream.url} for n in range(3))
        home.configure({"name": "good", "url": good.url}, *hanging)
        with home.started("sync") as child:
            assert all(asked.acquire(timeout=30) for _ in range(3))
            wait_for(lambda: ("changed",) in home.sql("SELECT outcome FROM runs"))
            child.send_signal(number)
            assert child.wait(20) == code
            assert "Traceback" not in child.stderr.read()
    runs = home.sql("SELECT s.name, r.outcome, s.lease_owner FROM runs r JOIN sources s ON s.id = r.source_id")
    assert sorted(runs) == [("good", "changed", None), *((f"hangs{n}", "abandoned", None) for n in range(3))]


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_the_key_is_nowhere(home: Home) -> None:
    """Law 11: no output, log, error, database page or kept body holds the key, even where upstream repeats it."""
    echo = f'{{"status": "failed", "message": "no such key: {KEY}", "data": null}}'.encode()
    said = []
    for reply in (Reply(body=echo), Reply(status=401, body=echo), Reply(status=302, headers={"Location": f"/{KEY}"})):
        home.upstream.reply(reply)
        said.append(home.syncer("-vv", "--log-format", "json", "sync", "--json"))
        said.append(home.syncer("-vv", "sync"))
    said += [home.process("-vv", "sync"), home.syncer("config"), home.syncer("config", "--json")]
    assert home.upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert not [words for words in said if KEY in words.out + words.err]
    assert not [path for path in home.path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert '"api_key_set":true' in said[-1].out.replace(" ", "")
