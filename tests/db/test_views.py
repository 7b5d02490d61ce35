"""The views, on small histories written by hand: what an analyst sees is what happened, the same on both databases."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from syncer.core.prices import canonical
from syncer.core.prices import percent as percent_of
from syncer.db import engine as db
from syncer.db.tables import changes, feed, findings, models, runs, sources
from syncer.db.types import UtcDateTime
from tests.db import START, opened
from tests.story import instant, label

Event = tuple[str, str, str | None]
"""(when, kind, price after)"""


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A fresh database of each kind."""
    with opened(database_url) as made:
        yield made


def tell(
    engine: Engine,
    histories: dict[str, list[Event]] | None = None,
    *,
    source: str = "shop",
    believed_at: str | None = None,
    **more: list[Event],
) -> None:
    """Write histories by hand, a run for each moment; `believed_at`: in one run of that time instead."""
    events = sorted(
        (instant(when), name, kind, price)
        for name, told in ((histories or {}) | more).items()
        for when, kind, price in told
    )
    with db.writing(engine) as connection:
        last_id = connection.execute(sa.select(feed.c.last_id)).scalar_one()
        origin = {"name": source, "url": "https://x.example", "created_at": START, "salt": b"0" * 16}
        origin |= {"currency": "USD", "price_units": {"Text": [1000000, "token"]}}
        source_id = _add(connection, sources, origin)
        prices: dict[str, Decimal | None] = {}
        ids: dict[str, int] = {}
        moments: dict[datetime, int] = {}
        for number, (at, name, kind, text) in enumerate(events, start=1):
            observed = instant(believed_at) if believed_at else at
            if observed not in moments:
                moments[observed] = _add_run(connection, source_id, observed)
            price = None if text is None else Decimal(text)
            if name not in ids:
                ids[name] = _add_model(connection, source_id, name, at, price)
            row = {"id": last_id + number, "source_id": source_id, "run_id": moments[observed], "model_id": ids[name]}
            row |= {"kind": kind, "observed_at": observed, "effective_at": at, "name": name, "changed": {}}
            row |= {"old_price": prices.get(name), "price": price, "changed_after": at - timedelta(hours=1)}
            connection.execute(changes.insert().values(row))
            prices[name] = price
            removed_at = at if kind == "removed" else None
            now = sa.update(models).values(price=price, removed_at=removed_at, last_changed_at=at)
            connection.execute(now.where(models.c.id == ids[name]))
        connection.execute(sa.update(feed).values(last_id=last_id + len(events)))
        last_look = sa.update(sources).values(last_good_look_at=max(moments, default=None))
        connection.execute(last_look.where(sources.c.id == source_id))


def _add_run(connection: Connection, source_id: int, at: datetime) -> int:
    run = {"source_id": source_id, "kind": "sync", "started_at": at, "observed_at": at, "finished_at": at}
    return _add(connection, runs, run | {"outcome": "changed"})


def _add_model(connection: Connection, source_id: int, name: str, at: datetime, price: Decimal | None) -> int:
    model = {"source_id": source_id, "name": name, "price": price, "extra": {}, "digest": b"", "type": "Text"}
    model |= {"first_seen_at": at, "last_changed_at": at}
    return _add(connection, models, model)


def _add(connection: Connection, table: sa.Table, values: dict[str, Any]) -> int:
    query = table.insert().values(values).returning(table.c.id)
    return int(connection.execute(query).scalar_one())


TIMES = ("_at", "_from", "_to", "_since", "_after")


def ask(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query: times as calendar labels, prices as Decimals."""
    with db.reading(engine) as connection:
        columns = connection.execute(sa.text(query)).keys()
        times = {name: UtcDateTime for name in columns if name.endswith(TIMES)}
        return [tuple(map(_plain, row)) for row in connection.execute(sa.text(query).columns(**times))]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return label(value)
    return Decimal(repr(value)) if isinstance(value, float) else value


def periods(engine: Engine, model: str = "A") -> list[tuple[Any, ...]]:
    """(price, valid_from, valid_to) of a model."""
    return ask(
        engine, f"SELECT price, valid_from, valid_to FROM price_periods WHERE model = '{model}' ORDER BY valid_from"
    )


# -- price_periods -----------------------------------------------------------------------------------------------------

ADDED: Event = ("01-01", "added", "10")


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        pytest.param([ADDED], [("10", "01-01", None)], id="still"),
        pytest.param(
            [ADDED, ("01-02", "repriced", "12")], [("10", "01-01", "01-02"), ("12", "01-02", None)], id="repriced"
        ),
        pytest.param([ADDED, ("01-02", "updated", "10")], [("10", "01-01", None)], id="updated does not split"),
        pytest.param(
            [ADDED, ("01-02", "updated", "10"), ("01-03", "repriced", "12"), ("01-04", "updated", "12")],
            [("10", "01-01", "01-03"), ("12", "01-03", None)],
            id="updated before and after a repricing",
        ),
        pytest.param([ADDED, ("01-02", "removed", "10")], [("10", "01-01", "01-02")], id="removed closes"),
        pytest.param(
            [ADDED, ("01-02", "removed", "10"), ("01-03", "relisted", "10")],
            [("10", "01-01", "01-02"), ("10", "01-03", None)],
            id="a gap",
        ),
        pytest.param(
            [ADDED, ("01-02", "repriced", None), ("01-03", "repriced", "0")],
            [("10", "01-01", "01-02"), (None, "01-02", "01-03"), ("0", "01-03", None)],
            id="unknown is a period, and free is another",
        ),
        pytest.param([("01-01", "added", None)], [(None, "01-01", None)], id="unknown from the start"),
    ],
)
def test_price_periods(
    engine: Engine, history: list[Event], expected: list[tuple[str | None, str, str | None]]
) -> None:
    """A price period is half-open, ends where the price moves or the model goes, and an unknown price is one."""
    tell(engine, A=history, other=[("01-01", "added", "1"), ("01-02", "repriced", "2")])
    assert periods(engine) == [
        (None if price is None else Decimal(price), begins, ends) for price, begins, ends in expected
    ]


def test_periods_use_effective_time(engine: Engine) -> None:
    """Law 6: a change that was believed a month later counts from when it took effect; observed_at says when told."""
    tell(engine, believed_at="02-01", A=[("01-03", "added", "5")])
    assert periods(engine) == [(Decimal(5), "01-03", None)]
    assert ask(engine, "SELECT effective_at, observed_at FROM feed_events") == [("01-03", "02-01")]


def test_a_model_of_two_sources(engine: Engine) -> None:
    """The same name at two sources is two models with their own periods."""
    tell(engine, A=[ADDED])
    tell(engine, source="two", A=[("01-02", "added", "11")])
    query = "SELECT source, component, price, valid_from, changed_after FROM price_periods WHERE model = 'A' ORDER BY 1"
    assert ask(engine, query) == [
        ("shop", "price", Decimal(10), "01-01", "2025-12-31 23:00"),
        ("two", "price", Decimal(11), "01-02", "01-01 23:00"),
    ]


# -- price_changes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "absolute", "percent"),
    [
        ("10", "12", "2", "20"),
        ("12", "10", "-2", "-16.6666666667"),
        ("3", "1", "-2", "-66.6666666667"),
        ("0.1", "0.3", "0.2", "200"),
        ("0.3", "0.1", "-0.2", "-66.6666666667"),
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
    tell(engine, A=[("01-01", "added", old), ("01-02", "repriced", new)])
    (found,) = ask(engine, "SELECT old, new, absolute, percent FROM price_changes")
    assert found == tuple(None if text is None else Decimal(text) for text in (old, new, absolute, percent))
    assert found[3] == percent_of(found[0], found[1]), "the view and the events agree"


def test_price_changes_agree_with_python(engine: Engine) -> None:
    """Law 4: over many random prices the view's percent is that of the events, to 12 digits."""
    chance = random.Random(12)
    prices = [canonical(Decimal(chance.randint(1, 10**9)).scaleb(chance.randint(-12, 2))) for _ in range(200)]
    days = [f"{1 + n // 24:02}-{1 + n % 24:02}" for n in range(len(prices))]
    moves: list[Event] = [(day, "repriced", str(price)) for day, price in zip(days, prices, strict=True)]
    tell(engine, A=[(days[0], "added", str(prices[0])), *moves[1:]])
    found = ask(engine, "SELECT percent FROM price_changes ORDER BY effective_at")
    expected = [percent_of(old, new) for old, new in pairwise(prices)]
    tolerance = Decimal("2e-12") if engine.dialect.name == "sqlite" else Decimal(0)  # doubles round ties otherwise
    for (percent,), exact in zip(found, expected, strict=True):
        assert exact is not None
        assert abs(percent - exact) <= tolerance * abs(exact)


def test_what_is_a_price_change(engine: Engine) -> None:
    """A relisting at another price is a price change; one at the same price, an addition and a removal are none."""
    history: list[Event] = [ADDED, ("01-02", "removed", "10"), ("01-03", "relisted", "10")]
    history += [("01-04", "removed", "10"), ("01-05", "relisted", "15"), ("01-06", "updated", "15")]
    tell(engine, A=history)
    query = "SELECT source, model, component, kind, old, new, percent, effective_at, changed_after FROM price_changes"
    assert ask(engine, query) == [
        ("shop", "A", "price", "relisted", Decimal(10), Decimal(15), Decimal(50), "01-05", "01-04 23:00")
    ]


# -- availability ------------------------------------------------------------------------------------------------------


def test_availability(engine: Engine) -> None:
    """Each time a model was listed is one interval, whatever its price did meanwhile; the last one may be open."""
    history: list[Event] = [ADDED, ("01-02", "repriced", "11"), ("01-03", "updated", "11"), ("01-04", "removed", "11")]
    tell(engine, A=[*history, ("01-06", "relisted", "9"), ("01-07", "repriced", "8")], B=[("01-05", "added", "1")])
    query = "SELECT source, model, listed_from, listed_to FROM availability ORDER BY model, listed_from"
    assert ask(engine, query) == [
        ("shop", "A", "01-01", "01-04"),
        ("shop", "A", "01-06", None),
        ("shop", "B", "01-05", None),
    ]


# -- catalog -----------------------------------------------------------------------------------------------------------


def test_catalog(engine: Engine) -> None:
    """The catalog is what is listed as believed: no removed model; those missing or withheld are marked."""
    tell(engine, A=[ADDED], B=[("01-02", "added", "2"), ("01-03", "removed", "2")], C=[("01-04", "added", None)])
    with db.writing(engine) as connection:
        seen = {"missing_since": instant("01-04"), "missing_looks": 1, "last_seen_at": instant("01-03")}
        connection.execute(sa.update(models).where(models.c.name == "A").values(seen))
        finding = {"source_id": 1, "kind": "removals", "opened_run_id": 1, "opened_at": START, "last_run_id": 1}
        connection.execute(findings.insert().values(finding | {"evidence": {"A": None}, "state": "open"}))
        connection.execute(findings.insert().values(finding | {"evidence": {"C": None}, "state": "rejected"}))
    columns = "source, model, price, currency, missing_since, missing_looks, held, last_seen_at"
    found = ask(engine, f"SELECT {columns} FROM catalog ORDER BY model")
    assert found == [
        ("shop", "A", Decimal(10), "USD", "01-04", 1, True, "01-03"),
        ("shop", "C", None, "USD", None, 0, False, "01-04"),
    ]


def test_a_finding_marks_its_own_source_only(engine: Engine) -> None:
    """A model that another source withholds is not held here, though it has the same name."""
    tell(engine, A=[ADDED])
    tell(engine, source="two", A=[ADDED])
    with db.writing(engine) as connection:
        connection.execute(sa.update(models).values(last_seen_at=START))  # what is withheld is not plainly seen
        finding = {"source_id": 2, "kind": "removals", "opened_run_id": 2, "opened_at": START, "last_run_id": 2}
        connection.execute(findings.insert().values(finding | {"evidence": {"A": None}, "state": "open"}))
    assert ask(engine, "SELECT source, held FROM catalog ORDER BY source") == [("shop", False), ("two", True)]


# -- feed_events -------------------------------------------------------------------------------------------------------


def test_feed_events(engine: Engine) -> None:
    """Law 8: every change is in feed_events, in feed order, over all sources."""
    tell(engine, A=[ADDED, ("01-03", "repriced", "9")])
    tell(engine, source="two", B=[("01-02", "added", "1")])
    query = "SELECT id, source, model, kind, old_price, price FROM feed_events ORDER BY id"
    assert ask(engine, query) == [
        (1, "shop", "A", "added", None, Decimal(10)),
        (2, "shop", "A", "repriced", Decimal(10), Decimal(9)),
        (3, "two", "B", "added", None, Decimal(1)),
    ]


# -- all of them -------------------------------------------------------------------------------------------------------

VIEWS = {
    "catalog": "alias type context_length max_completion_tokens description price currency price_units huggingface_url"
    " extra first_seen_at last_seen_at last_changed_at missing_since missing_looks held",
    "price_periods": "component price valid_from valid_to changed_after",
    "price_changes": "component id run_id kind observed_at effective_at changed_after old new absolute percent",
    "availability": "began_as listed_from listed_to changed_after",
    "feed_events": "id run_id kind observed_at effective_at changed_after old_price price data",
}


@pytest.mark.parametrize("view", VIEWS)
def test_columns(engine: Engine, view: str) -> None:
    """The columns of a view are a promise: `source`, `model` and their ids, then its own; a change here is for 2.0."""
    common = {"source", "model", "source_id", "model_id"}
    assert {column["name"] for column in sa.inspect(engine).get_columns(view)} == common | set(VIEWS[view].split())


@pytest.mark.parametrize("view", ["price_periods", "availability", "price_changes"])
def test_one_model_is_a_seek(engine: Engine, view: str) -> None:
    """Asking a view for one model by name reads that model's rows, never the whole history."""
    many = [ADDED, *((f"01-{day:02}", "repriced", str(day)) for day in range(2, 29))]
    tell(engine, {f"m{number}": many for number in range(40)})
    query = f"SELECT * FROM {view} WHERE model = 'm7'"
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            plan = "\n".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))
            assert "SCAN c" not in plan, plan
            assert "SCAN n" not in plan, plan
        else:
            for statement in ("ANALYZE changes", "ANALYZE models", "SET enable_seqscan = off"):
                connection.exec_driver_sql(statement)
            plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {query}"))
            assert "Seq Scan on changes" not in plan, plan


def test_what_is_held_is_gathered_once(engine: Engine) -> None:
    """`held` looks through the open findings once for the whole catalog, not once for each of its models."""
    prefix = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with db.reading(engine) as connection:
        plan = [str(row[-1]) for row in connection.exec_driver_sql(f"{prefix}SELECT * FROM catalog")]
    assert any("findings" in step or step.startswith("MATERIALIZE h") for step in plan)
    assert not any("CORRELATED" in step or "SubPlan" in step for step in plan), plan
