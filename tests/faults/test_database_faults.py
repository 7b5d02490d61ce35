"""The database stops, is cut off, is locked, read-only or full: nothing is half written, the outcome is found out."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import parse_qs, urlsplit

import pytest

from syncer.db import engine as db
from syncer.errors import DatabaseError
from tests.faults import (
    HOUR,
    MOVED,
    NOON,
    OFFERED,
    assert_consistent,
    effects,
    last_run,
    opened,
    outcomes,
    source_at,
    sync,
)
from tests.faults.child import Job, is_over, is_stopped, wait_until
from tests.upstream import Reply, catalog_body, model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from tests.faults.child import Nursery
    from tests.postgres import Postgres
    from tests.upstream import Upstream

pytestmark = pytest.mark.faults

LATER = NOON + 2 * HOUR
IMPATIENT = "PRAGMA busy_timeout = 200"


@pytest.fixture
def known_pg(postgres_url: str, upstream: Upstream) -> str:
    """A PostgreSQL database that has seen one catalog, and an upstream that offers another by now."""
    return _seen_once(postgres_url, upstream)


@pytest.fixture
def known_file(sqlite_url: str, upstream: Upstream) -> str:
    """A SQLite file that has seen one catalog, and an upstream that offers another by now."""
    return _seen_once(sqlite_url, upstream)


def _seen_once(url: str, upstream: Upstream) -> str:
    sync(url, source_at(upstream.serve(OFFERED).url), NOON)
    upstream.serve(MOVED)
    return url


def _assert_next_sync_heals(url: str, upstream: Upstream, *before: str) -> None:
    assert_consistent(url)
    assert sync(url, source_at(upstream.url), LATER).outcome == "held"
    assert outcomes(url) == ["changed", *before, "held"]
    assert_consistent(url)


# -- PostgreSQL goes away ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("soon_back", [True, False])
def test_server_crashes_in_the_middle_of_an_apply(
    postgres: Postgres, known_pg: str, upstream: Upstream, nursery: Nursery, soon_back: bool
) -> None:
    """A server that crashes while changes are written forgets them; the run is failed, or abandoned later."""
    before = effects(known_pg)
    pid = _stopped_on_entering("syncer.db.feed:next_ids", known_pg, upstream, nursery)
    with opened(postgres.url) as engine, db.reading(engine) as connection:
        connection.exec_driver_sql("CHECKPOINT")  # the tests' server does not flush each commit by itself
    postgres.stop("immediate")
    if soon_back:
        postgres.start()
    os.kill(pid, signal.SIGCONT)
    [ended] = nursery.wait()
    postgres.start()
    assert ended.code == 1
    assert "cannot be used" in ended.said
    found = effects(known_pg)
    if soon_back:
        assert "cannot be used" in found["runs"].pop()["error"]
    assert found == before
    _assert_next_sync_heals(known_pg, upstream, "failed" if soon_back else "abandoned")


def test_failover_that_lost_the_claim(postgres: Postgres, known_pg: str, upstream: Upstream, nursery: Nursery) -> None:
    """A syncer whose very run is gone after a lossy failover says what the database said, and writes nothing."""
    before = effects(known_pg)
    pid = _stopped_on_entering("syncer.apply:load_inputs", known_pg, upstream, nursery)
    _end_sessions(postgres, known_pg)
    with opened(known_pg) as engine, db.writing(engine) as connection:
        connection.exec_driver_sql("DELETE FROM runs WHERE outcome = 'running'")
        connection.exec_driver_sql("UPDATE sources SET lease_owner = NULL, lease_until = NULL, lease_token = 1")
    os.kill(pid, signal.SIGCONT)
    [ended] = nursery.wait()
    assert (ended.code, "cannot be used" in ended.said) == (1, True), ended.said
    assert effects(known_pg) == before
    _assert_next_sync_heals(known_pg, upstream)


def test_sessions_end_while_a_response_is_read(
    postgres: Postgres, known_pg: str, upstream: Upstream, nursery: Nursery
) -> None:
    """Reading may take longer than a server lets a transaction idle: none is open, and no session is missed."""
    pid = _stopped_on_entering("syncer.core.parse:snapshot", known_pg, upstream, nursery)
    with opened(postgres.url) as engine, db.reading(engine) as connection:
        query = "SELECT state FROM pg_stat_activity WHERE datname = %(name)s"
        assert set(connection.exec_driver_sql(query, {"name": urlsplit(known_pg).path[1:]}).scalars()) == {"idle"}
    _end_sessions(postgres, known_pg)
    os.kill(pid, signal.SIGCONT)
    [ended] = nursery.wait()
    assert ended.code == 0, ended.said
    assert outcomes(known_pg) == ["changed", "held"]
    assert_consistent(known_pg)


def _stopped_on_entering(
    function: str, url: str, upstream: Upstream, nursery: Nursery, *, at_point: int | None = None
) -> int:
    """The process id of a child that syncs, stopped as it enters this function or at a point from there on."""
    [pid] = nursery.start(
        Job(
            database=url,
            upstream=upstream.url,
            at=NOON + HOUR,
            signal=signal.SIGSTOP,
            on_entering=function,
            at_point=at_point,
        )
    )
    wait_until(lambda: is_stopped(pid), f"the child to stop in {function}")
    return pid


def _end_sessions(postgres: Postgres, url: str) -> None:
    query = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %(name)s"
    with opened(postgres.url) as engine, db.reading(engine) as connection:
        assert all(connection.exec_driver_sql(query, {"name": urlsplit(url).path[1:]}).scalars())


def test_server_is_down(postgres: Postgres, known_pg: str, upstream: Upstream) -> None:
    """A server that is not there is an error that names the database and no password (laws 9 and 11)."""
    secret = known_pg.replace("postgres@/", "postgres:hidden@/")
    postgres.stop()
    with pytest.raises(DatabaseError, match=r"the database at .* cannot be used: .*connection") as raised:
        sync(secret, source_at(upstream.url), NOON + HOUR)
    postgres.start()
    assert "hidden" not in str(raised.value)
    _assert_next_sync_heals(known_pg, upstream)


def test_backend_is_terminated_before_its_commit(
    postgres: Postgres, known_pg: str, upstream: Upstream, nursery: Nursery
) -> None:
    """A session that an administrator ends just before its commit has written nothing: the run is failed (law 1)."""
    before = effects(known_pg)
    pid = _stopped_on_entering(
        "syncer.db.results:close", known_pg, upstream, nursery, at_point=5
    )  # around two statements there are four; then the commit
    _end_sessions(postgres, known_pg)
    os.kill(pid, signal.SIGCONT)
    [ended] = nursery.wait()
    assert ended.code == 1
    assert "cannot be used" in ended.said
    found = effects(known_pg)
    assert "terminat" in found["runs"].pop()["error"]
    assert found == before
    _assert_next_sync_heals(known_pg, upstream, "failed")


# -- the connection is cut while committing ----------------------------------------------------------------------------


class _Wire:
    """A TCP relay in front of the server that cuts the connection at one COMMIT, before or after the server does it."""

    def __init__(self, url: str, *, at_commit: int, cut: Literal["before", "after"]) -> None:
        self._socket = f"{parse_qs(urlsplit(url).query)['host'][0]}/.s.PGSQL.5432"
        self._at_commit, self._cut, self.commits = at_commit, cut, 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads = ThreadPoolExecutor(16)
        port = self._server.getsockname()[1]
        self.url = f"{url.split('?', maxsplit=1)[0]}?host=127.0.0.1&port={port}&sslmode=disable&gssencmode=disable"
        self._threads.submit(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._threads.shutdown()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._threads.submit(self._relay, self._server.accept()[0])

    def _relay(self, client: socket.socket) -> None:
        answer_lost = threading.Event()
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._socket)
            answers = self._threads.submit(self._relay_answers, client, server, answer_lost)
            with suppress(OSError):
                self._relay_questions(client, server, answer_lost)
            if not answer_lost.is_set():
                _hang_up(client, server)
            answers.result()

    def _relay_questions(self, client: socket.socket, server: socket.socket, answer_lost: threading.Event) -> None:
        while sent := client.recv(65536):
            self.commits += b"COMMIT\0" in sent
            if b"COMMIT\0" in sent and self.commits == self._at_commit:
                if self._cut == "before":
                    return
                answer_lost.set()
            server.sendall(sent)

    def _relay_answers(self, client: socket.socket, server: socket.socket, answer_lost: threading.Event) -> None:
        with suppress(OSError):
            while said := server.recv(65536):
                if answer_lost.is_set():  # the server has committed, and nobody hears of it
                    break
                client.sendall(said)
        _hang_up(client, server)


def _hang_up(*lines: socket.socket) -> None:
    for line in lines:
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


def test_cut_after_the_server_committed(known_pg: str, upstream: Upstream, nursery: Nursery) -> None:
    """A commit whose answer is lost did happen: that is found out, and the run ends well (law 1)."""
    before = effects(known_pg)
    with _Wire(known_pg, at_commit=2, cut="after") as wire:
        [ended] = nursery.run(Job(database=wire.url, upstream=upstream.url, at=NOON + HOUR))
    assert (ended.code, wire.commits) == (0, 3), ended.said
    assert outcomes(known_pg) == ["changed", "held"]
    assert "1 model moved in price too far for one step" in last_run(known_pg).error
    assert len(effects(known_pg)["changes"]) > len(before["changes"])
    assert_consistent(known_pg)


def test_cut_before_the_server_committed(known_pg: str, upstream: Upstream, nursery: Nursery) -> None:
    """A commit that never reached the server did not happen: the run is failed, and nothing of it is there (law 1)."""
    before = effects(known_pg)
    with _Wire(known_pg, at_commit=2, cut="before") as wire:
        [ended] = nursery.run(Job(database=wire.url, upstream=upstream.url, at=NOON + HOUR))
    assert (ended.code, wire.commits) == (1, 3), ended.said
    found = effects(known_pg)
    assert "cannot be used" in found["runs"].pop()["error"]
    assert found == before
    _assert_next_sync_heals(known_pg, upstream, "failed")


@pytest.mark.parametrize("cut", ["before", "after"])
def test_cut_while_the_claim_is_committed(
    known_pg: str, upstream: Upstream, nursery: Nursery, cut: Literal["before", "after"]
) -> None:
    """A claim that may or may not have been committed writes nothing more; its lease, if there is one, runs out."""
    before = effects(known_pg)
    with _Wire(known_pg, at_commit=1, cut=cut) as wire:
        [ended] = nursery.run(Job(database=wire.url, upstream=upstream.url, at=NOON + HOUR))
    assert ended.code == 1, ended.said
    assert effects(known_pg) == before
    _assert_next_sync_heals(known_pg, upstream, *(["abandoned"] if cut == "after" else []))


# -- SQLite is locked --------------------------------------------------------------------------------------------------

_LOCK = """
import sqlite3, sys
link = sqlite3.connect(sys.argv[1], isolation_level=None)
link.execute(sys.argv[2])
print("locked", flush=True)
sys.stdin.read()
link.execute("ROLLBACK")
"""


@contextmanager
def _locked(url: str, how: str = "BEGIN EXCLUSIVE") -> Iterator[None]:
    """Another program holds the file."""
    arguments = [sys.executable, "-c", _LOCK, url.removeprefix("sqlite:///"), how]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        yield
        other.communicate()


def test_file_locked_by_another_program(known_file: str, upstream: Upstream, nursery: Nursery) -> None:
    """A file that stays locked means busy (75), in words; once it is free the next sync goes through."""
    before = effects(known_file)
    job = Job(database=known_file, upstream=upstream.url, at=NOON + HOUR, session=IMPATIENT)
    with _locked(known_file):
        [ended] = nursery.run(job)
    assert ended.code == 75
    assert "is locked by another program (database is locked): try again" in ended.said
    assert effects(known_file) == before
    assert outcomes(known_file) == ["changed"]
    assert nursery.run(job)[0].code == 0
    assert outcomes(known_file) == ["changed", "held"]
    assert_consistent(known_file)


def test_file_locked_when_the_response_is_to_be_written(known_file: str, upstream: Upstream, nursery: Nursery) -> None:
    """A file that is locked while a sync fetches ends that run; a later one finds it and heals."""
    before = effects(known_file)
    with _locked_after_claim(known_file, upstream):
        [ended] = nursery.run(
            Job(database=known_file, upstream=upstream.url, at=NOON + HOUR, session=IMPATIENT),
        )
    assert ended.code == 75
    assert "locked by another program" in ended.said
    assert effects(known_file) == before
    _assert_next_sync_heals(known_file, upstream, "abandoned")


@contextmanager
def _locked_after_claim(url: str, upstream: Upstream) -> Iterator[None]:
    locked, fetching = threading.Event(), threading.Event()

    def hold() -> None:
        fetching.set()
        locked.wait(30)

    def lock() -> None:
        fetching.wait(30)
        with _locked(url):
            locked.set()
            over.wait(30)

    over = threading.Event()
    upstream.reply(Reply(body=catalog_body(MOVED), on_request=hold))
    with ThreadPoolExecutor(1) as other:
        done = other.submit(lock)
        yield
        over.set()
        done.result()


@pytest.mark.parametrize("how", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
@pytest.mark.parametrize("first", [True, False])
def test_lock_that_is_released_in_time_is_waited_for(
    sqlite_url: str, upstream: Upstream, nursery: Nursery, how: str, first: bool
) -> None:
    """A lock that ends within ten seconds is only waited for; by the first sync too, which wants to switch to WAL."""
    if not first:
        _seen_once(sqlite_url, upstream)
    upstream.serve(MOVED)
    with _locked(sqlite_url, how):
        [pid] = nursery.start(Job(database=sqlite_url, upstream=upstream.url, at=NOON + HOUR))
        wait_until(lambda: is_over(pid) or _waits_with(pid, sqlite_url), "the child to come to the lock")
        assert not is_over(pid), nursery.wait()
    assert nursery.wait()[0].code == 0
    assert_consistent(sqlite_url)


def _waits_with(pid: int, url: str) -> bool:
    """Whether the process has the file open and sleeps between two attempts (where the kernel tells)."""
    where = Path(f"/proc/{pid}/wchan").read_text()
    return _has_open(pid, url) and ("nanosleep" in where or where in {"", "0"})


def _has_open(pid: int, url: str) -> bool:
    links = Path(f"/proc/{pid}/fd").iterdir()
    return any(os.path.realpath(link) == os.path.realpath(url.removeprefix("sqlite:///")) for link in links)


# -- SQLite cannot write -----------------------------------------------------------------------------------------------


@pytest.fixture
def shared_file(upstream: Upstream) -> Iterator[str]:
    """A SQLite file that has seen one catalog, where other users can read it but only we can write."""
    folder = Path(tempfile.mkdtemp(prefix="syncer-read-only-", dir="/tmp"))
    folder.chmod(0o755)
    yield _seen_once(f"sqlite:///{folder / 'syncer.db'}", upstream)
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("folder_too", [False, True])
def test_read_only_file(shared_file: str, upstream: Upstream, nursery: Nursery, folder_too: bool) -> None:
    """A file, or a folder, that may not be written is an error that names it; nothing changes."""
    path = Path(shared_file.removeprefix("sqlite:///"))
    before = effects(shared_file)
    path.chmod(0o444)
    path.parent.chmod(0o555 if folder_too else 0o777)
    [ended] = nursery.run(Job(database=shared_file, upstream=upstream.url, at=NOON + HOUR, user=65534))
    path.chmod(0o644)
    path.parent.chmod(0o755)
    assert ended.code == 1
    assert ended.said.startswith(f"DatabaseError: the database at {shared_file} cannot be used: ")
    assert effects(shared_file) == before
    _assert_next_sync_heals(shared_file, upstream)


def test_file_size_limit(known_file: str, upstream: Upstream, nursery: Nursery) -> None:
    """A disk that takes no more bytes while a sync writes: all is rolled back, with an error that says so (law 1)."""
    path = Path(known_file.removeprefix("sqlite:///"))
    before = effects(known_file)
    many = [*MOVED, *(model(f"much/{number}", 1, description="long " * 400) for number in range(500))]
    upstream.serve(many)
    [ended] = nursery.run(
        Job(database=known_file, upstream=upstream.url, at=NOON + HOUR, file_limit=path.stat().st_size + 100_000)
    )
    assert ended.code == 1
    assert "DatabaseError: the database at" in ended.said
    found = effects(known_file)
    failed = found["runs"].pop()
    assert failed["outcome"] == "failed"
    assert "disk" in failed["error"]
    assert found == before
    _assert_next_sync_heals(known_file, upstream, "failed")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 1 MB of its own; skips where the tests may not mount one."""
    folder = Path(tempfile.mkdtemp(prefix="syncer-small-disk-", dir="/tmp"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


def test_full_disk(small_disk: Path, upstream: Upstream, nursery: Nursery) -> None:
    """A disk that is full in the middle of a sync: all of it is rolled back, and with room again the next one heals."""
    url = _seen_once(f"sqlite:///{small_disk / 'syncer.db'}", upstream)
    before = effects(url)
    many = [*MOVED, *(model(f"much/{number}", 1, description="long " * 400) for number in range(500))]
    upstream.serve(many)
    [ended] = nursery.run(Job(database=url, upstream=upstream.url, at=NOON + HOUR))
    assert ended.code == 1
    assert "cannot be used: database or disk is full" in ended.said
    found = effects(url)
    assert found["runs"].pop()["outcome"] == "failed"
    assert found == before
    assert_consistent(url)
    upstream.serve(MOVED)
    _assert_next_sync_heals(url, upstream, "failed")


def test_file_that_is_no_database(tmp_path: Path, upstream: Upstream) -> None:
    """A file of another kind is refused in words and left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("nothing that SQLite knows\n" * 100)
    with pytest.raises(DatabaseError, match=r"notes.txt cannot be used: file is not a database"):
        sync(f"sqlite:///{path}", source_at(upstream.serve(OFFERED).url), NOON)
    assert path.read_text() == "nothing that SQLite knows\n" * 100


def test_folder_that_does_not_exist(tmp_path: Path, upstream: Upstream) -> None:
    """A database in a folder that is not there is refused in words."""
    with pytest.raises(DatabaseError, match="unable to open database file"):
        sync(f"sqlite:///{tmp_path}/nowhere/syncer.db", source_at(upstream.serve(OFFERED).url), NOON)
