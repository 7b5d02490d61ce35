"""What a question costs, by the database's own plan, on a history long enough for plans to matter."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from syncer import history
from syncer.db.engine import open_engine, reading, writing
from syncer.db.migrate import ensure_schema
from syncer.db.tables import changes, feed, models, prices, runs, sources
from tests.history.conftest import NEW_YEAR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection, Engine

MODELS, POLLS = 200, 100
COMPONENTS = ("input", "output")
NOON = NEW_YEAR + timedelta(hours=POLLS / 2)


def fill(engine: Engine) -> None:
    """One source, `MODELS` models, each repriced (now and then only updated) in each of `POLLS` hourly runs."""
    polls = [(number, NEW_YEAR + timedelta(hours=number)) for number in range(POLLS)]
    last = polls[-1][1]
    with writing(engine) as connection:
        source = {"id": 1, "name": "s", "url": "https://example.com", "created_at": NEW_YEAR, "salt": b"0" * 16}
        source |= {"format": "test", "headline": "input", "last_observed_at": last}
        connection.execute(sources.insert().values(**source))
        run = {"source_id": 1, "kind": "sync", "outcome": "changed"}
        connection.execute(
            runs.insert(), [{**run, "id": n + 1, "started_at": at, "observed_at": at} for n, at in polls]
        )
        known = {"source_id": 1, "extra": {}, "digest": b"0" * 16, "first_seen_at": NEW_YEAR, "last_changed_at": last}
        known |= {"parser": "p", "price": POLLS, "prices": _prices(POLLS - 1)}
        connection.execute(models.insert(), [{**known, "id": m, "name": f"m{m}"} for m in range(1, MODELS + 1)])
        for number, at in polls:
            connection.execute(changes.insert(), [_row(number, at, m) for m in range(1, MODELS + 1)])
            if number % 10 or not number:
                moves = [_move(number, at, m, name) for m in range(1, MODELS + 1) for name in COMPONENTS]
                connection.execute(prices.insert(), moves)
        connection.execute(sa.update(feed).values(last_id=MODELS * POLLS))


def _row(number: int, at: Any, model: int) -> dict[str, Any]:
    return {
        "id": number * MODELS + model,
        "source_id": 1,
        "run_id": number + 1,
        "model_id": model,
        "kind": "added" if number == 0 else "updated" if number % 10 == 0 else "repriced",
        "observed_at": at,
        "effective_at": at,
        "changed_after": at - timedelta(hours=1) if number else None,
        "price": Decimal(number + 1),
        "prices": _prices(number),
        "name": f"m{model}",
        "description": "x" * 200,
        "changed": {},
    }


def _move(number: int, at: Any, model: int, component: str) -> dict[str, Any]:
    return {
        "model_id": model,
        "component": component,
        "effective_at": at,
        "change_id": number * MODELS + model,
        "kind": "added" if number == 0 else "repriced",
        "changed_after": at - timedelta(hours=1) if number else None,
        "old_price": None if number == 0 else Decimal(number),
        "price": Decimal(number + 1),
    }


def _prices(number: int) -> dict[str, Decimal]:
    return dict.fromkeys(COMPONENTS, Decimal(number + 1))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A long history on each kind of database; PostgreSQL knows its statistics, SQLite has none, as in life."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('seeks') / 'syncer.db'}"
    else:
        cluster = request.getfixturevalue("postgres")
        cluster.start()
        url = cluster.create_database()
    engine = open_engine(url)
    ensure_schema(engine)
    fill(engine)
    if request.param == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    yield engine
    engine.dispose()


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Each statement that is sent while the block runs, with its parameters."""
    sent: list[tuple[str, Any]] = []

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", record)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", record)


def plans(engine: Engine, ask: Callable[[Connection], object]) -> list[str]:
    """The database's plan for each statement that reads `changes` in answering `ask`."""
    with reading(engine) as connection:
        with statements(engine) as sent:
            ask(connection)
        # A cursor that streams is planned for its first rows: explain it as what it is.
        prefix = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN DECLARE rows CURSOR FOR "
        return [
            "\n".join(str(row[-1]) for row in connection.exec_driver_sql(prefix + statement, parameters))
            for statement, parameters in list(sent)
            if re.search(r"\b(changes|prices|price_periods)\b", statement) and "FROM" in statement
        ]


def assert_no_scan(plan: str) -> None:
    """No step walks `changes` or `prices` from end to end."""
    scanned = (
        r"Seq Scan on (changes|prices)|SCAN (changes|then|state|begun|ended|before|after|old|new|prices\w*|c|n|p)\b"
    )
    assert not re.search(scanned, plan), plan


def test_price_at_is_index_seeks(engine: Engine) -> None:
    """`price_at` is one statement of index seeks on (model_id, effective_at), whatever the length of the history."""
    (plan,) = plans(engine, lambda connection: history.price_at(connection, "m77", at=NOON))
    assert_no_scan(plan)
    if engine.dialect.name == "sqlite":
        assert "SEARCH then USING INDEX sqlite_autoindex_changes_2 (model_id=? AND effective_at<?)" in plan or (
            "SEARCH then USING COVERING INDEX sqlite_autoindex_changes_2 (model_id=? AND effective_at<?)" in plan
        )
        assert "SEARCH before USING PRIMARY KEY (model_id=? AND component=? AND effective_at<?)" in plan
        assert "SEARCH after USING PRIMARY KEY (model_id=? AND component=? AND effective_at>?)" in plan
        assert "USE TEMP B-TREE" not in plan
    else:
        assert re.search(r"Index Scan Backward using uq_changes_model_id_effective_at on changes", plan), plan
        assert re.search(r"Index Cond: \(\(model_id = \w+\.id\) AND \(effective_at <= ", plan), plan
        assert "Sort" not in plan


@pytest.mark.parametrize("headline_only", [True, False])
def test_movers_are_two_seeks_a_price(engine: Engine, headline_only: bool) -> None:
    """The ranking walks no history: for each price of a model that changed since, two entries of the key."""
    later = NOON + timedelta(hours=3)

    def ask(connection: Connection) -> object:
        return history.movers(connection, since=NOON, until=later, headline_only=headline_only)

    (plan,) = plans(engine, ask)
    assert_no_scan(plan)
    with reading(engine) as connection:
        found = ask(connection)
    assert [(one.old, one.new) for one in found] == [(Decimal(50), Decimal(54))] * 10  # type: ignore[attr-defined]


def test_sparks_and_all_prices_of_a_model_are_seeks(engine: Engine) -> None:
    """Neither reads the past of another model."""
    for ask in (
        lambda connection: history.sparks(connection, [7, 9], since=NOON, until=NOON + timedelta(hours=9)),
        lambda connection: history.prices_at(connection, "m77", at=NOON),
        lambda connection: history.price_periods(connection, "m77", "output"),
    ):
        for plan in plans(engine, ask):
            assert_no_scan(plan)


def test_catalog_at_is_one_seek_a_model(engine: Engine) -> None:
    """`catalog_at` takes, for each model, the newest entry of the index at or before t: no window over the history."""
    (plan,) = plans(engine, lambda connection: history.catalog_at(connection, at=NOON))
    assert_no_scan(plan)
    assert "uq_changes_model_id_effective_at" in plan or "sqlite_autoindex_changes_2 (model_id=? AND eff" in plan
    assert "using pk_changes on changes" in plan or "SEARCH changes USING INTEGER PRIMARY KEY" in plan


def test_changes_by_id_are_a_range_of_the_primary_key(engine: Engine) -> None:
    """`changes(after=)` begins at that id and walks on, in order, without a sort."""
    (plan,) = plans(engine, lambda connection: list(history.changes(connection, after=MODELS * POLLS - 10)))
    assert_no_scan(plan)
    assert "USING INTEGER PRIMARY KEY (rowid>?)" in plan or "Index Cond: (id > " in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


def test_changes_by_time_are_a_range_of_an_index(engine: Engine) -> None:
    """`changes(since=, until=)` reads the entries of that time only."""
    later = NOON + timedelta(hours=2)
    (plan,) = plans(engine, lambda connection: list(history.changes(connection, since=NOON, until=later)))
    assert_no_scan(plan)
    assert "ix_changes_observed_at" in plan
    assert "(observed_at>? AND observed_at<?)" in plan or "Index Cond: ((observed_at >= " in plan


def test_changes_of_one_model_are_a_range_of_its_index(engine: Engine) -> None:
    """`changes(model=)` reads that model's rows only."""
    (plan,) = plans(engine, lambda connection: list(history.changes(connection, model="m77")))
    assert_no_scan(plan)
    assert "model_id=?" in plan or "Index Cond: (model_id = " in plan


@pytest.mark.parametrize("view", ["price_periods", "availability", "price_changes"])
def test_one_model_of_a_view_is_a_seek(engine: Engine, view: str) -> None:
    """Asking a view for one model by its name reads that model's rows only."""
    query = sa.text(f"SELECT * FROM {view} WHERE model = :model")
    with reading(engine) as connection:
        prefix = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
        rows = connection.execute(sa.text(prefix + query.text), {"model": "m77"})
        plan = "\n".join(str(row[-1]) for row in rows)
    assert_no_scan(plan)
    assert "model_id=?" in plan or re.search(r"Index Cond: \(?\(?model_id = ", plan), plan


def test_the_answers_of_the_long_history_are_right(engine: Engine) -> None:
    """What was explained is also true: the seeks land on the right rows."""
    with reading(engine) as connection:
        quote = history.price_at(connection, "m77", at=NOON + timedelta(minutes=30))
        assert (quote.price, quote.valid_from, quote.valid_to) == (
            Decimal(50),
            NOON - timedelta(hours=1),
            NOON + timedelta(hours=1),
        )
        assert len(history.catalog_at(connection, at=NOON)) == MODELS
        assert sum(1 for _ in history.changes(connection, since=NOON)) == MODELS * POLLS // 2


def test_changes_stream(engine: Engine) -> None:
    """All rows are read in pieces: little memory is held, and on PostgreSQL the server keeps the rest in a cursor."""
    import tracemalloc

    with reading(engine) as connection:
        rows = history.changes(connection, limit=5000)
        next(rows)
        if engine.dialect.name == "postgresql":
            assert connection.exec_driver_sql("SELECT count(*) FROM pg_cursors").scalar() == 1
        tracemalloc.start()
        try:
            assert sum(1 for _ in rows) == 4999
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 2_500_000  # all of them at once take more than 4 MB
