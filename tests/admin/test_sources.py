"""A source keeps its history under another name and in retirement; a feed can be renewed."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy.engine import Engine

from syncer import history
from syncer.admin.sources import Beyond, rename_source, renew_feed, retire_source
from syncer.alerts.delivery import Subscription, deliver
from syncer.alerts.rules import AlertRule
from syncer.db import engine as db
from syncer.db import feed, leases
from syncer.errors import Fenced, SourceBusy, UnknownSource, UsageError
from tests.admin import acquire, broken, table
from tests.db import execute, rows
from tests.story import Story, instant
from tests.syncing import reject_all
from tests.upstream import Reply, Upstream


def test_a_renamed_source_keeps_its_history(database_url: str, upstream: Upstream) -> None:
    """After a rename the whole past carries the new name, and a sync under it goes on where the old one ended."""
    with Story(database_url, upstream, trust=False) as story:
        story.on("01-01", A="1").on("01-02", A="2")
        rename_source(story.engine, "shop", "store", now=instant("01-03"))
        story.set(name="store").on("01-04", A="3")
        with db.reading(story.engine) as connection:
            said = [(change.source, change.kind) for change in history.changes(connection)]
        assert said == [("store", "added"), ("store", "repriced"), ("store", "repriced")]
        assert broken(story.engine) == []


def test_a_rename_that_is_refused(database_url: str, upstream: Upstream) -> None:
    """An unknown source, a name that is taken and a source that is being synced are refused; nothing has changed."""
    with Story(database_url, upstream) as story:
        story.on("01-01", A="1").set(name="other").on("01-01", A="1")
        with pytest.raises(UnknownSource, match="there are other, shop"):
            rename_source(story.engine, "shoop", "x", now=story.now)
        with pytest.raises(UsageError, match="'other' already"):
            rename_source(story.engine, "shop", "other", now=story.now)
        lease = acquire(story.engine, "shop", story.now)
        for ask in (lambda: rename_source(story.engine, "shop", "x", now=story.now), retire(story.engine, story.now)):
            with pytest.raises(SourceBusy, match="is being synced by test"):
                ask()
        with db.writing(story.engine) as connection:
            leases.check_fencing_token(connection, lease)
        assert rows(story.engine, "SELECT name FROM sources ORDER BY name") == [("other",), ("shop",)]


def retire(engine: Engine, now: datetime) -> Callable[[], object]:
    """Retiring the shop, to be called."""
    return lambda: retire_source(engine, "shop", now=now)


def test_a_late_syncer_is_fenced_off(database_url: str, upstream: Upstream) -> None:
    """Law 7: whoever held the source before a rename, past its lease, writes nothing after it."""
    with Story(database_url, upstream) as story:
        story.on("01-01", A="1")
        lease = acquire(story.engine, "shop", instant("01-02"))
        rename_source(story.engine, "shop", "store", now=instant("01-03"))
        with db.writing(story.engine) as connection, pytest.raises(Fenced):
            leases.check_fencing_token(connection, lease)


def test_a_rename_in_trouble(database_url: str, upstream: Upstream) -> None:
    """A consumer that was told of a failure under the old name hears of the recovery under the new one."""
    heard: list[tuple[str, str]] = []
    rule = AlertRule(kinds=frozenset({"failed", "recovered"}))
    with Story(database_url, upstream) as story:
        reader = Subscription(name="pager", rule=rule, sink=heard.append, start="beginning")  # type: ignore[arg-type]
        story.on("01-01", A="1")
        story.failing("01-02", Reply(status=404))
        deliver(story.engine, reader, clock=lambda: instant("01-02"), owner="test")
        assert rename_source(story.engine, "shop", "store", now=instant("01-03")).consumers == ("pager",)
        assert table(story.engine, "consumers")[0]["failing"] == ["store"]
        story.set(name="store").on("01-04", A="1")
        deliver(story.engine, reader, clock=lambda: instant("01-04"), owner="test")
        assert len(heard) == 2
        assert table(story.engine, "consumers")[0]["failing"] == []


def test_a_retired_source_is_never_late(database_url: str, upstream: Upstream) -> None:
    """A retired source is not late and says no `stale`; its history stays; the next sync brings it back."""

    def is_late(now: datetime) -> bool:
        with db.reading(story.engine) as connection:
            (fresh,) = history.freshness(connection, now=now)
        assert (fresh.retired_at is None) == ("retired" not in stage)
        return fresh.late

    with Story(database_url, upstream) as story:
        story.on("01-01", A="1")
        stage, hour = "synced", timedelta(hours=1)
        assert is_late(instant("02-01"))
        stage = "retired"
        at = instant("01-02")
        assert retire_source(story.engine, "shop", now=at).retired_at == at
        assert retire_source(story.engine, "shop", now=instant("01-03")).retired_at == at, "since the first time"
        assert not is_late(instant("02-01"))
        assert not feed.note_late(story.engine, "shop", now=instant("02-01"), interval=hour)
        assert broken(story.engine) == []
        assert story.periods("A") == [("1", "01-01", None)]
        stage = "back"
        story.on("02-02", A="2")
        assert is_late(instant("03-01"))
        assert feed.note_late(story.engine, "shop", now=instant("03-01"), interval=hour)


def test_open_findings_of_a_retired_source(database_url: str, upstream: Upstream) -> None:
    """Retiring answers nothing for a person: what is withheld is counted, stays open and can still be rejected."""
    with Story(database_url, upstream) as story:
        story.on("01-01", A="1").on("01-02", A="1000")
        assert retire_source(story.engine, "shop", now=instant("01-03")).open_findings == 1
        assert reject_all(story.engine, "shop", instant("01-03")) == 1
        assert retire_source(story.engine, "shop", now=instant("01-03")).open_findings == 0
        assert broken(story.engine) == []


def test_a_renewed_feed(database_url: str, upstream: Upstream) -> None:
    """Law 8: the id is new, ids and positions stay, and a consumer beyond the end is named."""
    with Story(database_url, upstream, trust=False) as story:
        story.on("01-01", A="1", B="2")
        execute(
            story.engine,
            *(
                "INSERT INTO consumers (name, position, state, created_at, failing, attempts, lease_token)"
                f" VALUES ('{name}', {position}, 'active', '2026-01-01 00:00:00.000000', '[]', 0, 0)"
                for name, position in (("behind", 1), ("ahead", 7), ("done", 2))
            ),
        )
        before, (old,) = table(story.engine, "consumers"), table(story.engine, "feed")
        renewed = renew_feed(story.engine)
        assert (renewed.old, renewed.last_id, renewed.beyond) == (
            old["feed_id"],
            2,
            (Beyond(consumer="ahead", position=7),),
        )
        assert renewed.new != renewed.old
        assert table(story.engine, "feed") == [{"feed_id": renewed.new, "last_id": 2}]
        assert table(story.engine, "consumers") == before
        assert broken(story.engine) == []
