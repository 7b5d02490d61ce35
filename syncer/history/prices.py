"""What one model cost, and when it was there.

A price period begins at a change other than `updated` and ends at the next one; a removal ends it and begins an
absence, during which there is no price (that is not an unknown one). Prices are in the currency and unit that the
settings say now. For statistics a negative price is no amount (some catalogs mean "varies" by it): it is as unknown.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from syncer.core.model import Kind
from syncer.db.tables import changes, models, runs, sources
from syncer.history import exact
from syncer.history.resolve import STATE_ID, Found, Source, Unit, all_sources, find_model, require_aware

if TYPE_CHECKING:
    from syncer.history.resolve import Asked


# -- one moment --------------------------------------------------------------------------------------------------------


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What was true of a model's price at `at`, and how surely.

    `listed` False: the source did not offer the model then, and `price` is None. `listed` True with a `price` of None:
    it was offered at an unknown price. Either held in `[valid_from, valid_to)`; `valid_from` is None before it was
    first listed, `valid_to` None if nothing is known to have ended it. What began it happened in
    `(changed_after, valid_from]`, where `changed_after` None means that the source's first look found it so.

    `certain_until` is the last look that still showed it (None if no look did): between that and `valid_to` the truth
    had moved at some moment. `extrapolated`: `at` is later than `last_good_look_at`, the source's last good look.
    `price` is in `currency` for `unit` (quantity, word), each None where it is not configured for the type of then.
    """

    source: str
    model: str
    at: datetime
    listed: bool
    price: Decimal | None
    currency: str | None
    unit: Unit | None
    valid_from: datetime | None
    valid_to: datetime | None
    changed_after: datetime | None
    certain_until: datetime | None
    extrapolated: bool
    last_good_look_at: datetime | None


_UPDATED: sa.ColumnClause[str] = sa.literal_column(
    "'updated'"
)  # a literal: only so does a planner see that the partial index holds the answer
_boundary = changes.alias("boundary")
_state, _begun, _ended = changes.alias("state"), changes.alias("begun"), changes.alias("ended")
_whole = runs.alias("whole")


def _boundary_id(condition: sa.ColumnElement[bool], order: sa.ColumnElement[Any]) -> sa.ScalarSelect[Any]:
    query = sa.select(_boundary.c.id).where(
        _boundary.c.model_id == models.c.id, _boundary.c.kind != _UPDATED, condition
    )
    return query.order_by(order).limit(1).correlate(models).scalar_subquery()


_BEGUN_ID = _boundary_id(_boundary.c.effective_at <= sa.bindparam("at"), _boundary.c.effective_at.desc())
_ENDED_ID = _boundary_id(_boundary.c.effective_at > sa.bindparam("at"), _boundary.c.effective_at)
# The latest look of which every element could be read: it alone surely proves that a model is not there (law 3).
_WHOLE_LOOK = (
    sa.select(_whole.c.observed_at)
    .where(
        _whole.c.source_id == models.c.source_id,
        _whole.c.observed_at.is_not(None),
        _whole.c.rejected == 0,
        _whole.c.kind != "revert",
    )
    .order_by(_whole.c.observed_at.desc())
    .limit(1)
    .correlate(models)
    .scalar_subquery()
)
_QUOTE = (
    sa.select(
        models.c.name.label("model"),
        models.c.last_seen_at,
        sources.c.name.label("source"),
        sources.c.currency,
        sources.c.price_units,
        sources.c.last_good_look_at,
        _state.c.type,
        _begun.c.kind,
        _begun.c.price,
        _begun.c.effective_at.label("valid_from"),
        _begun.c.changed_after,
        _ended.c.effective_at.label("valid_to"),
        _ended.c.changed_after.label("shown_until"),
        _WHOLE_LOOK.label("whole_look_at"),
    )
    .select_from(models)
    .join(sources, sources.c.id == models.c.source_id)
    .outerjoin(_state, _state.c.id == STATE_ID)
    .outerjoin(_begun, _begun.c.id == _BEGUN_ID)
    .outerjoin(_ended, _ended.c.id == _ENDED_ID)
)
"""One statement, so that it sees one moment: three seeks in the model's history, however long it is."""
_OF_MODEL = _QUOTE.where(models.c.id == sa.bindparam("model_id"))
_NAMED = _QUOTE.where(models.c.name == sa.bindparam("model"))
_NAMED_IN_SOURCE = _NAMED.where(sources.c.name == sa.bindparam("source"))


def price_at(connection: "Asked", model: str, *, at: datetime, source: str | None = None) -> Quote:
    """The price of `model` (a name, or an alias as it was then) at `at`.

    A model that was not listed then gives a Quote with `listed` False. Raises ValueError if `at` is naive,
    UnknownSource, UnknownModel for one never seen, AmbiguousModel.
    """
    require_aware(at=at)
    named = _NAMED if source is None else _NAMED_IN_SOURCE
    rows = connection.execute(named, {"model": model, "source": source, "at": at}).all()
    if len(rows) != 1:  # an alias, unknown or ambiguous: worth a second question
        found = find_model(connection, model, source=source, at=at)
        rows = connection.execute(_OF_MODEL, {"model_id": found.id, "at": at}).all()
    return _quote(rows[0], at)


def _quote(row: Any, at: datetime) -> Quote:  # noqa: ANN401 - a row of _QUOTE
    listed = row.kind is not None and row.kind != Kind.REMOVED
    quantity_and_word = (row.price_units or {}).get(row.type) if listed else None
    return Quote(
        source=row.source,
        model=row.model,
        at=at,
        listed=listed,
        price=row.price if listed else None,
        currency=row.currency,
        unit=None if quantity_and_word is None else (quantity_and_word[0], quantity_and_word[1]),
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        changed_after=row.changed_after,
        certain_until=_certain_until(row, listed=listed),
        extrapolated=row.last_good_look_at is None or at > row.last_good_look_at,
        last_good_look_at=row.last_good_look_at,
    )


def _certain_until(row: Any, *, listed: bool) -> datetime | None:  # noqa: ANN401 - a row of _QUOTE
    if row.valid_to is not None:
        until: datetime | None = row.shown_until
        return until
    if listed:
        return row.last_seen_at or row.last_good_look_at  # type: ignore[no-any-return]
    return max((at for at in (row.valid_from, row.whole_look_at) if at is not None), default=None)


# -- its periods -------------------------------------------------------------------------------------------------------


class PricePeriod(msgspec.Struct, frozen=True, kw_only=True):
    """A price (None = unknown) that held in `[valid_from, valid_to)`; `valid_to` None = still.

    It began in `(changed_after, valid_from]`. `unit` is that of the model's type when it began.
    """

    source: str
    model: str
    price: Decimal | None
    valid_from: datetime
    valid_to: datetime | None
    changed_after: datetime | None
    currency: str | None
    unit: Unit | None


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A model was listed in `[listed_from, listed_to)`; None = still. `began_as` is `added` or `relisted`."""

    listed_from: datetime
    listed_to: datetime | None
    began_as: Kind
    changed_after: datetime | None


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """When a model was listed: `intervals`, whole, and the exact `share` of `[since, until)` that they cover.

    `share` is None of an empty window.
    """

    source: str
    model: str
    since: datetime
    until: datetime
    intervals: tuple[Interval, ...]
    listed_for: timedelta
    share: Fraction | None


class PriceStats(msgspec.Struct, frozen=True, kw_only=True):
    """A model's known prices within `[since, until)`, exactly; in `currency` for `unit` (that of the latest one).

    `min` and `max` are over all prices in force at some moment of the window, and `mean` weighs each by how long it
    was, over `priced_for` in all: `mean_exact` rounded at most once, to 28 digits. `repricings` counts the changes of
    kind `repriced`. `lowest_30_days` is the lowest price in force in the 30 days before `day`. None: no known price.
    """

    source: str
    model: str
    since: datetime
    until: datetime
    currency: str | None
    unit: Unit | None
    min: Decimal | None
    max: Decimal | None
    mean: Decimal | None
    mean_exact: Fraction | None
    priced_for: timedelta
    repricings: int
    day: datetime
    lowest_30_days: Decimal | None


_BOUNDARIES = (
    sa.select(
        changes.c.source_id,
        changes.c.kind,
        changes.c.price,
        changes.c.type,
        changes.c.effective_at,
        changes.c.changed_after,
    )
    .where(changes.c.model_id == sa.bindparam("model_id"), changes.c.kind != _UPDATED)
    .order_by(changes.c.effective_at)
)
_THIRTY_DAYS = timedelta(days=30)


class _Past(msgspec.Struct, frozen=True):
    """One model's whole history of prices."""

    model: Found
    source: Source
    boundaries: Sequence[Any]
    periods: Sequence[PricePeriod]


def price_periods(
    connection: "Asked",
    model: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    source: str | None = None,
) -> list[PricePeriod]:
    """The price periods of `model` in order, whole; only those that reach into `[since, until)`, where given.

    They never overlap, and leave a gap where it was not listed. `model` is a name or a last known alias.
    Raises ValueError for a naive time, UnknownSource, UnknownModel, AmbiguousModel; so do the next two.
    """
    require_aware(since=since, until=until)
    return [
        period
        for period in _past(connection, model, source).periods
        if _overlaps(period.valid_from, period.valid_to, since, until)
    ]


def availability(
    connection: "Asked",
    model: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    source: str | None = None,
) -> Availability:
    """When `model` was listed within `[since, until)`; by default always, its share up to the last good look."""
    past = _past(connection, model, source)
    start, end = _window(past, since, until)
    intervals = [i for i in _intervals(past.boundaries) if _overlaps(i.listed_from, i.listed_to, since, until)]
    listed_for = sum((_within(i.listed_from, i.listed_to, start, end) for i in intervals), timedelta())
    return Availability(
        source=past.model.source,
        model=past.model.name,
        since=start,
        until=end,
        intervals=tuple(intervals),
        listed_for=listed_for,
        share=exact.share(listed_for, end - start),
    )


def price_stats(
    connection: "Asked",
    model: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    day: datetime | None = None,
    source: str | None = None,
) -> PriceStats:
    """Statistics of the known prices of `model` within `[since, until)`, and the lowest in the 30 days before `day`.

    By default the window reaches from its first listing to the last good look, and `day` is its end.
    """
    require_aware(day=day)
    past = _past(connection, model, source)
    since, until = _window(past, since, until)
    day = day or until
    known = _amounts(past.periods, since, until)
    prices = [price for price, _ in known]
    mean = exact.weighted_mean(known)
    return PriceStats(
        source=past.model.source,
        model=past.model.name,
        since=since,
        until=until,
        currency=past.source.currency,
        unit=past.periods[-1].unit if past.periods else None,
        min=min(prices, default=None),
        max=max(prices, default=None),
        mean=None if mean is None else exact.decimal(mean),
        mean_exact=mean,
        priced_for=sum((lasted for _, lasted in known), timedelta()),
        repricings=sum(row.kind == Kind.REPRICED and since <= row.effective_at < until for row in past.boundaries),
        day=day,
        lowest_30_days=min((price for price, _ in _amounts(past.periods, day - _THIRTY_DAYS, day)), default=None),
    )


def _past(connection: "Asked", model: str, source: str | None) -> _Past:
    found = find_model(connection, model, source=source)
    boundaries = connection.execute(_BOUNDARIES, {"model_id": found.id}).all()
    origin = all_sources(connection)[boundaries[0].source_id]
    return _Past(found, origin, boundaries, _periods(boundaries, found, origin))


def _periods(boundaries: Sequence[Any], model: Found, source: Source) -> list[PricePeriod]:
    return [
        PricePeriod(
            source=model.source,
            model=model.name,
            price=row.price,
            valid_from=row.effective_at,
            valid_to=None if following is None else following.effective_at,
            changed_after=row.changed_after,
            currency=source.currency,
            unit=source.unit(row.type),
        )
        for row, following in pairwise([*boundaries, None])
        if row.kind != Kind.REMOVED
    ]


def _intervals(boundaries: Iterable[Any]) -> list[Interval]:
    edges = [row for row in boundaries if row.kind != Kind.REPRICED]
    return [
        Interval(
            listed_from=row.effective_at,
            listed_to=None if following is None else following.effective_at,
            began_as=Kind(row.kind),
            changed_after=row.changed_after,
        )
        for row, following in pairwise([*edges, None])
        if row.kind != Kind.REMOVED
    ]


def _amounts(periods: Iterable[PricePeriod], since: datetime, until: datetime) -> list[tuple[Decimal, timedelta]]:
    """Each known price in force in the window, with how long it was."""
    return [
        (period.price, _within(period.valid_from, period.valid_to, since, until))
        for period in periods
        if period.price is not None
        and period.price >= 0
        and _overlaps(period.valid_from, period.valid_to, since, until)
    ]


def _window(past: _Past, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    require_aware(since=since, until=until)
    first = past.boundaries[0].effective_at
    until = until or past.source.last_good_look_at or first
    since = min(first, until) if since is None else since
    if since > until:
        raise ValueError(f"a window cannot end before it begins: since {since.isoformat()}, until {until.isoformat()}")
    return since, until


def _overlaps(start: datetime, end: datetime | None, since: datetime | None, until: datetime | None) -> bool:
    return (until is None or start < until) and (since is None or end is None or since < end)


def _within(start: datetime, end: datetime | None, since: datetime, until: datetime) -> timedelta:
    """How much of `[start, end)` lies in `[since, until)`."""
    return max((until if end is None else min(end, until)) - max(start, since), timedelta())
