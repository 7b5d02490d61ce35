"""Syncers in processes of their own, with a fault built in: `python -m tests.faults.child`, driven by `Nursery`.

- The nursery imports everything once and forks one process a job: a fault costs milliseconds, not a start-up.
- It never syncs, connects or starts a thread itself, so that what is forked is as good as a fresh process.
- A point is a moment around the database's work: before and after each statement and commit, and each begin. A job may
  send itself a signal at its n-th point, or on entering a function of syncer.
- It speaks JSON lines: a list of jobs in; out come their process ids, and when all have ended, how they did.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from syncer.db import engine as db
from syncer.db.migrate import ensure_schema
from syncer.errors import SyncerError
from syncer.sync import sync_source
from tests.faults import attempt, source_at

DEADLINE = 60.0  # seconds: far beyond what any of these processes needs


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What one process does. By default it syncs `source` once, its clock standing at `at`.

    `sources`: one after the other. `rounds`: so often, a minute later by the clock each time. `command`: the shipped
    command with these arguments and this `environment` instead, with the real clock. `signal` is sent to itself at
    point number `at_point` (from 1), counted from the call number `entering` of the function `on_entering`
    ("module:name"; a generator is entered for each of its items) if one is named; without a point, in that very moment.
    `session`: a statement for each new connection; `transaction`: one for each transaction, behind syncer's own.
    `file_limit`: bytes; `user`: a uid.
    """

    database: str = ""
    upstream: str = ""
    at: datetime | None = None
    sources: tuple[str, ...] = ("main",)
    settings: dict[str, Any] = {}
    lease: float = 600.0
    rounds: int = 1
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    signal: int | None = None
    at_point: int | None = None
    on_entering: str | None = None
    entering: int = 1
    session: str | None = None
    transaction: str | None = None
    file_limit: int | None = None
    user: int | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a process ended: its exit code, or minus the signal that killed it; and all it said."""

    code: int
    said: str


# -- the test's side ---------------------------------------------------------------------------------------------------


class Nursery:
    """The nursery's process, as a test sees it. `start` begins jobs all at once, `wait` gives how they ended."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.faults.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
        )
        self._pids: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._process.communicate(timeout=DEADLINE)

    def run(self, *jobs: Job) -> list[Ended]:
        """How the jobs ended; all run at the same time."""
        self.start(*jobs)
        return self.wait()

    def start(self, *jobs: Job) -> list[int]:
        """Begin the jobs at the same moment; their process ids."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(jobs) + b"\n")
        self._process.stdin.flush()
        self._pids = self._hear(list[int])
        return self._pids

    def wait(self) -> list[Ended]:
        """How the jobs that were started ended, once all of them have."""
        ended: list[Ended] = self._hear(list[Ended])
        self._pids = []
        return ended

    def end(self) -> None:
        """Kill what a failed test left running."""
        if self._pids:
            for pid in self._pids:
                os.kill(pid, signal.SIGKILL)
            self.wait()

    def _hear(self, kind: Any) -> Any:
        assert self._process.stdout is not None
        return msgspec.json.decode(self._process.stdout.readline(), type=kind)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return when the condition holds; fail, naming `what` was waited for, if it never does."""
    ends_at = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < ends_at, f"waited in vain for {what}"
        time.sleep(0.01)


def is_stopped(pid: int) -> bool:
    """Whether the process is suspended."""
    return _state(pid) == "T"


def is_over(pid: int) -> bool:
    """Whether the process has ended (the nursery may not have asked how yet)."""
    return _state(pid) in {"", "Z"}


def _state(pid: int) -> str:
    told = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return told.stdout[:1]


# -- the nursery's side ------------------------------------------------------------------------------------------------


def main() -> None:
    """Read jobs, fork them, tell how they ended; until stdin ends."""
    _warm_up()
    for line in sys.stdin.buffer:
        jobs = msgspec.json.decode(line, type=list[Job])
        closed_gate, gate = os.pipe()
        born = [_fork(job, closed_gate, gate) for job in jobs]
        _say(json.dumps([pid for pid, _ in born]))
        os.close(gate)  # all begin now
        os.close(closed_gate)
        _say(msgspec.json.encode([_ended(pid, said) for pid, said in born]).decode())


def _warm_up() -> None:
    """Import what a sync, a delivery and a question import late."""
    import alembic.command
    import alembic.config
    import httpx
    import psycopg

    import syncer.alerts.delivery
    import syncer.alerts.sinks.webhook
    import syncer.cli.alerts
    import syncer.cli.syncing

    for url in ("sqlite:///never-opened", "postgresql:///never-opened"):
        db.open_engine(url).dispose()
    _ = alembic, httpx, psycopg, syncer


def _fork(job: Job, closed_gate: int, gate: int) -> tuple[int, Any]:  # noqa: RET503 - a child lives on in _live
    said = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process has ended
    pid = os.fork()
    if pid:
        return pid, said
    os.close(gate)
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.read(closed_gate, 1)
    _live(job)


def _ended(pid: int, said: Any) -> Ended:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with said:
        said.seek(0)
        return Ended(code=code, said=said.read().decode("utf-8", "replace"))


def _live(job: Job) -> NoReturn:
    """The whole life of a forked process; it never returns into the nursery."""
    code = 70
    try:
        _limit(job)
        points = _Points(job)
        code = _command(job) if job.command else _syncs(job)
        _say(f"points: {points.passed}")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except SyncerError as error:
        _say(f"{type(error).__name__}: {error}")
        code = error.exit_code
    except BaseException:  # noqa: BLE001 - shown, and told by the exit code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _limit(job: Job) -> None:
    if job.file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.file_limit, job.file_limit))
    if job.user is not None and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(job.user)
        os.setuid(job.user)


def _syncs(job: Job) -> int:
    assert job.at is not None
    engine = db.open_engine(job.database)
    if job.session is not None:
        event.listen(engine, "connect", partial(_prepare, job.session))
    if job.transaction is not None:
        event.listen(engine, "begin", partial(_prepare_transaction, job.transaction))
    ensure_schema(engine)
    for number in range(job.rounds):
        now = job.at + timedelta(minutes=number)
        for name in job.sources:
            settings = {"lease": timedelta(seconds=job.lease), **job.settings}
            source = source_at(job.upstream.replace("{source}", name), name, **settings)
            sync_source(attempt(engine, source, lambda now=now: now, str(os.getpid())))  # type: ignore[misc]
    engine.dispose()
    return 0


def _prepare(session: str, link: Any, _: object) -> None:
    link.execute(session)
    link.commit()


def _prepare_transaction(statement: str, connection: Connection) -> None:
    connection.exec_driver_sql(statement)


def _command(job: Job) -> int:
    """The entry point that is shipped, as `python -m syncer` runs it."""
    from syncer.cli import main as shipped

    os.environ.update(job.environment)
    sys.argv = ["syncer", *job.command]
    shipped()


class _Points:
    """Counts the points of this process, and sends it the job's signal at the one that was named."""

    def __init__(self, job: Job) -> None:
        self.passed = 0
        self._job = job
        self._armed = job.on_entering is None
        self._entered = 0
        for name in ("before_cursor_execute", "after_cursor_execute", "begin"):
            event.listen(Engine, name, self._pass)
        self._around_commits()
        if job.on_entering is not None:
            sys.setprofile(self._entering)

    def _pass(self, *_: object) -> None:
        self.passed += 1
        if self._armed and self.passed == self._job.at_point:
            self._send()

    def _around_commits(self) -> None:
        """SQLAlchemy has no event for "committed"; the dialect's commit is the statement itself."""
        default = sa.engine.default.DefaultDialect
        commit: Any = default.do_commit

        def do_commit(dialect: Any, connection: Any) -> None:
            self._pass()
            commit(dialect, connection)
            self._pass()

        default.do_commit = do_commit  # type: ignore[method-assign]

    def _entering(self, frame: FrameType, kind: str, _: object) -> None:
        if kind != "call":
            return
        module, _, name = str(self._job.on_entering).partition(":")
        if frame.f_code.co_name == name and frame.f_globals.get("__name__") == module:
            self._entered += 1
            if self._entered < self._job.entering:
                return
            sys.setprofile(None)
            self.passed, self._armed = 0, True
            if self._job.at_point is None:
                self._send()

    def _send(self) -> None:
        assert self._job.signal is not None
        os.kill(os.getpid(), self._job.signal)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
    main()
