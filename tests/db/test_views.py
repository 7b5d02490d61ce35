"""The views: what an analyst sees is what happened, in every component, the same on both databases."""

import random
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from syncer.core.fields import FIELDS
from syncer.core.model import Kind
from syncer.core.prices import canonical
from syncer.core.prices import percent as percent_of
from syncer.core.rules import Finding, FindingKind, Withheld
from syncer.db import engine as db
from syncer.db.tables import models
from syncer.db.types import UtcDateTime
from syncer.db.views import VIEWS
from tests.db import START, opened, rows
from tests.db.shop import Shop, listing
from tests.postgres import Postgres

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TIMES = ("_at", "_from", "_to", "_since", "_after")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A fresh database of each kind."""
    with opened(database_url) as made:
        yield made


def ask(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query: times aware, prices as Decimals, days as text."""
    with db.reading(engine) as connection:
        columns = connection.execute(sa.text(query)).keys()
        times = {name: UtcDateTime for name in columns if name.endswith(TIMES)}
        return [tuple(map(_plain, row)) for row in connection.execute(sa.text(query).columns(**times))]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(repr(value))
    return value.isoformat() if type(value).__name__ == "date" else value


def periods(engine: Engine, model: str = "A") -> list[tuple[Any, ...]]:
    """(component, price, valid_from, valid_to) of a model."""
    query = f"SELECT component, price, valid_from, valid_to FROM price_periods WHERE model = '{model}' ORDER BY 1, 3"
    return ask(engine, query)


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_components_have_periods_of_their_own(engine: Engine) -> None:
    """A move of one price ends its own period and no other's; a removal ends all of them."""
    shop = Shop(engine)
    shop.at(START, {"A": {"input": "1", "output": "2"}})
    shop.at(START + HOUR, {"A": {"input": "1.5", "output": "2"}})
    shop.at(START + 2 * HOUR, {"A": None})
    shop.at(START + 3 * HOUR, {"A": {"input": "1.5", "output": "3"}})
    assert periods(engine) == [
        ("input", Decimal(1), START, START + HOUR),
        ("input", Decimal("1.5"), START + HOUR, START + 2 * HOUR),
        ("input", Decimal("1.5"), START + 3 * HOUR, None),
        ("output", Decimal(2), START, START + 2 * HOUR),
        ("output", Decimal(3), START + 3 * HOUR, None),
    ]


def test_an_update_splits_no_period(engine: Engine) -> None:
    """Another description is a change, and no price's period ends with it."""
    shop = Shop(engine)
    shop.at(START, {"A": listing("A", {"input": "1"})})
    shop.at(START + HOUR, {"A": listing("A", {"input": "1"}, description="new")})
    assert periods(engine) == [("input", Decimal(1), START, None)]


def test_a_component_that_goes_is_unknown(engine: Engine) -> None:
    """A component that is listed no more moves to unknown, which is a period too; one never known has none."""
    shop = Shop(engine)
    shop.at(START, {"A": {"input": "1", "image": "9"}})
    shop.at(START + HOUR, {"A": {"input": "1"}})
    assert periods(engine)[:2] == [("image", Decimal(9), START, START + HOUR), ("image", None, START + HOUR, None)]


def test_a_new_reading_is_no_move(engine: Engine) -> None:
    """What came by another reading begins a period and is in no list of moves; the feed has it as what it is."""
    shop = Shop(engine)
    shop.at(START, {"A": {"input": "1"}})
    shop.at(START + HOUR, {"A": {"input": "1", "output": "2"}}, reread=["A"])
    shop.at(START + 2 * HOUR, {"A": {"input": "1", "output": "4"}})
    assert [period[:3] for period in periods(engine)] == [
        ("input", Decimal(1), START),
        ("output", Decimal(2), START + HOUR),
        ("output", Decimal(4), START + 2 * HOUR),
    ]
    assert ask(engine, "SELECT component, old, new FROM price_changes") == [("output", Decimal(2), Decimal(4))]
    assert rows(engine, "SELECT kind FROM feed_events ORDER BY id") == [("added",), ("reread",), ("repriced",)]


def test_late_belief(engine: Engine) -> None:
    """Law 6: a change that was believed later counts from when it took effect."""
    shop = Shop(engine)
    shop.at(START, {"A": {"input": "1"}})
    shop.at(START + HOUR, {})
    shop.at(START + DAY, {"A": {"input": "2"}}, effective={"A": START + HOUR})
    assert [period[2] for period in periods(engine)] == [START, START + HOUR]
    assert ask(engine, "SELECT effective_at, observed_at FROM feed_events WHERE id = 2") == [
        (START + HOUR, START + DAY)
    ]


@pytest.mark.parametrize(
    ("old", "new", "absolute", "percent"),
    [
        ("10", "12", "2", "20"),
        ("12", "10", "-2", "-16.6666666667"),
        ("3", "1", "-2", "-66.6666666667"),
        ("0.1", "0.3", "0.2", "200"),
        ("0.5", "0", "-0.5", "-100"),
        ("0.5", None, None, None),
        ("0.5", "-1", "-1.5", "-300"),
        ("0", "0.5", "0.5", None),
        (None, "0.5", None, None),
        ("-1", "0.5", "1.5", None),
        ("0.000000000003", "0.000000000004", "0.000000000001", "33.3333333333"),
        ("300", "300.001", "0.001", "0.000333333333333"),
        ("0.000001", "999999", "999998.999999", "99999899999900"),
    ],
)
def test_price_changes(
    engine: Engine, old: str | None, new: str | None, absolute: str | None, percent: str | None
) -> None:
    """Law 4: `absolute` is exact, `percent` has 12 significant digits and is NULL from unknown, 0 or a negative."""
    shop = Shop(engine)
    shop.at(START, {"A": {"output": old}})
    shop.at(START + HOUR, {"A": {"output": new}})
    (found,) = ask(engine, "SELECT old, new, absolute, percent FROM price_changes WHERE component = 'output'")
    assert found == tuple(None if text is None else Decimal(text) for text in (old, new, absolute, percent))
    assert found[3] == percent_of(found[0], found[1]), "the view and the events agree"


def test_a_relisting_at_another_price(engine: Engine) -> None:
    """A model that comes back at another price has moved; one that comes back as it was has not."""
    shop = Shop(engine)
    shop.at(START, {"A": {"input": "1", "output": "2"}})
    shop.at(START + HOUR, {"A": None})
    shop.at(START + 2 * HOUR, {"A": {"input": "5", "output": "2"}})
    query = "SELECT component, kind, old, new, percent FROM price_changes"
    assert ask(engine, query) == [("input", "relisted", Decimal(1), Decimal(5), Decimal(400))]


def test_units(engine: Engine) -> None:
    """A price has the unit of its component, a tier that of its component; `price` goes by the model's type."""
    shop = Shop(engine)
    shop.at(START, {"A": {"input": "1", "input@batch": "0.5", "image": "9", "second": "1"}})
    found = ask(engine, "SELECT component, currency, quantity, unit FROM catalog_prices ORDER BY component")
    assert found == [
        ("image", "USD", 1, "image"),
        ("input", "USD", 1000000, "token"),
        ("input@batch", "USD", 1000000, "token"),
        ("second", "USD", None, None),
    ]
    seed = Shop(engine, "seed", headline="price")
    seed.at(START, {"T": listing("T", {"price": "1"}, headline="price", type="Text")})
    seed.at(START + HOUR, {"I": listing("I", {"price": "1"}, headline="price", type='Im"age')})
    for view in ("catalog", "catalog_prices", "price_periods", "offers"):
        query = f"SELECT model, component, quantity, unit FROM {view} WHERE source = 'seed' ORDER BY model"
        assert ask(engine, query) == [("I", "price", None, None), ("T", "price", 1000000, "token")], view


def test_catalog(engine: Engine) -> None:
    """The catalog is what is listed as believed, with its marks; a finding of another source marks nothing here."""
    shop, other = Shop(engine), Shop(engine, "other")
    shop.at(START, {"A": {"input": "1"}, "B": {"input": "2"}, "C": {"input": None}})
    finding = Finding(
        kind=FindingKind.REMOVALS, evidence={"A": Withheld(since=START, fields=None)}, opened_at=START + HOUR
    )
    shop.at(START + HOUR, {"B": None}, opened=(finding,), reasons=("x",))
    other.at(START, {"A": {"input": "7"}})
    with db.writing(engine) as connection:
        marks = {"missing_since": START + HOUR, "missing_count": 1, "last_seen_at": START}
        connection.execute(sa.update(models).where(models.c.name == "A", models.c.source_id == 1).values(marks))
    query = (
        "SELECT source, model, price, component, missing_since, missing_count, held, last_seen_at FROM catalog"
        " ORDER BY source, model"
    )
    assert ask(engine, query) == [
        ("other", "A", Decimal(7), "input", None, 0, False, START),
        ("shop", "A", Decimal(1), "input", START + HOUR, 1, True, START),
        ("shop", "C", None, "input", None, 0, False, START + HOUR),
    ]


def test_offers(engine: Engine) -> None:
    """Two sources sell one model where its page at Hugging Face, or else its name, is the same; nothing is guessed."""
    page = "https://huggingface.co/deepseek-ai/DeepSeek-R1"
    Shop(engine, "one").at(START, {"r1": listing("r1", {"input": "3"}, huggingface_url=page)})
    two = Shop(engine, "two")
    two.at(START, {"DeepSeek-AI/DeepSeek-R1": {"input": "9"}, "r1": {"input": "1"}, "gone": {"input": "1"}})
    two.at(START + HOUR, {"DeepSeek-AI/DeepSeek-R1": {"input": "2"}, "gone": None})
    query = "SELECT source, model, price, valid_from FROM offers WHERE identity = '{}' ORDER BY price"
    assert ask(engine, query.format("deepseek-ai/deepseek-r1")) == [
        ("two", "DeepSeek-AI/DeepSeek-R1", Decimal(2), START + HOUR),
        ("one", "r1", Decimal(3), START),
    ]
    assert [row[0] for row in ask(engine, query.format("r1"))] == ["two"]
    assert ask(engine, query.format("gone")) == []


# -- against a fold ----------------------------------------------------------------------------------------------------

NAMES = ("A", "B")
COMPONENTS = ("output", "image", "input@batch")
AMOUNTS = st.sampled_from(["1", "2.5", "0", "-1", "26.5914451307577", "0.000000000003", None])
STATES = st.one_of(
    st.none(),
    st.builds(
        lambda headline, rest: {"input": headline, **rest},
        AMOUNTS,
        st.dictionaries(st.sampled_from(COMPONENTS), AMOUNTS, max_size=3),
    ),
)
GAPS = st.sampled_from([HOUR, 5 * HOUR, DAY, DAY - timedelta(microseconds=1), 3 * DAY])
STEPS = st.lists(
    st.tuples(GAPS, st.dictionaries(st.sampled_from(NAMES), STATES, max_size=2), st.booleans(), st.booleans()),
    min_size=1,
    max_size=12,
)


class Fold:
    """What the views should say, from the states as they were given."""

    def __init__(self) -> None:
        self.last = START
        self.listed: dict[str, dict[str, Any]] = {}
        self.known: dict[str, dict[str, Any]] = {}
        self.moves: dict[tuple[str, str], list[tuple[datetime, Kind, Any, Any]]] = {}

    def step(self, name: str, state: Mapping[str, str | None] | None, at: datetime, *, anew: bool) -> None:
        """One model has this state from then on."""
        old = self.known.get(name)
        if state is None:
            if name in self.listed:
                del self.listed[name]
                self._move(name, at, Kind.REMOVED, {c: (p, p) for c, p in (old or {}).items()})
            return
        new = dict.fromkeys(old or {}) | {c: None if p is None else Decimal(p) for c, p in state.items()}
        pairs = {c: ((old or {}).get(c), p) for c, p in new.items()}
        moved = {c: pair for c, pair in pairs.items() if pair[0] != pair[1]}
        if old is None:
            self._move(name, at, Kind.ADDED, {c: (None, p) for c, p in new.items()})
        elif name not in self.listed:
            self._move(name, at, Kind.RELISTED, pairs)
        elif moved:
            self._move(name, at, Kind.REREAD if anew else Kind.REPRICED, moved)
        self.known[name] = self.listed[name] = new if old is None or name not in self.listed or moved else old

    def _move(self, name: str, at: datetime, kind: Kind, pairs: Mapping[str, tuple[Any, Any]]) -> None:
        for component, (old, new) in pairs.items():
            self.moves.setdefault((name, component), []).append((at, kind, old, new))

    def periods(self) -> set[tuple[Any, ...]]:
        """(model, component, price, valid_from, valid_to)."""
        found = set()
        for (name, component), moves in self.moves.items():
            ends = [at for at, *_ in moves[1:]] + [None]
            pairs = zip(moves, ends, strict=True)
            found |= {(name, component, new, at, end) for (at, kind, _, new), end in pairs if kind is not Kind.REMOVED}
        return found

    def changes(self) -> set[tuple[Any, ...]]:
        """(model, component, old, new, effective_at)."""
        return {
            (name, component, old, new, at)
            for (name, component), moves in self.moves.items()
            for at, kind, old, new in moves
            if kind in {Kind.REPRICED, Kind.RELISTED} and old != new
        }

    def days(self) -> set[tuple[str, str, str, Any]]:
        """(model, component, day, price): on each day the price that held last in it."""
        found: dict[tuple[str, str, str], tuple[datetime, Any]] = {}
        for name, component, price, begun, end in self.periods():
            day = begun.replace(hour=0, minute=0, second=0, microsecond=0)
            while day <= self.last and (end is None or day < end):
                key = (name, component, day.date().isoformat())
                found[key] = max(found.get(key, (begun, price)), (begun, price), key=lambda one: one[0])
                day += DAY
        return {(*key, price) for key, (_, price) in found.items()}


def tell(engine: Engine, source: str, steps: Any) -> Fold:
    """Write these steps as the history of a source; the fold beside it."""
    shop, fold, at = Shop(engine, source), Fold(), START
    for gap, states, anew, late in steps:
        at += gap
        effective = {name: shop.last for name in states if late and shop.last and shop.may_be_late(name)}
        effective = {name: when for name, when in effective.items() if name in fold.known}
        shop.at(at, states, effective=effective, reread=NAMES if anew else ())
        fold.last = at
        for name, state in states.items():
            fold.step(name, state, effective.get(name, at), anew=anew)
    return fold


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[list[Engine]]:
    """One database of each kind for many histories, each a source of its own."""
    path = tmp_path_factory.mktemp("views") / "syncer.db"
    with opened(f"sqlite:///{path}") as sqlite, opened(postgres.create_database()) as postgresql:
        yield [sqlite, postgresql]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS, number=st.integers(0, 10**12))
def test_views_are_a_fold(both: list[Engine], steps: Any, number: int) -> None:
    """Whatever components come, go and move, with removals, returns, readings and late belief, views tell it all."""
    source = f"s{number}"
    for engine in both:
        if rows(engine, f"SELECT id FROM sources WHERE name = '{source}'"):
            return  # told before
        fold = tell(engine, source, steps)
        of = f"WHERE source = '{source}'"
        found = ask(engine, f"SELECT model, component, price, valid_from, valid_to FROM price_periods {of}")
        assert (len(found), set(found)) == (len(fold.periods()), fold.periods())
        found = ask(engine, f"SELECT model, component, old, new, effective_at FROM price_changes {of}")
        assert (len(found), set(found)) == (len(fold.changes()), fold.changes())
        found = ask(engine, f"SELECT model, component, day, price FROM daily_prices {of}")
        assert (len(found), set(found)) == (len(fold.days()), fold.days())
        current = {(name, c, p) for name, state in fold.listed.items() for c, p in state.items()}
        for view in ("catalog_prices", "offers"):
            assert set(ask(engine, f"SELECT model, component, price FROM {view} {of}")) == current
        headlines = {(name, state["input"]) for name, state in fold.listed.items()}
        assert set(ask(engine, f"SELECT model, price FROM catalog {of}")) == headlines


def test_sqlite_equals_postgresql(both: list[Engine]) -> None:
    """The same history gives the same rows on both databases; percent to 11 digits, as SQLite's own arithmetic."""
    chance = random.Random(12)
    prices = [canonical(Decimal(chance.randint(1, 10**15 - 1)).scaleb(chance.randint(-18, -1))) for _ in range(40)]
    found = []
    for engine in both:
        shop = Shop(engine, "equal")
        for hour, price in enumerate(prices):
            shop.at(START + hour * HOUR, {"A": {"input": str(price), "output": str(prices[-1 - hour])}})
        query = (
            "SELECT component, kind, effective_at, old, new, percent FROM price_changes"
            " WHERE source = 'equal' ORDER BY 1, 3"
        )
        found.append([(*row[:5], f"{row[5]:.10e}") for row in ask(engine, query)])
    assert found[0] == found[1]
    assert len(found[0]) == 2 * (len(prices) - 1)


# -- what is promised of all -------------------------------------------------------------------------------------------

COLUMNS = {
    "catalog": "alias context_length max_completion_tokens description huggingface_url price prices component currency"
    " quantity unit price_units extra first_seen_at last_seen_at last_changed_at missing_since missing_count unread"
    " unread_since held expires_at",
    "catalog_prices": "component price currency quantity unit",
    "price_periods": "component price valid_from valid_to changed_after currency quantity unit change_id",
    "price_changes": "change_id component kind effective_at changed_after old new absolute percent currency quantity"
    " unit",
    "daily_prices": "component day price currency quantity unit",
    "availability": "began_as listed_from listed_to changed_after",
    "feed_events": "id run_id kind observed_at effective_at changed_after component old_price price currency quantity"
    " unit data",
    "offers": "identity component price valid_from currency quantity unit",
}


@pytest.mark.parametrize("view", VIEWS)
def test_columns(engine: Engine, view: str) -> None:
    """The columns of a view are a promise: `source`, `model`, `type` and their ids, then its own."""
    common = {"source", "model", "type", "source_id", "model_id"}
    assert {column["name"] for column in sa.inspect(engine).get_columns(view)} == common | set(COLUMNS[view].split())


def test_every_tracked_field_is_in_the_catalog(engine: Engine) -> None:
    """Whoever adds a tracked field and forgets the view is told here."""
    columns = {column["name"] for column in sa.inspect(engine).get_columns("catalog")}
    assert {field.name for field in FIELDS} - columns == set()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def long(request: pytest.FixtureRequest, both: list[Engine]) -> Any:
    """A history long enough for plans to matter; PostgreSQL knows its statistics, SQLite has none, as in life."""
    engine = both[request.param == "postgresql"]
    shop = Shop(engine, f"long-{request.param}")
    for hour in range(12):
        price = str(hour + 1)
        prices = {"input": price, "output": price, "image": price}
        shop.at(START + hour * HOUR, {f"m{number}": prices for number in range(40)})
    if request.param == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    return engine


def plan(engine: Engine, query: str) -> str:
    """How the database would answer."""
    with db.reading(engine) as connection:
        if engine.dialect.name == "sqlite":
            return "\n".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        return "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {query}"))


@pytest.mark.parametrize("view", VIEWS)
def test_one_model_is_a_seek(long: Engine, view: str) -> None:
    """Asking a view for one model by name reads that model's rows, never the whole history."""
    found = plan(long, f"SELECT * FROM {view} WHERE model = 'm7'")
    if long.dialect.name == "sqlite":
        assert not [step for step in found.splitlines() if step.startswith(("SCAN c", "SCAN p", "SCAN m", "SCAN n"))], (
            found
        )
    else:
        assert "Seq Scan on changes" not in found, found
        assert "Seq Scan on prices" not in found, found


@pytest.mark.parametrize("view", ["price_periods", "price_changes", "daily_prices"])
def test_one_component_is_a_seek(long: Engine, view: str) -> None:
    """Asking for one model and component reads the rows of that one price."""
    found = plan(long, f"SELECT * FROM {view} WHERE model = 'm7' AND component = 'output'")
    if long.dialect.name == "sqlite":
        assert "SEARCH p USING PRIMARY KEY (model_id=? AND component=?)" in found, found
    else:
        assert re.search(r"pk_prices.*\n *Index Cond: \(\(model_id = m.id\) AND \(+component", found), found


def test_what_is_held_is_gathered_once(engine: Engine) -> None:
    """`held` looks through the open findings once for the whole catalog, not once for each of its models."""
    with db.reading(engine) as connection:
        prefix = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
        steps = [str(row[-1]) for row in connection.exec_driver_sql(f"{prefix}SELECT model, held FROM catalog")]
    assert any("findings" in step or step.startswith("MATERIALIZE h") for step in steps)
    assert not any("CORRELATED" in step or "SubPlan" in step for step in steps), steps
