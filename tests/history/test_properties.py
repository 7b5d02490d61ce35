"""Random histories, lived through by the real main path, against naive loops over the snapshots themselves."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection, Engine

from syncer import history
from syncer.attempt import Attempt
from syncer.core.model import TRACKED
from syncer.core.prices import percent
from syncer.db.engine import open_engine, reading
from syncer.db.migrate import ensure_schema
from syncer.db.tables import changes, models, sources
from syncer.db.types import Price, UtcDateTime
from syncer.history import Usage
from syncer.importing import Recorded, import_observation
from syncer.settings import SourceSettings, format_of
from tests.history.conftest import day
from tests.upstream import catalog_body, model

NAMES = ("a", "b", "c")
PRICES = (None, Decimal(0), Decimal("0.1"), Decimal("0.3"), Decimal(1), Decimal("2.5"))
UNITS = {"Text": (1_000_000, "token"), "Image": (3, "image")}
TICK = timedelta(microseconds=1)
NOT_SHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""Shrinking lives through hundreds of pasts, until the test's time is over and nothing is said of the failure."""

State = dict[str, Any]
Snapshots = Sequence[tuple[datetime, Mapping[str, State]]]

_numbers = itertools.count(1)

listings = st.fixed_dictionaries(
    {
        "price": st.sampled_from(PRICES),
        "alias": st.sampled_from(("x", "y", "c")),
        "type": st.sampled_from(("Text", "Image", "Audio")),
        "description": st.sampled_from(("one", "two")),
    }
)
catalogs = st.dictionaries(st.sampled_from(NAMES), listings, max_size=3)
pasts = st.lists(catalogs, min_size=1, max_size=7).filter(
    lambda past: any(state["price"] is not None for state in past[0].values())  # else the response is refused
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """One database for all examples of a test: each example is a source of its own."""
    engine = open_engine(database_url)
    ensure_schema(engine)
    yield engine
    engine.dispose()


def live(engine: Engine, past: Sequence[Mapping[str, State]], *, trust: bool = False) -> tuple[str, Snapshots]:
    """A new source that offered each of these catalogs for a day, and what it offered when."""
    name = f"s{next(_numbers)}"
    units = {"price": UNITS}
    configured = SourceSettings(name=name, url="https://example.com", currency="USD", price_units=units, trust=trust)
    fmt = format_of(configured)
    snapshots = [(day(number), catalog) for number, catalog in enumerate(past, 1)]
    for at, catalog in snapshots:
        rows = [model(key, **_wire(state)) for key, state in catalog.items()]
        poll = Recorded(line=1, name="line 1", observed_at=at, body=catalog_body(rows))
        attempt = Attempt(
            engine=engine, source=configured, format=fmt, clock=lambda: day(99), owner="test", kind="import"
        )
        import_observation(attempt, poll)
    return name, snapshots


def live_many(engine: Engine, check: Callable[..., None], **given_too: st.SearchStrategy[Any]) -> None:
    """Random pasts for `check`: fewer on PostgreSQL, where only the SQL is another."""
    few = settings(max_examples=20 if engine.dialect.name == "sqlite" else 8, phases=NOT_SHRUNK)
    few(given(past=pasts, **given_too)(check))()


def _wire(state: State) -> dict[str, Any]:
    return {
        "price": state["price"],
        "model_alias": state["alias"],
        "model_type": state["type"],
        "description": state["description"],
    }


def offered_at(snapshots: Snapshots, at: datetime) -> Mapping[str, State]:
    """The last snapshot at or before `at`: the naive truth."""
    return next((catalog for seen_at, catalog in reversed(snapshots) if seen_at <= at), {})


def moments(snapshots: Snapshots) -> list[datetime]:
    """Both sides of each boundary, and before and after it all."""
    return sorted({at + shift for at, _ in snapshots for shift in (-TICK, timedelta(0), timedelta(hours=7))})


def ever_offered(snapshots: Snapshots) -> list[str]:
    """Each name that was in some snapshot."""
    return sorted({name for _, catalog in snapshots for name in catalog})


def test_every_answer_about_a_random_past_equals_a_naive_loop(engine: Engine) -> None:
    """Whatever a source offered: what each question says of it is what a loop over the snapshots says (the claims)."""

    def check(past: list[Any], quantities: list[int]) -> None:
        source, snapshots = live(engine, past)
        with reading(engine) as connection:
            every_moment_equals_the_last_snapshot_before_it(connection, source, snapshots)
            periods_and_views_equal_the_snapshots(connection, source, snapshots)
            a_difference_turns_one_catalog_into_the_other(connection, source, snapshots)
            cost_and_stats_equal_the_naive_loop(connection, source, snapshots, quantities)
            churn_and_flapping_equal_the_naive_count(connection, source, snapshots)

    live_many(engine, check, quantities=st.lists(st.integers(1, 10**9), min_size=1, max_size=3))


def every_moment_equals_the_last_snapshot_before_it(connection: Connection, source: str, snapshots: Snapshots) -> None:
    """`price_at` and `catalog_at` equal the last snapshot at or before t, on both sides of each boundary."""
    for at in moments(snapshots):
        truth = offered_at(snapshots, at)
        for name in ever_offered(snapshots):
            quote = history.price_at(connection, name, at=at, source=source)
            assert quote.listed == ((name in truth) if at >= snapshots[0][0] else None)
            assert quote.price == (truth[name]["price"] if name in truth else None)
            assert quote.unit == (UNITS.get(truth[name]["type"]) if name in truth else None)
            assert_held(quote, snapshots)
        then = history.catalog_at(connection, at=at, source=source)
        assert [row.model for row in then] == sorted(truth)
        assert [{key: getattr(row, key) for key in truth[row.model]} for row in then] == [
            truth[name] for name in sorted(truth)
        ]


def assert_held(quote: history.Quote, snapshots: Snapshots) -> None:
    """The quote's period is maximal, and its window and certainty are the observations around its ends."""

    def state(catalog: Mapping[str, State]) -> tuple[bool, Decimal | None]:
        return quote.model in catalog, catalog[quote.model]["price"] if quote.model in catalog else None

    polls = [at for at, _ in snapshots]
    inside = [at for at, catalog in snapshots if state(catalog) == (bool(quote.listed), quote.price)]
    start, end = quote.valid_from, quote.valid_to
    assert (start is None or start <= quote.at) and (end is None or quote.at < end)  # noqa: PT018 - one claim
    shown = [at for at in polls if (start is None or start <= at) and (end is None or at < end)]
    assert set(shown) <= set(inside)
    assert quote.changed_after == (max((at for at in polls if at < start), default=None) if start else None)
    assert quote.certain_until == max(shown, default=None)
    assert (quote.last_observed_at, quote.extrapolated) == (polls[-1], quote.at > polls[-1])


def periods_and_views_equal_the_snapshots(connection: Connection, source: str, snapshots: Snapshots) -> None:
    """Periods never overlap, nor cover a time when the model was not listed; the views say what the module says."""
    for name in ever_offered(snapshots):
        periods = history.price_periods(connection, name, source=source)
        assert [(period.valid_from, period.valid_to, period.price) for period in periods] == naive_periods(
            name, snapshots
        )
        assert price_view(connection, source, name) == [
            (period.price, period.valid_from, period.valid_to, period.changed_after) for period in periods
        ]
        there = history.availability(connection, name, source=source)
        assert availability_view(connection, source, name) == [
            (i.began_as, i.listed_from, i.listed_to, i.changed_after) for i in there.intervals
        ]
        listed = [at for at, catalog in snapshots[:-1] if name in catalog]
        assert there.listed_for == timedelta(days=len(listed))
    now = list(history.catalog(connection, source=source))
    then = history.catalog_at(connection, at=snapshots[-1][0], source=source)
    shared = ("source", "model", "model_id", "currency", "unit", *TRACKED)
    assert [[getattr(row, key) for key in shared] for row in now] == [
        [getattr(row, key) for key in shared] for row in then
    ]
    assert price_changes_view(connection, source) == naive_price_changes(connection, source)


def naive_periods(name: str, snapshots: Snapshots) -> list[tuple[datetime, datetime | None, Decimal | None]]:
    """The runs of equal price while listed."""
    periods: list[tuple[datetime, datetime | None, Decimal | None]] = []
    for at, catalog in snapshots:
        begun = periods[-1] if periods and periods[-1][1] is None else None
        if begun and (name not in catalog or catalog[name]["price"] != begun[2]):
            periods[-1] = (begun[0], at, begun[2])
            begun = None
        if name in catalog and begun is None:
            periods.append((at, None, catalog[name]["price"]))
    return periods


def price_view(connection: Connection, source: str, name: str) -> list[tuple[Any, ...]]:
    """The rows of the view `price_periods`."""
    query = sa.text(
        "SELECT price, valid_from, valid_to, changed_after FROM price_periods WHERE source = :source "
        "AND model = :model AND component = 'price' ORDER BY valid_from"
    ).columns(price=Price, valid_from=UtcDateTime, valid_to=UtcDateTime, changed_after=UtcDateTime)
    return [tuple(row) for row in connection.execute(query, {"source": source, "model": name})]


def availability_view(connection: Connection, source: str, name: str) -> list[tuple[Any, ...]]:
    """The rows of the view `availability`."""
    query = sa.text(
        "SELECT began_as, listed_from, listed_to, changed_after FROM availability WHERE source = :source "
        "AND model = :model ORDER BY listed_from"
    ).columns(listed_from=UtcDateTime, listed_to=UtcDateTime, changed_after=UtcDateTime)
    return [tuple(row) for row in connection.execute(query, {"source": source, "model": name})]


def price_changes_view(connection: Connection, source: str) -> list[tuple[Any, ...]]:
    """The rows of the view `price_changes`."""
    query = sa.text(
        "SELECT change_id, old, new, absolute, percent FROM price_changes WHERE source = :source ORDER BY 1"
    )
    typed = query.columns(old=Price, new=Price, absolute=Price, percent=Price)
    return [tuple(row) for row in connection.execute(typed, {"source": source})]


def naive_price_changes(connection: Connection, source: str) -> list[tuple[Any, ...]]:
    """Each change that moved a price, as the module tells it."""
    return [
        (
            row.id,
            row.old_price,
            row.price,
            None if row.old_price is None or row.price is None else row.price - row.old_price,
            percent(row.old_price, row.price),
        )
        for row in history.changes(connection, source=source, kinds=["repriced", "relisted"])
        if row.old_price != row.price
    ]


def a_difference_turns_one_catalog_into_the_other(connection: Connection, source: str, snapshots: Snapshots) -> None:
    """`diff(a, b)` applied to `catalog_at(a)` is `catalog_at(b)`, and it names nothing that is equal."""
    times = [at for at, _ in snapshots]
    assert history.diff(connection, times[0] - TICK, times[-1], source=source) == [], "not observed then"
    catalogs = {at: {row.model_id: row for row in history.catalog_at(connection, at=at, source=source)} for at in times}
    for a, b in itertools.combinations(times, 2):
        result = dict(catalogs[a])
        for found in history.diff(connection, a, b, source=source):
            assert result.pop(found.model_id, None) == found.before != found.after
            if found.after is not None:
                result[found.model_id] = found.after
        assert result == catalogs[b]


def cost_and_stats_equal_the_naive_loop(
    connection: Connection, source: str, snapshots: Snapshots, quantities: list[int]
) -> None:
    """`cost` equals pricing each usage from its snapshot, and `price_stats` adding up day by day, exactly (law 4)."""
    usage = [
        Usage(model=name, at=at, quantity=quantity, unit="token")
        for at in moments(snapshots)
        for name in NAMES
        for quantity in quantities
    ]
    priced = list(history.cost(connection, usage, source=source))
    assert [row.usage for row in priced] == usage
    assert [row.exact for row in priced] == [naive_cost(used, snapshots) for used in usage]
    assert all((row.exact is None) == (row.reason is not None) for row in priced)
    total = sum((row.exact for row in priced if row.exact is not None), Fraction())
    assert sum(row.exact for row in history.cost_totals(priced)) == total
    for name in ever_offered(snapshots):
        stats = history.price_stats(connection, name, source=source)
        known = naive_amounts(name, snapshots)
        assert (stats.min, stats.max) == (min(known, default=None), max(known, default=None))
        assert stats.mean_exact == (sum(map(Fraction, known), Fraction()) / len(known) if known else None)


def naive_amounts(name: str, snapshots: Snapshots) -> list[Decimal]:
    """The known price of each day, of the periods whose unit (when they began) is that of the last one."""
    begun = {at: UNITS.get(catalog[name]["type"]) for at, catalog in snapshots if name in catalog}
    periods = naive_periods(name, snapshots)
    return [
        price
        for start, end, price in periods
        for at, _ in snapshots[:-1]
        if begun[start] == begun[periods[-1][0]] and price is not None and price >= 0
        if start <= at and (end is None or at < end)
    ]


def naive_cost(used: Usage, snapshots: Snapshots) -> Fraction | None:
    """The price of the last snapshot, where it is an amount for tokens and one model alone answers to the name."""
    truth = offered_at(snapshots, used.at)
    state = truth.get(used.model)
    if state is None or state["price"] is None or state["price"] < 0 or state["type"] != "Text":
        return None if used.model in ever_offered(snapshots) else naive_alias_cost(used, snapshots)
    return Fraction(state["price"]) * Fraction(used.quantity) / 1_000_000


def naive_alias_cost(used: Usage, snapshots: Snapshots) -> Fraction | None:
    """A name that no model ever bore is an alias: of the one model whose last known state had it."""
    last_known: dict[str, State] = {}
    for at, catalog in snapshots:
        if at <= used.at:
            last_known |= catalog
    answering = [name for name, state in last_known.items() if state["alias"] == used.model]
    if len(answering) != 1:
        return None
    return naive_cost(Usage(model=answering[0], at=used.at, quantity=used.quantity, unit=used.unit), snapshots)


def churn_and_flapping_equal_the_naive_count(connection: Connection, source: str, snapshots: Snapshots) -> None:
    """Each coming and going between two snapshots is counted on its day, and each return as one reversal at least."""
    since, until = snapshots[0][0], snapshots[-1][0] + timedelta(days=1)
    days = history.churn(connection, since=since, until=until, every="day", source=source)
    flapping = history.flapping(connection, since=since, until=until, more_than=0, source=source)
    gone = [sum(name not in after for name in before) for (_, before), (_, after) in pairwise(snapshots)]
    came = [sum(name not in before for name in after) for (_, before), (_, after) in pairwise(snapshots)]
    assert [row.removed for row in days] == [0, *gone]
    assert [row.added + row.relisted for row in days] == [0, *came]
    assert [row.baseline for row in days] == [len(snapshots[0][1])] + [0] * len(gone)
    assert sum(row.returns for row in flapping) == sum(row.relisted for row in days)


def test_with_trust_the_past_is_what_was_believed_by_effective_time(engine: Engine) -> None:
    """With trust on, `price_at(t)` is the latest believed change by `effective_at` (law 6), one state at each time."""

    def check(past: list[Any]) -> None:
        source, snapshots = live(engine, past, trust=True)
        with reading(engine) as connection:
            the_past_is_what_was_believed(connection, source, snapshots)

    live_many(engine, check)


def the_past_is_what_was_believed(connection: Connection, source: str, snapshots: Snapshots) -> None:
    """As a loop over the changes of each model finds it."""
    query = (
        sa.select(changes.c.name, changes.c.kind, changes.c.price, changes.c.effective_at)
        .join(models, models.c.id == changes.c.model_id)
        .join(sources, sources.c.id == models.c.source_id)
        .where(sources.c.name == source)
    )
    rows = connection.execute(query).all()
    assert len({(row.name, row.effective_at) for row in rows}) == len(rows)
    for at, name in itertools.product(moments(snapshots), {row.name for row in rows}):
        believed = [row for row in rows if row.name == name and row.effective_at <= at]
        last = max(believed, key=lambda row: row.effective_at, default=None)
        quote = history.price_at(connection, name, at=at, source=source)
        listed = last is not None and last.kind != "removed"
        assert quote.listed == (listed if at >= snapshots[0][0] else None)
        assert quote.price == (last.price if last is not None and quote.listed else None)
