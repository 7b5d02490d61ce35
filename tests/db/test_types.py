"""What is written into the real columns comes back exactly, on both databases (law 4, law 5)."""

import string
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection, Engine

from syncer.core.prices import canonical
from syncer.db import engine as db
from syncer.db.tables import models, runs, sources
from tests.db import START, opened, rows

PRICES = st.builds(
    lambda digits, shift: Decimal(digits).scaleb(shift),
    st.integers(min_value=-(10**15) + 1, max_value=10**15 - 1),
    st.integers(min_value=-18, max_value=0),
).map(canonical)
EDGES = ["1e-18", "-1e-18", "999999999999999", "0.1", "0.2", "0.3", "-1", "0", "26.5914451307577", "0.00000000000012"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An empty database of each kind; a test leaves nothing in it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('types')}/syncer.db"
    else:
        url = request.getfixturevalue("postgres").create_database()
    with opened(url) as made:
        yield made


@contextmanager
def scratch(engine: Engine) -> Iterator[Connection]:
    """A transaction with one source (id 1) in it that is rolled back at the end."""
    with engine.connect() as connection:
        origin = {"id": 1, "name": "s", "url": "https://x.example", "created_at": START, "salt": b"0" * 16}
        origin |= {"format": "test", "headline": "price"}
        connection.execute(sources.insert().values(origin))
        yield connection
        connection.rollback()


def model(name: str, **values: Any) -> dict[str, Any]:
    """The columns of a model's row."""
    whole = {"source_id": 1, "name": name, "extra": {}, "digest": b"", "first_seen_at": START, "last_changed_at": START}
    return whole | {"prices": {}, "parser": ""} | values


# -- prices ------------------------------------------------------------------------------------------------------------


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(PRICES, min_size=1, max_size=80))
@example([canonical(Decimal(text)) for text in EDGES])
def test_prices_come_back_exactly(engine: Engine, prices: list[Decimal]) -> None:
    """Law 4: every canonical price reads back as the same Decimal, and ORDER BY is the order of the Decimals."""
    with scratch(engine) as connection:
        connection.execute(models.insert(), [model(f"m{n}", price=price) for n, price in enumerate(prices)])
        stored = connection.execute(sa.select(models.c.name, models.c.price)).all()
        assert {name: str(price) for name, price in stored} == {f"m{n}": str(price) for n, price in enumerate(prices)}
        ordered = connection.execute(sa.select(models.c.price).order_by(models.c.price)).scalars().all()
        assert ordered == sorted(prices)


def test_unknown_free_and_negative_prices(engine: Engine) -> None:
    """Law 4: NULL, 0 and a negative number stay three different things."""
    prices = {"unknown": None, "free": Decimal(0), "varies": Decimal(-1)}
    with scratch(engine) as connection:
        connection.execute(models.insert(), [model(name, price=price) for name, price in prices.items()])
        assert {row.name: row.price for row in connection.execute(sa.select(models))} == prices
        free = connection.execute(sa.select(models.c.name).where(models.c.price == 0)).scalars().all()
        assert free == ["free"]


def test_prices_are_numeric_in_plain_sql(engine: Engine) -> None:
    """Law 4: plain SQL sees a number, without trailing zeros: 0.009, not 0.009000000000000000."""
    with scratch(engine) as connection:
        connection.execute(models.insert(), [model("m", price=Decimal("0.009"))])
        assert connection.exec_driver_sql("SELECT CAST(price AS text) FROM models").scalar() == "0.009"
        assert connection.exec_driver_sql("SELECT price * 1000 FROM models").scalar() == 9


# -- times -------------------------------------------------------------------------------------------------------------

MOMENTS = {
    "in UTC": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "with an offset": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=-7, minutes=-30))),
    "without microseconds": datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_times_come_back_aware_and_in_utc(engine: Engine, moment: datetime) -> None:
    """Law 5: an instant reads back as the same instant to the microsecond, aware and in UTC."""
    with scratch(engine) as connection:
        connection.execute(models.insert(), [model("m", missing_since=moment)])
        found = connection.execute(sa.select(models.c.missing_since)).scalar_one()
        assert found == moment
        assert found is not None
        assert found.utcoffset() == timedelta(0)
        assert connection.execute(sa.select(models.c.name).where(models.c.missing_since == moment)).scalar() == "m"


def test_a_naive_time_is_refused(engine: Engine) -> None:
    """Law 5: a time without a zone is refused, when written and when asked for."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the point
    for statement in (sa.insert(models).values(model("m", missing_since=naive)), sa.select(runs.c.started_at == naive)):
        with scratch(engine) as connection, pytest.raises(sa.exc.StatementError, match="naive datetime") as caught:
            connection.execute(statement)
        assert isinstance(caught.value.orig, ValueError)


def test_the_text_of_times_on_sqlite(sqlite_url: str) -> None:
    """On SQLite a time is the text YYYY-MM-DD HH:MM:SS.ffffff in UTC, which compares with SQLite's own datetime()."""
    berlin = timezone(timedelta(hours=1))
    with opened(sqlite_url) as engine, scratch(engine) as connection:
        for name, moment in {
            "a": datetime(2026, 1, 1, tzinfo=berlin),
            "b": datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
        }.items():
            connection.execute(models.insert(), [model(name, missing_since=moment)])
        texts = connection.exec_driver_sql("SELECT missing_since FROM models ORDER BY name").scalars().all()
        assert texts == ["2025-12-31 23:00:00.000000", "2026-01-02 03:04:05.000006"]
        query = "SELECT name FROM models WHERE missing_since < datetime('2026-01-02 03:04:05', '+1 second')"
        assert len(connection.exec_driver_sql(query).all()) == 2


def test_times_on_postgresql_have_a_zone(postgres_url: str) -> None:
    """On PostgreSQL each of our times is TIMESTAMP WITH TIME ZONE."""
    with opened(postgres_url) as engine, db.reading(engine) as connection:
        query = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' AND data_type = :type"
        plain = connection.execute(sa.text(query), {"type": "timestamp without time zone"}).scalar_one()
        zoned = connection.execute(sa.text(query), {"type": "timestamp with time zone"}).scalar_one()
    assert (plain, zoned > 15) == (0, True)


# -- documents and names -----------------------------------------------------------------------------------------------


def test_json_keeps_decimals(engine: Engine) -> None:
    """Law 4: a number in a JSON column keeps each of its digits, and every one reads back as a Decimal."""
    document = {
        "price": [Decimal("0.1"), Decimal("123456789012.345"), Decimal("1.00000000000000015"), None],
        "whole": [3, 10**30, -1],
        "text": 'a "quoted" ünï\u2028code \\ text',
        "nested": {"": [True, False, {}]},
    }
    with scratch(engine) as connection:
        connection.execute(models.insert(), [model("m", extra=document)])
        found = connection.execute(sa.select(models.c.extra)).scalar_one()
    assert found == document
    assert [type(number) for number in found["price"][:3]] == [Decimal] * 3
    assert [type(number) for number in found["whole"]] == [Decimal] * 3


def test_prices_in_a_document(engine: Engine) -> None:
    """Law 4: the prices of a model are a document that plain SQL can look into, exact, with unknown as null."""
    prices = {"input": Decimal("0.1"), "output": None, "input@>200000": Decimal("26.5914451307577"), "free": Decimal(0)}
    with scratch(engine) as connection:
        connection.execute(models.insert(), [model("m", prices=prices)])
        assert connection.execute(sa.select(models.c.prices)).scalar_one() == prices
        path = "prices ->> 'output'" if engine.dialect.name == "postgresql" else "json_extract(prices, '$.output')"
        assert connection.exec_driver_sql(f"SELECT {path} FROM models").scalar() is None


def test_names_are_case_sensitive(engine: Engine) -> None:
    """Names that differ in case, accent or a space are different models, and each is found by its own name only."""
    names = ["acme/model", "acme/Model", "ACME/MODEL", "acme/modèl", "acme/mode\u0300l", "acme/mod el"]
    with scratch(engine) as connection:
        connection.execute(models.insert(), [model(name) for name in names])
        for name in names:
            assert connection.execute(sa.select(models.c.name).where(models.c.name == name)).scalars().all() == [name]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.sets(st.text(string.ascii_letters + string.digits + "-_./ éÉßZ中🙂", min_size=1, max_size=12), min_size=2))
def test_names_are_ordered_by_their_bytes(engine: Engine, names: set[str]) -> None:
    """ORDER BY name is the order of the UTF-8 bytes on every database, so that pages and lists agree."""
    with scratch(engine) as connection:
        connection.execute(models.insert(), [model(name) for name in names])
        ordered = connection.execute(sa.select(models.c.name).order_by(models.c.name)).scalars().all()
        assert ordered == sorted(names, key=str.encode)


def test_names_have_a_collation_of_their_own(postgres_url: str) -> None:
    """On PostgreSQL names are compared bytewise whatever the collation of the database."""
    query = (
        "SELECT DISTINCT collation_name FROM information_schema.columns c JOIN information_schema.tables t"
        " USING (table_schema, table_name) WHERE table_type = 'BASE TABLE' AND table_schema = 'public'"
        " AND column_name = 'name'"
    )
    with opened(postgres_url) as engine:
        assert rows(engine, query) == [("C",)]
