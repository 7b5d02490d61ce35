"""The statements of one sync: claim, load, apply, close. Each takes a connection in a transaction and never commits.

- The claim is one UPDATE that decides; the fence, the first statement of every writing transaction after it, is one
  UPDATE that checks the token and locks the row in the same breath. A SELECT would let two syncers write (law 7).
- Nothing here decides what to believe: it writes a `trust.Decision` as it is.
- The feed counter is touched last, just before the changes, so that other sources wait as little as can be (law 8).
"""

import hmac
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.core.catalog import TRACKED, Change, Kind, Known, Listing, Rejected
from syncer.core.looks import Looks
from syncer.core.trust import Decision, Doubt, Finding, Mark
from syncer.db.tables import changes, feed, findings, models, rejected_rows, runs, sources
from syncer.errors import Fenced, SourceBusy

LONGEST_LEASE = timedelta(hours=1)
"""No syncer takes a longer one: a lease that ends later was written by a clock that was wrong, and is taken over."""

_MANY = 500  # from here on one scan of the source is cheaper than naming each model


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of a source and the database keeps beside its history."""

    name: str
    url: str
    currency: str | None = None
    price_units: Mapping[str, Sequence[Any]] | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
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
    listed: frozenset[str] = frozenset()
    priced: frozenset[str] = frozenset()
    pending: frozenset[str] = frozenset()


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, and what the source remembers of it. `remember` is (etag, body digest, stored_with) or None."""

    outcome: str
    observed_at: datetime
    finished_at: datetime
    is_look: bool = True
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


def claim(
    connection: Connection, origin: Origin, *, kind: str, owner: str, now: datetime, lease: timedelta, key: str | None
) -> Claim:
    """Take the source's lease and open a run; raises SourceBusy where somebody else has it."""
    register(connection, origin, now)
    taken = connection.execute(
        sa.update(sources)
        .where(
            sources.c.name == origin.name,
            sa.or_(
                sources.c.lease_until.is_(None),
                sources.c.lease_until <= now,
                sources.c.lease_until > now + LONGEST_LEASE,
            ),
        )
        .values(
            lease_token=sources.c.lease_token + 1,
            lease_owner=owner,
            lease_until=now + lease,
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
    return _claim(connection, source, run_id, credential)


def last_claim(connection: Connection, name: str, key: str | None) -> Claim | None:
    """What a claim would find, without making one (its run is 0): for looking only. None for a source never synced."""
    source = connection.execute(sa.select(sources).where(sources.c.name == name)).first()
    return None if source is None else _claim(connection, source, 0, _fingerprint(source.salt, key))


def _claim(connection: Connection, source: Any, run_id: int, credential: str | None) -> Claim:  # noqa: ANN401 - a row
    return Claim(
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


def fence(connection: Connection, held: Claim) -> None:
    """The first statement of a writing transaction: ours still, or Fenced. It asks the token only, never the clock."""
    ours = connection.execute(
        sa.update(sources)
        .where(sources.c.id == held.source_id, sources.c.lease_token == held.token)
        .values(lease_owner=sources.c.lease_owner)
    )
    if ours.rowcount == 0:
        raise Fenced("the lease ran out and another syncer took the source over: nothing of this run was written")


def close(connection: Connection, held: Claim, closing: Closing) -> None:
    """Close the run and release the lease; the last statements of the writing transaction."""
    etag, body_digest, stored_with = closing.remember or (None, None, None)
    connection.execute(
        sa.update(runs)
        .where(runs.c.id == held.run_id)
        .values(
            outcome=closing.outcome,
            observed_at=closing.observed_at,
            finished_at=closing.finished_at,
            http_status=closing.http_status,
            listed=closing.listed,
            rejected=closing.rejected,
            withheld=closing.withheld,
            body_digest=closing.body_digest,
            error=closing.error,
            **{kind.value: count for kind, count in closing.counts.items()},
        )
    )
    look: dict[str, Any] = {
        "etag": etag,
        "body_digest": body_digest,
        "stored_with": stored_with,
        "last_good_look_at": closing.observed_at,
    }
    connection.execute(
        sa.update(sources)
        .where(sources.c.id == held.source_id)
        .values(
            lease_owner=None, lease_until=None, **(look if closing.is_look else {"etag": None, "body_digest": None})
        )
    )


def close_failed(connection: Connection, held: Claim, failure: Failure, *, now: datetime) -> bool:
    """Close the run as failed if it is still open and release the lease if it is still ours; was it still open?"""
    connection.execute(  # the source first, as in a claim: the other way round the two would deadlock
        sa.update(sources)
        .where(sources.c.id == held.source_id, sources.c.lease_token == held.token)
        .values(lease_owner=None, lease_until=None)
    )
    closed = connection.execute(
        sa.update(runs)
        .where(runs.c.id == held.run_id, runs.c.outcome == "running")
        .values(
            outcome="failed",
            finished_at=now,
            error=failure.error,
            http_status=failure.http_status,
            body_digest=failure.body_digest,
        )
    )
    return closed.rowcount > 0


def give_up(connection: Connection, owner: str, failure: Failure, *, now: datetime) -> None:
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


def closing(connection: Connection, run_id: int) -> Closing | None:
    """How a run was closed, as far as its row tells; None if no catalog was read, or a failover lost the very run."""
    run = connection.execute(sa.select(runs).where(runs.c.id == run_id)).first()
    if run is None or run.observed_at is None:
        return None
    same = ("outcome", "observed_at", "finished_at", "http_status", "listed", "rejected", "withheld", "body_digest")
    counts = {kind: getattr(run, kind.value) for kind in Kind}
    return Closing(**{name: getattr(run, name) for name in (*same, "error")}, counts=counts)


def register(connection: Connection, origin: Origin, now: datetime) -> None:
    """The source's row, made at its first claim. Two first claims at once must not collide, hence ON CONFLICT."""
    if connection.execute(sa.select(sources.c.id).where(sources.c.name == origin.name)).first():
        return
    connection.execute(
        _insert(connection, sources)
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


def _last_credential(connection: Connection, source_id: int, look: datetime | None) -> str | None:
    query = sa.select(runs.c.credential).where(runs.c.source_id == source_id, runs.c.observed_at == look)
    return None if look is None else connection.execute(query).scalar()


# -- what is known -----------------------------------------------------------------------------------------------------


def catalog(connection: Connection, source: int) -> Catalog:
    """The current catalog of a source: one narrow row a listed model."""
    query = sa.select(
        models.c.name,
        models.c.digest,
        (models.c.price > 0).label("priced"),
        models.c.last_seen_at.is_not(None).label("pending"),
    ).where(models.c.source_id == source, models.c.removed_at.is_(None))
    rows = connection.execute(query).all()
    return Catalog(
        by_digest={digest: name for name, digest, _, _ in rows if digest},
        listed=frozenset(row.name for row in rows),
        priced=frozenset(row.name for row in rows if row.priced),
        pending=frozenset(row.name for row in rows if row.pending),
    )


def known(connection: Connection, source: int, names: Collection[str]) -> dict[str, Known]:
    """The whole last known state of each named model that the source ever listed."""
    every = sa.select(models).where(models.c.source_id == source)
    if len(names) > _MANY:
        rows: Iterable[Any] = (row for row in connection.execute(every) if row.name in names)
    else:
        rows = connection.execute(every.where(models.c.name.in_(names)))
    return {row.name: _known(row) for row in rows}


def _known(row: Any) -> Known:  # noqa: ANN401 - a row of models
    return Known(
        id=row.id,
        listing=Listing(
            name=row.name, extra=row.extra, digest=row.digest, **{field: getattr(row, field) for field in TRACKED}
        ),
        listed=row.removed_at is None,
        missing_since=row.missing_since,
        missing_looks=row.missing_looks,
        last_seen_at=row.last_seen_at,
    )


def looks(connection: Connection, source: int, last: datetime | None) -> Looks:
    """What the source's earlier looks prove, `last` being the latest good one."""
    if last is None:
        return Looks(last=None, absent=None)
    good = sa.select(runs.c.id, runs.c.observed_at, runs.c.rejected).where(runs.c.source_id == source)
    latest = connection.execute(good.where(runs.c.observed_at == last)).one()
    if not latest.rejected:
        return Looks(last=last, absent=last)
    whole = good.where(runs.c.rejected == 0, runs.c.observed_at.is_not(None), runs.c.kind != "revert")
    before = connection.execute(whole.order_by(runs.c.observed_at.desc()).limit(1)).first()
    names = connection.execute(
        sa.select(rejected_rows.c.name).where(
            rejected_rows.c.source_id == source, rejected_rows.c.last_run_id == latest.id
        )
    ).scalars()
    doubtful = frozenset(names)
    return Looks(
        last=last,
        absent=before.observed_at if before else None,
        doubtful=None if None in doubtful else frozenset(name for name in doubtful if name is not None),
    )


def findings_in_force(connection: Connection, source: int) -> tuple[Finding, ...]:
    """The open findings, and those settled ones that every look since has upheld."""
    last_look = (
        sa.select(sa.func.max(runs.c.id))
        .where(runs.c.source_id == source, runs.c.observed_at.is_not(None), runs.c.kind != "revert")
        .scalar_subquery()
    )
    upheld = sa.and_(findings.c.state.in_(["approved", "rejected"]), findings.c.last_run_id >= last_look)
    query = (
        sa.select(findings)
        .where(findings.c.source_id == source, sa.or_(findings.c.state == "open", upheld))
        .order_by(findings.c.id)
    )
    return tuple(
        Finding(id=row.id, kind=Doubt(row.kind), evidence=row.evidence, opened_at=row.opened_at, state=row.state)
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


def stored_origin(connection: Connection, name: str) -> Origin | None:
    """The source as it is stored, None if it is not known."""
    row = connection.execute(sa.select(sources).where(sources.c.name == name)).first()
    if row is None:
        return None
    return Origin(name=row.name, url=row.url, currency=row.currency, price_units=row.price_units)


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """One change that a run wrote; `is_latest` unless a later change of its model stands on it."""

    id: int
    kind: Kind
    name: str
    effective_at: datetime
    listing: Listing
    changed: Mapping[str, Sequence[Any]]
    is_latest: bool


def origin_of_run(connection: Connection, run_id: int) -> Origin | None:
    """The source of a run as it is stored, None if there is no such run."""
    query = sa.select(sources).join(runs, runs.c.source_id == sources.c.id).where(runs.c.id == run_id)
    row = connection.execute(query).first()
    if row is None:
        return None
    return Origin(name=row.name, url=row.url, currency=row.currency, price_units=row.price_units)


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


# -- writing what was decided ------------------------------------------------------------------------------------------


def write_changes(connection: Connection, held: Claim, believed: Sequence[Change], at: datetime) -> Counter[Kind]:
    """Bring `models` up to date and append to `changes`; how many of each kind."""
    new_ids = _insert_models(connection, held, [change for change in believed if change.kind is Kind.ADDED], at)
    _update(connection, [_moved(change) for change in believed if change.kind not in {Kind.ADDED, Kind.REMOVED}])
    _update(connection, [_gone(change) for change in believed if change.kind is Kind.REMOVED])
    if believed:
        first = next_feed_ids(connection, len(believed))
        rows = [_history_row(change, held, first + position, new_ids, at) for position, change in enumerate(believed)]
        connection.execute(changes.insert(), rows)
    return Counter(change.kind for change in believed)


def write_marks(
    connection: Connection, known_models: Mapping[str, Known], marks: Mapping[str, Mark], refreshed: Iterable[Listing]
) -> None:
    """What a look did not plainly show, and new bytes that say nothing new."""
    _update(connection, [{"model_id": known_models[name].id, **_mark(mark)} for name, mark in marks.items()])
    plain = _mark(Mark())
    rows = [
        {"model_id": known_models[listing.name].id, "extra": listing.extra, "digest": listing.digest, **plain}
        for listing in refreshed
    ]
    _update(connection, rows)


def write_rejected(connection: Connection, held: Claim, rejected: Sequence[Rejected]) -> None:
    """Keep each unreadable element once, with how often it was seen."""
    if not rejected:
        return
    seen = Counter(row.digest for row in rejected)
    rows = [
        {
            "source_id": held.source_id,
            "digest": row.digest,
            "name": row.name,
            "reason": row.reason,
            "raw": row.raw,
            "first_run_id": held.run_id,
            "last_run_id": held.run_id,
            "count": seen[row.digest],
        }
        for row in {row.digest: row for row in rejected}.values()
    ]
    statement = _insert(connection, rejected_rows)
    upsert = statement.on_conflict_do_update(
        index_elements=["source_id", "digest"],
        set_={
            "reason": statement.excluded.reason,
            "last_run_id": statement.excluded.last_run_id,
            "count": rejected_rows.c.count + statement.excluded.count,
        },
    )
    connection.execute(upsert, rows)


def write_findings(connection: Connection, held: Claim, decision: Decision) -> list[int]:
    """Open, uphold and settle findings as decided; the ids of the opened ones, in order."""
    opened = [open_finding(connection, held, finding) for finding in decision.opened]
    for finding_id in decision.upheld:
        _set_finding(connection, finding_id, last_run_id=held.run_id)
    for finding_id, state in decision.settled.items():
        _set_finding(connection, finding_id, last_run_id=held.run_id, state=state, settled_run_id=held.run_id)
    for finding_id, evidence in decision.trimmed.items():
        _set_finding(connection, finding_id, evidence=evidence)
    return opened


def open_finding(connection: Connection, held: Claim, finding: Finding) -> int:
    """Store a new finding of this run; its id."""
    row = findings.insert().values(
        source_id=held.source_id,
        kind=finding.kind.value,
        opened_run_id=held.run_id,
        opened_at=finding.opened_at,
        evidence=finding.evidence,
        last_run_id=held.run_id,
        state=finding.state,
        settled_run_id=None if finding.state == "open" else held.run_id,
    )
    finding_id: int = connection.execute(row.returning(findings.c.id)).scalar_one()
    return finding_id


def take_back_no(connection: Connection, held: Claim, revert_id: int, names: Collection[str]) -> None:
    """The no that a revert left speaks no longer for `names`; with the last of its models it is withdrawn."""
    of_revert = sa.and_(findings.c.opened_run_id == revert_id, findings.c.kind == Doubt.REVERTED.value)
    for finding in connection.execute(sa.select(findings).where(of_revert)).all():
        left = {name: withheld for name, withheld in finding.evidence.items() if name not in names}
        if left:
            _set_finding(connection, finding.id, evidence=left)
        else:
            _set_finding(connection, finding.id, last_run_id=held.run_id, state="withdrawn", settled_run_id=held.run_id)


def reject(connection: Connection, name: str, kinds: Collection[Doubt]) -> tuple[int, list[Finding]]:
    """A person's no to the open findings of a source: its id, and those findings. Waits for a sync that is writing."""
    connection.execute(sa.update(sources).where(sources.c.name == name).values(lease_owner=sources.c.lease_owner))
    source: int = connection.execute(sa.select(sources.c.id).where(sources.c.name == name)).scalar_one()
    rejected = [
        finding
        for finding in findings_in_force(connection, source)
        if finding.state == "open" and finding.kind in kinds
    ]
    for finding in rejected:
        _set_finding(connection, int(finding.id or 0), state="rejected")
    return source, rejected


def _set_finding(connection: Connection, finding_id: int, **values: Any) -> None:  # noqa: ANN401 - columns
    connection.execute(sa.update(findings).where(findings.c.id == finding_id).values(values))


def _insert_models(connection: Connection, held: Claim, added: Sequence[Change], at: datetime) -> dict[str, int]:
    if not added:
        return {}
    ids = dict(zip((change.listing.name for change in added), _model_ids(connection, len(added)), strict=True))
    rows = [
        {
            "id": ids[change.listing.name],
            "source_id": held.source_id,
            "name": change.listing.name,
            "first_seen_at": at,
            "missing_looks": 0,
            **_state(change),
        }
        for change in added
    ]
    connection.execute(models.insert(), rows)
    return ids


def _model_ids(connection: Connection, count: int) -> Iterable[int]:
    """Ids handed out on our side: asking the database to return them costs more than the rows themselves."""
    if connection.dialect.name == "postgresql":
        sequence = "nextval(pg_get_serial_sequence('models', 'id'))"
        query = sa.text(f"SELECT {sequence} FROM generate_series(1, :count)")  # noqa: S608 - a constant
        return connection.execute(query, {"count": count}).scalars().all()
    last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(models.c.id), 0))).scalar_one()
    return range(last + 1, last + 1 + count)


def next_feed_ids(connection: Connection, count: int) -> int:
    """The first of `count` feed ids; from here to the commit, every other writer of the feed waits."""
    connection.execute(sa.update(feed).values(last_id=feed.c.last_id + count))
    last: int = connection.execute(sa.select(feed.c.last_id)).scalar_one()
    return last - count + 1


_PLAIN = {"missing_since": None, "missing_looks": 0, "last_seen_at": None}


def _state(change: Change) -> dict[str, Any]:
    listing = change.listing
    return {
        **{field: getattr(listing, field) for field in TRACKED},
        "extra": listing.extra,
        "digest": listing.digest,
        "last_changed_at": change.effective_at,
    }


def _moved(change: Change) -> dict[str, Any]:
    return {"model_id": change.model_id, **_state(change), **_PLAIN, "removed_at": None}


def _gone(change: Change) -> dict[str, Any]:
    """Its mark says since when it was missing; that is written apart."""
    at = change.effective_at
    return {"model_id": change.model_id, "removed_at": at, "last_changed_at": at}


def _mark(mark: Mark) -> dict[str, Any]:
    return {
        "missing_since": mark.missing_since,
        "missing_looks": mark.missing_looks,
        "last_seen_at": mark.last_seen_at,
    }


def _update(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Update models by `model_id`; all rows set the same columns."""
    if not rows:
        return
    columns: dict[str, Any] = {name: sa.bindparam(name) for name in rows[0] if name != "model_id"}
    connection.execute(sa.update(models).where(models.c.id == sa.bindparam("model_id")).values(columns), rows)


def _history_row(change: Change, held: Claim, feed_id: int, new_ids: Mapping[str, int], at: datetime) -> dict[str, Any]:
    listing = change.listing
    return {
        "id": feed_id,
        "source_id": held.source_id,
        "run_id": held.run_id,
        "model_id": new_ids[listing.name] if change.model_id is None else change.model_id,
        "kind": change.kind.value,
        "observed_at": at,
        "effective_at": change.effective_at,
        "changed_after": change.changed_after,
        "old_price": change.old_price,
        "name": listing.name,
        **{field: getattr(listing, field) for field in TRACKED},
        "changed": {field: list(pair) for field, pair in change.changed.items()},
        "reverts_id": change.reverts_id,
        "raw": listing.raw or None,
    }


def _insert(connection: Connection, table: sa.Table) -> Any:  # noqa: ANN401 - one of two Insert classes
    """INSERT with ON CONFLICT, in the dialect at hand."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)
