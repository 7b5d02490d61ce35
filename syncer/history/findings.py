"""What is withheld right now, and in words why."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from syncer.core.decide import FindingKind, sentence
from syncer.db.tables import findings, models, sources
from syncer.history.resolve import source_id

if TYPE_CHECKING:
    from syncer.history.resolve import Asked


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One open finding. `evidence` maps each model to the withheld fields, or None where its absence is withheld.

    `prices` are the believed prices of those models; `opened_at` is the look that first showed what is withheld.
    """

    id: int
    source: str
    kind: FindingKind
    opened_at: datetime
    evidence: Mapping[str, Mapping[str, Any] | None]
    prices: Mapping[str, Decimal | None]

    @property
    def why(self) -> str:
        """The doubt in words."""
        return sentence(self.kind, self.evidence, self.prices)


_OPEN = (
    sa.select(findings, sources.c.name)
    .join(sources, sources.c.id == findings.c.source_id)
    .where(findings.c.state == "open")
    .order_by(findings.c.id)
)
_CHUNK = 500


def held(connection: "Asked", *, source: str | None = None) -> list[Held]:
    """The open findings, the oldest first. Raises UnknownSource."""
    query = _OPEN if source is None else _OPEN.where(findings.c.source_id == source_id(connection, source))
    return [
        Held(
            id=row.id,
            source=row.name,
            kind=FindingKind(row.kind),
            opened_at=row.opened_at,
            evidence=row.evidence,
            prices=_prices(connection, row.source_id, list(row.evidence)),
        )
        for row in connection.execute(query).all()
    ]


def _prices(connection: "Asked", source: int, names: list[str]) -> dict[str, Decimal | None]:
    prices: dict[str, Decimal | None] = {}
    for start in range(0, len(names), _CHUNK):
        query = sa.select(models.c.name, models.c.price).where(
            models.c.source_id == source, models.c.name.in_(names[start : start + _CHUNK])
        )
        prices.update((row.name, row.price) for row in connection.execute(query))
    return prices
