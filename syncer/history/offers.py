"""Who sells one model, at what price, and since when: the same model at several sources.

Two listings are one model only if their identity is equal: the path of the model's page at Hugging Face, or else its
name; both in lower case (ASCII), without a slash at the end. Nothing is guessed. The view `offers` says the same.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from syncer.db.tables import models
from syncer.db.types import Price, UtcDateTime
from syncer.history.catalog import catalog_at
from syncer.history.prices import prices_at
from syncer.history.resolve import Unit, nearest_names, require_aware_or_none, unknown

if TYPE_CHECKING:
    from syncer.history.resolve import Asked

_PAGES = "https://huggingface.co/"


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One price at which a source offers a model: since `valid_from`, in `currency` for `unit`; None is unknown."""

    identity: str
    source: str
    model: str
    component: str
    price: Decimal | None
    currency: str | None
    unit: Unit | None
    valid_from: datetime | None


_view = sa.table(
    "offers",
    *(sa.column(name) for name in ("identity", "source", "model", "component", "currency", "quantity", "unit")),
    sa.column("price", Price()),
    sa.column("valid_from", UtcDateTime()),
)
_OFFERS = sa.select(_view).where(_view.c.identity.in_(sa.bindparam("identities", expanding=True)))
_CALLED = sa.select(models.c.name, models.c.huggingface_url).where(
    sa.or_(models.c.name == sa.bindparam("model"), models.c.alias == sa.bindparam("model"))
)


def offers(connection: "Asked", model: str, *, at: datetime | None = None) -> list[Offer]:
    """Every price of `model` at every source that lists it, now or at `at`: the cheapest of each component first.

    `model` is a name, an alias or the path of a page at Hugging Face. Prices in another currency, for another unit, or
    of neither are apart: they are never compared. Unknown and negative prices come last. Raises ValueError if `at` is
    naive, UnknownModel.
    """
    require_aware_or_none(at=at)
    called = connection.execute(_CALLED, {"model": model}).all()
    identities = {identity(row.name, row.huggingface_url) for row in called} | {_lower(model)}
    found = _now(connection, identities) if at is None else list(_then(connection, identities, model, at))
    if not found and not called:
        raise unknown(model, None, nearest_names(connection, model, None))
    return sorted(found, key=_cheapest_first)


def identity(name: str, huggingface_url: str | None) -> str:
    """What makes two listings one model."""
    url = huggingface_url or ""
    if _lower(url[: len(_PAGES)]) == _PAGES and len(url) > len(_PAGES):
        return _lower(url[len(_PAGES) :]).rstrip("/")
    return _lower(name)


def _now(connection: "Asked", identities: Iterable[str]) -> list[Offer]:
    return [_offer(row) for row in connection.execute(_OFFERS, {"identities": sorted(identities)})]


def _offer(row: Any) -> Offer:  # noqa: ANN401 - a row of the view
    columns = dict(row._mapping)  # noqa: SLF001 - the public name of a row's mapping
    quantity, word = columns.pop("quantity"), columns.pop("unit")
    return Offer(unit=None if quantity is None else (int(quantity), word), **columns)


def _then(connection: "Asked", identities: set[str], model: str, at: datetime) -> Iterable[Offer]:
    for row in catalog_at(connection, at=at):
        its = identity(row.model, row.huggingface_url)
        if its in identities or model in {row.model, row.alias}:
            for quote in prices_at(connection, row.model, at=at, source=row.source):
                yield Offer(
                    identity=its,
                    source=row.source,
                    model=row.model,
                    component=quote.component,
                    price=quote.price,
                    currency=quote.currency,
                    unit=quote.unit,
                    valid_from=quote.valid_from,
                )


def _cheapest_first(offer: Offer) -> tuple[Any, ...]:
    unit = (offer.unit is None, offer.unit or (0, ""))
    known = offer.price is not None and offer.price >= 0
    place = (offer.component, offer.currency is None, offer.currency or "", unit)
    return (*place, not known, offer.price if known else 0, offer.source, offer.model)


def _lower(text: str) -> str:
    """In lower case as databases do it: ASCII only."""
    return text.encode().lower().decode()
