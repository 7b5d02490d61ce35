"""What a decision needs to know of the past. Each function takes a connection, reads, and changes nothing.

Of an unchanged model one narrow row of an index is read; whole states only of what moved, is missing or was pending.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.core.fields import FIELDS
from syncer.core.model import TRACKED, Kind, Listing, Snapshot, StoredModel, component_of
from syncer.core.notices import Expiring
from syncer.core.rules import Finding, FindingKind, evidence_from_json
from syncer.db import bulk
from syncer.db.tables import changes, findings, models


class CatalogState(msgspec.Struct, frozen=True, kw_only=True):
    """The current catalog as far as the next observation needs it.

    `by_digest` has the models whose element was read by the present parser: another reading needs the element again.
    """

    by_digest: Mapping[bytes, str] = {}
    listed: AbstractSet[str] = frozenset()
    priced: int = 0
    pending: AbstractSet[str] = frozenset()


class WrittenChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change that a run wrote; `is_latest` unless a later change of its model builds on it."""

    id: int
    kind: Kind
    name: str
    effective_at: datetime
    listing: Listing
    changed: Mapping[str, tuple[Any, Any]]
    is_latest: bool


_LISTED = sa.and_(models.c.source_id == sa.bindparam("source_id"), models.c.removed_at.is_(None))
_READ_SO = sa.and_(models.c.parser == sa.bindparam("parser"), models.c.digest != sa.bindparam("none"))
_BY_DIGEST = sa.select(models.c.digest, models.c.name).where(_LISTED, _READ_SO)
_NOT_PLAIN = sa.select(  # hardly any
    models.c.name, _READ_SO.label("read_so"), models.c.last_seen_at.is_not(None).label("pending")
).where(_LISTED, sa.or_(sa.not_(_READ_SO), models.c.last_seen_at.is_not(None)))
_UNREAD = sa.select(models.c.name).where(  # hardly any: one that was read once since is in no other way pending
    _LISTED, models.c.unread.is_not(sa.null())
)
_PRICED = sa.select(sa.func.count()).where(_LISTED, models.c.price > 0)


def catalog(connection: Connection, source_id: int, parser: str) -> CatalogState:
    """The current catalog of a source, one narrow row for each listed model."""
    its = {"source_id": source_id, "parser": parser, "none": b""}
    by_digest: dict[bytes, str] = {}
    for some in bulk.select(connection, _BY_DIGEST, its):
        by_digest.update(some)
    not_plain = connection.execute(_NOT_PLAIN, its).all()
    pending = {row.name for row in not_plain if row.pending}
    return CatalogState(
        by_digest=by_digest,
        listed=frozenset(by_digest.values()).union(row.name for row in not_plain if not row.read_so),
        priced=connection.execute(_PRICED, its).scalar_one(),
        pending=pending.union(connection.execute(_UNREAD, its).scalars()),
    )


_MODEL = [sa.cast(column, sa.Text).label("extra") if column.name == "extra" else column for column in models.c]


def stored_models(connection: Connection, source_id: int, names: Iterable[str]) -> dict[str, StoredModel]:
    """The whole last known state of each named model that the source ever listed."""
    query = sa.select(*_MODEL).where(
        models.c.source_id == source_id, models.c.name.in_(sa.bindparam("names", expanding=True))
    )
    found: dict[str, StoredModel] = {}
    for some in bulk.pieces(names):
        found.update((row.name, _stored(row)) for row in connection.execute(query, {"names": some}))
    return found


def believed(connection: Connection, source_id: int) -> Callable[[str], Listing | None]:
    """What is stored of a model, asked for name by name: for the few of which a response says two things."""

    def listing(name: str) -> Listing | None:
        found = stored_models(connection, source_id, [name])
        return found[name].listing if name in found else None

    return listing


def with_rereads(
    connection: Connection,
    known: Mapping[str, StoredModel],
    snapshot: Snapshot,
    read: Callable[[str], Listing],
) -> dict[str, StoredModel]:
    """`known`, with `reread` where both the bytes and the parser of a model's element are other than the stored ones.

    `read` gives the listing that the present parser makes of a `raw`, and raises ValueError where it makes none.
    """
    both = [
        model
        for name, model in known.items()
        if name in snapshot.listings
        and model.parser != snapshot.parser
        and model.listing.digest != snapshot.listings[name].digest
    ]
    if not both:  # nearly always, and the question about them is the dearest to put
        return dict(known)
    raws = last_raws(connection, [model.id for model in both])
    rereads = {model.listing.name: _reread(model, raws.get(model.id), read) for model in both}
    return {**known, **rereads}


def last_raws(connection: Connection, model_ids: Iterable[int]) -> dict[int, str]:
    """The element of each model's last change that has one."""
    later = changes.alias()
    query = sa.select(changes.c.model_id, changes.c.raw).where(
        changes.c.model_id.in_(sa.bindparam("ids", expanding=True)),
        changes.c.raw.is_not(None),
        ~sa.exists().where(
            later.c.model_id == changes.c.model_id,
            later.c.effective_at > changes.c.effective_at,
            later.c.raw.is_not(None),
        ),
    )
    found: dict[int, str] = {}
    for some in bulk.pieces(model_ids):
        found.update((row.model_id, row.raw) for row in connection.execute(query, {"ids": some}))
    return found


def expiring(connection: Connection, source_id: int, at: datetime, within: timedelta) -> tuple[Expiring, ...]:
    """The listed models that upstream will take away between `at` and `within` after it, the first to go first."""
    query = (
        sa.select(models.c.name, models.c.expires_at, models.c.expiring_told)
        .where(
            models.c.source_id == source_id,
            models.c.expires_at > at,
            models.c.expires_at <= at + within,
            models.c.removed_at.is_(None),
        )
        .order_by(models.c.expires_at, models.c.name)
    )
    found = connection.execute(query)
    return tuple(Expiring(name=row.name, expires_at=row.expires_at, told=row.expiring_told) for row in found)


def findings_in_force(connection: Connection, source_id: int) -> tuple[Finding, ...]:
    """The open findings, the rejected ones, and those settled ones whose answer goes on."""
    lasting = [FindingKind.NAMELESS.value, FindingKind.REQUIRED.value]
    answered = sa.and_(findings.c.state.in_(["approved", "confirmed"]), findings.c.kind.in_(lasting))
    query = (
        sa.select(findings)
        .where(findings.c.source_id == source_id, sa.or_(findings.c.state.in_(["open", "rejected"]), answered))
        .order_by(findings.c.id)
    )
    return tuple(
        Finding(
            id=row.id,
            kind=FindingKind(row.kind),
            evidence=evidence_from_json(row.evidence),
            opened_at=row.opened_at,
            state=row.state,
        )
        for row in connection.execute(query)
    )


def written_by(connection: Connection, run_id: int) -> list[WrittenChange]:
    """The changes of a run in feed order."""
    later = changes.alias()
    is_latest = ~sa.exists().where(later.c.model_id == changes.c.model_id, later.c.id > changes.c.id)
    query = sa.select(changes, is_latest.label("is_latest")).where(changes.c.run_id == run_id).order_by(changes.c.id)
    return [
        WrittenChange(
            id=row.id,
            kind=Kind(row.kind),
            name=row.name,
            effective_at=row.effective_at,
            listing=_listing(row),
            changed={field: (typed(field, old), typed(field, new)) for field, (old, new) in row.changed.items()},
            is_latest=row.is_latest,
        )
        for row in connection.execute(query)
    ]


# -- values out of JSON ------------------------------------------------------------------------------------------------

_COLUMN = {field.name: field.column for field in FIELDS}


def typed(field: str, value: Any) -> Any:  # noqa: ANN401 - a field's value
    """A field's value as it stands in a document: there every number is a Decimal, and a time is text."""
    if value is None or component_of(field) is not None:
        return value
    match _COLUMN.get(field):
        case "integer":
            return int(value)
        case "time":
            return datetime.fromisoformat(value)
    return value


def _stored(row: Any) -> StoredModel:  # noqa: ANN401 - a row of models
    return StoredModel(
        id=row.id,
        listing=msgspec.structs.replace(_listing(row), extra=msgspec.Raw(row.extra.encode()), digest=row.digest),
        parser=row.parser,
        listed=row.removed_at is None,
        missing_since=row.missing_since,
        missing_count=row.missing_count,
        last_seen_at=row.last_seen_at,
        unread=frozenset(row.unread or ()),
        unread_since=row.unread_since,
        last_changed_at=row.last_changed_at,
        expiring_told=row.expiring_told,
    )


def _listing(row: Any) -> Listing:  # noqa: ANN401 - a row of models or changes
    return Listing(
        name=row.name, price=row.price, prices=row.prices, **{field: getattr(row, field) for field in TRACKED}
    )


def _reread(model: StoredModel, raw: str | None, read: Callable[[str], Listing]) -> StoredModel:
    if raw is None:
        return model
    try:
        return msgspec.structs.replace(model, reread=read(raw))
    except ValueError:
        return model
