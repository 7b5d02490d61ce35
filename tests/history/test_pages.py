"""The questions behind pages: cut by the database, counted over runs, the same on both databases."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy.engine import Engine

from syncer import history
from syncer.db.engine import reading
from syncer.errors import UnknownModel
from tests.db import START, opened
from tests.db.shop import Shop, listing

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A fresh database of each kind."""
    with opened(database_url) as made:
        yield made


def page(engine: Engine, **asked: object) -> list[str]:
    """The names on a page of the catalog."""
    with reading(engine) as connection:
        found = history.catalog_page(connection, now=START + 30.5 * DAY, **asked)  # type: ignore[arg-type]
    return [row.model for row in found.rows]


def test_a_page_is_searched_sorted_and_cut(engine: Engine) -> None:
    """Each word must occur in the name or alias; what is unknown comes last in either direction."""
    shop = Shop(engine)
    shop.at(
        START,
        {
            "acme/Large": listing("acme/Large", {"input": "4"}, context_length=10, type="Text"),
            "acme/small": listing("acme/small", {"input": "1"}, alias="100%", type="Image"),
            "other/none": listing("other/none", {"input": None}, context_length=30),
        },
    )
    shop.at(START + DAY, {"acme/small": listing("acme/small", {"input": "2"}, alias="100%", type="Image")})
    assert page(engine) == ["acme/Large", "acme/small", "other/none"]
    assert page(engine, sort="price") == ["acme/small", "acme/Large", "other/none"]
    assert page(engine, sort="-price") == ["acme/Large", "acme/small", "other/none"]
    assert page(engine, sort="-context") == ["other/none", "acme/Large", "acme/small"]
    assert page(engine, sort="-moved", size=1) == ["acme/small"]
    assert page(engine, q="ACME lar") == ["acme/Large"]
    assert page(engine, q="0%") == ["acme/small"]
    assert page(engine, model_type="Text") == ["acme/Large"]
    assert page(engine, page=9, size=2) == ["other/none"]
    assert page(engine, at=START, q="acme", sort="-price") == ["acme/Large", "acme/small"]
    assert page(engine, at=START - HOUR) == []
    with reading(engine) as connection, pytest.raises(ValueError, match="sort must be"):
        history.catalog_page(connection, now=START, sort="size")  # type: ignore[arg-type]


def test_counts_leave_out_the_baseline(engine: Engine) -> None:
    """What the first observation found is no news; all later changes count on the day they were observed."""
    shop = Shop(engine)
    shop.at(START, {"a": {"input": "1"}, "b": {"input": "1"}})
    shop.at(START + HOUR, {"a": {"input": "2"}, "c": {"input": "1"}})
    shop.at(START + DAY, {"b": None})
    with reading(engine) as connection:
        (counted,) = history.counts(connection, since=START, until=START + 9 * DAY)
        days = history.activity(connection, since=START, until=START + 9 * DAY)
        (none,) = history.counts(connection, since=START + 8 * DAY, until=START + 9 * DAY)
    assert (counted.added, counted.removed, counted.repriced, counted.updated) == (1, 1, 1, 0)
    assert none.added == 0
    assert [(one.day, one.observations, one.added, one.removed) for one in days] == [
        (date(2026, 1, 1), 2, 1, 0),
        (date(2026, 1, 2), 1, 0, 1),
    ]


def test_a_spark_begins_with_the_price_in_force(engine: Engine) -> None:
    """The first step is the last one before the window; a removal is a step to nothing; other components are none."""
    shop = Shop(engine)
    shop.at(START, {"a": {"input": "1", "output": "9"}, "calm": {"input": "5"}})
    shop.at(START + HOUR, {"a": {"input": "2", "output": "8"}})
    shop.at(START + 2 * HOUR, {"a": None})
    with reading(engine) as connection:
        ids = {row.name: row.model_id for row in history.changes(connection)}
        found = history.sparks(connection, ids.values(), since=START + 1.5 * HOUR, until=START + 9 * HOUR)
        early = history.sparks(connection, [ids["a"]], since=START - HOUR, until=START + HOUR)
    assert found == {
        ids["a"]: [(START + HOUR, Decimal(2)), (START + 2 * HOUR, None)],
        ids["calm"]: [(START, Decimal(5))],
    }
    assert early == {ids["a"]: [(START, Decimal(1))]}


def test_changes_come_in_pages_that_never_shift(engine: Engine) -> None:
    """Newest first, a page goes on below the last id of the one before; globs and types filter like all else."""
    shop = Shop(engine)
    shop.at(START, {"acme/A_1": listing("acme/A_1", {"input": "1"}, type="Text"), "acme/a[1]": {"input": "1"}})
    shop.at(START + HOUR, {"acme/A_1": listing("acme/A_1", {"input": "2"}, type="Text")})

    def ids(**asked: object) -> list[int]:
        with reading(engine) as connection:
            return [row.id for row in history.changes(connection, **asked)]  # type: ignore[arg-type]

    assert ids(newest_first=True, limit=2) == [3, 2]
    assert ids(newest_first=True, limit=2, before=2) == [1]
    assert ids(model="acme/A?1") == [1, 3]
    assert ids(model="*[1]") == [2]
    assert ids(model="*a*") == [1, 2, 3]
    assert ids(model="A*") == []
    assert ids(model_type="Text") == [1, 3]


def test_offers_are_of_one_identity_the_cheapest_first(engine: Engine) -> None:
    """Who sells a model: equal identities only, by component, unknown prices last; then as well as now."""
    page_url = "https://huggingface.co/Acme/Large"
    Shop(engine, "one").at(START, {"acme/large": {"input": "2", "output": "4"}})
    two = Shop(engine, "two")
    two.at(START, {"L": listing("L", {"input": "1", "output": None}, huggingface_url=page_url)})
    two.at(START + HOUR, {"L": listing("L", {"input": "3", "output": None}, huggingface_url=page_url)})
    Shop(engine, "three").at(START, {"acme/large:free": {"input": "0"}})

    def found(model: str, at: datetime | None = None) -> list[tuple[str, str, Decimal | None, datetime | None]]:
        with reading(engine) as connection:
            return [(o.component, o.source, o.price, o.valid_from) for o in history.offers(connection, model, at=at)]

    now = [
        ("input", "one", Decimal(2), START),
        ("input", "two", Decimal(3), START + HOUR),
        ("output", "one", Decimal(4), START),
        ("output", "two", None, START),
    ]
    assert found("acme/large") == now
    assert found("Acme/Large") == now
    assert found("L") == now
    assert found("acme/large", START)[:2] == [("input", "two", Decimal(1), START), ("input", "one", Decimal(2), START)]
    assert found("acme/large", START - HOUR) == []
    with pytest.raises(UnknownModel):
        found("nobody")
