"""Health and metrics, asked over HTTP of a real server in front of a real database."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module

import httpx
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from syncer.alerts import consumers
from syncer.alerts.sinks.webhook import Webhook
from syncer.db import engine as db
from syncer.db.tables import runs, sources
from syncer.errors import UsageError
from syncer.settings import AlertSettings, Secret, Settings, SourceSettings
from syncer.web.metrics import Monitor, Tally
from syncer.web.server import Served, serve
from syncer.web.site import Site
from tests.story import Story, instant
from tests.upstream import Reply, Upstream

Labels = dict[str, str]


@pytest.fixture
def story(database_url: str, upstream: Upstream) -> Iterator[Story]:
    """One source called `shop`, on each kind of database."""
    with Story(database_url, upstream) as story:
        yield story


@contextmanager
def served(story: Story, settings: Settings | None = None) -> Iterator[Served]:
    """The pages in front of a story's database; the clock stands where the story's does."""
    known = settings or Settings(sources=(story.source,))
    with serve(story.engine, known, "127.0.0.1:0", clock=lambda: story.now) as pages:
        yield pages


def metrics(pages: Served) -> dict[str, list[tuple[Labels, float]]]:
    """What /metrics says, read by Prometheus's own parser: name -> samples."""
    answer = httpx.get(f"{pages.url}/metrics")
    assert answer.status_code == 200
    found: dict[str, list[tuple[Labels, float]]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(pages: Served, name: str, **labels: str) -> float | None:
    """The one sample with these labels; None if there is none."""
    found = [number for given, number in metrics(pages).get(f"syncer_{name}", []) if labels.items() <= given.items()]
    assert len(found) < 2
    return found[0] if found else None


# -- health ------------------------------------------------------------------------------------------------------------


def test_a_live_daemon_on_a_migrated_database_is_healthy_and_ready(story: Story) -> None:
    """/healthz and /readyz answer 200 ok while the process lives and the database has our schema."""
    with served(story) as pages:
        for page in ("healthz", "readyz"):
            answer = httpx.get(f"{pages.url}/{page}")
            assert (answer.status_code, answer.text) == (200, "ok\n")
        assert httpx.post(f"{pages.url}/healthz").status_code == 405
        assert httpx.head(f"{pages.url}/healthz").status_code == 200
        assert httpx.get(f"{pages.url}/nothing").status_code == 404


def test_no_database_is_alive_but_not_ready(sqlite_url: str) -> None:
    """Without a migrated database /readyz is 503 with the reason, /healthz 200, and looking creates none."""
    engine = db.open_engine(sqlite_url)
    with serve(engine, Settings(), "127.0.0.1:0", clock=lambda: instant("01-01")) as pages:
        ready = httpx.get(f"{pages.url}/readyz")
        assert ready.status_code == 503
        assert "there is no syncer database at" in ready.text
        assert httpx.get(f"{pages.url}/healthz").status_code == 200
        assert value(pages, "database_up") == 0
        assert value(pages, "feed_last_id") is None
    assert db.is_to_be_made(engine)


def test_a_reason_holds_no_password() -> None:
    """A database that refuses is named in /readyz and never its password (law 11)."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql://syncer:hunter2secret@127.0.0.1:{nobody.getsockname()[1]}/syncer"
        engine = db.open_engine(url)
        with serve(engine, Settings(), "127.0.0.1:0", clock=lambda: instant("01-01")) as pages:
            ready = httpx.get(f"{pages.url}/readyz")
        assert ready.status_code == 503
        assert "127.0.0.1" in ready.text
        assert "hunter2secret" not in ready.text


def test_a_database_that_never_answers_costs_one_thread_and_bounded_time() -> None:
    """A server that accepts and says nothing: /readyz and /metrics answer in time, from one waiting thread."""
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = db.open_engine(f"postgresql://syncer@127.0.0.1:{silent.getsockname()[1]}/syncer")
        site = Site(engine, Settings(), clock=lambda: instant("01-01"))
        monitor = Monitor(site, patience=timedelta(milliseconds=100))
        for _ in range(3):
            assert [metric.name for metric in monitor.metrics()] == ["syncer_build", "syncer_database_up"]
        asking = [thread for thread in set(threading.enumerate()) - before if thread.name == "syncer-monitor"]
        assert len(asking) == 1
        connection, _ = silent.accept()
        connection.close()
        asking[0].join(10)
        assert not asking[0].is_alive()


def test_the_daemons_own_trouble_is_bad_health(sqlite_url: str) -> None:
    """What the daemon says against itself makes /healthz 503, with its words."""
    engine = db.open_engine(sqlite_url)
    said: list[str | None] = [None, "the scheduler has not ticked for 90 s"]
    clock = lambda: instant("01-01")  # noqa: E731
    with serve(engine, Settings(), "127.0.0.1:0", clock=clock, trouble=lambda: said.pop(0)) as pages:
        assert httpx.get(f"{pages.url}/healthz").status_code == 200
        sick = httpx.get(f"{pages.url}/healthz")
        assert (sick.status_code, sick.text) == (503, "the scheduler has not ticked for 90 s\n")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the extra `web` is told its name, not shown a traceback of imports."""
    for name in ("syncer.web", "syncer.web.metrics"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UsageError, match=r"uvicorn: pip install '\.\[web\]'"):
        import_module("syncer.web.metrics")


# -- the server --------------------------------------------------------------------------------------------------------


def test_it_stops_with_its_block(story: Story) -> None:
    """After the block nothing listens there, no thread is left, and the same port can be taken at once."""
    before = set(threading.enumerate())
    with served(story) as pages, httpx.Client() as kept_alive:
        kept_alive.get(f"{pages.url}/metrics")
        where = pages.url.removeprefix("http://")
    left = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("syncer")]
    assert left == []
    with serve(story.engine, Settings(), where, clock=lambda: story.now) as again:
        assert again.url == f"http://{where}"


@pytest.mark.parametrize("listen", ["8470", ":8470", "localhost:", "localhost:70000", "localhost:-1", "a b:80"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    """What is no HOST:PORT is refused by name, before anything starts."""
    with (
        pytest.raises(UsageError, match="listen at"),
        serve(sa.create_engine("sqlite://"), Settings(), listen, clock=lambda: instant("01-01")),
    ):
        pass


def test_a_port_that_is_taken_is_refused(story: Story) -> None:
    """Two at one address: the second says so, as an error of the person's."""
    with served(story) as pages:
        where = pages.url.removeprefix("http://")
        with (
            pytest.raises(UsageError, match="is it taken already"),
            serve(story.engine, Settings(), where, clock=lambda: story.now),
        ):
            pass


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_what_a_source_is_like(story: Story) -> None:
    """Listed, missing, held and rejected counts, the poll's age, the run's length and the feed's end are as in the
    database.
    """
    unread = {"model_name": "D", "price": "cheap"}
    story.on("01-01", unread, A="1", B="2", C="3")
    story.on("01-02", unread, A="1000", B="2")
    story.now = instant("01-02 00:10")
    with served(story) as pages:
        numbers = {name: value(pages, name, source="shop") for name in ("listed_models", "missing_models")}
        assert numbers == {"listed_models": 4, "missing_models": 1}
        assert value(pages, "held_findings", source="shop") == len(story.findings("open")) > 0
        assert value(pages, "rejected_rows", source="shop") == 1
        assert value(pages, "last_observation_age_seconds", source="shop") == 600
        assert value(pages, "last_run_duration_seconds", source="shop") == 0
        assert value(pages, "feed_last_id") == story.ask("SELECT last_id FROM feed")[0].last_id
        assert value(pages, "database_up") == 1
        assert value(pages, "build_info") == 1


def test_counters_count_each_run_once_and_begin_at_zero(story: Story) -> None:
    """What was before the first scrape is not counted; each later run and change is, once, however often one asks."""
    story.on("01-01", A="1")
    with served(story) as pages:
        assert value(pages, "runs_total", source="shop", outcome="changed") == 0
        story.on("01-02", A="2", B="1")
        story.failing("01-03", Reply(status=404))
        for _ in range(2):
            assert value(pages, "runs_total", source="shop", kind="sync", outcome="changed") == 1
            assert value(pages, "runs_total", source="shop", kind="sync", outcome="failed") == 1
            assert value(pages, "changes_total", source="shop", kind="added") == 1
            assert value(pages, "changes_total", source="shop", kind="repriced") == 1
            assert value(pages, "changes_total", source="shop", kind="removed") == 0


def test_a_run_is_counted_when_it_ends(story: Story) -> None:
    """A run that is open at a scrape is counted by the first one after its end, whatever began or ended before it."""
    story.on("01-01", A="1")
    tally = Tally()

    def poll() -> int:
        with db.reading(story.engine) as connection:
            tally.count(connection)
        return sum(tally.runs.values())

    assert poll() == 0
    with db.writing(story.engine) as connection:
        shop = connection.execute(sa.select(sources.c.id)).scalar_one()
        row = {"source_id": shop, "kind": "sync", "started_at": story.now}
        slow = connection.execute(runs.insert().values(**row, outcome="running").returning(runs.c.id)).scalar_one()
        many = [{**row, "outcome": "unchanged", "finished_at": story.now} for _ in range(2500)]
        connection.execute(runs.insert(), many)
    assert poll() == 2500
    with db.writing(story.engine) as connection:
        connection.execute(runs.update().where(runs.c.id == slow).values(outcome="failed"))
    assert poll() == 2501
    assert tally.runs["shop", "sync", "failed"] == 1
    assert poll() == 2501


def test_late_and_failing_are_flags(story: Story) -> None:
    """Three intervals without a poll are late, a failed last run is failing, a source never looked at is late."""
    story.on("01-01", A="1")
    never = SourceSettings(name="never", url="http://localhost/")
    with served(story, Settings(sources=(story.source, never))) as pages:
        assert value(pages, "source_late", source="shop") == 0
        assert value(pages, "source_late", source="never") == 1
        assert value(pages, "source_failing", source="shop") == 0
        story.failing("01-01 04:00", Reply(status=404))
        assert value(pages, "source_late", source="shop") == 1
        assert value(pages, "source_failing", source="shop") == 1
        pages.reconfigure(Settings(sources=(SourceSettings(url="", name="shop", interval=timedelta(days=1)),)))
        assert value(pages, "source_late", source="shop") == 0
        assert value(pages, "source_late", source="never") is None


def test_a_retired_source_is_in_no_metric(story: Story) -> None:
    """A source that was retired has no flag, no count and no age, though it is still configured."""
    story.on("01-01", A="1")
    with db.writing(story.engine) as connection:
        connection.execute(sa.update(sources).values(retired_at=story.now))
    with served(story) as pages:
        assert "shop" not in {labels.get("source") for samples in metrics(pages).values() for labels, _ in samples}


def test_a_consumers_lag_is_in_events_and_in_seconds(story: Story) -> None:
    """A consumer at the end has no lag; behind it, the events beyond its position and the age of the first."""
    story.on("01-01", A="1")
    story.on("01-02", A="2").on("01-03", A="3")
    with db.writing(story.engine) as connection:
        consumers.register(connection, "behind", position=1, now=story.now)
        consumers.register(connection, "ahead", position=3, now=story.now)
        consumers.register(connection, "person", position=2, now=story.now, state=consumers.CURSOR)
        consumers.pause(connection, "ahead", now=story.now)
    alerts = (AlertSettings(name="behind", to=Webhook(url=Secret("http://x/")), digest=timedelta(days=1)),)
    with served(story, Settings(sources=(story.source,), alerts=alerts)) as pages:
        lag = {name: value(pages, "consumer_lag_events", consumer=name) for name in ("behind", "ahead", "person")}
        assert lag == {"behind": 2, "ahead": 0, "person": 1}
        assert value(pages, "consumer_lag_seconds", consumer="behind") == 86400
        assert value(pages, "consumer_lag_seconds", consumer="ahead") == 0
        assert value(pages, "consumer_digest_seconds", consumer="behind") == 86400
        assert value(pages, "consumer_active", consumer="behind") == 1
        assert value(pages, "consumer_active", consumer="ahead") == 0
        assert value(pages, "consumer_active", consumer="person") is None
        assert value(pages, "consumer_failed_attempts", consumer="behind") == 0


def test_a_hostile_name_stays_a_label(story: Story) -> None:
    """A source whose name holds quotes, line breaks, backslashes and escapes forges no metric (law 12)."""
    story.on("01-01", A="1")
    hostile = 'x"} 1\nsyncer_forged{a="\\\x1b[31m<b>é'
    with db.writing(story.engine) as connection:
        connection.execute(sa.update(sources).values(name=hostile))
    with served(story) as pages:
        assert value(pages, "listed_models", source=hostile) == 1
        assert "syncer_forged" not in metrics(pages)


def test_no_error_and_no_address_is_in_a_metric(story: Story) -> None:
    """What an upstream said, and where anything goes, is in none of the pages (law 11)."""
    story.failing("01-01", Reply(status=500, body=b"token ak_story"))
    alerts = (AlertSettings(name="hook", to=Webhook(url=Secret("http://hooks.example/t0ken"))),)
    with served(story, Settings(sources=(story.source,), alerts=alerts)) as pages:
        text = "".join(httpx.get(f"{pages.url}/{page}").text for page in ("metrics", "readyz", "healthz"))
    assert not [secret for secret in ("ak_story", "t0ken", "127.0.0.1") if secret in text]


def test_a_scrape_reads_no_change(sqlite_url: str, upstream: Upstream) -> None:
    """No statement of a scrape scans `changes`, `notices` or `runs`: each is reached by a key."""
    with Story(sqlite_url, upstream) as story:
        story.on("01-01", A="1").on("01-02", A="2")
        asked: list[tuple[str, object]] = []
        monitor = Monitor(Site(story.engine, Settings(sources=(story.source,)), clock=lambda: story.now))
        monitor.metrics()
        sa.event.listen(story.engine, "before_cursor_execute", lambda *said: asked.append((said[2], said[3])))
        assert len(monitor.metrics()) > 10
        with story.engine.connect() as connection:
            selects = [(text, values) for text, values in asked if text.startswith("SELECT")]
            plans = [
                row.detail
                for text, values in selects
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)  # type: ignore[arg-type]
            ]
    assert len(selects) >= 5
    scans = [plan for plan in plans if plan.startswith("SCAN")]
    big = ("changes", "notices", "runs", "latest", "ended", "looked", "other")
    assert not [plan for plan in scans if plan.split()[1] in big]
