"""One daemon, as the shipped command and as a part: what it runs, survives and leaves behind."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import pytest
import sqlalchemy as sa

from syncer.alerts.sinks.file import File
from syncer.daemon import Daemon, Dependencies
from syncer.daemon.runs import LatestRuns
from syncer.db import engine as db
from syncer.db import migrate
from syncer.db.tables import runs, sources
from syncer.settings import AlertSettings, Settings, SourceSettings
from tests.cli.home import Home
from tests.faults import assert_consistent, opened
from tests.upstream import Reply, Upstream, catalog_body, model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.postgres import Postgres

DEADLINE = 100.0  # seconds: far beyond what any of it takes, for the machine may be busy
SECOND = timedelta(seconds=1)
MODELS = [model("house/one", 1), model("house/two", 2)]
HANGS = Reply(hang=True)


def wait_for(claim: Callable[[], object], *, what: str) -> None:
    """Returns as soon as `claim` holds."""
    end = time.monotonic() + DEADLINE
    while not claim():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def rows_of(url: str, **where: Any) -> list[Any]:
    """The runs there are, oldest first, with the name of their source."""
    query = sa.select(sources.c.name, runs).join(sources, sources.c.id == runs.c.source_id).order_by(runs.c.id)
    with opened(url) as engine:
        if migrate.current(engine) is None:
            return []
        with db.reading(engine) as connection:
            found = connection.execute(query).all()
    return [row for row in found if all(getattr(row, name) == value for name, value in where.items())]


def good(url: str, name: str) -> list[Any]:
    """The observations of a source."""
    return [row for row in rows_of(url, name=name) if row.outcome in {"changed", "unchanged"}]


class Command:
    """`syncer run` in a home, with its log in a file."""

    def __init__(self, home: Home, *options: str, environ: Mapping[str, str] | None = None) -> None:
        self.home, self.options, self._environ = home, options, environ
        self._log = home.path / "log"

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._context = self.home.started(
                "run", *self.options, options={"stdout": log, "stderr": log}, environ=self._environ
            )
            self.process: subprocess.Popen[str] = self._context.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGCONT)
        self._context.__exit__(None, None, None)

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text()

    def says(self, text: str, times: int = 1) -> None:
        """Returns as soon as the log holds the text so often."""
        wait_for(lambda: self.log.count(text) >= times or self.process.poll() is not None, what=text)
        assert self.log.count(text) >= times, self.log

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def ends(self) -> int:
        """Returns its exit code when it has ended."""
        return self.process.wait(DEADLINE)


def provider(upstream: Upstream, name: str, **fields: Any) -> dict[str, Any]:
    """A source table; without a schedule of its own it is due each second."""
    return {"name": name, "url": upstream.url, "interval": "1s", **fields}


@pytest.fixture
def hanging() -> Iterator[Upstream]:
    """An upstream that never answers."""
    with Upstream() as server:
        yield server.reply(HANGS)


@pytest.fixture
def home(tmp_path: Path, database_url: str, upstream: Upstream) -> Home:
    """A home with one source, due each second."""
    home = Home(tmp_path, database_url, upstream.serve(MODELS))
    home.configure(provider(upstream, "shop"))
    return home


def assert_tidy(url: str) -> None:
    """Consistent, no run open and no lease left."""
    assert_consistent(url)
    assert not rows_of(url, outcome="running")
    with opened(url) as engine, db.reading(engine) as connection:
        assert connection.execute(sa.select(sources.c.lease_until)).scalars().all().count(None) == len(
            connection.execute(sa.select(sources.c.id)).all()
        )


# -- the schedule ------------------------------------------------------------------------------------------------------


def test_each_due_tick_is_run_once_and_sigterm_ends_it(home: Home) -> None:
    """A source is looked at once in each tick until SIGTERM, which ends the daemon with exit code 0."""
    with Command(home) as command:
        wait_for(lambda: len(good(home.url, "shop")) >= 4, what="four observations")
        command.signal(signal.SIGTERM)
        assert command.ends() == 0, command.log
    polls = good(home.url, "shop")
    ticks = [row.started_at.replace(microsecond=0) for row in polls]
    assert len(set(ticks)) == len(ticks)
    assert [row.outcome for row in polls[:2]] == ["changed", "unchanged"]
    assert_tidy(home.url)


def test_a_slow_source_delays_no_other_and_its_ticks_are_skipped(
    home: Home, upstream: Upstream, hanging: Upstream
) -> None:
    """While one upstream hangs the others keep their ticks; its own ticks leave a skipped run that says why (law 9)."""
    home.configure(provider(upstream, "shop"), provider(hanging, "slow"))
    with Command(home, "--grace", "1s") as command:
        wait_for(lambda: len(good(home.url, "shop")) >= 4, what="four observations at the quick one")
        wait_for(lambda: len(rows_of(home.url, name="slow", outcome="skipped")) >= 2, what="skipped ticks")
        command.signal(signal.SIGINT)
        assert command.ends() == 0, command.log
    first, *later = rows_of(home.url, name="slow")
    assert (first.outcome, first.error) == ("abandoned", "the daemon was stopped")
    assert {row.outcome for row in later} == {"skipped"}
    assert any("the tick was passed over: slow is being synced by" in row.error for row in later)
    assert_tidy(home.url)


def test_a_pause_is_made_up_for_once(home: Home) -> None:
    """After five seconds of sleep a source due each second is looked at once, and a skipped run names the rest."""
    with Command(home) as command:
        wait_for(lambda: good(home.url, "shop"), what="an observation")
        command.signal(signal.SIGSTOP)
        time.sleep(5)  # the pause itself
        before, woken_at = len(good(home.url, "shop")), datetime.now(UTC)
        command.signal(signal.SIGCONT)
        wait_for(lambda: len(good(home.url, "shop")) >= before + 3, what="three more observations")
        command.signal(signal.SIGTERM)
        assert command.ends() == 0
    after = [row.started_at for row in good(home.url, "shop")[before:]]
    assert len(after) <= (after[-1] - woken_at).total_seconds() + 2
    assert any("passed over: no daemon was there" in row.error for row in rows_of(home.url, outcome="skipped"))


def test_a_missing_key_fails_its_runs_only(home: Home, upstream: Upstream) -> None:
    """A source without its key leaves failed runs that say which variable is missing; the schedule goes on."""
    home.configure(provider(upstream, "shop"), provider(upstream, "keyless", api_key_env="NO_SUCH_KEY"))
    with Command(home) as command:
        wait_for(lambda: len(rows_of(home.url, name="keyless")) >= 2, what="failed runs")
        wait_for(lambda: len(good(home.url, "shop")) >= 2, what="observations")
        command.signal(signal.SIGTERM)
        assert command.ends() == 0
    for row in rows_of(home.url, name="keyless"):  # on a busy machine a tick may be passed over
        assert row.outcome in {"failed", "skipped"}
        assert row.outcome == "skipped" or "NO_SUCH_KEY" in row.error
    assert_tidy(home.url)


def test_an_upstream_that_is_down_costs_only_its_source(home: Home, upstream: Upstream) -> None:
    """A source that refuses leaves failed runs; the others keep their ticks."""
    gone = {"name": "gone", "url": "http://127.0.0.1:1/v1", "interval": "1s", "deadline": "1s"}
    home.configure(provider(upstream, "shop"), gone)
    with Command(home) as command:
        wait_for(lambda: rows_of(home.url, name="gone", outcome="failed"), what="a failed run")
        wait_for(lambda: len(good(home.url, "shop")) >= 3, what="observations")
        command.signal(signal.SIGTERM)
        assert command.ends() == 0
    assert_tidy(home.url)


def test_a_problem_of_a_consumer_is_named_once(home: Home, upstream: Upstream) -> None:
    """A consumer that cannot be told delays nobody, and the log says why once, not each second."""
    home.configure(provider(upstream, "shop"), top='[[alerts]]\nname = "hook"\nurl_env = "NO_SUCH_HOOK"')
    with Command(home) as command:
        command.says("NO_SUCH_HOOK")
        wait_for(lambda: len(good(home.url, "shop")) >= 3, what="three observations")
        command.signal(signal.SIGTERM)
        assert command.ends() == 0
        assert command.log.count("NO_SUCH_HOOK") == 1


# -- signals -----------------------------------------------------------------------------------------------------------


def test_a_running_sync_gets_its_grace(home: Home, upstream: Upstream) -> None:
    """On SIGTERM nothing new begins, and a sync under way is brought to its end."""
    asked, go_on = threading.Event(), threading.Event()
    body = catalog_body(MODELS)

    def hold() -> None:
        asked.set()
        go_on.wait(DEADLINE)

    upstream.reply(Reply(body=body, on_request=hold))
    with Command(home) as command:
        wait_for(asked.is_set, what="the fetch")
        command.signal(signal.SIGTERM)
        command.says("stopping: no new work; 1 run may finish")
        go_on.set()
        assert command.ends() == 0
    assert [row.outcome for row in rows_of(home.url) if row.outcome != "skipped"] == ["changed"]
    assert_tidy(home.url)


def test_a_second_signal_stops_at_once(home: Home, upstream: Upstream) -> None:
    """The second signal does not wait for a sync: its run is closed as abandoned, and the database is consistent."""
    upstream.reply(HANGS)
    with Command(home, "--grace", "10m") as command:
        wait_for(lambda: upstream.requests, what="the fetch")
        command.signal(signal.SIGTERM)
        command.says("stopping")
        command.signal(signal.SIGINT)
        assert command.ends() == 0
    assert [row.outcome for row in rows_of(home.url) if row.outcome != "skipped"] == ["abandoned"]
    assert_tidy(home.url)


def test_sighup_reads_the_configuration_again(home: Home, upstream: Upstream) -> None:
    """A new source starts and a removed one stops; a file that cannot be used is refused with a line in the log."""
    with Command(home) as command:
        wait_for(lambda: good(home.url, "shop"), what="an observation at the first")
        home.configure(provider(upstream, "other"))
        command.signal(signal.SIGHUP)
        command.says("the configuration was read again: 1 source")
        wait_for(lambda: good(home.url, "other"), what="an observation at the new source")
        old = len(rows_of(home.url, name="shop"))
        home.configure({"name": "other", "url": "no url"})
        command.signal(signal.SIGHUP)
        command.says("the new configuration is refused, the old one stays")
        seen = len(good(home.url, "other"))
        wait_for(lambda: len(good(home.url, "other")) >= seen + 3, what="the old configuration at work")
        assert len(rows_of(home.url, name="shop")) <= old + 1
        command.signal(signal.SIGTERM)
        assert command.ends() == 0
    assert_tidy(home.url)


def test_a_new_schedule_counts_from_the_reload_on(home: Home, upstream: Upstream) -> None:
    """A source that was due in days is due by its new interval as soon as that is read."""
    home.configure(provider(upstream, "shop", interval="30d"))
    with Command(home) as command:
        wait_for(lambda: good(home.url, "shop"), what="the first observation")
        home.configure(provider(upstream, "shop", interval="1s"))
        command.signal(signal.SIGHUP)
        wait_for(lambda: len(good(home.url, "shop")) >= 3, what="looks by the new interval")


def _can_unshare() -> bool:
    done = subprocess.run(["unshare", "-pf", "true"], check=False, capture_output=True)
    return done.returncode == 0


def test_it_works_as_process_1(home: Home) -> None:
    """As PID 1, which ignores signals without a handler, it still ends with 0 on SIGTERM."""
    try:
        able = _can_unshare()
    except FileNotFoundError:
        able = False
    if not able:
        pytest.skip("no new process namespace can be made here")
    import sys

    command = ["unshare", "-pf", "--kill-child", sys.executable, "-m", "syncer", "run"]
    with subprocess.Popen(command, cwd=home.path, env=home.environ, stderr=subprocess.DEVNULL) as child:
        try:
            wait_for(lambda: good(home.url, "shop"), what="an observation")
            with open(f"/proc/{child.pid}/task/{child.pid}/children") as children:  # noqa: PTH123 - a file of the kernel
                os.kill(int(children.read().split()[0]), signal.SIGTERM)
            assert child.wait(DEADLINE) == 0
        finally:
            child.kill()
    assert_tidy(home.url)


# -- a database that is down -------------------------------------------------------------------------------------------


def test_a_stopped_postgresql_is_waited_for(
    tmp_path: Path, postgres: Postgres, postgres_url: str, upstream: Upstream
) -> None:
    """The log has one line when the database goes and one when it is back, and then the schedule goes on."""
    home = Home(tmp_path, postgres_url, upstream.serve(MODELS))
    home.configure(provider(upstream, "shop"))
    with Command(home) as command:
        try:
            wait_for(lambda: good(home.url, "shop"), what="an observation")
            postgres.stop()
            command.says("waiting for the database")
            time.sleep(2.5)  # two more observations at it in vain
        finally:
            postgres.start()
        before = len(good(home.url, "shop"))
        command.says("the database is back")
        wait_for(lambda: len(good(home.url, "shop")) >= before + 2, what="looks after it")
        command.signal(signal.SIGTERM)
        assert command.ends() == 0
        assert command.log.count("waiting for the database") == command.log.count("the database is back") == 1
    assert_consistent(home.url)


def test_a_database_that_is_down_at_the_start_is_waited_for(
    tmp_path: Path, postgres: Postgres, postgres_url: str, upstream: Upstream
) -> None:
    """A machine that boots its daemon before its database needs nobody's help."""
    home = Home(tmp_path, postgres_url, upstream.serve(MODELS))
    home.configure(provider(upstream, "shop"))
    postgres.stop()
    try:
        with Command(home) as command:
            command.says("waiting for the database")
            postgres.start()
            command.says("the database is back")
            wait_for(lambda: good(home.url, "shop"), what="an observation")
    finally:
        postgres.start()


def test_a_locked_sqlite_file_is_waited_for(
    tmp_path: Path,
    sqlite_url: str,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another program's lock is named once; when it is gone the schedule goes on."""
    monkeypatch.setattr(db, "_BUSY_MS", 100)
    caplog.set_level(logging.INFO)
    with working(sqlite_url, settings_of(sqlite_url, upstream.serve(MODELS))):
        wait_for(lambda: good(sqlite_url, "shop"), what="an observation")
        link = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None, timeout=DEADLINE)
        link.execute("BEGIN IMMEDIATE")
        wait_for(lambda: "waiting for the database" in caplog.text, what="the log line")
        link.execute("ROLLBACK")
        link.close()
        wait_for(lambda: "the database is back" in caplog.text, what="the second line")
        before = len(good(sqlite_url, "shop"))
        wait_for(lambda: len(good(sqlite_url, "shop")) > before, what="another observation")
    assert "locked by another program" in caplog.text
    assert_consistent(sqlite_url)


# -- the parts: what only a test can hand in ---------------------------------------------------------------------------


def settings_of(url: str, upstream: Upstream, *names: str, **fields: Any) -> Settings:
    """Settings with these sources, each due every second."""
    made = tuple(
        SourceSettings(name=name, url=upstream.url, interval=SECOND, trust=False) for name in names or ("shop",)
    )
    return Settings(database_url=url, sources=made, **fields)


@contextmanager
def working(url: str, settings: Settings, **dependencies: Any) -> Iterator[Daemon]:
    """A daemon at work in this process."""
    engine = db.open_engine(url)
    made = Dependencies(
        engine=engine,
        load=lambda: settings,
        with_credentials=lambda attempt: attempt,
        owner="a test",
        **{"clock": lambda: datetime.now(UTC), **dependencies},
    )
    try:
        with Daemon(made) as running:
            yield running
            made.stopping.set()
            assert running.finish()
    finally:
        engine.dispose()


def test_a_slow_consumer_delays_no_source_and_no_other_consumer(sqlite_url: str, upstream: Upstream) -> None:
    """A delivery that does not end keeps a thread of its own, and is not begun a second time."""
    told: list[str] = []
    release = threading.Event()

    def deliver(_: Settings, alert: AlertSettings) -> None:
        told.append(alert.name)
        if alert.name == "slow":
            release.wait(DEADLINE)

    alerts = (AlertSettings(name="slow", to=File(file="a")), AlertSettings(name="quick", to=File(file="b")))
    with working(sqlite_url, settings_of(sqlite_url, upstream.serve(MODELS), alerts=alerts), deliver=deliver):
        wait_for(lambda: len(good(sqlite_url, "shop")) >= 2 and told.count("quick") >= 2, what="looks and news")
        assert told.count("slow") == 1
        release.set()


def test_a_bug_in_one_sync_is_logged_and_the_schedule_goes_on(
    sqlite_url: str, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect that only one source meets leaves its traceback in the log and a failed run; the others go on."""

    def archive(source: str, _at: datetime, _body: object) -> None:
        if source == "unlucky":
            raise ZeroDivisionError

    with working(
        sqlite_url, settings_of(sqlite_url, upstream.serve(MODELS), "shop", "unlucky"), archive=archive, workers=1
    ):
        wait_for(lambda: len(good(sqlite_url, "shop")) >= 2, what="observations")
        wait_for(lambda: len(rows_of(sqlite_url, name="unlucky", outcome="failed")) >= 2, what="failed runs")
    assert "a bug in syncer ended run" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert_tidy(sqlite_url)


def test_more_sources_than_workers_do_not_wait_for_the_beat(sqlite_url: str, upstream: Upstream) -> None:
    """A worker that is free takes the next source at once: twenty sources through two workers need no ten beats."""
    names = [f"s{number}" for number in range(20)]
    settings = msgspec.structs.replace(settings_of(sqlite_url, upstream.serve(MODELS), *names))
    slow = tuple(msgspec.structs.replace(source, interval=timedelta(days=300)) for source in settings.sources)
    with working(sqlite_url, msgspec.structs.replace(settings, sources=slow), workers=2):
        wait_for(lambda: len({row.name for row in rows_of(sqlite_url)}) == 20, what="all twenty")
    started = [row.started_at for row in rows_of(sqlite_url)]
    assert max(started) - min(started) < 8 * SECOND


def test_how_the_runs_went_is_reported(sqlite_url: str, upstream: Upstream) -> None:
    """After a minute with runs, `on_cycle` is called with whether the latest of each source was good."""
    said: list[bool] = []
    with working(sqlite_url, settings_of(sqlite_url, upstream.serve(MODELS)), on_cycle=said.append) as running:

        def is_said(well: bool) -> bool:
            running.each_minute()
            return said[-1:] == [well]

        wait_for(lambda: is_said(True), what="a good run")
        upstream.reply(Reply(status=404))
        wait_for(lambda: is_said(False), what="a failed run")


def test_a_source_that_failed_is_not_forgotten_while_others_run() -> None:
    """A cycle went well only when the latest run of every configured source was good; without runs there is none."""
    latest = LatestRuns()
    assert latest.cycle({"rare": 1, "frequent": 1}) is None
    for source, well, expected in (("rare", False, False), ("frequent", True, False), ("rare", True, True)):
        latest.note(source, well=well)
        assert latest.cycle({"rare": 1, "frequent": 1}) is expected
    latest.note("gone", well=False)
    assert latest.cycle({"rare": 1, "frequent": 1}) is True


def test_more_hanging_consumers_than_any_pool_delay_no_healthy_one(sqlite_url: str, upstream: Upstream) -> None:
    """With forty consumers that hang, the last one gets its deliveries all the same."""
    delivered: list[str] = []
    release = threading.Event()

    def deliver(_: Settings, alert: AlertSettings) -> None:
        delivered.append(alert.name)
        if alert.name != "healthy":
            release.wait(DEADLINE)

    names = [*(f"hangs-{number}" for number in range(40)), "healthy"]
    alerts = tuple(AlertSettings(name=name, to=File(file=name)) for name in names)
    with working(sqlite_url, settings_of(sqlite_url, upstream.serve(MODELS), alerts=alerts), deliver=deliver):
        wait_for(lambda: delivered.count("healthy") >= 2, what="two deliveries to the healthy one")
        assert len(delivered) == 40 + delivered.count("healthy")
        release.set()


# -- the file under a daemon -------------------------------------------------------------------------------------------


def test_a_deleted_sqlite_file_is_waited_for(tmp_path: Path, sqlite_url: str, upstream: Upstream) -> None:
    """A database file that is deleted under a daemon is named at its next turn, and never begun anew by accident."""
    home = Home(tmp_path, sqlite_url, upstream.serve(MODELS))
    home.configure(provider(upstream, "shop"))
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with Command(home) as command:
        wait_for(lambda: good(sqlite_url, "shop"), what="an observation")
        kept = [(path, path.read_bytes()) for path in file.parent.glob(f"{file.name}*")]
        for path, _ in kept:
            path.unlink()
        command.says("was deleted or moved: put it back")
        assert not file.exists()
        for path, content in kept:
            path.write_bytes(content)
        command.says("was replaced by another one")
        command.says("the database is back")
        before = len(good(sqlite_url, "shop"))
        wait_for(lambda: len(good(sqlite_url, "shop")) > before, what="another observation")
        command.signal(signal.SIGTERM)
        assert command.ends() == 0


def test_what_it_says_at_its_start(home: Home) -> None:
    """`run` says how many sources there are and when the next poll is, and then it polls."""
    with Command(home) as command:
        command.says("running 1 source; the next poll is of shop, now")


def test_the_clock_of_the_database_decides(postgres_url: str, upstream: Upstream) -> None:
    """A machine whose clock is minutes ahead runs no tick early: PostgreSQL's own clock says what is due (law 7)."""
    ahead = timedelta(minutes=4)
    settings = settings_of(postgres_url, upstream.serve(MODELS), "shop")
    with working(postgres_url, settings, clock=lambda: datetime.now(UTC) + ahead):
        wait_for(lambda: len(good(postgres_url, "shop")) >= 3, what="three observations")
    polls = good(postgres_url, "shop")
    assert all(row.started_at <= datetime.now(UTC) for row in polls)
    assert all(row.observed_at - row.started_at > ahead / 2 for row in polls)


def test_another_database_needs_a_restart(sqlite_url: str, upstream: Upstream) -> None:
    """A reload that names another database is refused: half of the daemon would stay with the old one."""
    settings = settings_of(sqlite_url, upstream.serve(MODELS))
    with working(sqlite_url, settings) as running:
        elsewhere = msgspec.structs.replace(settings, database_url="sqlite:///elsewhere.db")
        running.dependencies = msgspec.structs.replace(running.dependencies, load=lambda: elsewhere)
        running.reload()
        assert running.settings == settings
