"""`syncer db verify` on prices: folding `prices` gives `changes.prices` gives `models.prices`, or the row is named."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy.engine import Engine

from syncer.admin.verify import Verdict, verify, verify_rows
from syncer.db import engine as db
from syncer.db.views import create, triggers
from tests.db import START, opened
from tests.db.shop import Shop, listing, wander

HOUR = timedelta(hours=1)


def broken(engine: Engine) -> list[Verdict]:
    """The verdicts that name a row."""
    return [verdict for verdict in verify(engine) if not verdict.ok]


@pytest.mark.parametrize("seed", [1, 2])
def test_intact_after_a_random_history(database_url: str, seed: int) -> None:
    """Whatever components come, go, move and are read anew, every law holds."""
    with opened(database_url) as engine:
        wander(engine, runs=40, seed=seed)
        wander(engine, runs=10, seed=seed, name="another")
        assert broken(engine) == []


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    """Change 1 adds A, 2 moves its input, 3 says more about it, 4 removes it."""
    with opened(sqlite_url) as made:
        shop = Shop(made)
        shop.at(START, {"A": {"input": "1", "output": "2"}})
        shop.at(START + HOUR, {"A": {"input": "1.5", "output": "2"}})
        shop.at(START + 2 * HOUR, {"A": listing("A", {"input": "1.5", "output": "2"}, description="x")})
        shop.at(START + 3 * HOUR, {"A": None})
        yield made


OF_2 = "change_id = 2 AND component = 'input'"
VIOLATIONS = {
    "a move that is gone": (f"DELETE FROM prices WHERE {OF_2}", "changes 2: prices has too many or few rows: input"),
    "a move of nobody": (
        "INSERT INTO prices VALUES (1, 'image', '2026-01-01 01:00:00.000000', 2, 'repriced', NULL, 1, 2)",
        "changes 2: prices has too many or few rows: image",
    ),
    "another price": (f"UPDATE prices SET price = 1.6 WHERE {OF_2}", "prices 1/input: price is 1.6"),
    "another price before": (f"UPDATE prices SET old_price = 7 WHERE {OF_2}", "prices 1/input: old_price is 7.0"),
    "another time": (
        f"UPDATE prices SET effective_at = '2026-01-01 01:30:00.000000' WHERE {OF_2}",
        "prices 1/input: its times are not those of change 2",
    ),
    "another kind": (f"UPDATE prices SET kind = 'relisted' WHERE {OF_2}", "prices 1/input: is relisted"),
    "a whole state that is wrong": (
        'UPDATE changes SET prices = \'{"input": 9, "output": 2}\' WHERE id = 2',
        "changes 2: changed says another value of prices.input",
    ),
    "a component lost": (
        "UPDATE changes SET prices = '{\"input\": 1.5}' WHERE id = 3",
        "changes 3: prices has lost output",
    ),
    "a catalog that is wrong": (
        'UPDATE models SET prices = \'{"input": 9, "output": 2}\'',
        "models 1: prices.input is not what its history adds up to",
    ),
    "a headline that is wrong": ("UPDATE models SET price = 9", "models 1: price is not what its history adds up to"),
    "a price that is not canonical": (
        'UPDATE models SET prices = \'{"input": 1.00000000000000015, "output": 2}\'',
        "models 1: price or prices has a price that is not canonical",
    ),
    "a change of nothing": (
        "UPDATE changes SET changed = '{}' WHERE id = 2",
        "changes 2: is repriced, but nothing moved",
    ),
    "a repricing without a price": (
        "UPDATE changes SET changed = '{\"description\": [null, \"x\"]}', kind = 'repriced' WHERE id = 3",
        "changes 3: is repriced, but no price moved",
    ),
    "a price of a change of another model": (
        "UPDATE prices SET change_id = 99 WHERE change_id = 4 AND component = 'input'",
        "prices 1/input: change 99 is not one of its model",
    ),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_is_named(engine: Engine, name: str) -> None:
    """Law 2: a row that does not fold is named with its table, its key and what is wrong with it."""
    statement, said = VIOLATIONS[name]
    guards = triggers("sqlite")
    with db.writing(engine) as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for guard in guards:
            connection.exec_driver_sql(f"DROP TRIGGER {guard}")
        connection.exec_driver_sql(statement)
        for text in guards.values():
            connection.exec_driver_sql(create(text))
        found = [verdict for verdict in verify_rows(connection) if not verdict.ok]
        connection.rollback()
    lines = [f"{one.table} {str(one.row).rsplit('/', 1)[0]}: {one.what}" for one in found]
    assert [line for line in lines if line.startswith(said)], lines
