"""The view `daily_prices` against a naive calendar: what was a model's price at the end of each day?"""

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncer.core import prices
from syncer.db import engine as db
from syncer.db.tables import sources
from syncer.db.types import Price
from tests.db import opened
from tests.db.test_views import Event, tell
from tests.story import instant, label

Rows = list[tuple[str, str, Decimal | None]]
"""(day, model, price)"""
A_DAY = timedelta(days=1)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A fresh database of each kind."""
    with opened(database_url) as made:
        yield made


def daily(engine: Engine, source: str = "shop") -> Rows:
    """The rows of the view, by model and day."""
    query = sa.text("SELECT CAST(day AS TEXT) AS day, model, price FROM daily_prices WHERE source = :source")
    with db.reading(engine) as connection:
        rows = connection.execute(query.columns(price=Price), {"source": source}).all()
    return sorted(((day, model, price) for day, model, price in rows), key=lambda row: row[:2])


def naive(histories: dict[str, list[Event]], last_look: datetime) -> Rows:
    """The same by walking every day and asking what was so at its end, or when the model was last listed in it."""
    rows: Rows = []
    for name, told in histories.items():
        states = [
            (instant(when), kind != "removed", None if price is None else Decimal(price)) for when, kind, price in told
        ]
        start = states[0][0].replace(hour=0, minute=0, second=0, microsecond=0)
        while start <= last_look:
            held = [state for state in states if state[0] < start + A_DAY]
            # Listed at some moment of the day: when it began, or by a change within it.
            listed = [
                price
                for (at, there, price), until in zip(held, [*(after[0] for after in held[1:]), None], strict=True)
                if there and (until is None or until > start) and at < start + A_DAY
            ]
            if listed:
                rows.append((start.date().isoformat(), name, listed[-1]))
            start += A_DAY
    return sorted(rows, key=lambda row: row[:2])


def look(engine: Engine, when: str, source: str = "shop") -> datetime:
    """The source's last good look was then."""
    with db.writing(engine) as connection:
        connection.execute(sa.update(sources).where(sources.c.name == source).values(last_good_look_at=instant(when)))
    return instant(when)


ADDED: Event = ("01-01 08:00", "added", "10")
BY_HAND: dict[str, tuple[list[Event], str, list[str]]] = {
    "still": ([ADDED], "01-03 01:00", ["01-01 10", "01-02 10", "01-03 10"]),
    "one day": ([ADDED], "01-01 08:00", ["01-01 10"]),
    "added at midnight": ([("01-02", "added", "1")], "01-02", ["01-02 1"]),
    "added at the last instant": ([("01-01 23:59:59.999999", "added", "1")], "01-02", ["01-01 1", "01-02 1"]),
    "repriced": ([ADDED, ("01-02 09:00", "repriced", "12")], "01-02 10:00", ["01-01 10", "01-02 12"]),
    "repriced at midnight": ([ADDED, ("01-02", "repriced", "12")], "01-02 10:00", ["01-01 10", "01-02 12"]),
    "several moves in a day": (
        [ADDED, ("01-01 09:00", "repriced", "11"), ("01-01 23:59:59.999999", "repriced", "12")],
        "01-02",
        ["01-01 12", "01-02 12"],
    ),
    "seen last just before midnight": ([ADDED], "01-02 23:59:59.999999", ["01-01 10", "01-02 10"]),
    "gone just before midnight": (
        [ADDED, ("01-02 23:59:59.999999", "removed", "10")],
        "01-04",
        ["01-01 10", "01-02 10"],
    ),
    "updated is no price": ([ADDED, ("01-02 09:00", "updated", "10")], "01-02 10:00", ["01-01 10", "01-02 10"]),
    "removed during a day": ([ADDED, ("01-02 09:00", "removed", "10")], "01-04", ["01-01 10", "01-02 10"]),
    "removed at midnight": ([ADDED, ("01-02", "removed", "10")], "01-04", ["01-01 10"]),
    "repriced, then removed": (
        [ADDED, ("01-02 07:00", "repriced", "11"), ("01-02 09:00", "removed", "11")],
        "01-03",
        ["01-01 10", "01-02 11"],
    ),
    "gone and back in a day": (
        [ADDED, ("01-02 07:00", "removed", "10"), ("01-02 09:00", "relisted", "12")],
        "01-03",
        ["01-01 10", "01-02 12", "01-03 12"],
    ),
    "gone, back and gone in a day": (
        [ADDED, ("01-02 07:00", "removed", "10"), ("01-02 09:00", "relisted", "12"), ("01-02 11:00", "removed", "12")],
        "01-04",
        ["01-01 10", "01-02 12"],
    ),
    "a gap": (
        [ADDED, ("01-02 07:00", "removed", "10"), ("01-04", "relisted", "10")],
        "01-04",
        ["01-01 10", "01-02 10", "01-04 10"],
    ),
    "back at the next midnight": (
        [ADDED, ("01-01 09:00", "removed", "10"), ("01-02", "relisted", "11")],
        "01-02",
        ["01-01 10", "01-02 11"],
    ),
    "unknown is a row": (
        [ADDED, ("01-02 07:00", "repriced", None), ("01-03 07:00", "repriced", "0")],
        "01-03 08:00",
        ["01-01 10", "01-02 None", "01-03 0"],
    ),
    "over a leap-less February": ([("02-27 12:00", "added", "1")], "03-01", ["02-27 1", "02-28 1", "03-01 1"]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(engine: Engine, name: str) -> None:
    """One row a UTC day on which the model was listed at some moment: its last price of that day."""
    history, last_look, expected = BY_HAND[name]
    tell(engine, A=history)
    at = look(engine, last_look)
    found = daily(engine)
    assert [f"{day.removeprefix('2026-')} {price}" for day, _, price in found] == expected
    assert naive({"A": history}, at) == found, "the naive calendar agrees"


@pytest.mark.parametrize("seed", range(8))
def test_random_histories(engine: Engine, seed: int) -> None:
    """Whatever happens, at midnights too, the view is what walking the calendar gives, on both databases."""
    chance = random.Random(seed)
    histories = {f"m{number}": wandering(chance) for number in range(6)}
    tell(engine, histories)
    last = max(instant(when) for told in histories.values() for when, _, _ in told)
    at = look(engine, label(last + chance.choice([timedelta(0), timedelta(hours=30), timedelta(days=40)])))
    assert daily(engine) == naive(histories, at)


def wandering(chance: random.Random) -> list[Event]:
    """One model's history: any changes, hours or days apart, often exactly at midnight."""
    at = instant("01-01") + timedelta(hours=chance.randint(0, 48))
    listed, price = True, chance.choice(["1", "2.5", None])
    told: list[Event] = [(label(at), "added", price)]
    for _ in range(chance.randint(0, 14)):
        at += timedelta(hours=chance.choice([1, 5, 24, 31, 100]), microseconds=chance.choice([0, 0, 1]))
        if chance.random() < 0.4:
            midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + A_DAY
            at = midnight - chance.choice([timedelta(0), timedelta(microseconds=1)])
        kind = chance.choice(["repriced", "updated", "removed"]) if listed else "relisted"
        if kind in {"repriced", "relisted"}:
            price = chance.choice(["1", "2.5", "0", "-1", "0.000000000003", None])
        listed = kind != "removed"
        told.append((label(at), kind, price))
    return told


def test_a_long_period(engine: Engine) -> None:
    """A price that held for years has a row for each of its days, leap days too."""
    tell(engine, A=[ADDED])
    with db.writing(engine) as connection:
        connection.execute(
            sa.update(sources).values(last_good_look_at=datetime.fromisoformat("2033-03-01T00:00+00:00"))
        )
    days = [day for day, _, _ in daily(engine)]
    assert (days[0], days[-1], len(days)) == (
        "2026-01-01",
        "2033-03-01",
        (date(2033, 3, 1) - date(2026, 1, 1)).days + 1,
    )
    assert days == sorted(set(days))


def test_sources_are_apart(engine: Engine) -> None:
    """The same name at two sources is two models, and each source's days end with its own last good look."""
    tell(engine, A=[ADDED])
    tell(engine, source="two", A=[("01-02", "added", "5")])
    look(engine, "01-02 12:00")
    look(engine, "01-03 12:00", source="two")
    assert daily(engine) == [("2026-01-01", "A", Decimal(10)), ("2026-01-02", "A", Decimal(10))]
    assert daily(engine, "two") == [("2026-01-02", "A", Decimal(5)), ("2026-01-03", "A", Decimal(5))]


def test_never_looked_at(engine: Engine) -> None:
    """Without a good look no day is known."""
    tell(engine, A=[ADDED])
    with db.writing(engine) as connection:
        connection.execute(sa.update(sources).values(last_good_look_at=None))
    assert daily(engine) == []


def test_columns(engine: Engine) -> None:
    """The columns of the view are a promise; `day` is a date, on SQLite the text YYYY-MM-DD."""
    names = {column["name"]: column["type"] for column in sa.inspect(engine).get_columns("daily_prices")}
    assert set(names) == {"source", "model", "source_id", "model_id", "component", "day", "price"}
    tell(engine, A=[ADDED])
    with db.reading(engine) as connection:
        (day, component), *_ = connection.exec_driver_sql("SELECT day, component FROM daily_prices").all()
    assert (day, component) == ("2026-01-01" if engine.dialect.name == "sqlite" else date(2026, 1, 1), "price")


def test_one_model_is_a_seek(engine: Engine) -> None:
    """Asking for one model by its name reads that model's rows of the history only."""
    many: list[Event] = [("01-01", "added", "1"), *((f"01-{day:02}", "repriced", str(day)) for day in range(2, 29))]
    tell(engine, {f"m{number}": many for number in range(40)})
    query = "SELECT day, price FROM daily_prices WHERE model = 'm7'"
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            plan = "\n".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))
            assert "SCAN c" not in plan.replace("SCAN (", ""), plan
            assert "SCAN n" not in plan, plan
            assert plan.count("ix_changes") >= 2, plan
        else:
            for statement in ("ANALYZE changes", "ANALYZE models", "SET enable_seqscan = off"):
                connection.exec_driver_sql(statement)
            plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {query}"))
            assert "Seq Scan on changes" not in plan, plan
            assert "(model_id = m.id)" in plan, plan


def test_both_databases_give_the_same_rows(sqlite_url: str, postgres_url: str) -> None:
    """The same history gives the same rows on both, prices of 15 digits included."""
    chance = random.Random(15)
    histories: dict[str, list[Event]] = {}
    for number in range(20):
        price = prices.canonical(Decimal(chance.randint(1, 10**15 - 1)).scaleb(chance.randint(-18, -1)))
        history = wandering(chance)
        histories[f"m{number}"] = [(when, kind, None if old is None else str(price)) for when, kind, old in history]
    found: list[Any] = []
    for url in (sqlite_url, postgres_url):
        with opened(url) as engine:
            tell(engine, histories)
            found.append(daily(engine))
    assert found[0] == found[1] != []
