"""PostgreSQL fails over to a streaming standby, and the daemons carry on by themselves."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg
import pytest

from syncer.db import engine as db
from syncer.db import migrate
from tests.daemon.test_daemon import rows_of, wait_for
from tests.daemon.test_many_machines import Machine, assert_each_tick_once, polls
from tests.faults import assert_consistent
from tests.postgres import Postgres
from tests.upstream import Upstream, model

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDBY_PORT = 5433


class Pair:
    """A primary and a standby that has every commit before the client hears of it."""

    def __init__(self, primary: Postgres) -> None:
        self.primary = primary
        self._folder = primary._folder
        self._data = f"{self._folder}/standby"
        copy = ("-h", str(self._folder), "-U", "postgres", "-D", self._data, "-R", "-X", "stream", "-c", "fast")
        primary._run("pg_basebackup", *copy)

    def __enter__(self) -> Self:
        options = (
            f"-c listen_addresses='' -c port={STANDBY_PORT} -k {self._folder} -c fsync=off -c timezone=UTC "
            "-c max_connections=200 -c shared_buffers=32MB"
        )
        log = f"{self._folder}/standby.log"
        self.primary._run("pg_ctl", "start", "-w", "-D", self._data, "-l", log, "-o", options)
        self._tell(5432, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        self._tell(5432, "SELECT pg_reload_conf()")
        wait_for(lambda: self._tell(5432, "SELECT sync_state FROM pg_stat_replication") == "sync", what="the standby")
        return self

    def __exit__(self, *_: object) -> None:
        self.primary._run("pg_ctl", "stop", "-w", "-D", self._data, "-m", "immediate")

    def create_database(self) -> str:
        """A fresh database's URL, with both servers in it: whoever takes writes is the one.

        A commit in it returns when the standby has it, although the tests' server waits for nothing else.
        """
        database = self.primary.create_database().split("@/")[1].split("?")[0]
        self._tell(5432, f"ALTER DATABASE {database} SET synchronous_commit = on")
        both = f"host={self._folder}:5432&host={self._folder}:{STANDBY_PORT}"
        return f"postgresql+psycopg://postgres@/{database}?{both}&target_session_attrs=read-write"

    def kill_primary(self) -> None:
        """`kill -9` for the server: its backends end with it, and nothing is said to anybody."""
        os.killpg(int(Path(self.primary._data, "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        self.primary._running = False

    def promote(self) -> None:
        """Make the standby the primary."""
        self._tell(STANDBY_PORT, "SELECT pg_promote()")

    def _tell(self, port: int, statement: str) -> object:
        place: dict[str, Any] = {"host": str(self._folder), "port": port, "user": "postgres", "dbname": "postgres"}
        with psycopg.connect(**place, autocommit=True) as link:
            told = link.execute(statement.encode())
            row = told.fetchone() if told.description else None
        return row[0] if row else None


@pytest.fixture
def own_postgres(postgres: Postgres) -> Iterator[Postgres]:
    """A server of this test's own, since it is killed; the session's says that there is one, and where."""
    with Postgres(postgres.binaries) as cluster:
        yield cluster


def all_say(machines: list[Machine], text: str) -> None:
    """Returns when each of them has said so."""
    wait_for(lambda: all(text in machine.log.read_text() for machine in machines), what=text)


@pytest.mark.faults
def test_the_daemons_carry_on_after_a_failover(tmp_path: Path, own_postgres: Postgres, upstream: Upstream) -> None:
    """The primary is killed, the standby promoted: no run is lost, none doubled, and the daemons go on untouched."""
    with Pair(own_postgres) as pair, ExitStack() as stack:
        url = pair.create_database()
        told = {"database": url, "upstream": upstream.url, "sources": 20, "interval": 2, "ahead": 0}
        engine = db.open_engine(url)
        stack.callback(engine.dispose)
        migrate.ensure_schema(engine)
        upstream.serve([model("house/one", 1)])
        machines = [stack.enter_context(Machine(tmp_path, told | {"owner": f"machine-{n}"})) for n in range(4)]
        wait_for(lambda: polls(engine) >= 40, what="two observations a source")
        upstream.serve([model("house/one", 2)])
        before = {(row.id, row.name, row.outcome, row.started_at) for row in rows_of(url) if row.outcome != "running"}
        pair.kill_primary()
        all_say(machines, "waiting for the database")
        pair.promote()
        all_say(machines, "the database is back")
        upstream.serve([model("house/one", 3)])
        seen = polls(engine)
        wait_for(lambda: polls(engine) >= seen + 40, what="two more observations a source")
        ended_at = datetime.now(UTC)
        for machine in machines:
            machine.process.send_signal(signal.SIGTERM)
        assert [machine.process.wait(30) for machine in machines] == [0] * 4
        after = {(row.id, row.name, row.outcome, row.started_at) for row in rows_of(url)}
        assert before <= after, "a run that was committed is gone"
        assert_consistent(url)
        assert_each_tick_once(url, told, ended_at)
