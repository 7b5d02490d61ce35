"""kill -9 before and after every statement, begin and commit of a sync: as before, or as after, never between (law 1).

Each point has a copy of the database and a process of its own. Nothing is mocked: the process kills itself.
"""

from __future__ import annotations

import itertools
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import psycopg
import pytest

from tests.faults import (
    HOUR,
    MOVED,
    NOON,
    OFFERED,
    WITHOUT_FIRST,
    assert_consistent,
    effects,
    history,
    last_run,
    outcomes,
    source_at,
    sync,
)
from tests.faults.child import Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.faults.child import Ended, Nursery
    from tests.postgres import Postgres
    from tests.upstream import Upstream

pytestmark = pytest.mark.faults

AT_ONCE = 4
POLLED = NOON + 2 * HOUR  # when the doomed run looks
LATER = POLLED + HOUR  # when its lease is over


class Copies:
    """Makes copies of a database as it is at the time, and removes them when they have served."""

    def __init__(self, url: str, postgres: Postgres | None) -> None:
        self._url, self._postgres = url, postgres
        self._names = itertools.count(1)

    def make(self) -> str:
        """The URL of one more copy. Nobody may be connected to the original."""
        name = f"{self._name(self._url)}_{next(self._names)}"
        if self._postgres is None:
            shutil.copy(self._name(self._url), name)
            return f"sqlite:///{name}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self._name(self._url)}")
        return self._postgres.url_of(name)

    def drop(self, url: str) -> None:
        """Remove a copy."""
        if self._postgres is None:
            Path(self._name(url)).unlink()
        else:
            self._execute(f"DROP DATABASE {self._name(url)} WITH (FORCE)")

    def _name(self, url: str) -> str:
        return url.removeprefix("sqlite:///") if self._postgres is None else urlsplit(url).path[1:]

    def _execute(self, statement: str) -> None:
        assert self._postgres is not None
        with psycopg.connect(self._postgres.url.replace("+psycopg", ""), autocommit=True) as link:
            link.execute(statement.encode())


@pytest.fixture
def copies(request: pytest.FixtureRequest, database_url: str) -> Copies:
    """Makes copies of the test's database."""
    sqlite = database_url.startswith("sqlite")
    return Copies(database_url, None if sqlite else request.getfixturevalue("postgres"))


def _points(ended: Ended) -> int:
    """How many points a process passed that came through unharmed."""
    assert ended.code == 0, ended.said
    return int(re.findall(r"points: (\d+)", ended.said)[-1])


def _killed(nursery: Nursery, copies: Copies, job: Job, numbers: Iterable[int]) -> Iterator[tuple[int, str]]:
    """(point, database) for each point at which a process that does this job was killed; each on a copy of its own."""
    waiting = list(numbers)
    while waiting:
        now, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
        dead = {number: copies.make() for number in now}
        jobs = [
            msgspec.structs.replace(job, database=url, signal=signal.SIGKILL, at_point=number)
            for number, url in dead.items()
        ]
        for ended in nursery.run(*jobs):
            assert ended.code == -signal.SIGKILL, ended.said
        for number, url in dead.items():
            yield number, url
            copies.drop(url)


def test_kill_at_every_point_of_a_sync(database_url: str, copies: Copies, upstream: Upstream, nursery: Nursery) -> None:
    """Killed anywhere, a sync that changes everything there is leaves all or nothing, and the next heals it (law 1).

    Healed means: the very history that there would be if the dead run had never been, or had ended well.
    """
    source = source_at(upstream.url)
    sync(database_url, source_at(upstream.serve(OFFERED).url), NOON)
    sync(database_url, source_at(upstream.serve(WITHOUT_FIRST).url), NOON + HOUR)
    upstream.serve(MOVED)
    before, healed_before, after, healed_after = effects(database_url), copies.make(), copies.make(), copies.make()
    job = Job(upstream=upstream.url, at=POLLED)
    points = _points(nursery.run(msgspec.structs.replace(job, database=after))[0])
    sync(healed_before, source, LATER)
    sync(healed_after, source, POLLED)
    sync(healed_after, source, LATER)
    done, as_if_never, as_if_well = effects(after), history(healed_before), history(healed_after)
    run = last_run(after)
    assert (run.added, run.removed, run.relisted, run.repriced, run.updated) == (2, 1, 1, 1, 1)
    assert (run.rejected, run.withheld, run.outcome, len(done["findings"])) == (1, 1, "held", 1)
    assert {table for table in done if done[table] == before[table]} == {"feed"}, "the run writes to every table"

    survived = 0
    # To a server, after one statement and before the next are one moment: half the points, and the last, are all.
    numbers = range(1, points + 1) if database_url.startswith("sqlite") else [*range(1, points, 2), points]
    for number, url in _killed(nursery, copies, job, numbers):
        found = effects(url)
        assert found in (before, done), f"killed at point {number} of {points}: neither as before nor as after"
        assert_consistent(url)
        was_open = outcomes(url)[-1] == "running"
        sync(url, source, LATER)
        assert history(url) == (as_if_well if found == done else as_if_never), f"killed at point {number} of {points}"
        assert ("abandoned" in outcomes(url)) is was_open
        assert "running" not in outcomes(url)
        assert_consistent(url)
        survived += found == done
    assert 1 <= survived <= points // 4, "only what follows the last commit can be as after"


def test_kill_while_the_first_sync_makes_the_schema(
    database_url: str, copies: Copies, upstream: Upstream, nursery: Nursery
) -> None:
    """Killed while it creates the database, a first sync leaves something that the next one completes (law 1)."""
    upstream.serve(OFFERED)
    if database_url.startswith("sqlite"):
        Path(database_url.removeprefix("sqlite:///")).touch()  # an empty database, to be copied like PostgreSQL's
    job = Job(upstream=upstream.url, at=NOON)
    points = _points(nursery.run(msgspec.structs.replace(job, database=copies.make()))[0])
    for number, url in _killed(nursery, copies, job, range(1, points, 9)):
        sync(url, source_at(upstream.url), LATER)
        assert_consistent(url)
        assert last_run(url).added == len(OFFERED), f"killed at point {number} of {points}"
