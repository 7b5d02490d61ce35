"""`syncer db verify`: silent about what real syncs wrote, and it names each row that somebody else broke."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncer.admin.verify import Verdict, verify, verify_rows
from syncer.db.views import triggers
from tests.db import execute, opened, rows
from tests.story import Story
from tests.upstream import Upstream, model
from tests.wandering import wander


def broken(engine: Engine) -> list[Verdict]:
    """The verdicts that name a row."""
    return [verdict for verdict in verify(engine) if not verdict.ok]


@pytest.mark.parametrize(("seed", "trust"), [(1, True), (2, True), (3, False)])
def test_intact_after_random_syncs(database_url: str, upstream: Upstream, seed: int, trust: bool) -> None:
    """After many observations at a random catalog, with faults, doubts, answers and reverts, every law holds."""
    with opened(database_url) as engine:
        wander(engine, upstream, polls=40, seed=seed, trust=trust)
        assert broken(engine) == []
        kinds = {kind for (kind,) in rows(engine, "SELECT kind FROM changes")}
        assert {"added", "removed", "relisted", "repriced"} <= kinds, "the wandering went everywhere"


def test_two_sources_are_judged_apart(database_url: str, upstream: Upstream) -> None:
    """Two sources with the same models at the same times are no violation of anything."""
    with opened(database_url) as engine:
        for name in ("one", "two"):
            wander(engine, upstream, polls=10, seed=5, name=name)
        assert broken(engine) == []


def test_an_empty_database_keeps_every_law(database_url: str) -> None:
    """A database in which nothing has happened has nothing wrong."""
    with opened(database_url) as engine:
        assert broken(engine) == []


# -- each violation is found and named ---------------------------------------------------------------------------------

# The story below: run 1 adds A, B and C (1-3); 2 reprices A (4); 3 removes B (5); 4 relists it (6); 5 updates C (7);
# 6 sees a row that cannot be read, 7 fails; then there is a finding.
UNGUARD = {
    "sqlite": [f"DROP TRIGGER {name}" for name in triggers("sqlite")] + ["PRAGMA ignore_check_constraints=ON"],
    "postgresql": ["SET LOCAL session_replication_role = replica"],
}

OTHER_SOURCE = (
    "INSERT INTO sources (id, name, url, format, headline, created_at, salt)"
    " VALUES (9, 'x', 'https://u:p@x.example/?key=1', 'serverless', 'price', '2026-01-01 00:00:00.000000{z}', '{salt}')"
)
NEW_MODEL = (
    "INSERT INTO models (id, source_id, name, prices, extra, digest, parser, first_seen_at, last_changed_at)"
    " VALUES (9, 1, 'Z', '{{}}', '{{}}', '{salt}', 'p', '2026-01-01 00:00:00.000000{z}',"
    " '2026-01-01 00:00:00.000000{z}')"
)

VIOLATIONS = {
    # the statements, and for each row that they break: "table row: law: words of the sentence"
    "a hole in the feed": (["DELETE FROM changes WHERE id = 4"], ["changes 5: law 8: contiguous"]),
    "a counter that is behind": (["UPDATE feed SET last_id = 6"], ["feed *: law 8: counts to 6"]),
    "a counter that is gone": (["DELETE FROM feed"], ["feed *: law 8: 0 rows"]),
    "time that stands still": (
        ["UPDATE runs SET observed_at = '2026-01-01 00:00:00.000000{z}' WHERE id = 2"],
        ["runs 2: law 5: not after", "changes 4: law 5: not that of its run"],
    ),
    "an older run left running": (
        ["UPDATE runs SET outcome = 'running', finished_at = NULL WHERE id = 7"],
        ["runs 7: law 7: later run", "runs 7: law 7: lease"],
    ),
    "an outcome that there is not": (
        ["UPDATE runs SET outcome = 'fine' WHERE id = 6"],
        ["runs 6: law 9: outcome that there is not"],
    ),
    "a run that never ended": (["UPDATE runs SET finished_at = NULL WHERE id = 5"], ["runs 5: law 9: finished_at"]),
    "a good run without a time": (["UPDATE runs SET observed_at = NULL WHERE id = 8"], ["runs 8: law 9: catalog was"]),
    "a failed poll with a time": (
        ["UPDATE runs SET observed_at = '2026-01-07 00:00:00.000000{z}' WHERE id = 7"],
        ["runs 7: law 9: catalog was"],
    ),
    "a failed import of long ago": (
        ["UPDATE runs SET kind = 'import', observed_at = '2026-01-02 00:00:00.000000{z}' WHERE id = 7"],
        ["runs 7: law 5: a failed import has the time of an earlier run"],
    ),
    "a failure without a reason": (["UPDATE runs SET error = NULL WHERE id = 7"], ["runs 7: law 9: does not say why"]),
    "a wrong count": (["UPDATE runs SET repriced = 3 WHERE id = 2"], ["runs 2: law 9: says 3 repriced, but wrote 1"]),
    "a failed run that wrote": (
        ["UPDATE runs SET outcome = 'failed', observed_at = NULL, error = 'x' WHERE id = 2"],
        ["runs 2: law 1: failed, but wrote", "changes 4: law 5: not that of its run"],
    ),
    "a run of another source": (
        [OTHER_SOURCE, "UPDATE runs SET source_id = 9 WHERE id = 2"],
        ["changes 4: law 1: another source", "sources 9: law 11: credentials"],
    ),
    "a run that is gone": (
        ["DELETE FROM runs WHERE id = 2"],
        ["changes 4: contract: run_id points to no row of runs"],
    ),
    "a model that is gone": (
        ["DELETE FROM models WHERE name = 'A'"],
        ["changes 1: contract: model_id points to no row", "changes 4: contract: model_id points to no row"],
    ),
    "a repricing without a beginning": (
        ["UPDATE changes SET changed_after = NULL WHERE id = 4"],
        ["changes 4: law 6: not of the baseline"],
    ),
    "a kind that cannot follow": (
        ["UPDATE changes SET kind = 'relisted' WHERE id = 4"],
        ["changes 4: law 2: relisted cannot follow added"],
    ),
    "a first change that is no addition": (
        ["UPDATE changes SET kind = 'relisted' WHERE id = 1"],
        ["changes 1: law 2: relisted cannot follow nothing"],
    ),
    "a wrong price before": (["UPDATE changes SET old_price = 7 WHERE id = 4"], ["changes 4: law 2: old_price is 7"]),
    "a kind that hides a repricing": (
        ["UPDATE changes SET kind = 'updated' WHERE id = 4"],
        ["prices *: law 2: is repriced, but change 4 is updated"],
    ),
    "a difference that did not happen": (
        ["UPDATE changes SET changed = '{{}}' WHERE id = 7"],
        ["changes 7: law 2: is updated, but nothing moved"],
    ),
    "a difference by other values": (
        ["UPDATE changes SET changed = '{{\"prices.price\": [10, 13]}}' WHERE id = 4"],
        ["changes 4: law 2: changed says another value of"],
    ),
    "a removal that moved something": (
        ["UPDATE changes SET alias = 'z' WHERE id = 5"],
        ["changes 5: law 2: alias moved"],
    ),
    "another model's name": (["UPDATE changes SET name = 'Z' WHERE id = 7"], ["changes 7: law 2: name is not that"]),
    "a withdrawal of another model's change": (
        ["UPDATE changes SET reverts_id = 1 WHERE id = 5"],
        ["changes 5: law 2: reverts_id is not that of a change of its model", "changes 5: law 2: a run of kind revert"],
    ),
    "a price that is not canonical": (
        ["UPDATE changes SET price = 0.1234567890123456 WHERE id = 4"],
        ["changes 4: law 4: canonical", "models 1: law 2: price is not what"],
    ),
    "a catalog that says another price": (
        ["UPDATE models SET price = 99 WHERE name = 'A'"],
        ["models 1: law 2: price is not what its history adds up to"],
    ),
    "a catalog that forgot a field": (
        ["UPDATE models SET description = NULL WHERE name = 'C'"],
        ["models 3: law 2: description is not what"],
    ),
    "a model removed by hand": (
        ["UPDATE models SET removed_at = last_changed_at WHERE name = 'C'"],
        ["models 3: law 2: removed_at does not agree"],
    ),
    "a model that was never added": (
        [NEW_MODEL],
        ["models 9: law 2: has no history"],
    ),
    "a model first seen at another time": (
        ["UPDATE models SET first_seen_at = '2026-01-02 00:00:00.000000{z}' WHERE name = 'C'"],
        ["models 3: law 5: first_seen_at"],
    ),
    "misses of what is not missing": (
        ["UPDATE models SET missing_count = 1 WHERE name = 'C'"],
        ["models 3: law 3: missing_since"],
    ),
    "a shortcut while something is pending": (
        ["UPDATE sources SET etag = 'x' WHERE id = 1"],
        ["sources 1: law 3: pending"],
    ),
    "an observation that was none": (
        ["UPDATE sources SET last_observed_at = NULL WHERE id = 1"],
        ["sources 1: law 6: last_observed_at"],
    ),
    "a finding of no kind": (["UPDATE findings SET kind = 'mood'"], ["findings 1: contract: kind or a state"]),
    "an open finding that is settled": (
        ["UPDATE findings SET settled_run_id = last_run_id"],
        ["findings 1: contract: whether it is settled"],
    ),
    "an approval by nobody": (["UPDATE findings SET state = 'approved'"], ["findings 1: contract: whether it is"]),
    "a finding of a failed run": (["UPDATE findings SET opened_run_id = 7"], ["findings 1: law 1: read no catalog"]),
    "a finding last seen before it was opened": (
        ["UPDATE findings SET last_run_id = 1"],
        ["findings 1: law 6: out of order"],
    ),
    "a finding of another source": (
        [OTHER_SOURCE, "UPDATE findings SET source_id = 9"],
        ["findings 1: contract: another source", "sources 9: law 11: credentials"],
    ),
    "a rejected row too many": (["UPDATE rejected_rows SET count = 5"], ["sources 1: law 3: rejected_rows counts"]),
    "a rejected row of a run that rejected nothing": (
        ["UPDATE rejected_rows SET first_run_id = 1"],
        ["rejected_rows *: law 3: rejected nothing"],
    ),
}

ILLEGIBLE = {
    "a time with a T": (
        ["UPDATE changes SET effective_at = '2026-01-02T00:00:00Z' WHERE id = 4"],
        ["changes 4: law 5: effective_at is no time in the form"],
    ),
    "a day that there is not": (
        ["UPDATE runs SET started_at = '2026-02-30 00:00:00.000000' WHERE id = 4"],
        ["runs 4: law 5: started_at is no time in the form"],
    ),
    "a price that is text": (["UPDATE models SET price = 'free' WHERE id = 1"], ["models 1: law 4: price is not a"]),
    "JSON that is none": (["UPDATE findings SET evidence = '{{'"], ["findings 1: contract: evidence is not JSON"]),
}


@contextmanager
def tell(url: str, upstream: Upstream) -> Iterator[Story]:
    """A small history in which every table has rows."""
    with Story(url, upstream, trust=False) as story:
        story.on("01-01", A="10", B="20", C="30").on("01-02", A="12", B="20", C="30")
        story.on("01-03", A="12", C="30").on("01-04", A="12", B="20", C="30")
        story.on("01-05", model("C", 30, context_length=1), A="12", B="20")
        story.on("01-06", model("C", "free", context_length=1), A="12", B="20")
        story.failing("01-07", b"<html>")
        story.set(trust=True, required=("D",)).on("01-08", model("C", 30, context_length=1), A="12", B="20")
        assert [row.kind for row in story.history()] == ["added"] * 3 + ["repriced", "removed", "relisted", "updated"]
        assert story.outcomes[-4:] == ["changed", "unchanged", "failed", "held"]
        assert broken(story.engine) == []
        yield story


@pytest.fixture
def told(database_url: str, upstream: Upstream) -> Iterator[Engine]:
    """The small history, on each database."""
    with tell(database_url, upstream) as story:
        yield story.engine


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def breakable(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The small history, told once: what a test breaks in it is rolled back."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('verify')}/syncer.db"
    else:
        url = request.getfixturevalue("postgres").create_database()
    with Upstream() as upstream, tell(url, upstream) as story:
        yield story.engine


def broken_by(engine: Engine, statements: list[str]) -> list[Verdict]:
    """The broken rows after SQL past the triggers and the foreign keys, as somebody with all rights can run it."""
    fill = {"z": "+00" if engine.dialect.name == "postgresql" else "", "salt": "0123456789abcdef"}
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":  # within a transaction this PRAGMA does nothing
            connection.connection.execute("PRAGMA foreign_keys=OFF")
        for statement in [*UNGUARD[engine.dialect.name], *(each.format(**fill) for each in statements)]:
            connection.exec_driver_sql(statement)
        found = [verdict for verdict in verify_rows(connection) if not verdict.ok]
        connection.rollback()
        connection.invalidate()
    return found


def is_as_said(verdict: Verdict, said: str) -> bool:
    """Whether a verdict is what was said: "table row: law: words of its sentence"; a row * is any."""
    where, law, words = said.split(": ", 2)
    table, row = where.split(" ")
    return verdict.table == table and row in {"*", verdict.row} and verdict.law == law and words in verdict.what


def assert_named(found: list[Verdict], expected: list[str]) -> None:
    """Each expected row is among the broken ones, by that law; rows that rest on it may be named with it."""
    assert [said for said in expected if not any(is_as_said(verdict, said) for verdict in found)] == [], found


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_is_named(breakable: Engine, name: str) -> None:
    """Each row that breaks a law is named with its table, its id and the law."""
    statements, expected = VIOLATIONS[name]
    assert_named(broken_by(breakable, statements), expected)


@pytest.mark.parametrize("breakable", ["sqlite"], indirect=True)  # PostgreSQL refuses such values itself
@pytest.mark.parametrize("name", ILLEGIBLE)
def test_a_value_that_cannot_be_read_is_named(breakable: Engine, name: str) -> None:
    """SQLite stores any value in any column; one that is not in its form is named instead of a traceback."""
    statements, expected = ILLEGIBLE[name]
    found = broken_by(breakable, statements)
    assert_named(found, expected)
    assert len(found) == len(expected), "nothing else is asked then"


def test_missing_guards_are_named(told: Engine) -> None:
    """Law 2: a history whose append-only trigger is gone or disabled is no longer guarded, and verify says so."""
    postgresql = told.dialect.name == "postgresql"
    execute(told, "ALTER TABLE changes DISABLE TRIGGER ALL" if postgresql else "DROP TRIGGER changes_no_update")
    verdicts = broken(told)
    assert verdicts
    assert {verdict.law for verdict in verdicts} == {"law 2"}
    assert all(verdict.what.endswith("is missing or disabled") for verdict in verdicts)


def test_a_sync_in_the_meantime_changes_no_answer(database_url: str, upstream: Upstream) -> None:
    """Only one snapshot is looked at: a sync that commits between two questions is in neither of the answers."""
    with Story(database_url, upstream, trust=False) as story, opened(database_url) as engine:
        story.on("01-01", A="1")

        @sa.event.listens_for(engine, "before_cursor_execute")
        def sync_once(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            if "FROM feed" in statement and len(story.history()) == 1:  # its changes have been counted by now
                story.on("01-02", A="2", B="1")

        assert broken(engine) == []
        assert len(story.history()) == 3, "the sync came in between"


# -- the command -------------------------------------------------------------------------------------------------------


def run(url: str, *options: str) -> tuple[int, str]:
    """`syncer db verify` as a process: its exit code and all it says."""
    done = subprocess.run(
        [sys.executable, "-m", "syncer", "db", "verify", *options],
        env={"PATH": os.defpath, "SYNCER_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_command_on_an_intact_database(told: Engine, database_url: str) -> None:
    """`syncer db verify` prints an ok line for each claim and ends with 0; `--json` says the same in objects."""
    code, said = run(database_url)
    assert code == 0, said
    assert {line.split(":")[0] for line in said.splitlines()} == {"ok"}
    code, said = run(database_url, "--json")
    assert code == 0, said
    assert all(json.loads(line)["ok"] is True for line in said.splitlines())


def test_the_command_on_a_broken_database(told: Engine, database_url: str) -> None:
    """`syncer db verify` prints a line for each broken row, with table, row and law, and ends with 1."""
    execute(told, "UPDATE models SET price = 99 WHERE name = 'A'")
    code, said = run(database_url)
    assert code == 1
    assert "models 1: law 2: price is not what its history adds up to" in said.splitlines()
    code, said = run(database_url, "--json")
    assert code == 1
    (found,) = (row for row in map(json.loads, said.splitlines()) if not row["ok"])
    assert {name: found[name] for name in ("law", "table", "row")} == {"law": "law 2", "table": "models", "row": "1"}


def test_the_command_without_a_database(sqlite_url: str) -> None:
    """`syncer db verify` creates nothing: without a database it ends with 2 and says what to run."""
    code, said = run(sqlite_url)
    assert code == 2
    assert "syncer sync" in said
