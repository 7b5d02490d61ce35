"""What one model cost, component by component, and when it was there.

A price period begins where the component's price moves, or is read anew, or the model comes or returns; it ends at the
next of these. A removal ends it and begins an absence, during which there is no price (that is not an unknown one).
Prices are in the currency and unit that the settings say now. For statistics a negative price is no amount (some
catalogs mean "varies" by it): it is as unknown. Nothing is computed across two units.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from syncer.core.model import PRICES, Kind
from syncer.core.rules import FindingKind
from syncer.core.withheld import OPEN, REJECTED
from syncer.db.tables import changes, findings, models, sources
from syncer.db.tables import prices as moves
from syncer.db.types import UtcDateTime
from syncer.errors import UnknownComponent
from syncer.history import exact
from syncer.history.resolve import (
    FIRST_OBSERVED_AT,
    STATE_ID,
    Found,
    Source,
    Unit,
    all_sources,
    find_model,
    require_aware,
    require_aware_or_none,
    unit_of,
    was_observed,
)

if TYPE_CHECKING:
    from syncer.history.resolve import Asked


# -- one moment --------------------------------------------------------------------------------------------------------


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What was true of one price of a model at `at`, and how surely.

    `listed` False: the source did not offer the model then, and `price` is None. `listed` None: the source was not
    observed then, its first observation is `first_observed_at`. `listed` True with a `price` of None: it was offered
    at an unknown price. Either held in `[valid_from, valid_to)`; `valid_from` is None before the component was first
    known, `valid_to` None if nothing is known to have ended it. What began it happened in
    `(changed_after, valid_from]`, where `changed_after` None means that the source's first observation found it so.

    `certain_until` is the last observation that still showed it (None if none did): between that and `valid_to` the
    truth had moved at some moment. While a change of it is withheld, or upstream's prices cannot be read (since
    `unread_since`, None if they can), it stands still; what else of the model cannot be read is no doubt about a
    price. `extrapolated`: `at` is later than `last_observed_at`, the source's last observation. `price` is in
    `currency` for `unit` (quantity, word), each None where nobody said so for the component and the model's type of
    then.
    """

    source: str
    model: str
    component: str
    at: datetime
    listed: bool | None
    price: Decimal | None
    currency: str | None
    unit: Unit | None
    valid_from: datetime | None
    valid_to: datetime | None
    changed_after: datetime | None
    certain_until: datetime | None
    unread_since: datetime | None
    extrapolated: bool
    first_observed_at: datetime | None
    last_observed_at: datetime | None


_state, _begun, _ended = changes.alias("state"), moves.alias("begun"), moves.alias("ended")
_AT: sa.BindParameter[datetime] = sa.bindparam("at")


def _neighbour(component: sa.ColumnElement[str], *, later: bool) -> "sa.ScalarSelect[Any]":
    """When the component's price last moved by `:at`, or moved next after it: a seek in the key of `prices`."""
    move = moves.alias("after" if later else "before")
    beyond = move.c.effective_at > _AT if later else move.c.effective_at <= _AT
    query = sa.select(move.c.effective_at).where(move.c.model_id == models.c.id, move.c.component == component, beyond)
    order = move.c.effective_at if later else move.c.effective_at.desc()
    return query.order_by(order).limit(1).scalar_subquery()


def _is_move(move: Any, component: sa.ColumnElement[str], *, later: bool) -> sa.ColumnElement[bool]:  # noqa: ANN401 - an alias
    return sa.and_(
        move.c.model_id == models.c.id,
        move.c.component == component,
        move.c.effective_at == _neighbour(component, later=later),
    )


_evidence = sa.func.json_each(findings.c.evidence).table_valued("key", "value")
_IS_PRICE_WITHHELD = (
    sa.exists()
    .select_from(findings.join(_evidence, sa.true()))
    .where(
        findings.c.source_id == sources.c.id,
        sa.or_(findings.c.state == OPEN, findings.c.state == REJECTED),  # not IN: that is expanded at each question
        _evidence.c.key == models.c.name,
        sa.or_(findings.c.kind != FindingKind.SHAPE.value, sa.cast(_evidence.c.value, sa.Text).contains(f'"{PRICES}.')),
    )
)
_IS_PRICE_SHOWN = sa.case(
    (
        models.c.last_seen_at.is_not(None)
        & models.c.missing_since.is_(None)
        & models.c.unread_since.is_(None)
        & (sources.c.last_judged_at == sources.c.last_observed_at),
        ~_IS_PRICE_WITHHELD,  # asked of these few only
    ),
    else_=sa.false(),
)
"""Whether the last observation showed the prices plainly of a model of which it did not show all: a limit that can
never be read takes no certainty from a price.
"""
_COLUMNS = (
    models.c.name.label("model"),
    models.c.id.label("model_id"),
    models.c.prices,
    models.c.last_seen_at,
    models.c.unread_since,
    _IS_PRICE_SHOWN.label("is_price_shown"),
    sources.c.name.label("source"),
    sources.c.headline,
    sources.c.currency,
    sources.c.price_units,
    sources.c.last_observed_at,
    sources.c.last_shown_at,
    sources.c.last_judged_at,
    FIRST_OBSERVED_AT.label("first_observed_at"),
    _state.c.type,
    _state.c.kind.label("state"),
    _state.c.effective_at.label("state_since"),
    _begun.c.kind,
    _begun.c.price,
    _begun.c.effective_at.label("valid_from"),
    _begun.c.changed_after,
    _ended.c.effective_at.label("valid_to"),
    _ended.c.changed_after.label("shown_until"),
)
_MODELS = models.join(sources, sources.c.id == models.c.source_id).outerjoin(_state, _state.c.id == STATE_ID)
_COMPONENT = sa.func.coalesce(sa.bindparam("component", type_=sa.String()), sources.c.headline)
_QUOTE = sa.select(*_COLUMNS, _COMPONENT.label("component")).select_from(
    _MODELS.outerjoin(_begun, _is_move(_begun, _COMPONENT, later=False)).outerjoin(
        _ended, _is_move(_ended, _COMPONENT, later=True)
    )
)
"""One statement, so that it sees one moment: three seeks in the model's history, however long it is."""
_OF_MODEL = _QUOTE.where(models.c.id == sa.bindparam("model_id"))
_NAMED = _QUOTE.where(models.c.name == sa.bindparam("model"))
_NAMED_IN_SOURCE = _NAMED.where(sources.c.name == sa.bindparam("source"))


def price_at(
    connection: "Asked", model: str, component: str | None = None, *, at: datetime, source: str | None = None
) -> Quote:
    """One price of `model` (a name, or an alias as it was then) at `at`: that of `component`, or the headline.

    A model that was not listed then gives a Quote with `listed` False, a time before the source's first observation
    one with `listed` None. Raises ValueError if `at` is naive, UnknownSource, UnknownModel for one never seen,
    AmbiguousModel, UnknownComponent for a price that the model never had.
    """
    require_aware(at=at)
    named = _NAMED if source is None else _NAMED_IN_SOURCE
    values = {"component": component, "at": at}
    rows = connection.execute(named, {**values, "model": model, "source": source}).all()
    if len(rows) != 1:  # an alias, unknown or ambiguous: worth a second question
        found = find_model(connection, model, source=source, at=at)
        rows = connection.execute(_OF_MODEL, {**values, "model_id": found.id}).all()
    _require_component(component, rows[0].model, rows[0].prices)
    return _quote(rows[0], at)


def _require_component(component: str | None, model: str, known: Iterable[str]) -> None:
    if component is not None and component not in known:
        its = sorted(known)
        raise UnknownComponent(f"{model!r} never had a price {component!r}; it has: {', '.join(its)}", known=tuple(its))


_EACH = (
    sa.select(*_COLUMNS, _begun.c.component)
    .select_from(
        _MODELS.join(_begun, _is_move(_begun, _begun.c.component, later=False)).outerjoin(
            _ended, _is_move(_ended, _begun.c.component, later=True)
        )
    )
    .where(models.c.id == sa.bindparam("model_id"))
)


def prices_at(connection: "Asked", model: str, *, at: datetime, source: str | None = None) -> list[Quote]:
    """All prices of `model` that were known at `at`: the headline first, the others by component.

    Where nothing was known yet, or the model was not listed, the headline says so alone or each price for itself.
    Raises as `price_at` does.
    """
    headline = price_at(connection, model, at=at, source=source)
    found = find_model(connection, headline.model, source=headline.source)
    rows = connection.execute(_EACH, {"model_id": found.id, "at": at})
    others = (_quote(row, at) for row in rows if row.component != headline.component)
    return [headline, *sorted(others, key=lambda quote: quote.component)]


def _quote(row: Any, at: datetime) -> Quote:  # noqa: ANN401 - a row of _QUOTE
    listed = _is_listed(row, at)
    return Quote(
        source=row.source,
        model=row.model,
        component=row.component,
        at=at,
        listed=listed,
        price=row.price if listed else None,
        currency=row.currency,
        unit=unit_of(row.price_units, row.component, row.type) if listed else None,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        changed_after=row.changed_after,
        certain_until=_certain_until(row, listed=bool(listed)),
        unread_since=row.unread_since if listed and row.valid_to is None else None,
        extrapolated=row.last_observed_at is None or at > row.last_observed_at,
        first_observed_at=row.first_observed_at,
        last_observed_at=row.last_observed_at,
    )


def _is_listed(row: Any, at: datetime) -> bool | None:  # noqa: ANN401 - a row of _QUOTE
    if row.state is None and not was_observed(row.first_observed_at, at):
        return None
    return row.state is not None and row.state != Kind.REMOVED


def _certain_until(row: Any, *, listed: bool) -> datetime | None:  # noqa: ANN401 - a row of _QUOTE
    if row.valid_to is not None:
        until: datetime | None = row.shown_until
        return until
    shown_at = row.last_shown_at or row.last_observed_at
    if listed:
        seen = shown_at if row.is_price_shown else row.last_seen_at or shown_at
    else:
        seen = shown_at if row.last_judged_at == row.last_observed_at else row.last_judged_at
    return max((at for at in (row.valid_from, seen) if at is not None), default=None)


# -- its periods -------------------------------------------------------------------------------------------------------


class PricePeriod(msgspec.Struct, frozen=True, kw_only=True):
    """A price of one component (None = unknown) that held in `[valid_from, valid_to)`; `valid_to` None = still.

    It began in `(changed_after, valid_from]`, by a change of this `kind`; `reread` is another reading of what upstream
    had said before. `unit` is what it was for, by the model's type when it began.
    """

    source: str
    model: str
    component: str
    price: Decimal | None
    valid_from: datetime
    valid_to: datetime | None
    changed_after: datetime | None
    kind: Kind
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
    """A model's known prices of one component within `[since, until)`, exactly; in `currency` for `unit`.

    `min` and `max` are over all prices in force at some moment of the window, and `mean` weighs each by how long it
    was, over `priced_for` in all: `mean_exact` rounded at most once, to 28 digits. `repricings` counts the moves.
    `lowest_30_days` is the lowest price in force in the 30 days before `day`. None: no known price. Only prices for
    the latest `unit` count: `other_units` is how many periods of the window were for another one.
    """

    source: str
    model: str
    component: str
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
    other_units: int


_PRESENCE = (
    sa.select(changes.c.source_id, changes.c.kind, changes.c.effective_at, changes.c.changed_after)
    .where(changes.c.model_id == sa.bindparam("model_id"), changes.c.kind.in_(["added", "removed", "relisted"]))
    .order_by(changes.c.effective_at)
)
_MODEL: sa.BindParameter[int] = sa.bindparam("model_id")
_ONE: sa.BindParameter[str] = sa.bindparam("component")
_MOVES = (
    sa.select(moves, changes.c.type)
    .join(changes, changes.c.id == moves.c.change_id)
    .where(moves.c.model_id == _MODEL, moves.c.component == _ONE)
    .order_by(moves.c.effective_at)
)
_other = moves.alias("other")
_BESIDE = sa.and_(_other.c.model_id == _MODEL, _other.c.component == _ONE)
_SINCE, _UNTIL = sa.bindparam("since", type_=UtcDateTime()), sa.bindparam("until", type_=UtcDateTime())
_IN_FORCE_AT_SINCE = (
    sa.select(sa.func.max(_other.c.effective_at)).where(_BESIDE, _other.c.effective_at <= _SINCE).scalar_subquery()
)
_NEXT_AFTER_UNTIL = (
    sa.select(sa.func.min(_other.c.effective_at)).where(_BESIDE, _other.c.effective_at > _UNTIL).scalar_subquery()
)
_COMPONENTS = sa.select(models.c.prices, models.c.source_id).where(models.c.id == sa.bindparam("model_id"))
_THIRTY_DAYS = timedelta(days=30)


def price_periods(
    connection: "Asked",
    model: str,
    component: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    source: str | None = None,
) -> list[PricePeriod]:
    """The price periods of `model`, whole: of `component`, or of all, those of the headline first.

    Only those that reach into `[since, until)`, where given. Those of one component are in order, never overlap, and
    leave a gap where the model was not listed. `model` is a name or a last known alias. Raises ValueError for a naive
    time, UnknownSource, UnknownModel, AmbiguousModel, UnknownComponent; so do the next two.
    """
    require_aware_or_none(since=since, until=until)
    found, origin, known = _model(connection, model, source, component)
    components = sorted(known, key=lambda name: (name != origin.headline, name)) if component is None else [component]
    return [
        period
        for name in components
        for period in _periods(_moves_within(connection, found, name, since, until), found, origin)
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
    """When `model` was listed within `[since, until)`; by default always, its share up to the last observation."""
    found, origin, _ = _model(connection, model, source)
    presence = _presence(connection, found)
    start, end = _window(presence, origin, since, until)
    intervals = [i for i in _intervals(presence) if _overlaps(i.listed_from, i.listed_to, since, until)]
    listed_for = sum((_within(i.listed_from, i.listed_to, start, end) for i in intervals), timedelta())
    return Availability(
        source=found.source,
        model=found.name,
        since=start,
        until=end,
        intervals=tuple(intervals),
        listed_for=listed_for,
        share=exact.share(listed_for, end - start),
    )


def price_stats(
    connection: "Asked",
    model: str,
    component: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    day: datetime | None = None,
    source: str | None = None,
) -> PriceStats:
    """Statistics of the known prices of `model` within `[since, until)`, and the lowest in the 30 days before `day`.

    Of `component`, or of the headline. By default the window reaches from the model's first listing to the last
    observation, and `day` is its end.
    """
    require_aware_or_none(day=day)
    found, origin, _ = _model(connection, model, source, component)
    component = component or origin.headline
    since, until = _window(_presence(connection, found), origin, since, until)
    day = day or until
    periods = _periods(_moves_within(connection, found, component, None, None), found, origin)
    unit = periods[-1].unit if periods else None
    comparable = [period for period in periods if period.unit == unit]
    known = _amounts(comparable, since, until)
    prices = [price for price, _ in known]
    mean = exact.weighted_mean(known)
    return PriceStats(
        source=found.source,
        model=found.name,
        component=component,
        since=since,
        until=until,
        currency=origin.currency,
        unit=unit,
        min=min(prices, default=None),
        max=max(prices, default=None),
        mean=None if mean is None else exact.decimal(mean),
        mean_exact=mean,
        priced_for=sum((lasted for _, lasted in known), timedelta()),
        repricings=sum(period.kind == Kind.REPRICED and since <= period.valid_from < until for period in periods),
        day=day,
        lowest_30_days=min((price for price, _ in _amounts(comparable, day - _THIRTY_DAYS, day)), default=None),
        other_units=sum(
            period.unit != unit and _overlaps(period.valid_from, period.valid_to, since, until) for period in periods
        ),
    )


def _model(
    connection: "Asked", model: str, source: str | None, component: str | None = None
) -> tuple[Found, Source, Collection[str]]:
    """The model, its source, and the components that it ever had a price of."""
    found = find_model(connection, model, source=source)
    known = connection.execute(_COMPONENTS, {"model_id": found.id}).one().prices
    _require_component(component, found.name, known)
    return found, all_sources(connection)[found.source_id], known


def _moves_within(
    connection: "Asked", model: Found, component: str, since: datetime | None, until: datetime | None
) -> Sequence[Any]:
    """The moves of one price, from the one that was in force at `since` to the one that ends what was at `until`.

    Both are seeks, so that a window costs what is in it, however long the history.
    """
    query = _MOVES
    if since is not None:
        query = query.where(moves.c.effective_at >= sa.func.coalesce(_IN_FORCE_AT_SINCE, _SINCE))
    if until is not None:
        query = query.where(moves.c.effective_at <= sa.func.coalesce(_NEXT_AFTER_UNTIL, _UNTIL))
    values = {"model_id": model.id, "component": component, "since": since, "until": until}
    return connection.execute(query, values).all()


def _presence(connection: "Asked", model: Found) -> Sequence[Any]:
    """The changes by which it came and went; the first one made it known."""
    return connection.execute(_PRESENCE, {"model_id": model.id}).all()


def _periods(boundaries: Sequence[Any], model: Found, source: Source) -> list[PricePeriod]:
    return [
        PricePeriod(
            source=model.source,
            model=model.name,
            component=row.component,
            price=row.price,
            valid_from=row.effective_at,
            valid_to=None if following is None else following.effective_at,
            changed_after=row.changed_after,
            kind=Kind(row.kind),
            currency=source.currency,
            unit=source.unit(row.component, row.type),
        )
        for row, following in pairwise([*boundaries, None])
        if row.kind != Kind.REMOVED
    ]


def _intervals(presence: Sequence[Any]) -> list[Interval]:
    return [
        Interval(
            listed_from=row.effective_at,
            listed_to=None if following is None else following.effective_at,
            began_as=Kind(row.kind),
            changed_after=row.changed_after,
        )
        for row, following in pairwise([*presence, None])
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


def _window(
    presence: Sequence[Any], source: Source, since: datetime | None, until: datetime | None
) -> tuple[datetime, datetime]:
    require_aware_or_none(since=since, until=until)
    first = presence[0].effective_at
    until = until or source.last_observed_at or first
    since = min(first, until) if since is None else since
    if since > until:
        raise ValueError(f"a window cannot end before it begins: since {since.isoformat()}, until {until.isoformat()}")
    return since, until


def _overlaps(start: datetime, end: datetime | None, since: datetime | None, until: datetime | None) -> bool:
    return (until is None or start < until) and (since is None or end is None or since < end)


def _within(start: datetime, end: datetime | None, since: datetime, until: datetime) -> timedelta:
    """How much of `[start, end)` lies in `[since, until)`."""
    return max((until if end is None else min(end, until)) - max(start, since), timedelta())
