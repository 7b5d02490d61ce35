"""What usage cost, at the price in force when it happened.

- Never 0 for what is not known, and never on an assumed unit: what cannot be priced comes back with the reason.
- Amounts are exact: quantity times price over the quantity that the price is for.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from syncer.core.model import Kind
from syncer.core.words import not_observed_then
from syncer.db.tables import changes, models
from syncer.errors import AmbiguousModel, UnknownModel, UnknownSource
from syncer.history import exact
from syncer.history.resolve import (
    BY_TYPE,
    STATE_ID,
    Found,
    Source,
    Unit,
    all_sources,
    find_named,
    nearest_names,
    only,
    require_aware,
    require_aware_or_none,
    source_id,
    unknown,
    was_observed,
)

if TYPE_CHECKING:
    from syncer.history.resolve import Asked


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """So much of a model was used at a time: `quantity` counts `unit`s ("token"), the word as configured for the price.

    `model` is a name, or an alias as it was then; `source` says whose. `component` says which of its prices it takes
    ("output"); it may only be left out of a model that has no other price than the headline.
    """

    model: str
    at: datetime
    quantity: Decimal | int | Fraction
    unit: str
    source: str | None = None
    component: str | None = None


class Unpriced(StrEnum):
    """Why a usage has no amount."""

    UNKNOWN_SOURCE = "unknown source"
    UNKNOWN_MODEL = "unknown model"
    AMBIGUOUS_MODEL = "ambiguous model"
    NOT_OBSERVED = "not observed then"
    NOT_LISTED = "not listed then"
    COMPONENT_NEEDED = "component needed"
    UNKNOWN_COMPONENT = "unknown component"
    UNKNOWN_PRICE = "unknown price"
    NEGATIVE_PRICE = "negative price"
    UNIT_NOT_CONFIGURED = "unit not configured"
    OTHER_UNIT = "priced in another unit"


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One usage, priced; or `reason` and `detail` say why not, and `amount` is None.

    `amount` is `exact` rounded at most once, to 28 digits, in `currency` (None = not configured). `price` is for
    `per`. `priced_at` is the time whose price was taken: the usage's, or `as_of`. `extrapolated`: it is later than
    the source's last observation.
    """

    usage: Usage
    source: str | None = None
    model: str | None = None
    component: str | None = None
    priced_at: datetime
    amount: Decimal | None = None
    exact: Fraction | None = None
    currency: str | None = None
    price: Decimal | None = None
    per: Unit | None = None
    extrapolated: bool = False
    reason: Unpriced | None = None
    detail: str | None = None


class CostTotal(msgspec.Struct, frozen=True, kw_only=True):
    """The sum of what was priced at one source; amounts in unknown currencies of two sources are not added up.

    `model` and `component` are None in a sum over all of them.
    """

    source: str
    model: str | None = None
    component: str | None = None
    currency: str | None
    amount: Decimal
    exact: Fraction
    priced: int


def cost(
    connection: "Asked", usage: Iterable[Usage], *, as_of: datetime | None = None, source: str | None = None
) -> Iterator[Cost]:
    """Price each usage as it comes, in order: with the price in force when it happened, or all with those of `as_of`.

    `source` is for usage that names none. It streams, and usage in the order of time is fastest. Raises UnknownSource;
    ValueError for a naive time, TypeError for a float quantity (both when that row is reached).
    """
    require_aware_or_none(as_of=as_of)
    if source is not None:
        source_id(connection, source)
    return _Pricer(connection, as_of, source).price_all(usage)


def cost_totals(costs: Iterable[Cost], *, each: bool = False) -> list[CostTotal]:
    """What all of it cost, by source, exactly; with `each` by source, model and component.

    Usage that could not be priced is in no total.
    """
    sums: dict[tuple[str, str, str, str | None], list[Fraction]] = {}
    for row in costs:
        if row.exact is not None and row.source is not None:
            of = (row.model or "", row.component or "") if each else ("", "")
            sums.setdefault((row.source, *of, row.currency), []).append(row.exact)
    return [
        CostTotal(
            source=source,
            model=model or None,
            component=component or None,
            currency=currency,
            amount=exact.decimal(total),
            exact=total,
            priced=len(amounts),
        )
        for (source, model, component, currency), amounts in sorted(sums.items(), key=lambda item: item[0][:3])
        for total in [sum(amounts, Fraction())]
    ]


class _State(msgspec.Struct, frozen=True):
    """What a model was in `[since, until)`: nothing of it moved then."""

    since: datetime | None
    until: datetime | None
    listed: bool
    alias: str | None
    type: str | None
    prices: Mapping[str, Decimal | None]

    def holds_at(self, at: datetime) -> bool:
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)


_next = changes.alias("next")
_NEXT_AT = (
    sa.select(_next.c.effective_at)
    .where(_next.c.model_id == models.c.id, _next.c.effective_at > sa.bindparam("at"))
    .order_by(_next.c.effective_at)
    .limit(1)
    .correlate(models)
    .scalar_subquery()
)
_STATE = (
    sa.select(
        changes.c.effective_at,
        changes.c.kind,
        changes.c.alias,
        changes.c.type,
        changes.c.prices,
        _NEXT_AT.label("until"),
    )
    .select_from(models)
    .outerjoin(changes, changes.c.id == STATE_ID)
    .where(models.c.id == sa.bindparam("model_id"))
)
_ALIASES = (
    sa.select(models.c.id, models.c.name, models.c.source_id, changes.c.alias)
    .join(changes, changes.c.model_id == models.c.id)
    .where(changes.c.alias.is_not(None))
    .distinct()
)


class _Pricer:
    """Remembers each model's last state, so that usage in the order of time asks once a change, not once a row."""

    def __init__(self, connection: "Asked", as_of: datetime | None, source: str | None) -> None:
        self._connection = connection
        self._as_of = as_of
        self._source = source
        self._sources = all_sources(connection)
        self._named: dict[tuple[str, int | None], list[Found]] = {}
        self._near: dict[tuple[str, int | None], tuple[str, ...]] = {}
        self._ever_called: dict[str, list[Found]] | None = None
        self._states: dict[int, _State] = {}

    def price_all(self, usage: Iterable[Usage]) -> Iterator[Cost]:
        for used in usage:
            require_aware(at=used.at)
            if not isinstance(used.quantity, Decimal | int | Fraction):
                raise TypeError(f"a quantity is an int, a Decimal or a Fraction, not {used.quantity!r}")
            yield self._price(used, self._as_of or used.at)

    def _price(self, used: Usage, at: datetime) -> Cost:
        try:
            found = self._find(used.model, used.source or self._source, at)
        except (UnknownSource, UnknownModel, AmbiguousModel) as error:
            return Cost(usage=used, priced_at=at, reason=_UNPRICED_BY[type(error)], detail=str(error))
        origin, state = self._origin(found.source_id), self._state(found.id, at)
        component = used.component or (origin.headline if len(state.prices) == 1 else None)
        asked = _Asked(used, at, found, origin, state, component)
        reason = _why_not(asked)
        amount = None if reason else _amount(asked)
        return Cost(
            usage=used,
            source=found.source,
            model=found.name,
            component=component,
            priced_at=at,
            amount=None if amount is None else exact.decimal(amount),
            exact=amount,
            currency=origin.currency,
            price=asked.price,
            per=asked.unit,
            extrapolated=origin.last_observed_at is None or at > origin.last_observed_at,
            reason=reason,
            detail=None if reason is None else _detail(reason, asked),
        )

    def _find(self, model: str, source: str | None, at: datetime) -> Found:
        """As `resolve.find_model` does, but asking the database once a name."""
        within = self._source_id(source)
        if (model, within) not in self._named:
            self._named[model, within] = find_named(self._connection, model, within)
        found = self._named[model, within]
        if not found:
            found = [
                called
                for called in self._called(model)
                if within in {None, called.source_id} and self._state(called.id, at).alias == model
            ]
        if not found:
            raise unknown(model, at, self._nearest(model, within))
        return only(model, found)

    def _source_id(self, source: str | None) -> int | None:
        if source is None:
            return None
        known = next((known.id for known in self._sources.values() if known.name == source), None)
        return source_id(self._connection, source) if known is None else known

    def _called(self, alias: str) -> list[Found]:
        """Every model that ever had this alias: the whole history is looked through once, however many are asked."""
        if self._ever_called is None:
            self._ever_called = {}
            for row in self._connection.execute(_ALIASES):
                called = Found(row.id, row.name, self._origin(row.source_id).name, row.source_id)
                self._ever_called.setdefault(row.alias, []).append(called)
        return self._ever_called.get(alias, [])

    def _nearest(self, model: str, within: int | None) -> tuple[str, ...]:
        if (model, within) not in self._near:
            self._near[model, within] = nearest_names(self._connection, model, within)
        return self._near[model, within]

    def _origin(self, source: int) -> Source:
        if source not in self._sources:  # it came while we were asking
            self._sources = all_sources(self._connection)
        return self._sources[source]

    def _state(self, model: int, at: datetime) -> _State:
        known = self._states.get(model)
        if known is None or not known.holds_at(at):
            known = _read_state(self._connection.execute(_STATE, {"model_id": model, "at": at}).one())
            self._states[model] = known
        return known


_UNPRICED_BY: dict[type[Exception], Unpriced] = {
    UnknownSource: Unpriced.UNKNOWN_SOURCE,
    UnknownModel: Unpriced.UNKNOWN_MODEL,
    AmbiguousModel: Unpriced.AMBIGUOUS_MODEL,
}


def _read_state(row: Any) -> _State:  # noqa: ANN401 - a row of _STATE
    listed = row.kind is not None and row.kind != Kind.REMOVED
    return _State(row.effective_at, row.until, listed, row.alias, row.type, row.prices or {})


class _Asked(msgspec.Struct, frozen=True):
    """One usage, and all that there is to know of it: which price of which model, as it was at `at`."""

    used: Usage
    at: datetime
    found: Found
    origin: Source
    state: _State
    component: str | None

    @property
    def price(self) -> Decimal | None:
        return self.state.prices.get(self.component) if self.component and self.state.listed else None

    @property
    def unit(self) -> Unit | None:
        return self.origin.unit(self.component, self.state.type) if self.component and self.state.listed else None


def _why_not(asked: _Asked) -> Unpriced | None:
    """The first reason that holds, if any does."""
    price, unit, known = asked.price, asked.unit, asked.state.prices
    unseen = not was_observed(asked.origin.first_observed_at, asked.at)
    reasons = (
        (not asked.state.listed and unseen, Unpriced.NOT_OBSERVED),
        (not asked.state.listed, Unpriced.NOT_LISTED),
        (asked.component is None, Unpriced.COMPONENT_NEEDED),
        (asked.component not in known, Unpriced.UNKNOWN_COMPONENT),
        (price is None, Unpriced.UNKNOWN_PRICE),
        (price is not None and price < 0, Unpriced.NEGATIVE_PRICE),
        (unit is None, Unpriced.UNIT_NOT_CONFIGURED),
        (unit is not None and unit[1] != asked.used.unit, Unpriced.OTHER_UNIT),
    )
    return next((reason for holds, reason in reasons if holds), None)


def _amount(asked: _Asked) -> Fraction | None:
    if asked.price is None or asked.unit is None:
        return None
    return Fraction(asked.used.quantity) * Fraction(asked.price) / asked.unit[0]


def _detail(reason: Unpriced, asked: _Asked) -> str:
    """The reason as a sentence about this model; every unpriced row gets one."""
    who, has = f"{asked.found.name!r} of source {asked.found.source!r}", ", ".join(sorted(asked.state.prices))
    per = asked.unit or (1, "")
    details = {
        Unpriced.NOT_OBSERVED: f": {not_observed_then(asked.found.source, asked.origin.first_observed_at)}",
        Unpriced.COMPONENT_NEEDED: f" has several prices ({has}): say which in a column `component`",
        Unpriced.UNKNOWN_COMPONENT: f" had no price {asked.component!r}; it had: {has}",
        Unpriced.UNIT_NOT_CONFIGURED: f": {_no_unit(asked)}: configure what its price is for",
        Unpriced.OTHER_UNIT: f" is priced per {per[0]} {per[1]!r}, the usage is in {asked.used.unit!r}",
        Unpriced.NEGATIVE_PRICE: f" had the price {asked.price}, which is not an amount",
    }
    return who + details.get(reason, f": {reason.value}")


def _no_unit(asked: _Asked) -> str:
    if asked.component == BY_TYPE:
        return f"of its type {asked.state.type!r}, price_units says nothing"
    return f"of {asked.component!r}, price_units says nothing"
