"""kill -9 at each statement and at each moment of a send: every event arrives, in order, a repeat as the same bytes.

Real processes of the shipped command, a real receiver, on SQLite and PostgreSQL. Nothing is mocked.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import psycopg
import pytest

from syncer.alerts import consumers
from syncer.alerts.sinks import webhook
from syncer.db.engine import open_engine, reading, writing
from syncer.db.tables import consumers as table
from syncer.settings import Secret
from tests.alerts.feeding import Target, bodies_by_id, event_ids, round_at, subscription
from tests.conftest import clean_environment
from tests.faults.child import Job, Nursery, is_stopped, wait_until
from tests.story import Story
from tests.upstream import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.alerts.receiver import Receiver
    from tests.postgres import Postgres
    from tests.upstream import Request, Upstream

pytestmark = pytest.mark.faults

TEAMS = ("team", "blue", "green", "red")
"""Consumers of one database, each with all of the news before it: one for each process that runs at a time."""
KILLED = -signal.SIGKILL
TOLD = [3, 4, 5, 6]  # the feed ids that the consumer has to be told, two runs of two


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Where the processes are born."""
    with Nursery(clean_environment()) as started:
        yield started


class Kitchen:
    """A database with something to tell, copies of it, and a configuration for each."""

    def __init__(self, path: Path, url: str, upstream: Upstream, postgres: Postgres | None) -> None:
        self._path, self._url, self._postgres = path, url, postgres
        self.is_sqlite = postgres is None
        self._numbers = itertools.count(1)
        with Story(url, upstream, trust=False) as story:
            story.on("01-01", A="1", B="1")
            for team in TEAMS:
                round_at(story, "01-01", subscription(Target(), team))
            story.on("01-02", A="2", B="2").on("01-03", A="3", B="3")
        self.upstream = upstream

    def copy(self) -> str:
        """The URL of a copy of the database."""
        number = next(self._numbers)
        if self._postgres is None:
            target = self._path / f"copy-{number}.db"
            shutil.copy(self._url.removeprefix("sqlite:///"), target)
            return f"sqlite:///{target}"
        name = urlsplit(self._url).path[1:]
        with psycopg.connect(self._postgres.url.replace("+psycopg", ""), autocommit=True) as link:
            link.execute(f"CREATE DATABASE {name}_{number} TEMPLATE {name}".encode())
        return self._postgres.url_of(f"{name}_{number}")

    def job(self, database: str, hook: str, at_point: int | None = None, team: str = "team") -> Job:
        """A process of `syncer alerts deliver` there, to one team; without a point it is not killed by itself."""
        config = self._path / f"{next(self._numbers)}.toml"
        config.write_text(f'database_url = "{database}"\n[[alerts]]\nname = "{team}"\nurl = "{hook}"\n')
        return Job(command=("--config", str(config), "alerts", "deliver"), signal=signal.SIGKILL, at_point=at_point)

    def poll(self, database: str, cursor: str) -> Job:
        """A process of `syncer changes --cursor` there."""
        config = self._path / f"{next(self._numbers)}.toml"
        config.write_text(f'database_url = "{database}"\n')
        return Job(command=("--config", str(config), "changes", "--cursor", cursor, "--json"))

    def heal(self, database: str, *hooks: str) -> None:
        """A later round to these hooks of the first teams, when the lease of the dead is over."""
        with Story(database, self.upstream, trust=False) as story:
            for team, hook in zip(TEAMS, hooks, strict=False):
                sink = webhook.make(Secret(hook), clock=lambda: datetime.now(UTC))
                round_at(story, datetime.now(UTC) + timedelta(hours=1), subscription(sink, team))


@pytest.fixture
def kitchen(request: pytest.FixtureRequest, tmp_path: Path, database_url: str, upstream: Upstream) -> Kitchen:
    """On each kind of database."""
    sqlite = database_url.startswith("sqlite")
    return Kitchen(tmp_path, database_url, upstream, None if sqlite else request.getfixturevalue("postgres"))


def assert_all_arrived(requests: list[Request], what: str) -> None:
    """Each event came, in order, and whatever came twice came as the same bytes under the same id."""
    bodies = bodies_by_id((request.headers["webhook-id"], request.body) for request in requests)
    assert event_ids(bodies.values()) == TOLD, what
    order = [request.headers["webhook-id"].rpartition("-")[0] for request in requests]  # of the messages
    assert order == sorted(order, key=order.index), f"{what}: a message overtook another"


def sent_to(receiver: Receiver, hook: str) -> list[Request]:
    """What came for one hook."""
    return [request for request in receiver.requests if request.path == urlsplit(hook).path]


def test_kill_at_every_statement(kitchen: Kitchen, receiver: Receiver, nursery: Nursery) -> None:
    """Killed before or after any statement or commit, delivery loses nothing and repeats at most one message."""
    # Nothing is durable between the end of one statement and the beginning of the next: those two points are one.
    step = 2
    survivors = repeated = 0
    for first in itertools.count(1 if kitchen.is_sqlite else 2, len(TEAMS) * step):
        numbers = range(first, first + len(TEAMS) * step, step)
        url, hooks = kitchen.copy(), [f"{receiver.url}/{number}" for number in numbers]
        jobs = [kitchen.job(url, *one) for one in zip(hooks, numbers, TEAMS, strict=True)]
        ended_each = nursery.run(*jobs)
        kitchen.heal(url, *hooks)
        for ended, number, hook in zip(ended_each, numbers, hooks, strict=True):
            assert ended.code in {KILLED, 0}, ended.said
            survivors += ended.code == 0
            requests = sent_to(receiver, hook)
            assert_all_arrived(requests, f"killed at point {number}")
            assert len(requests) <= 6, "at most the message at hand, of two events, is repeated"
            repeated += len(requests) > 4
        if survivors:
            break
    assert repeated, "no point lay between a hand-over and its record"


def test_kill_when_the_receiver_has_read_it(kitchen: Kitchen, receiver: Receiver, nursery: Nursery) -> None:
    """Killed between the receiver's reading and its answer, the message comes again under the same id."""
    pids: list[int] = []
    known = threading.Event()

    def kill() -> None:
        assert known.wait(30)
        os.kill(pids.pop(), signal.SIGKILL)

    receiver.reply(Reply(on_request=kill), Reply(status=204))
    url = kitchen.copy()
    pids += nursery.start(kitchen.job(url, receiver.url))
    known.set()
    assert [ended.code for ended in nursery.wait()] == [KILLED]
    kitchen.heal(url, receiver.url)
    assert len(receiver.requests) == 5
    assert_all_arrived(receiver.requests, "killed after the receiver had read it")


def test_kill_in_the_midst_of_a_send(kitchen: Kitchen, receiver: Receiver, nursery: Nursery) -> None:
    """Killed while the request is on its way, the message comes again, whole."""
    url = kitchen.copy()
    with socket.create_server(("127.0.0.1", 0)) as door:
        (pid,) = nursery.start(kitchen.job(url, f"http://127.0.0.1:{door.getsockname()[1]}/"))
        connection, _ = door.accept()
        with connection:
            begun = connection.recv(40)
            os.kill(pid, signal.SIGKILL)
            assert [ended.code for ended in nursery.wait()] == [KILLED]
    assert begun.startswith(b"POST /")
    kitchen.heal(url, receiver.url)
    assert len(receiver.requests) == 4
    assert_all_arrived(receiver.requests, "killed in the midst of a send")


def test_many_at_once_hand_each_message_over_once(kitchen: Kitchen, receiver: Receiver, nursery: Nursery) -> None:
    """Processes that deliver on one database at the same moment give the receiver each message once."""
    url = kitchen.copy()
    ended = nursery.run(*[kitchen.job(url, receiver.url) for _ in range(6)])
    assert [one.code for one in ended] == [0] * 6, ended
    assert event_ids(request.body for request in receiver.requests) == TOLD
    assert len(receiver.requests) == 4
    assert sum("4 events in 2 messages" in one.said for one in ended) == 1


def test_a_suspended_one_is_fenced(kitchen: Kitchen, receiver: Receiver, nursery: Nursery) -> None:
    """Suspended in its hand-over past its lease, a process finds on waking that another took over, and says so."""
    pids: list[int] = []
    known = threading.Event()

    def suspend() -> None:
        assert known.wait(30)
        os.kill(pids[0], signal.SIGSTOP)
        wait_until(lambda: is_stopped(pids[0]), "the process to stop")

    # At the last event of its message. (Within one it is the message's deadline, shorter than the lease, that ends it.)
    receiver.reply(Reply(status=204), Reply(status=204, on_request=suspend), Reply(status=204))
    url = kitchen.copy()
    pids += nursery.start(kitchen.job(url, receiver.url))
    known.set()
    wait_until(lambda: len(receiver.requests) == 2 and is_stopped(pids[0]), "the first request")
    kitchen.heal(url, receiver.url)
    os.kill(pids[0], signal.SIGCONT)
    (ended,) = nursery.wait()
    assert ended.code == 75, ended.said
    assert "another syncer took over the consumer team" in ended.said
    assert_all_arrived(receiver.requests, "a suspended one")
    assert len(receiver.requests) == 6
    engine = open_engine(url)
    with reading(engine) as connection:
        assert connection.execute(table.select().where(table.c.name == "team")).one().position == TOLD[-1]
    engine.dispose()


def test_sigterm_ends_with_the_message_at_hand(kitchen: Kitchen, receiver: Receiver, nursery: Nursery) -> None:
    """Asked to end, a process finishes the message at hand, records it, leaves the rest and the consumer free."""
    pids: list[int] = []
    known = threading.Event()

    def end() -> None:
        assert known.wait(30)
        os.kill(pids[0], signal.SIGTERM)

    receiver.reply(Reply(status=204, on_request=end), Reply(status=204))
    url = kitchen.copy()
    pids += nursery.start(kitchen.job(url, receiver.url))
    known.set()
    (ended,) = nursery.wait()
    assert ended.code == 143, ended.said
    assert not re.search("Traceback", ended.said)
    engine = open_engine(url)
    with reading(engine) as connection:
        found = connection.execute(table.select().where(table.c.name == "team")).one()
    engine.dispose()
    assert found.lease_owner is None
    assert found.position in {4, 6}, "the signal may come between the two messages, or just after"
    kitchen.heal(url, receiver.url)
    assert_all_arrived(receiver.requests, "ended by SIGTERM")
    assert len(receiver.requests) == 4


def test_an_observation_killed_before_its_cursor_moved_shows_the_same_again(kitchen: Kitchen, nursery: Nursery) -> None:
    """All is written, the position is not yet moved: killed there, `changes --cursor` shows it once more, not less."""
    url = kitchen.copy()
    with Story(url, kitchen.upstream) as story, writing(story.engine) as connection:
        consumers.move_cursor(connection, "finance", 0, 2, now=story.now)
    poll = kitchen.poll(url, "finance")
    doomed = msgspec.structs.replace(poll, signal=signal.SIGKILL, on_entering="syncer.alerts.consumers:move_cursor")
    shown = []
    for job, code in ((doomed, KILLED), (poll, 0), (poll, 0)):
        (ended,) = nursery.run(job)
        assert ended.code == code, ended.said
        shown.append([int(found) for found in re.findall(r'"id":"(\d+)"', ended.said)])
    assert shown == [TOLD, TOLD, []]
