"""Pruning changes no answer, and leaves what an answer rests on."""

import random
import threading
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncer import history
from syncer.admin import prune as pruning
from syncer.admin.prune import Pruned, prune
from syncer.db import engine as db
from syncer.errors import SyncerError, UsageError
from syncer.importing import Recorded
from syncer.revert import revert_run
from syncer.settings import SourceSettings
from tests import wandering
from tests.admin import broken, table
from tests.admin.conftest import Fresh
from tests.db import START, opened, rows
from tests.story import Story, instant
from tests.syncing import YES, import_one, reject_all, sync
from tests.upstream import Reply, Upstream, catalog_body, model
from tests.wandering import NAMES


class Twins:
    """Two databases that live through the same at the same times; only the second is ever pruned."""

    def __init__(self, one: Engine, other: Engine, upstream: Upstream, seed: int) -> None:
        self.both, self.upstream, self.chance = (one, other), upstream, random.Random(seed)
        self.offered = {name: wandering._row(self.chance, name) for name in NAMES}
        self.source = SourceSettings(name="shop", url=upstream.url, removal_after=timedelta(hours=2), trust_date=False)

    def poll(self, at: datetime) -> None:
        """Both poll a catalog that has moved at random, or a fault; some polls are answers of a person."""
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


@pytest.mark.parametrize(("kind", "seed"), [("sqlite", 1), ("postgresql", 2)])
def test_pruning_changes_no_answer(fresh: Fresh, upstream: Upstream, kind: str, seed: int) -> None:
    """Two databases see the same, one pruned every few polls: syncs, history and answers stay equal, verify green."""
    removed = [0, 0]
    with opened(fresh(kind)) as one, opened(fresh(kind)) as other:
        twins = Twins(one, other, upstream, seed)
        for hour in range(48):
            at = START + timedelta(hours=hour)
            twins.poll(at)
            if hour % 12 == 11:
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
    """Of 60 polls of one catalog and one change, those stay that wrote, bound a window, failed or came last."""
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


def test_what_is_pending_keeps_its_observations(database_url: str, upstream: Upstream) -> None:
    """Law 6: a removal confirmed weeks later still names two observations, though all between were pruned meanwhile."""
    with Story(database_url, upstream, removal_after=timedelta(days=20)) as story:
        story.hourly("01-01", 10, A="1", B="2").hourly("01-02", 10, A="1")
        assert prune(story.engine, before=instant("02-01"))[0].runs > 10
        story.on("02-01", A="1")
        (gone,) = story.ask("SELECT changed_after, effective_at FROM changes WHERE kind = 'removed'")
        assert (gone.changed_after, gone.effective_at) == ("01-01 09:00", "01-02")
        assert broken(story.engine) == []


def test_the_last_whole_observation_stays(database_url: str, upstream: Upstream) -> None:
    """Law 3: while a row cannot be read, a newcomer's window rests on the last that read all; it stays."""
    with Story(database_url, upstream, trust=False) as story:
        story.hourly("01-01", 10, A="1").hourly("01-02", 10, {"price": 1}, A="1")
        assert prune(story.engine, before=instant("02-01"))[0].runs > 10
        story.on("02-01", A="1", B="2")
        (newcomer,) = story.ask("SELECT changed_after FROM changes WHERE name = 'B'")
        assert newcomer.changed_after == "01-01 09:00"
        assert broken(story.engine) == []


def test_the_last_observation_stays(database_url: str, upstream: Upstream) -> None:
    """A revert is no observation: the one before it stays, for the next sync starts from it."""
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
