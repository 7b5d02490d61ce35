"""Behind PgBouncer in transaction mode, where two transactions of one connection may run in two sessions of the server.

It is the real pgbouncer; without one these tests skip, in CI they fail.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import syncer
from syncer import history
from syncer.admin.verify import verify
from syncer.db import bulk
from syncer.db import engine as db
from syncer.db.tables import models
from syncer.errors import DatabaseError, SourceBusy
from tests.conftest import IN_CI
from tests.daemon.test_daemon import wait_for
from tests.daemon.test_many_machines import Machine, polls
from tests.db import START, opened, rows
from tests.db.shop import Shop
from tests.postgres import Postgres
from tests.upstream import Upstream, model

KEY = "ak_of_the_pooler_tests"


def find_pgbouncer() -> str:
    """The program; Debian puts it where only root looks."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        explain = pytest.fail if IN_CI else pytest.skip
        explain("no pgbouncer here: install it")
    return found


@pytest.fixture
def pooled(postgres: Postgres, migrated: str) -> Iterator[str]:
    """The URL, through a pooler with three sessions, of a fresh database with the schema."""
    program = find_pgbouncer()
    postgres.start()
    url = postgres.create_database(template=migrated)
    database, folder = urlsplit(url).path[1:], parse_qs(urlsplit(url).query)["host"][0]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = Path(folder) / f"pgbouncer-{port}.ini"  # where nobody can read it: the program refuses to be root
    settings.write_text(
        f"[databases]\n{database} = host={folder} port=5432 dbname={database} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        "pool_mode = transaction\ndefault_pool_size = 3\n"
    )
    settings.chmod(0o644)
    user = "nobody" if os.geteuid() == 0 else None
    process = subprocess.Popen([program, "-q", str(settings)], stderr=subprocess.PIPE, cwd="/", user=user)
    try:
        wait_until_open(port, process)
        yield f"postgresql://postgres@127.0.0.1:{port}/{database}"
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def wait_until_open(port: int, process: "subprocess.Popen[Any]") -> None:
    """Return once something listens there."""
    ends_at = time.monotonic() + 30
    while time.monotonic() < ends_at:
        if process.poll() is not None:
            raise RuntimeError(f"pgbouncer ended: {process.stderr and process.stderr.read()!r}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError("pgbouncer does not listen")


def test_twelve_syncs_at_once(pooled: str, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve syncers of four sources, three times over, with prices that move: every run ends well, none is lost."""
    monkeypatch.setenv("POOLER_KEY", KEY)
    url = f"{pooled}?pooler=transaction"
    sources = [
        {"name": f"c{number}", "url": upstream.url, "trust": False, "api_key_env": "POOLER_KEY"} for number in range(4)
    ]

    def run(number: int) -> str:
        mine = sources[number % 4]
        with syncer.open(database=url, sources=[mine]) as one:
            outcome = one.sync(check=False)[0]
        return "busy" if isinstance(outcome.error, SourceBusy) else str(outcome.error or "done")

    for price in (1, 2, 3):
        upstream.serve([model(f"house/{number}", price) for number in range(30)])
        with ThreadPoolExecutor(12) as threads:
            ended = set(threads.map(run, range(12)))
        assert ended <= {"done", "busy"}
    with opened(url, ready=False) as engine:
        assert rows(engine, "SELECT DISTINCT outcome FROM runs WHERE outcome NOT IN ('changed', 'unchanged')") == []
        assert rows(engine, "SELECT count(*) FROM changes WHERE kind = 'repriced'") == [(4 * 30 * 2,)]
        assert rows(engine, "SELECT count(*), max(id) FROM changes") == rows(
            engine, "SELECT last_id, last_id FROM feed"
        )


def test_two_daemons(tmp_path: Path, pooled: str, upstream: Upstream) -> None:
    """Daemons keep a schedule through it, end by SIGTERM without a run left open, and every law holds."""
    url = f"{pooled}?pooler=transaction"
    upstream.serve([model("house/one", 1)])
    told = {"database": url, "upstream": upstream.url, "sources": 4, "interval": 1, "ahead": 0}
    with opened(url, ready=False) as engine, ExitStack() as stack:
        machines = [stack.enter_context(Machine(tmp_path, told | {"owner": owner})) for owner in ("one", "two")]
        wait_for(lambda: polls(engine) >= 8, what="two observations a source")
        upstream.serve([model("house/one", 2)])
        repriced = "SELECT count(*) FROM changes WHERE kind = 'repriced'"
        wait_for(lambda: rows(engine, repriced) == [(4,)], what="the new price from each source")
        for machine in machines:
            machine.process.send_signal(signal.SIGTERM)
        assert [machine.process.wait(30) for machine in machines] == [0, 0]
        ended = {outcome for (outcome,) in rows(engine, "SELECT outcome FROM runs")}
        assert ended <= {"changed", "unchanged", "skipped", "abandoned"}, [each.log.read_text() for each in machines]
        assert [verdict for verdict in verify(engine) if not verdict.ok] == []


def test_many_updates_and_questions(pooled: str) -> None:
    """What psycopg would prepare by itself is not: the same statements again and again, and a question that streams."""
    with opened(f"{pooled}?pooler=transaction", ready=False) as engine, ThreadPoolExecutor(6) as threads:
        Shop(engine).at(START, {f"m{number}": {"input": "1"} for number in range(40)})
        ids = [row[0] for row in rows(engine, "SELECT id FROM models")]

        def work(number: int) -> int:
            for _ in range(5):
                with db.writing(engine) as connection:
                    bulk.update(connection, models, ["description"], [(f"d{number}", each) for each in sorted(ids)])
            with history.connect(f"{pooled}?pooler=transaction") as connection:
                return len(list(connection.exec_driver_sql("SELECT name FROM models")))

        assert set(threads.map(work, range(6))) == {40}


def test_a_session_that_ends_in_a_transaction(postgres: Postgres, pooled: str) -> None:
    """The error says what happened, where psycopg only counts the answers that it was given."""
    database = urlsplit(pooled).path[1:]
    end_all = f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'"

    def lose_the_session() -> None:
        with db.reading(engine) as connection:
            connection.exec_driver_sql("SELECT 1")
            rows(server, end_all)
            driver: Any = connection.connection.driver_connection
            assert select.select([driver.fileno()], [], [], 30)[0], "the pooler says nothing"

    with (
        opened(f"{pooled}?pooler=transaction", ready=False) as engine,
        opened(postgres.url, ready=False) as server,
        pytest.raises(DatabaseError, match="ended the session in the middle of a transaction"),
    ):
        lose_the_session()


def test_no_setting_outlives_a_transaction(pooled: str) -> None:
    """Law 8 and a shared session: whoever comes next finds the server's own settings."""
    import psycopg

    with opened(f"{pooled}?pooler=transaction", ready=False) as engine:
        with db.writing(engine) as connection:
            assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "10s"
        with history.connect(f"{pooled}?pooler=transaction") as connection:
            assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "0"
    with psycopg.connect(pooled, prepare_threshold=None) as other:
        for name, value in (("lock_timeout", "0"), ("jit", "on"), ("transaction_isolation", "read committed")):
            found = other.execute(f"SHOW {name}".encode()).fetchone()
            assert found == (value,)


def test_a_pooler_that_is_not_said_is_named(pooled: str) -> None:
    """Without the option the first collision is one sentence that names it."""
    said = ""
    with opened(pooled, ready=False) as engine, opened(pooled, ready=False) as other:
        try:
            for each in (engine, other):  # one after the other, in one session of the server
                with db.writing(each) as connection:
                    for number in range(8):
                        connection.exec_driver_sql("SELECT count(*) FROM models WHERE id > %s", (number,))
        except DatabaseError as error:
            said = str(error)
    if not said:  # since 1.21 it can keep prepared statements apart
        pytest.skip("this pgbouncer knows of prepared statements")
    assert "add ?pooler=transaction to its URL" in said
    assert len(said.splitlines()) == 1
