"""Pruning changes no answer; a source keeps its history under another name and in retirement; a copy is equal."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncer import history
from syncer.admin import prune as pruning
from syncer.admin.copy import copy_database, count_batches
from syncer.admin.drift import drift
from syncer.admin.prune import Pruned, prune
from syncer.admin.sources import Beyond, rename_source, renew_feed, retire_source
from syncer.admin.verify import verify
from syncer.alerts.delivery import Subscription, deliver
from syncer.alerts.rules import AlertRule
from syncer.db import engine as db
from syncer.db import feed, leases, migrate
from syncer.db.schema import metadata
from syncer.errors import DatabaseError, Fenced, SourceBusy, SyncerError, UnknownSource, UsageError
from syncer.importing import Recorded
from syncer.revert import revert_run
from syncer.settings import SourceSettings
from tests import wandering
from tests.db import START, execute, opened, rows
from tests.story import Story, instant
from tests.syncing import YES, import_one, reject_all, sync
from tests.upstream import Reply, Upstream, catalog_body, model
from tests.wandering import NAMES, wander

if TYPE_CHECKING:
    from tests.postgres import Postgres

ROOT = Path(__file__).resolve().parents[2]
Fresh = Callable[[str], str]
"""Makes an empty database of the kind that is named, and gives its URL."""


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Fresh:
    """As many empty databases as a test wants."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{len(list(tmp_path.iterdir()))}.db"
        postgres: Postgres = request.getfixturevalue("postgres")
        postgres.start()
        return postgres.create_database()

    return make


def broken(engine: Engine) -> list[Any]:
    """What `syncer db verify` would complain of."""
    return [verdict for verdict in verify(engine) if not verdict.ok]


def table(engine: Engine, name: str, *, but: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The rows of a table as Python values, in the order of their keys, without some columns."""
    which = metadata.tables[name]
    with db.reading(engine) as connection:
        found = connection.execute(sa.select(which).order_by(*which.primary_key)).mappings().all()
    return [{key: value for key, value in row.items() if key not in but} for row in found]


# -- prune -------------------------------------------------------------------------------------------------------------


class Twins:
    """Two databases that live through the same at the same times; only the second is ever pruned."""

    def __init__(self, one: Engine, other: Engine, upstream: Upstream, seed: int) -> None:
        self.both, self.upstream, self.chance = (one, other), upstream, random.Random(seed)
        self.offered = {name: wandering._row(self.chance, name) for name in NAMES}
        self.source = SourceSettings(name="shop", url=upstream.url, removal_after=timedelta(hours=2), trust_date=False)

    def look(self, at: datetime) -> None:
        """Both look at a catalog that has moved at random, or at a fault; some looks are answers of a person."""
        if at == START or self.chance.random() < 0.4:
            wandering._move(self.chance, self.offered)
            self.upstream.reply(wandering._reply(list(self.offered.values()), self.chance.random()))
        key = self.chance.choice(["k1", "k1", "k1", "k2"])
        approval = YES if self.chance.random() < 0.1 else None
        answer = self.chance.random()
        for engine in self.both:
            try:
                sync(engine, self.source, key=key, clock=lambda: at, approval=approval)
            except SyncerError as error:
                assert error.exit_code == 1, error  # noqa: PT017 - a failed run is part of the wandering
            self._answer(engine, answer, at + timedelta(minutes=30))

    def _answer(self, engine: Engine, chance: float, at: datetime) -> None:
        if chance < 0.1:
            reject_all(engine, "shop", at)
        elif chance < 0.2:
            last = rows(engine, "SELECT max(id) FROM runs WHERE outcome = 'changed'")[0][0]
            try:
                revert_run(engine, last or 0, clock=lambda: at, owner="test")
            except UsageError:
                return  # nothing of it can be taken back


def answers(engine: Engine, until: datetime) -> list[object]:
    """What the past and the present are, by the query module."""
    hours = [START + timedelta(hours=each, minutes=30) for each in range(0, 48, 7)]
    with db.reading(engine) as connection:
        known = [name for (name,) in connection.execute(sa.text("SELECT name FROM models ORDER BY name"))]
        return [
            history.freshness(connection, now=until),
            [history.price_at(connection, name, at=at) for name in known for at in [*hours, until]],
            [history.catalog_at(connection, at=at) for at in hours],
            list(history.changes(connection)),
            list(history.notices(connection)),
            list(history.catalog(connection)),
            history.churn(connection, since=START, until=until, every="day"),
            history.flapping(connection, since=START, until=until, more_than=0),
        ]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("seed", [1, 2])
def test_pruning_changes_no_answer(fresh: Fresh, upstream: Upstream, kind: str, seed: int) -> None:
    """Two databases see the same, one pruned every few looks: syncs, history and answers stay equal, verify green."""
    removed = [0, 0]
    with opened(fresh(kind)) as one, opened(fresh(kind)) as other:
        twins = Twins(one, other, upstream, seed)
        for look in range(48):
            at = START + timedelta(hours=look)
            twins.look(at)
            if look % 6 == 5:
                (pruned,) = prune(other, before=at - timedelta(hours=4))
                removed = [removed[0] + pruned.runs, removed[1] + pruned.rejected_rows]
                assert broken(other) == []
        until = START + timedelta(hours=48)
        assert removed[0] > 10, "or nothing is proved"
        assert removed[1] > 0
        assert answers(other, until) == answers(one, until)
        for name in ("models", "changes", "findings", "notices"):
            assert table(other, name) == table(one, name)
        own = ("salt", "stored_with", "pruned_before")  # random, or about pruning
        assert table(other, "sources", but=own) == table(one, "sources", but=own)
        every = {row["id"]: row for row in table(one, "runs", but=("credential",))}
        left = table(other, "runs", but=("credential",))
        assert [every[row["id"]] for row in left] == left
        assert len(every) - len(left) == removed[0]


def test_what_pruning_leaves(database_url: str, upstream: Upstream) -> None:
    """Of 60 looks at one catalog and one change, those stay that wrote, bound a window, failed or came last."""
    with Story(database_url, upstream, trust=False) as story:
        story.hourly("01-01", 30, A="1").on("01-03", A="2")
        story.failing("01-04", Reply(status=404))
        story.hourly("01-05", 30, A="2")
        every = rows(story.engine, "SELECT count(*) FROM runs")[0][0]
        before = instant("03-01")
        counted = prune(story.engine, before=before, dry_run=True)
        assert rows(story.engine, "SELECT count(*) FROM runs") == [(every,)], "a dry run removes nothing"
        assert broken(story.engine) == []
        assert prune(story.engine, before=before) == counted
        left = [(run.started_at, run.outcome) for run in story.ask("SELECT * FROM runs ORDER BY id")]
        assert left == [
            ("01-01", "changed"),
            ("01-02 05:00", "unchanged"),  # changed_after of the repricing
            ("01-03", "changed"),
            ("01-04", "failed"),  # a notice names it
            ("01-05", "unchanged"),  # recovered: a notice names it
            ("01-06", "unchanged"),  # the last that had to be read
            ("01-06 04:00", "unchanged"),
            ("01-06 05:00", "unchanged"),  # the last two
        ]
        assert counted[0].runs == every - len(left)
        assert broken(story.engine) == []
        assert prune(story.engine, before=before)[0].runs == 0
        story.on("01-07", A="3")
        assert story.periods("A")[-1] == ("3", "01-07", None)
        (change,) = story.ask("SELECT changed_after FROM changes ORDER BY id DESC LIMIT 1")
        assert change.changed_after == "01-06 05:00"


def test_what_is_pending_keeps_its_looks(database_url: str, upstream: Upstream) -> None:
    """Law 6: a removal confirmed weeks later still names two looks, though all between were pruned meanwhile."""
    with Story(database_url, upstream, removal_after=timedelta(days=20)) as story:
        story.hourly("01-01", 10, A="1", B="2").hourly("01-02", 10, A="1")
        assert prune(story.engine, before=instant("02-01"))[0].runs > 10
        story.on("02-01", A="1")
        (gone,) = story.ask("SELECT changed_after, effective_at FROM changes WHERE kind = 'removed'")
        assert (gone.changed_after, gone.effective_at) == ("01-01 09:00", "01-02")
        assert broken(story.engine) == []


def test_the_last_whole_look_stays(database_url: str, upstream: Upstream) -> None:
    """Law 3: while a row cannot be read, a newcomer's window rests on the last look that could read all; it stays."""
    with Story(database_url, upstream, trust=False) as story:
        story.hourly("01-01", 10, A="1").hourly("01-02", 10, {"price": 1}, A="1")
        assert prune(story.engine, before=instant("02-01"))[0].runs > 10
        story.on("02-01", A="1", B="2")
        (newcomer,) = story.ask("SELECT changed_after FROM changes WHERE name = 'B'")
        assert newcomer.changed_after == "01-01 09:00"
        assert broken(story.engine) == []


def test_the_last_good_look_stays(database_url: str, upstream: Upstream) -> None:
    """A revert observes something and is no look: the good look before it stays, for the next sync starts from it."""
    with Story(database_url, upstream, trust=False) as story:
        story.on("01-01", A="1").on("01-02", A="2").hourly("01-03", 5, A="2")
        for hour in (6, 7):
            last = story.ask("SELECT max(id) AS id FROM runs WHERE outcome = 'changed'")[0].id
            at = instant(f"01-03 0{hour}:00")
            revert_run(story.engine, last, clock=lambda at=at: at, owner="test")  # type: ignore[misc]
        assert prune(story.engine, before=instant("02-01"))[0].runs > 0
        assert broken(story.engine) == []
        story.on("02-01", A="3")
        assert broken(story.engine) == []


def test_young_runs_stay(database_url: str, upstream: Upstream) -> None:
    """Only what began before the given moment is removed, to the microsecond."""
    with Story(database_url, upstream) as story:
        story.hourly("01-01", 24, A="1")
        prune(story.engine, before=instant("01-01 10:00"))
        assert [run.started_at for run in story.ask("SELECT started_at FROM runs ORDER BY id")][:2] == [
            "01-01",
            "01-01 10:00",
        ]


def test_pruning_beside_syncs(database_url: str, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pruned batch by batch while a syncer works on the same source, neither fails and every law holds."""
    monkeypatch.setattr(pruning, "BATCH", 7)
    pruned: list[Pruned] = []
    with Story(database_url, upstream, trust=False) as story:
        story.hourly("01-01", 60, A="1")
        pruner = threading.Thread(target=lambda: pruned.extend(prune(story.engine, before=instant("02-01"))))
        pruner.start()
        for day in range(1, 10):
            story.on(f"03-0{day}", {"price": day}, A=str(day + day % 2))
        pruner.join()
        assert (len(pruned), len(story.runs())) == (1, 69 - pruned[0].runs)
        assert pruned[0].runs >= 56
        assert broken(story.engine) == []
        prune(story.engine, before=instant("12-01"))
        assert broken(story.engine) == []


def test_many_rejected_rows(database_url: str, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rejected rows than one transaction deletes go too, and so do the runs that only they named."""
    monkeypatch.setattr(pruning, "BATCH", 7)
    with Story(database_url, upstream, trust=False) as story:
        story.on("01-01", A="1")
        for day in range(2, 9):
            story.on(f"01-0{day}", {"price": day}, {"price": -day}, {"price": "x"}, A="1")
        story.hourly("01-10", 3, A="1")
        counted = prune(story.engine, before=instant("03-01"), dry_run=True)
        assert prune(story.engine, before=instant("03-01")) == counted
        assert (counted[0].rejected_rows, counted[0].runs) == (15, 6)
        assert rows(story.engine, "SELECT count(*) FROM rejected_rows") == [(0,)]
        assert broken(story.engine) == []


def test_imports_stay(database_url: str) -> None:
    """Law 10: a recording that was imported is known as such after pruning, too."""
    body = catalog_body([model("A", 1)])
    recorded = [
        Recorded(name=f"line {day}", line=day, observed_at=START + timedelta(days=day), body=body) for day in range(5)
    ]
    with opened(database_url) as engine:

        def imported() -> list[object]:
            clock = START + timedelta(days=100)
            return [import_one(engine, "old", one, trust=False, clock=lambda: clock) for one in recorded]

        assert None not in imported()
        prune(engine, before=START + timedelta(days=200))
        assert imported() == [None] * 5


# -- a source ----------------------------------------------------------------------------------------------------------


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


def acquire(engine: Engine, name: str, now: datetime) -> leases.Lease:
    """A syncer takes the source for ten minutes."""
    record = leases.SourceRecord(name=name, url="http://x.example", format="serverless", headline="price")
    with db.writing(engine) as connection:
        return leases.acquire(
            connection, record, kind="sync", owner="test", now=now, lasts=timedelta(minutes=10), key=None
        )


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


# -- the feed ----------------------------------------------------------------------------------------------------------


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


# -- copy --------------------------------------------------------------------------------------------------------------

WAYS = [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("postgresql", "postgresql"), ("sqlite", "sqlite")]
LATER = START + timedelta(days=30)


@pytest.fixture
def lived(upstream: Upstream) -> Callable[[Engine], None]:
    """Fills a database with a real history: doubts, faults, consumers who were told."""

    def live(engine: Engine) -> None:
        wander(engine, upstream, polls=25, seed=7)
        wander(engine, upstream, polls=4, seed=8, name="other", trust=False)
        reader = Subscription(name="reader", rule=AlertRule(min_percent=1), sink=lambda _: None, start="beginning")  # type: ignore[arg-type]
        deliver(engine, reader, clock=lambda: LATER, owner="test")

    return live


def all_tables(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    return {name: table(engine, name) for name in metadata.tables}


@pytest.mark.parametrize(("old", "new"), WAYS)
def test_a_copy_is_equal(fresh: Fresh, upstream: Upstream, lived: Callable[[Engine], None], old: str, new: str) -> None:
    """A copy has the same rows, feed, positions and memory, keeps every law, and goes on with the same next ids."""
    with opened(fresh(old)) as source, opened(fresh(new), ready=False) as target:
        lived(source)
        before = all_tables(source)
        assert all(before.values()), "every table has rows, or too little is proved"
        batches: list[None] = []
        copied = copy_database(source, target, now=LATER, advance=lambda: batches.append(None))
        assert all_tables(source) == before
        assert all_tables(target) == before
        assert {one.table: one.rows for one in copied} == {name: len(found) for name, found in before.items()}
        assert len(batches) == count_batches(source)
        assert (drift(target), broken(target)) == ([], [])
        for engine in (source, target):
            look(engine, upstream, LATER + timedelta(days=1), A="1", B="2")
            look(engine, upstream, LATER + timedelta(days=2), name="newcomer", A="1")
        assert table(target, "changes") == table(source, "changes")
        assert broken(target) == []


def look(engine: Engine, upstream: Upstream, at: datetime, *, name: str = "shop", **prices: str) -> None:
    """One look at a catalog of these names."""
    upstream.serve([model(each, float(price)) for each, price in prices.items()])
    source = SourceSettings(name=name, url=upstream.url, trust=False, trust_date=False)
    sync(engine, source, key="k", clock=lambda: at)


@pytest.mark.parametrize(("old", "new"), WAYS[:2])
def test_a_copy_of_a_database_at_work(fresh: Fresh, upstream: Upstream, old: str, new: str) -> None:
    """A lease does not travel: the run that was open is abandoned in the copy, and its source can be synced at once."""
    with opened(fresh(old)) as source, opened(fresh(new), ready=False) as target:
        look(source, upstream, START, A="1")
        acquire(source, "shop", LATER)
        copy_database(source, target, now=LATER)
        assert rows(source, "SELECT outcome FROM runs ORDER BY id") == [("changed",), ("running",)]
        assert rows(target, "SELECT outcome FROM runs ORDER BY id") == [("changed",), ("abandoned",)]
        assert rows(target, "SELECT lease_owner, lease_until FROM sources") == [(None, None)]
        assert broken(target) == []
        look(target, upstream, LATER, A="2")


@pytest.mark.parametrize(("old", "new"), WAYS)
def test_a_copy_into_what_is_not_empty(fresh: Fresh, upstream: Upstream, old: str, new: str) -> None:
    """A target that holds anything of syncer's is refused, the original itself too; nothing of it is touched."""
    with opened(fresh(old)) as source, opened(fresh(new)) as target:
        look(source, upstream, START, A="1")
        before = all_tables(target)
        for into in (target, source):
            with pytest.raises(UsageError, match="is not empty"):
                copy_database(source, into, now=LATER)
        assert all_tables(target) == before


def test_a_copy_that_postgresql_cannot_hold(fresh: Fresh, upstream: Upstream) -> None:
    """A NUL in a SQLite text is named with its row, and nothing is left in PostgreSQL."""
    with opened(fresh("sqlite")) as source, opened(fresh("postgresql"), ready=False) as target:
        look(source, upstream, START, A="1")
        execute(source, "UPDATE runs SET error = 'a' || char(0) || 'b'")
        with pytest.raises(UsageError, match="NUL character, and runs 1 has one in error"):
            copy_database(source, target, now=LATER)
        execute(source, f"UPDATE runs SET error = NULL, body_digest = '{'x' * 99}'")
        with pytest.raises(UsageError, match="refuses a row of runs between 1 and 1: value too long"):
            copy_database(source, target, now=LATER)
        assert sa.inspect(target).get_table_names() == []


@pytest.mark.parametrize("new", ["sqlite", "postgresql"])
def test_a_broken_original(fresh: Fresh, upstream: Upstream, new: str) -> None:
    """A database that breaks a law is not carried on: the row and the law are named, the target stays empty."""
    with opened(fresh("sqlite")) as source, opened(fresh(new), ready=False) as target:
        look(source, upstream, START, A="1")
        execute(source, "UPDATE models SET price = 7")
        with pytest.raises(DatabaseError, match="the original breaks law 2 in models 1: price"):
            copy_database(source, target, now=LATER)
        assert sa.inspect(target).get_table_names() == []


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from syncer.admin.copy import copy_database
from syncer.db.engine import open_engine
left = [6]
def advance():
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
copy_database(open_engine(sys.argv[1]), open_engine(sys.argv[2]), now=datetime.now(UTC), advance=advance)
"""


@pytest.mark.parametrize(("old", "new"), WAYS[:2])
def test_a_killed_copy(fresh: Fresh, lived: Callable[[Engine], None], old: str, new: str) -> None:
    """`kill -9` midway leaves the target without a schema, so that the copy can simply be made again."""
    urls = fresh(old), fresh(new)
    with opened(urls[0]) as source:
        lived(source)
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, *urls], cwd=ROOT, env={"PATH": os.defpath}, check=False, timeout=60
        )
        assert killed.returncode == -signal.SIGKILL
        with opened(urls[1], ready=False) as target:
            assert migrate.current(target) is None
            copy_database(source, target, now=LATER)
            assert all_tables(target) == all_tables(source)
