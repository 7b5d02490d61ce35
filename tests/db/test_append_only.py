"""Law 2: the history is append-only, and the database itself refuses everything else, and what can never be true."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncer.core.model import Kind
from syncer.core.notices import NoticeKind
from syncer.core.rules import FindingKind
from syncer.db import engine as db
from syncer.db import views
from syncer.db.tables import changes, prices
from tests.db import START, opened, rows
from tests.db.shop import Shop

COLUMNS = ", ".join(column.name for column in changes.columns)
PRICES = ", ".join(column.name for column in prices.columns)


def copied(**values: str) -> str:
    """The SELECT of change 2 with some columns replaced: a row that is right in every other way."""
    picked = (values.get(name.strip(), name.strip()) for name in COLUMNS.split(","))
    return f"SELECT {', '.join(picked)} FROM changes WHERE id = 2"


def moved(**values: str) -> str:
    """The SELECT of the move in change 3 with some columns replaced."""
    picked = (values.get(name.strip(), name.strip()) for name in PRICES.split(","))
    return f"SELECT {', '.join(picked)} FROM prices WHERE change_id = 3"


LATER = {"effective_at": "'2027-01-01 00:00:00.000000'", "observed_at": "'2027-01-01 00:00:00.000000'"}
POSTGRESQL_LATER = dict.fromkeys(LATER, "CAST('2027-01-01 00:00+00' AS timestamptz)")
INTO, INTO_PRICES = f"changes ({COLUMNS})", f"prices ({PRICES})"
EVERYWHERE = {
    "UPDATE": "UPDATE changes SET price = 1 WHERE id = 2",
    "UPDATE of nothing new": "UPDATE changes SET id = id",
    "DELETE": "DELETE FROM changes WHERE id = 2",
    "DELETE of all": "DELETE FROM changes",
    "DELETE of its run": "DELETE FROM runs WHERE id = 1",
    "DELETE of its model": "DELETE FROM models WHERE id = 1",
    "DELETE of its source": "DELETE FROM sources",
    "the id of another": f"INSERT INTO {INTO} {copied(run_id='3')}",
    "the time of another": f"INSERT INTO {INTO} {copied(id='99', run_id='3')}",
    "ON CONFLICT DO UPDATE": f"INSERT INTO {INTO} {copied()} ON CONFLICT (id) DO UPDATE SET price = 1",
    "UPDATE of a price": "UPDATE prices SET price = 1",
    "DELETE of a price": "DELETE FROM prices WHERE change_id = 3",
    "a price twice": f"INSERT INTO {INTO_PRICES} {moved()}",
}
BY_DIALECT = {
    "sqlite": {
        "INSERT OR REPLACE by id": f"INSERT OR REPLACE INTO {INTO} {copied(run_id='3', **LATER)}",
        "INSERT OR REPLACE by run and model": f"INSERT OR REPLACE INTO {INTO} {copied(id='99', **LATER)}",
        "INSERT OR REPLACE by model and time": f"INSERT OR REPLACE INTO {INTO} {copied(id='99', run_id='3')}",
        "REPLACE INTO": f"REPLACE INTO {INTO} {copied()}",
        "UPDATE OR REPLACE": "UPDATE OR REPLACE changes SET id = 3 WHERE id = 2",
        "an id out of order": f"INSERT INTO {INTO} {copied(id='0', run_id='3', **LATER)}",
        "INSERT OR REPLACE of a price": f"INSERT OR REPLACE INTO {INTO_PRICES} {moved()}",
        "a price before the last": f"INSERT INTO {INTO_PRICES} {moved(effective_at=repr('2025-01-01'))}",
    },
    "postgresql": {
        "UPDATE of no row": "UPDATE changes SET price = 1 WHERE false",
        "DELETE of no row": "DELETE FROM changes WHERE false",
        "TRUNCATE": "TRUNCATE changes, prices",
        "TRUNCATE CASCADE": "TRUNCATE changes CASCADE",
        "TRUNCATE of prices": "TRUNCATE prices",
        "TRUNCATE of a parent": "TRUNCATE sources CASCADE",
        "MERGE": "MERGE INTO changes c USING runs r ON c.run_id = r.id WHEN MATCHED THEN DELETE",
        "UPDATE through a join": "UPDATE changes c SET price = 1 FROM models m WHERE m.id = c.model_id",
    },
}
REFUSED = (sqlite3.IntegrityError, psycopg.errors.RestrictViolation, psycopg.errors.IntegrityError)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A history of three changes and three runs; every attempt on it fails."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('kept')}/syncer.db"
    else:
        url = request.getfixturevalue("postgres").create_database()
    with opened(url) as engine:
        shop = Shop(engine)
        shop.at(START, {"A": {"input": "1"}, "B": {"input": "2"}})
        shop.at(START + timedelta(days=1), {"B": {"input": "3"}})
        shop.at(START + timedelta(days=2), {})
        yield engine


def statements(engine: Engine) -> dict[str, str]:
    """Every way to change the past that the database at hand knows."""
    return EVERYWHERE | BY_DIALECT[engine.dialect.name]


def history(engine: Engine) -> list[tuple[object, ...]]:
    """All that must stay as it is."""
    return [*rows(engine, "SELECT * FROM changes ORDER BY id"), *rows(engine, "SELECT * FROM prices ORDER BY 1, 2, 3")]


def test_through_sqlalchemy(kept: Engine) -> None:
    """Law 2: through SQLAlchemy each attempt to change the past is an IntegrityError and changes nothing."""
    before = history(kept)
    for statement in statements(kept).values():
        with pytest.raises(sa.exc.IntegrityError), db.writing(kept) as connection:
            connection.exec_driver_sql(statement)
    for attempt in (sa.delete(changes), sa.update(changes).values(name="x"), sa.delete(prices)):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"), db.writing(kept) as connection:
            connection.execute(attempt)
    assert history(kept) == before


def test_through_the_driver(kept: Engine) -> None:
    """Law 2: the database refuses, not our code: a plain driver connection with foreign keys on gets no further."""
    before = history(kept)
    for statement in statements(kept).values():
        with closing(raw_connection(kept)) as raw, pytest.raises(REFUSED):
            raw.execute(statement)
    assert history(kept) == before


def raw_connection(engine: Engine) -> sqlite3.Connection | psycopg.Connection:
    """A connection of the driver itself, as another program would make it."""
    if engine.dialect.name == "sqlite":
        raw = sqlite3.connect(str(engine.url.database))
        raw.execute("PRAGMA foreign_keys=ON")
        return raw
    return psycopg.connect(engine.url.set(drivername="postgresql").render_as_string())


def test_appending_is_what_is_left(kept: Engine) -> None:
    """Law 2: a new change with the next id is let in, so that the guards above guard and do not merely block."""
    with kept.connect() as connection:
        assert connection.exec_driver_sql(f"INSERT INTO {INTO} {next_one(kept)}").rowcount == 1
        connection.rollback()


def next_one(engine: Engine, **values: str) -> str:
    """A change that may come next, with some columns replaced."""
    later = LATER if engine.dialect.name == "sqlite" else POSTGRESQL_LATER
    return copied(**({"id": "99", "run_id": "3", **later} | values))


FACTS = {
    "took effect after it was observed": {"observed_at": "changed_after", "effective_at": "effective_at"},
    "a window that begins at its end": {"changed_after": "observed_at", "effective_at": "observed_at"},
    "an addition with a price before": {"kind": "'added'", "old_price": "1"},
    "a removal with an element": {"kind": "'removed'", "old_price": "price"},
    "a removal at another price": {"kind": "'removed'", "raw": "NULL", "old_price": "7"},
    "a removal from unknown": {"kind": "'removed'", "raw": "NULL", "old_price": "NULL"},
    "a revert of itself": {"reverts_id": "99"},
    "no feed id": {"id": "-1"},
}


@pytest.mark.parametrize("fact", FACTS)
def test_single_row_facts(kept: Engine, fact: str) -> None:
    """What no row can say by itself is refused when it is written, not found later."""
    with pytest.raises(sa.exc.IntegrityError), kept.connect() as connection:
        connection.exec_driver_sql(f"INSERT INTO {INTO} {next_one(kept, **FACTS[fact])}")


PRICE_FACTS = {
    "no component": {"component": "''"},
    "a move to the same price": {"component": "'x'", "kind": "'repriced'", "old_price": "1", "price": "1"},
    "a move from unknown to unknown": {"component": "'x'", "kind": "'repriced'", "old_price": "NULL", "price": "NULL"},
    "an addition with a price before": {"component": "'x'", "kind": "'added'", "old_price": "1"},
    "a removal at another price": {"component": "'x'", "kind": "'removed'", "old_price": "1", "price": "2"},
    "a window that begins at its end": {"component": "'x'", "changed_after": "effective_at"},
    "an unknown kind": {"component": "'x'", "kind": "'updated'"},
}


@pytest.mark.parametrize("fact", PRICE_FACTS)
def test_single_row_facts_of_prices(kept: Engine, fact: str) -> None:
    """The same of a price; and a price never is `updated`."""
    assert moved(component="'x'")
    with kept.connect() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO {INTO_PRICES} {moved(component=repr('x'))}"
        )  # right in every other way
        connection.rollback()
    with pytest.raises(sa.exc.IntegrityError), kept.connect() as connection:
        connection.exec_driver_sql(f"INSERT INTO {INTO_PRICES} {moved(**PRICE_FACTS[fact])}")


UNKNOWN: dict[str, Callable[[Engine], str]] = {
    "changes": lambda engine: f"INSERT INTO {INTO} {next_one(engine, kind=repr('moved'))}",
    "a run's kind": lambda _: (
        "INSERT INTO runs (source_id, kind, started_at, outcome) SELECT 1, 'x', started_at, 'failed'"
        " FROM runs WHERE id = 1"
    ),
    "a run's outcome": lambda _: "UPDATE runs SET outcome = 'odd'",
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_open_sets(kept: Engine, what: str) -> None:
    """A kind, an outcome or a state that there is not is refused, by triggers, which a later version may replace."""
    with pytest.raises(sa.exc.IntegrityError, match="unknown value"), kept.connect() as connection:
        connection.exec_driver_sql(UNKNOWN[what](kept))


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_open_sets_are_those_of_the_code(dialect: str) -> None:
    """Each set that a trigger holds is the one that the code has."""
    texts = views.triggers(dialect)
    for name, words in {"changes_kind": Kind, "findings_kind": FindingKind, "notices_kind": NoticeKind}.items():
        listed = texts[name].split("NOT IN")[1].split(")")[0]
        assert {word.strip("( \n'") for word in listed.split(",")} == {word.value for word in words}


def test_no_cascade_anywhere(kept: Engine) -> None:
    """Law 2: no foreign key carries a deletion or an update on to other rows."""
    inspector = sa.inspect(kept)
    keys = [key for table in inspector.get_table_names() for key in inspector.get_foreign_keys(table)]
    assert len(keys) >= 12
    assert [key for key in keys if key["options"]] == []
