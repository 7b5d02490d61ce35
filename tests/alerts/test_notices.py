"""A source's health in the feed: said once when it turns bad, once when it turns well, in one feed with the changes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from syncer import history
from syncer.alerts.feed import read_feed
from syncer.alerts.rules import ON_REQUEST
from syncer.core.decide import Approval
from syncer.db.engine import reading, writing
from syncer.db.feed import note_late
from syncer.db.tables import sources
from syncer.history import NoticeRow, freshness
from tests.alerts.feeding import Target, round_at, subscription
from tests.cli.home import KEY, Home
from tests.story import Story, instant
from tests.upstream import Reply, Upstream, model

DOWN = Reply(status=404)
HOUR = timedelta(hours=1)


@pytest.fixture
def story(database_url: str, upstream: Upstream) -> Iterator[Story]:
    """A shop with trust rules that has listed A and B at 1."""
    with Story(database_url, upstream) as told_day_by_day:
        yield told_day_by_day.on("01-01", A="1", B="1")


def notices(story: Story) -> list[NoticeRow]:
    """The notices that are not told on request only, in feed order."""
    with reading(story.engine) as connection:
        return [notice for notice in history.notices(connection) if notice.kind not in ON_REQUEST]


def said(story: Story) -> list[str]:
    """Their kinds."""
    return [notice.kind for notice in notices(story)]


def late(story: Story, when: str) -> bool:
    """Whether a check at that time, with an interval of an hour, has to say that the source is late."""
    return note_late(story.engine, "shop", now=instant(when), interval=HOUR)


def test_an_outage_is_said_once_and_its_end_once(story: Story) -> None:
    """However often a source fails, it is one `failed`; the first observation is one `recovered`, the next none."""
    for hour in range(1, 6):
        story.failing(f"01-01 0{hour}:00", DOWN)
    assert said(story) == ["failed"]
    story.on("01-01 06:00", A="1", B="1").on("01-01 07:00", A="1", B="1")
    assert said(story) == ["failed", "recovered"]
    story.failing("01-01 08:00", DOWN)
    assert said(story) == ["failed", "recovered", "failed"]


def test_an_unchanged_catalog_recovers_too(story: Story) -> None:
    """A 304 is an observation: it ends an outage."""
    story.on("01-01 01:00", A="1", B="1")
    body = story.upstream._replies[0]
    story.failing("01-01 02:00", DOWN)
    story.upstream.reply(body)
    story.again("01-01 03:00")
    assert story.run.http_status == 304
    assert said(story) == ["failed", "recovered"]


def test_what_is_held_is_said_once_and_its_end_once(story: Story) -> None:
    """A finding is one `held` however long it stays open, and one `settled` when upstream takes it back."""
    gone = [model(f"m{number:02}") for number in range(40)]
    story.on("01-02", *gone, A="1", B="1")
    for hour in range(1, 4):
        story.on(f"01-02 0{hour}:00", A="1", B="1")
    assert said(story) == ["held"]
    story.on("01-02 04:00", *gone, A="1", B="1")
    assert said(story) == ["held", "settled"]
    held, settled = notices(story)
    assert (held.data["finding"], held.data["count"], len(held.data["models"])) == ("removals", 40, 40)
    assert held.data["why"]
    assert (settled.data["state"], settled.finding_id) == ("withdrawn", held.finding_id)


def test_an_approval_settles(story: Story) -> None:
    """A person's yes is one `settled` with the state `approved`."""
    gone = [model(f"m{number:02}") for number in range(40)]
    story.on("01-02", *gone, A="1", B="1").on("01-03", A="1", B="1")
    story.again("01-04", approving=Approval())
    assert [one.data.get("state") for one in notices(story)] == [None, "approved"]


def test_a_rejection_settles(tmp_path: Path, sqlite_url: str, upstream: Upstream, monkeypatch: Any) -> None:
    """A person's no is one `settled` with the state `rejected`, in the feed behind everything else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_KEY", KEY)
    home = Home(tmp_path, sqlite_url, upstream)
    home.day(*[model(f"m{number:02}") for number in range(40)])
    home.day(model("m00"))
    assert home.syncer("reject", "shop").code == 0
    home.day(model("m00"))
    kinds = home.sql("SELECT kind, json_extract(data, '$.state') FROM notices WHERE model_id IS NULL ORDER BY id")
    assert kinds == [("held", None), ("settled", "rejected")]


def test_recovered_stands_before_held(story: Story) -> None:
    """An observation that ends an outage and withholds something says so in this order: held is no symptom then."""
    target = Target()
    gone = [model(f"m{number:02}") for number in range(40)]
    story.on("01-02", *gone, A="1", B="1")
    round_at(story, "01-02", subscription(target))
    story.failing("01-03", DOWN)
    story.on("01-04", A="1", B="1")
    assert said(story) == ["failed", "recovered", "held"]
    round_at(story, "01-04", subscription(target))
    assert target.told == ["failed shop", "recovered shop", "held shop"]


def test_a_source_that_nobody_syncs_is_stale_once(story: Story) -> None:
    """Three intervals without an observation are said once, and the next observation is one `recovered`."""
    assert not late(story, "01-01 03:00")
    assert late(story, "01-01 03:01")
    assert not late(story, "01-01 04:00")
    story.failing("01-01 05:00", DOWN)
    assert said(story) == ["stale"], "it was said already that it is not well"
    story.on("01-01 06:00", A="1", B="1")
    assert said(story) == ["stale", "recovered"]
    assert late(story, "01-02")
    assert said(story) == ["stale", "recovered", "stale"]


def test_a_tick_that_nobody_took_is_late_a_day_later(story: Story) -> None:
    """No daemon runs: that is said a day after the poll was due, and not after three weeks of a weekly schedule."""
    with writing(story.engine) as connection:
        connection.execute(sa.update(sources).values(next_due_at=instant("01-08")))
    week = timedelta(weeks=1)
    assert not note_late(story.engine, "shop", now=instant("01-09"), interval=week)
    story.on("01-08 12:00", A="1", B="1")
    assert not note_late(story.engine, "shop", now=instant("01-10"), interval=week), "somebody polled it by hand"
    with writing(story.engine) as connection:
        connection.execute(sa.update(sources).values(next_due_at=instant("01-15")))
    assert note_late(story.engine, "shop", now=instant("01-16 00:01"), interval=week)
    with reading(story.engine) as connection:
        (shop,) = freshness(connection, now=instant("01-16 00:01"), intervals={"shop": week})
    assert (shop.late, said(story)) == (True, ["stale"])


def test_a_failing_source_is_not_stale_as_well(story: Story) -> None:
    """Lateness is a symptom of what was said already; a source that nobody knows is not late."""
    story.failing("01-01 01:00", DOWN)
    assert not late(story, "01-05")
    assert not note_late(story.engine, "nobody", now=instant("01-05"), interval=HOUR)
    assert said(story) == ["failed"]


def test_two_who_find_it_stale_at_once_say_it_once(story: Story) -> None:
    """Several syncers that ask at the same moment write one notice."""
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: late(story, "01-02"), range(6)))
    assert sum(found) == 1
    assert said(story) == ["stale"]


def test_changes_and_notices_are_one_feed(story: Story) -> None:
    """Ids are contiguous over both (law 8), and the view feed_events and the reader give them in one order."""
    story.failing("01-02", DOWN)
    story.on("01-03", A="2", B="1").on("01-04", A="2000", B="1").on("01-05", A="2", B="1")
    rows = story.ask("SELECT id, kind, model FROM feed_events ORDER BY id")
    assert [row.id for row in rows] == list(range(1, len(rows) + 1))
    assert [row.kind for row in rows] == ["added", "added", "failed", "recovered", "repriced", "held", "settled"]
    with reading(story.engine) as connection:
        items = list(read_feed(connection, after=0))
        assert [(item.id, item.kind) for item in items] == [(row.id, row.kind) for row in rows]
        assert [item.id for item in read_feed(connection, after=3, limit=2)] == [4, 5]


def test_a_commit_between_its_two_questions_makes_no_hole(story: Story) -> None:
    """What is committed after the changes were asked for and before the notices were is left for the next call (law 8).

    Otherwise the reader would see the notice, store its id, and never ask for the change before it again.
    """
    story.failing("01-02", DOWN)
    committed = Event()

    def interfere(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "FROM notices" in statement and not committed.is_set():
            committed.set()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(story.on, "01-03", A="2", B="1").result(30)

    sa.event.listen(story.engine, "before_cursor_execute", interfere)
    with reading(story.engine) as connection:
        first = [item.id for item in read_feed(connection, after=0)]
    sa.event.remove(story.engine, "before_cursor_execute", interfere)
    assert committed.is_set()
    with reading(story.engine) as connection:
        rest = [item.id for item in read_feed(connection, after=max(first))]
    assert first + rest == [1, 2, 3, 4, 5]


def test_a_reader_beside_writers_sees_no_hole(story: Story) -> None:
    """Following the feed while two sources change, fail and recover gives every id once, in order (law 8)."""
    done = Event()

    def write(name: str) -> None:
        with Upstream() as upstream, Story(story.url, upstream, trust=False, name=name) as own:
            own.check_laws = lambda: None  # type: ignore[method-assign] # the other's commits fall between its queries
            for hour in range(12):
                if hour % 3 == 2:
                    own.failing(f"02-01 {hour:02}:00", DOWN)
                else:
                    own.on(f"02-01 {hour:02}:00", C=str(hour + 1))

    def follow() -> list[int]:
        seen: list[int] = [0]
        while True:
            was_done = done.is_set()
            with reading(story.engine) as connection:
                seen += [item.id for item in read_feed(connection, after=seen[-1])]
            if was_done:
                return seen[1:]

    with ThreadPoolExecutor(3) as pool:
        following = pool.submit(follow)
        writers = [pool.submit(write, name) for name in ("one", "two")]
        try:
            for writer in writers:
                writer.result(60)
        finally:
            done.set()
        seen = following.result(60)
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) == 2 + 2 * (8 + 4 + 3)
