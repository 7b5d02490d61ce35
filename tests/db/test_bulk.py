"""Many rows at once read back as they were given, on both databases, and fail as any other statement does."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncer.db import bulk, migrate
from syncer.db import engine as db
from syncer.db.interrupt import interrupting
from syncer.db.tables import models, sources

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
MANY = 2 * bulk.PIECE + 1
NAMES = (
    "id", "source_id", "name", "description", "price", "prices", "extra", "digest", "parser", "first_seen_at",
    "last_changed_at",
)  # fmt: skip


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database with one source and no models."""
    engine = db.open_engine(database_url)
    migrate.ensure_schema(engine)
    with db.writing(engine) as connection:
        row = {"id": 1, "name": "shop", "url": "http://shop", "created_at": AT, "salt": b"s" * 16}
        row |= {"format": "test", "headline": "price"}
        connection.execute(sources.insert(), row)
    yield engine
    engine.dispose()


def row(number: int, **values: Any) -> tuple[Any, ...]:
    """A model as `NAMES` lists its columns."""
    plain = {
        "id": number,
        "source_id": 1,
        "name": f"maker/{number}",
        "description": None,
        "price": None,
        "prices": {},
        "extra": {},
        "parser": "p",
        "digest": b"d" * 16,
        "first_seen_at": AT,
        "last_changed_at": AT,
    }
    return tuple((plain | values)[name] for name in NAMES)


def stored(engine: Engine, *names: str) -> list[tuple[Any, ...]]:
    """The models by id, as SQLAlchemy reads them."""
    with db.reading(engine) as connection:
        query = sa.select(*(models.c[name] for name in names)).order_by(models.c.id)
        return [tuple(found) for found in connection.execute(query)]


def test_rows_read_back_as_given(engine: Engine) -> None:
    """Laws 4 and 5: prices, times, JSON, bytes, NULL and hostile text survive, for one row as for many."""
    rows = [row(number, price=Decimal(number) / 1000, first_seen_at=[AT, LATER][number % 2]) for number in range(MANY)]
    rows[1] = row(
        1, price=Decimal("1E-18"), description='a\tb\\N\n"c"\r,\u2028', extra={"n": Decimal("0.1"), "s": None}
    )
    rows[2] = row(
        2,
        price=Decimal(999999999999999),
        prices={"a": Decimal("0.1"), "b": None},
        description="\\.",
        extra={"list": ["é", {"deep": True}]},
    )
    with db.writing(engine) as connection:
        bulk.insert(connection, models, NAMES, iter(rows))
    assert stored(engine, *NAMES) == rows


def test_updates_reach_the_named_rows_only(engine: Engine) -> None:
    """An update sets each row's own values by its id, and leaves all others alone."""
    rows = [row(number) for number in range(MANY)]
    with db.writing(engine) as connection:
        bulk.insert(connection, models, NAMES, rows)
        bulk.update(
            connection,
            models,
            ("price", "last_changed_at"),
            ((Decimal(number), LATER, number) for number in range(1, MANY)),
        )
    expected = [(None, AT, AT), *((Decimal(number), LATER, AT) for number in range(1, MANY))]
    assert stored(engine, "price", "last_changed_at", "first_seen_at") == expected


def test_nothing_is_nothing(engine: Engine) -> None:
    """No rows are no statement, and no error."""
    with db.writing(engine) as connection:
        bulk.insert(connection, models, NAMES, ())
        bulk.update(connection, models, ("price",), ())
    assert stored(engine, "id") == []


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (row(MANY, name="maker/0"), sa.exc.IntegrityError),
        (row(MANY, source_id=2), sa.exc.IntegrityError),
        (row(MANY, first_seen_at=AT.replace(tzinfo=None)), ValueError),
    ],
    ids=["name taken", "no such source", "naive time"],
)
def test_one_bad_row_and_none_is_kept(engine: Engine, bad: tuple[Any, ...], error: type[Exception]) -> None:
    """Law 1: what the database or a type refuses is raised as by any other statement, and nothing stays of the rest."""
    with pytest.raises(error), db.writing(engine) as connection:
        bulk.insert(connection, models, NAMES, [*(row(number) for number in range(MANY)), bad])
    assert stored(engine, "id") == []


def _numbers(count: int) -> sa.Select[Any]:
    """A SELECT that counts so far, one row after the other as they are fetched."""
    numbers = sa.select(sa.literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(sa.select(numbers.c.n + 1).where(numbers.c.n < sa.bindparam("count", count)))
    return sa.select(numbers.c.n)


def test_rows_come_in_pieces(engine: Engine) -> None:
    """All of them, in order; none where there are none."""
    with db.reading(engine) as connection:
        pieces = list(bulk.select(connection, _numbers(MANY), {}))
        assert [one for piece in pieces for (one,) in piece] == list(range(1, MANY + 1))
        assert len(pieces) == 3
        assert list(bulk.select(connection, sa.select(models.c.id), {})) == []


def test_a_signal_ends_the_fetching_of_rows(sqlite_url: str) -> None:
    """What is raised while rows are fetched is translated as it is of a statement: SIGTERM is no traceback."""
    engine = db.open_engine(sqlite_url)
    with (
        pytest.raises(SystemExit, match="a signal"),
        interrupting(SystemExit("a signal")),
        db.reading(engine) as reading,
    ):
        list(bulk.select(reading, _numbers(10_000_000), {}))  # the first row comes at once, and then it goes on
    engine.dispose()
