"""The statements around one sync: claim, load, close. Each takes a connection in a transaction and never commits.

- The claim is one UPDATE that decides; the fence, the first statement of every writing transaction after it, is one
  UPDATE that checks the token and locks the row in the same breath. A SELECT would let two syncers write (law 7).
- What a run decided is written by `effects`, between the fence and the close.
"""

import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.core.decide import Finding, FindingKind
from syncer.core.model import TRACKED, Kind, Listing, StoredModel
from syncer.core.observation import PastObservations
from syncer.db import bulk
from syncer.db.tables import changes, findings, models, rejected_rows, runs, sources
from syncer.errors import Fenced, SourceBusy

LONGEST_LEASE = timedelta(hours=1)
"""No syncer takes a longer one: a lease that ends later was written by a clock that was wrong, and is taken over."""


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of a source and the database keeps beside its history."""

    name: str
    url: str
    currency: str | None = None
    price_units: Mapping[str, Sequence[Any]] | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A source that is ours while the lease lasts, an open run, and what was stored when we took it."""

    source_id: int
    run_id: int
    token: int
    etag: str | None
    body_digest: str | None
    stored_with: str | None
    last_good_look_at: datetime | None
    last_observed_at: datetime | None
    ever_listed: bool
    credential: str | None
    last_credential: str | None


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """The current catalog as far as the next look needs it: who is listed, under which bytes, and who is not plain."""

    by_digest: Mapping[bytes, str] = {}
    listed: AbstractSet[str] = frozenset()
    priced: int = 0
    pending: AbstractSet[str] = frozenset()


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, and what the source remembers of it. `remember` is (etag, body digest, stored_with) or None."""

    outcome: str
    observed_at: datetime
    finished_at: datetime
    is_observation: bool = True
    http_status: int | None = None
    listed: int | None = None
    rejected: int = 0
    withheld: int = 0
    body_digest: str | None = None
    error: str | None = None
    counts: Mapping[Kind, int] = {}
    remember: tuple[str | None, str, str] | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run came to nothing."""

    error: str
    http_status: int | None = None
    body_digest: str | None = None


# -- the lease ---------------------------------------------------------------------------------------------------------


def acquire(
    connection: Connection,
    origin: SourceRecord,
    *,
    kind: str,
    owner: str,
    now: datetime,
    lease_for: timedelta,
    key: str | None,
) -> Lease:
    """Take the source's lease and open a run; raises SourceBusy where somebody else has it."""
    register(connection, origin, now)
    taken = connection.execute(
        sa.update(sources)
        .where(sources.c.name == origin.name, is_available(sources.c.lease_until, now))
        .values(
            lease_token=sources.c.lease_token + 1,
            lease_owner=owner,
            lease_until=now + lease_for,
            url=origin.url,
            currency=origin.currency,
            price_units=origin.price_units,
            **({"retired_at": None} if kind in {"sync", "approve"} else {}),
        )
    )
    source = connection.execute(sa.select(sources).where(sources.c.name == origin.name)).one()
    if taken.rowcount == 0:
        if source.lease_until is None:  # PostgreSQL: released between the two statements
            raise SourceBusy(f"{origin.name} was being synced by somebody else until just now: try again")
        raise SourceBusy(
            f"{origin.name} is being synced by {source.lease_owner} (until {source.lease_until:%H:%M:%S}Z)"
        )
    connection.execute(
        sa.update(runs)
        .where(runs.c.source_id == source.id, runs.c.outcome == "running")
        .values(outcome="abandoned", finished_at=now, error="its syncer died or lost its lease")
    )
    credential = _fingerprint(source.salt, key)
    run = runs.insert().values(source_id=source.id, kind=kind, started_at=now, outcome="running", credential=credential)
    run_id: int = connection.execute(run.returning(runs.c.id)).scalar_one()
    return _lease_of(connection, source, run_id, credential)


def peek_lease(connection: Connection, name: str, key: str | None) -> Lease | None:
    """What a claim would find, without making one (its run is 0): for looking only. None for a source never synced."""
    source = connection.execute(sa.select(sources).where(sources.c.name == name)).first()
    return None if source is None else _lease_of(connection, source, 0, _fingerprint(source.salt, key))


def _lease_of(connection: Connection, source: Any, run_id: int, credential: str | None) -> Lease:  # noqa: ANN401 - a row
    return Lease(
        source_id=source.id,
        run_id=run_id,
        token=source.lease_token,
        etag=source.etag,
        body_digest=source.body_digest,
        stored_with=source.stored_with,
        last_good_look_at=source.last_good_look_at,
        last_observed_at=_last_observed_at(connection, source.id),
        ever_listed=_ever_listed(connection, source.id),
        credential=credential,
        last_credential=_last_credential(connection, source.id, source.last_good_look_at),
    )


def is_available(until: sa.Column[datetime], now: datetime) -> sa.ColumnElement[bool]:
    """Whether a lease that ends at `until` is anybody's: none, over, or from a clock that was wrong."""
    return sa.or_(until.is_(None), until <= now, until > now + LONGEST_LEASE)


def lock(connection: Connection, name: str) -> Any:  # noqa: ANN401 - a row
    """The source's row, locked until the transaction ends; None if there is none. Waits for a sync that is writing."""
    connection.execute(sa.update(sources).where(sources.c.name == name).values(lease_owner=sources.c.lease_owner))
    return connection.execute(sa.select(sources).where(sources.c.name == name)).first()


def check_fencing_token(connection: Connection, lease: Lease) -> None:
    """The first statement of a writing transaction: ours still, or Fenced. It asks the token only, never the clock."""
    ours = connection.execute(
        sa.update(sources)
        .where(sources.c.id == lease.source_id, sources.c.lease_token == lease.token)
        .values(lease_owner=sources.c.lease_owner)
    )
    if ours.rowcount == 0:
        raise Fenced("the lease ran out and another syncer took the source over: nothing of this run was written")


def close(connection: Connection, lease: Lease, result: RunResult) -> None:
    """Close the run and release the lease; the last statements of the writing transaction."""
    etag, body_digest, stored_with = result.remember or (None, None, None)
    connection.execute(
        sa.update(runs)
        .where(runs.c.id == lease.run_id)
        .values(
            outcome=result.outcome,
            observed_at=result.observed_at,
            finished_at=result.finished_at,
            http_status=result.http_status,
            listed=result.listed,
            rejected=result.rejected,
            withheld=result.withheld,
            body_digest=result.body_digest,
            error=result.error,
            **{kind.value: count for kind, count in result.counts.items()},
        )
    )
    observed: dict[str, Any] = {
        "etag": etag,
        "body_digest": body_digest,
        "stored_with": stored_with,
        "last_good_look_at": result.observed_at,
    }
    connection.execute(
        sa.update(sources)
        .where(sources.c.id == lease.source_id)
        .values(
            lease_owner=None,
            lease_until=None,
            **(observed if result.is_observation else {"etag": None, "body_digest": None}),
        )
    )


def close_failed(connection: Connection, lease: Lease, failure: Failure, *, now: datetime) -> bool:
    """Close the run as failed if it is still open and release the lease if it is still ours; was it still open?"""
    connection.execute(  # the source first, as in a claim: the other way round the two would deadlock
        sa.update(sources)
        .where(sources.c.id == lease.source_id, sources.c.lease_token == lease.token)
        .values(lease_owner=None, lease_until=None)
    )
    closed = connection.execute(
        sa.update(runs)
        .where(runs.c.id == lease.run_id, runs.c.outcome == "running")
        .values(
            outcome="failed",
            finished_at=now,
            error=failure.error,
            http_status=failure.http_status,
            body_digest=failure.body_digest,
        )
    )
    return closed.rowcount > 0


def release_all(connection: Connection, owner: str, failure: Failure, *, now: datetime) -> None:
    """Close all open runs of `owner` as failed and take its leases away: a thread of it that goes on is then fenced."""
    given_up = connection.execute(
        sa.update(sources)
        .where(sources.c.lease_owner == owner)
        .values(lease_owner=None, lease_until=None, lease_token=sources.c.lease_token + 1)
        .returning(sources.c.id)
    ).scalars()
    connection.execute(
        sa.update(runs)
        .where(runs.c.source_id.in_(given_up.all()), runs.c.outcome == "running")
        .values(outcome="failed", finished_at=now, error=failure.error)
    )


def stored_result(connection: Connection, run_id: int) -> RunResult | None:
    """How a run was closed, as far as its row tells; None if no catalog was read, or a failover lost the very run."""
    run = connection.execute(sa.select(runs).where(runs.c.id == run_id)).first()
    if run is None or run.observed_at is None:
        return None
    same = ("outcome", "observed_at", "finished_at", "http_status", "listed", "rejected", "withheld", "body_digest")
    counts = {kind: getattr(run, kind.value) for kind in Kind}
    return RunResult(**{name: getattr(run, name) for name in (*same, "error")}, counts=counts)


def register(connection: Connection, origin: SourceRecord, now: datetime) -> None:
    """The source's row, made at its first claim. Two first claims at once must not collide, hence ON CONFLICT."""
    if connection.execute(sa.select(sources.c.id).where(sources.c.name == origin.name)).first():
        return
    connection.execute(
        insert_into(connection, sources)
        .values(
            name=origin.name,
            url=origin.url,
            currency=origin.currency,
            price_units=origin.price_units,
            created_at=now,
            salt=secrets.token_bytes(16),
        )
        .on_conflict_do_nothing(index_elements=["name"])
    )


def _fingerprint(salt: bytes, key: str | None) -> str | None:
    """Eight bytes that tell one key from another and give nothing of it away (law 11)."""
    return None if key is None else hmac.digest(salt, key.encode(), "sha256")[:8].hex()


def _ever_listed(connection: Connection, source: int) -> bool:
    return connection.execute(sa.select(models.c.id).where(models.c.source_id == source).limit(1)).first() is not None


def _last_observed_at(connection: Connection, source_id: int) -> datetime | None:
    query = sa.select(sa.func.max(runs.c.observed_at, type_=runs.c.observed_at.type)).where(
        runs.c.source_id == source_id
    )
    return connection.execute(query).scalar()


def _last_credential(connection: Connection, source_id: int, observed: datetime | None) -> str | None:
    query = sa.select(runs.c.credential).where(runs.c.source_id == source_id, runs.c.observed_at == observed)
    return None if observed is None else connection.execute(query).scalar()


# -- what is known -----------------------------------------------------------------------------------------------------


def catalog(connection: Connection, source: int) -> Catalog:
    """The current catalog of a source: one narrow row a listed model."""
    query = sa.select(
        models.c.name,
        models.c.digest,
        (models.c.price > 0).label("priced"),
        models.c.last_seen_at.is_not(None).label("pending"),
    ).where(models.c.source_id == source, models.c.removed_at.is_(None))
    by_digest: dict[bytes, str] = {}
    unread, pending, priced = set(), set(), 0
    for some in connection.execute(query).partitions(bulk.PIECE):
        for name, digest, is_priced, is_pending in some:
            if digest:
                by_digest[digest] = name
            else:
                unread.add(name)
            priced += bool(is_priced)
            if is_pending:
                pending.add(name)
    return Catalog(by_digest=by_digest, listed=unread.union(by_digest.values()), priced=priced, pending=pending)


def known(connection: Connection, source: int, names: Iterable[str]) -> dict[str, StoredModel]:
    """The whole last known state of each named model that the source ever listed."""
    query = sa.select(models).where(
        models.c.source_id == source, models.c.name.in_(sa.bindparam("names", expanding=True))
    )
    found: dict[str, StoredModel] = {}
    for some in bulk.pieces(names):
        found.update((row.name, _known(row)) for row in connection.execute(query, {"names": some}))
    return found


def _known(row: Any) -> StoredModel:  # noqa: ANN401 - a row of models
    return StoredModel(
        id=row.id,
        listing=Listing(
            name=row.name, extra=row.extra, digest=row.digest, **{field: getattr(row, field) for field in TRACKED}
        ),
        listed=row.removed_at is None,
        missing_since=row.missing_since,
        missing_count=row.missing_looks,
        last_seen_at=row.last_seen_at,
    )


def past_observations(connection: Connection, source: int, last: datetime | None) -> PastObservations:
    """What the source's earlier looks prove, `last` being the latest good one."""
    if last is None:
        return PastObservations(last=None, absent=None)
    good = sa.select(runs.c.id, runs.c.observed_at, runs.c.rejected).where(runs.c.source_id == source)
    latest = connection.execute(good.where(runs.c.observed_at == last)).one()
    if not latest.rejected:
        return PastObservations(last=last, absent=last)
    whole = good.where(runs.c.rejected == 0, runs.c.observed_at.is_not(None), runs.c.kind != "revert")
    before = connection.execute(whole.order_by(runs.c.observed_at.desc()).limit(1)).first()
    names = connection.execute(
        sa.select(rejected_rows.c.name).where(
            rejected_rows.c.source_id == source, rejected_rows.c.last_run_id == latest.id
        )
    ).scalars()
    doubtful = frozenset(names)
    return PastObservations(
        last=last,
        absent=before.observed_at if before else None,
        doubtful=None if None in doubtful else frozenset(name for name in doubtful if name is not None),
    )


def findings_in_force(connection: Connection, source: int) -> tuple[Finding, ...]:
    """The open findings, and those settled ones that every look since has upheld."""
    last_observation = (
        sa.select(sa.func.max(runs.c.id))
        .where(runs.c.source_id == source, runs.c.observed_at.is_not(None), runs.c.kind != "revert")
        .scalar_subquery()
    )
    upheld = sa.and_(findings.c.state.in_(["approved", "rejected"]), findings.c.last_run_id >= last_observation)
    query = (
        sa.select(findings)
        .where(findings.c.source_id == source, sa.or_(findings.c.state == "open", upheld))
        .order_by(findings.c.id)
    )
    return tuple(
        Finding(id=row.id, kind=FindingKind(row.kind), evidence=row.evidence, opened_at=row.opened_at, state=row.state)
        for row in connection.execute(query)
    )


def already_imported(connection: Connection, name: str, at: datetime, body_digest: str) -> bool:
    """Whether a run has looked at this very response at this very time.

    A failed run has no such time: an import that failed on this body counts if the source was looked at since.
    """
    later = runs.alias()
    looked_since = sa.exists().where(later.c.source_id == runs.c.source_id, later.c.observed_at >= at)
    failed_on_it = sa.and_(runs.c.kind == "import", runs.c.outcome == "failed", looked_since)
    query = (
        sa.select(runs.c.id)
        .join(sources, sources.c.id == runs.c.source_id)
        .where(
            sources.c.name == name, runs.c.body_digest == body_digest, sa.or_(runs.c.observed_at == at, failed_on_it)
        )
    )
    return connection.execute(query.limit(1)).first() is not None


def stored_origin(connection: Connection, name: str) -> SourceRecord | None:
    """The source as it is stored, None if it is not known."""
    row = connection.execute(sa.select(sources).where(sources.c.name == name)).first()
    if row is None:
        return None
    return SourceRecord(name=row.name, url=row.url, currency=row.currency, price_units=row.price_units)


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """One change that a run wrote; `is_latest` unless a later change of its model stands on it."""

    id: int
    kind: Kind
    name: str
    effective_at: datetime
    listing: Listing
    changed: Mapping[str, Sequence[Any]]
    is_latest: bool


def origin_of_run(connection: Connection, run_id: int) -> SourceRecord | None:
    """The source of a run as it is stored, None if there is no such run."""
    query = sa.select(sources).join(runs, runs.c.source_id == sources.c.id).where(runs.c.id == run_id)
    row = connection.execute(query).first()
    if row is None:
        return None
    return SourceRecord(name=row.name, url=row.url, currency=row.currency, price_units=row.price_units)


def written_by(connection: Connection, run_id: int) -> list[Written]:
    """The changes of a run in feed order."""
    later = changes.alias()
    is_latest = ~sa.exists().where(later.c.model_id == changes.c.model_id, later.c.id > changes.c.id)
    query = sa.select(changes, is_latest.label("is_latest")).where(changes.c.run_id == run_id).order_by(changes.c.id)
    return [
        Written(
            id=row.id,
            kind=Kind(row.kind),
            name=row.name,
            effective_at=row.effective_at,
            listing=Listing(name=row.name, **{field: getattr(row, field) for field in TRACKED}),
            changed={field: _priced(field, pair) for field, pair in row.changed.items()},
            is_latest=row.is_latest,
        )
        for row in connection.execute(query)
    ]


def _priced(field: str, pair: Sequence[Any]) -> Sequence[Any]:
    """JSON tells 3 from 3.0 but not a price from a count: prices come back as Decimals."""
    return [Decimal(value) if value is not None else None for value in pair] if field == "price" else pair


# -- dialects ----------------------------------------------------------------------------------------------------------


def insert_into(connection: Connection, table: sa.Table) -> Any:  # noqa: ANN401 - one of two Insert classes
    """INSERT with ON CONFLICT, in the dialect at hand."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)
