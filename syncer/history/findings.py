"""What is withheld right now, why, and until when."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from syncer.core.model import TRACKED, Listing, component_of
from syncer.core.rules import RESPONSE, Evidence, FindingKind, Policy, Withheld, evidence_from_json, factor_between
from syncer.core.sentences import sentence, settles, settles_at
from syncer.db import bulk
from syncer.db.tables import findings, models, sources
from syncer.history.resolve import source_id

if TYPE_CHECKING:
    from syncer.history.resolve import Asked


class HeldModel(msgspec.Struct, frozen=True, kw_only=True):
    """What a finding withholds of one model: each field as (believed, withheld), prices as "prices.COMPONENT".

    `fields` is None where its absence is withheld. `factors` has the factor of each price that has one.
    """

    model: str
    since: datetime
    fields: Mapping[str, tuple[Any, Any]] | None
    factors: Mapping[str, Decimal]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One finding that withholds something now. `opened_at` is the observation that first showed what is withheld.

    `why` is the sentence that the run and the notices say. `settles` says in words when it is over without a person,
    and `settles_at` when its first model is, if upstream keeps saying it; None where nothing but an answer ends it, or
    the next good response. `response` is what the response itself said, where the finding is about that. `state` is
    open, or rejected: a person's no, which holds while upstream says the same.
    """

    id: int
    source: str
    kind: FindingKind
    state: str
    opened_at: datetime
    why: str
    settles: str
    settles_at: datetime | None
    models: tuple[HeldModel, ...]
    response: Mapping[str, Any]
    comment: str | None


_FINDINGS = sa.select(findings, sources.c.name).join(sources, sources.c.id == findings.c.source_id)
_OF_STATE = _FINDINGS.where(findings.c.state == sa.bindparam("state")).order_by(findings.c.id)
_OF_ONE = _OF_STATE.where(findings.c.source_id == sa.bindparam("source_id"))
_BELIEVED = sa.select(models.c.name, models.c.price, models.c.prices, *(models.c[name] for name in TRACKED)).where(
    models.c.source_id == sa.bindparam("source_id"), models.c.name.in_(sa.bindparam("names", expanding=True))
)


def held(
    connection: "Asked",
    *,
    source: str | None = None,
    policies: Mapping[str, Policy] | None = None,
    rejected: bool = False,
) -> list[Held]:
    """What is withheld now, the oldest finding first; with `rejected`, what a person said no to instead.

    `policies` are the rules of each source by name, by which it settles; the default ones if not given. Raises
    UnknownSource.
    """
    values: dict[str, Any] = {"state": "rejected" if rejected else "open"}
    if source is not None:
        values["source_id"] = source_id(connection, source)
    rows = connection.execute(_OF_STATE if source is None else _OF_ONE, values).all()
    return [_held(connection, row, (policies or {}).get(row.name, Policy())) for row in rows]


def _held(connection: "Asked", row: Any, policy: Policy) -> Held:  # noqa: ANN401 - a row of findings
    kind, evidence = FindingKind(row.kind), evidence_from_json(row.evidence)
    believed = _believed(connection, row.source_id, evidence)
    said = evidence.get(RESPONSE)
    return Held(
        id=row.id,
        source=row.name,
        kind=kind,
        state=row.state,
        opened_at=row.opened_at,
        why=sentence(kind, evidence, believed),
        settles=settles(kind, evidence, policy) if row.state == "open" else "holds while upstream says the same",
        settles_at=settles_at(kind, evidence, policy) if row.state == "open" else None,
        models=tuple(
            _model(name, withheld, believed.get(name)) for name, withheld in evidence.items() if name != RESPONSE
        ),
        response=(said.fields or {}) if said is not None else {},
        comment=row.comment,
    )


def _model(name: str, withheld: Withheld, believed: Listing | None) -> HeldModel:
    if withheld.fields is None:
        return HeldModel(model=name, since=withheld.since, fields=None, factors={})
    pairs = {field: (believed and believed.value(field), value) for field, value in withheld.fields.items()}
    factors = {field: factor_between(*pair) for field, pair in pairs.items() if component_of(field) is not None}
    known = {field: factor for field, factor in factors.items() if factor is not None}
    return HeldModel(model=name, since=withheld.since, fields=pairs, factors=known)


def _believed(connection: "Asked", source: int, evidence: Evidence) -> dict[str, Listing]:
    return {
        row.name: Listing(**row._mapping)  # noqa: SLF001 - the public name of a row's mapping
        for names in bulk.pieces(evidence)
        for row in connection.execute(_BELIEVED, {"source_id": source, "names": names})
    }
