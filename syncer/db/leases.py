"""Who may write a source, or hand a consumer its next events, now: a lease in its row, and a fencing token.

- Taking a lease is one UPDATE that decides. The check, the first statement of every writing transaction after it, is
  one UPDATE that compares the token and locks the row in the same breath; a SELECT would let two write (law 7).
- The check compares the token only, never the clock: a lease that ran out and that nobody took may go on.
- Each function takes a connection in a transaction and never commits.
"""

import hmac
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.core.observation import PastObservations
from syncer.db.tables import is_observed, models, runs, sources
from syncer.errors import Fenced, SourceBusy

LONGEST_LEASE = timedelta(hours=1)
"""No syncer takes a longer one: a lease that ends later was written by a clock that was wrong, and is taken over."""


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings and the format say of a source and the database keeps beside its history."""

    name: str
    url: str
    format: str
    headline: str
    currency: str | None = None
    price_units: Mapping[str, Any] | None = None
    interval: timedelta | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A source that is ours for a while, an open run, and what was stored when we took it.

    `observed_url` and `observed_format` are those of the last observation. `last_time` is the latest `observed_at` of
    any run, failed imports too, which the next one must be after; `past` are the observations. `stored_at` is when the
    stored bytes were last asked for unconditionally.
    """

    record: SourceRecord
    source_id: int
    run_id: int
    token: int
    etag: str | None
    body_digest: str | None
    stored_with: str | None
    stored_at: datetime | None
    observed_url: str
    observed_format: str
    last_time: datetime | None
    past: PastObservations
    ever_listed: bool
    credential: str | None
    last_credential: str | None


# -- of any row that has a lease: sources and consumers ----------------------------------------------------------------


def is_available(until: sa.Column[datetime], now: datetime) -> sa.ColumnElement[bool]:
    """Whether a lease that ends at `until` is anybody's: none, over, or from a clock that was wrong."""
    return sa.or_(until.is_(None), until <= now, until > now + LONGEST_LEASE)


def take(
    connection: Connection,
    table: sa.Table,
    which: sa.ColumnElement[bool],
    *,
    owner: str,
    now: datetime,
    lasts: timedelta,
    **values: Any,  # noqa: ANN401 - columns
) -> bool:
    """Take the lease of the row of `table` that is `which`, and set these values; False if somebody else has it."""
    taken = connection.execute(
        sa.update(table)
        .where(which, is_available(table.c.lease_until, now))
        .values(lease_token=table.c.lease_token + 1, lease_owner=owner, lease_until=now + lasts, **values)
    )
    return taken.rowcount > 0


def update_held(connection: Connection, table: sa.Table, row_id: int, token: int, **values: Any) -> bool:  # noqa: ANN401 - columns
    """Update a row whose lease is held with this token; False, and nothing is written, if it no longer is.

    Without values it is the mere check, which locks the row.
    """
    ours = connection.execute(
        sa.update(table)
        .where(table.c.id == row_id, table.c.lease_token == token)
        .values(values or {"lease_owner": table.c.lease_owner})
    )
    return ours.rowcount > 0


def release(connection: Connection, table: sa.Table, row_id: int, token: int, **values: Any) -> bool:  # noqa: ANN401 - columns
    """Give a lease back, and set these values with it; False, and nothing is written, if it is no longer ours."""
    return update_held(connection, table, row_id, token, lease_owner=None, lease_until=None, **values)


def fenced_off(table: sa.Table) -> dict[str, Any]:
    """The values that take a row from whoever holds it, for whoever moves it by hand."""
    return {"lease_token": table.c.lease_token + 1, "lease_owner": None, "lease_until": None}


# -- of a source -------------------------------------------------------------------------------------------------------


def acquire(
    connection: Connection,
    record: SourceRecord,
    *,
    kind: str,
    owner: str,
    now: datetime,
    lasts: timedelta,
    key: str | None,
) -> Lease:
    """Take the source's lease and open a run; raises SourceBusy where somebody else has it.

    A run that is still open then was left by a syncer that died, and becomes `abandoned`.
    """
    register(connection, record, now)
    back = {"retired_at": None} if kind in {"sync", "approve"} else {}
    taken = take(
        connection,
        sources,
        sources.c.name == record.name,
        owner=owner,
        now=now,
        lasts=lasts,
        currency=record.currency,
        price_units=record.price_units,
        interval_seconds=_seconds(record.interval),
        **back,
    )
    source = connection.execute(sa.select(sources).where(sources.c.name == record.name)).one()
    if not taken:
        raise _busy(source)
    connection.execute(
        sa.update(runs)
        .where(runs.c.source_id == source.id, runs.c.outcome == "running")
        .values(outcome="abandoned", finished_at=now, error="its syncer died or lost its lease")
    )
    credential = _fingerprint(source.salt, key)
    run = runs.insert().values(source_id=source.id, kind=kind, started_at=now, outcome="running", credential=credential)
    run_id: int = connection.execute(run.returning(runs.c.id)).scalar_one()
    return _lease(connection, record, source, run_id, credential)


def peek(connection: Connection, record: SourceRecord, key: str | None) -> Lease | None:
    """What `acquire` would find, without taking anything (its run is 0). None for a source never synced."""
    source = connection.execute(sa.select(sources).where(sources.c.name == record.name)).first()
    return None if source is None else _lease(connection, record, source, 0, _fingerprint(source.salt, key))


def check_fencing_token(connection: Connection, lease: Lease) -> None:
    """The first statement of a writing transaction: the source is ours still, or Fenced is raised."""
    if not update_held(connection, sources, lease.source_id, lease.token):
        raise Fenced("the lease ran out and another syncer took the source over: nothing of this run was written")


def lock(connection: Connection, name: str) -> Any:  # noqa: ANN401 - a row
    """The source's row, locked until the transaction ends; None if there is none. Waits for a sync that is writing."""
    connection.execute(sa.update(sources).where(sources.c.name == name).values(lease_owner=sources.c.lease_owner))
    return connection.execute(sa.select(sources).where(sources.c.name == name)).first()


def release_all(connection: Connection, owner: str, error: str, *, now: datetime) -> list[int]:
    """Take all source leases of `owner` away and close its open runs as abandoned; the ids of those sources.

    A thread of it that goes on is fenced off. The operator stopped it: nobody is told (law 9).
    """
    given_up = connection.execute(
        sa.update(sources).where(sources.c.lease_owner == owner).values(fenced_off(sources)).returning(sources.c.id)
    ).scalars()
    ids = list(given_up)
    connection.execute(
        sa.update(runs)
        .where(runs.c.source_id.in_(ids), runs.c.outcome == "running")
        .values(outcome="abandoned", finished_at=now, error=error)
    )
    return ids


def register(connection: Connection, record: SourceRecord, now: datetime) -> None:
    """The source's row, made at its first lease. Two first ones at once must not collide, hence ON CONFLICT."""
    if connection.execute(sa.select(sources.c.id).where(sources.c.name == record.name)).first():
        return
    row = {
        "name": record.name,
        "url": record.url,
        "format": record.format,
        "headline": record.headline,
        "currency": record.currency,
        "price_units": record.price_units,
        "interval_seconds": _seconds(record.interval),
        "created_at": now,
        "salt": secrets.token_bytes(16),
    }
    connection.execute(insert_into(connection, sources).values(row).on_conflict_do_nothing(index_elements=["name"]))


def stored_record(connection: Connection, name: str) -> SourceRecord | None:
    """The source as it is stored, None if it is not known."""
    row = connection.execute(sa.select(sources).where(sources.c.name == name)).first()
    return None if row is None else _record(row)


def record_of_run(connection: Connection, run_id: int) -> SourceRecord | None:
    """The source of a run as it is stored, None if there is no such run."""
    query = sa.select(sources).join(runs, runs.c.source_id == sources.c.id).where(runs.c.id == run_id)
    row = connection.execute(query).first()
    return None if row is None else _record(row)


def insert_into(connection: Connection, table: sa.Table) -> Any:  # noqa: ANN401 - one of two Insert classes
    """INSERT with ON CONFLICT, in the dialect at hand."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def _record(row: Any) -> SourceRecord:  # noqa: ANN401 - a row of sources
    same: Sequence[str] = ("name", "url", "format", "headline", "currency", "price_units")
    interval = None if row.interval_seconds is None else timedelta(seconds=row.interval_seconds)
    return SourceRecord(**{name: getattr(row, name) for name in same}, interval=interval)


def _lease(connection: Connection, record: SourceRecord, source: Any, run_id: int, credential: str | None) -> Lease:  # noqa: ANN401 - a row
    return Lease(
        record=record,
        source_id=source.id,
        run_id=run_id,
        token=source.lease_token,
        etag=source.etag,
        body_digest=source.body_digest,
        stored_with=source.stored_with,
        stored_at=source.stored_at,
        observed_url=source.url,
        observed_format=source.format,
        last_time=_last_time(connection, source.id),
        past=PastObservations(
            last=source.last_observed_at, last_shown=source.last_shown_at, judged=source.last_judged_at
        ),
        ever_listed=_ever_listed(connection, source.id),
        credential=credential,
        last_credential=_last_credential(connection, source.id, source.last_observed_at),
    )


def _busy(source: Any) -> SourceBusy:  # noqa: ANN401 - a row
    if source.lease_until is None:  # PostgreSQL: released between the two statements
        return SourceBusy(f"{source.name} was being synced by somebody else until just now: try again")
    return SourceBusy(f"{source.name} is being synced by {source.lease_owner} (until {source.lease_until:%H:%M:%S}Z)")


def _seconds(interval: timedelta | None) -> int | None:
    return None if interval is None else int(interval.total_seconds())


def _fingerprint(salt: bytes, key: str | None) -> str | None:
    """Eight bytes that tell one key from another and give nothing of it away (law 11)."""
    return None if key is None else hmac.digest(salt, key.encode(), "sha256")[:8].hex()


def _ever_listed(connection: Connection, source_id: int) -> bool:
    query = sa.select(models.c.id).where(models.c.source_id == source_id).limit(1)
    return connection.execute(query).first() is not None


def _last_time(connection: Connection, source_id: int) -> datetime | None:
    latest = sa.func.max(runs.c.observed_at, type_=runs.c.observed_at.type)
    return connection.execute(sa.select(latest).where(runs.c.source_id == source_id)).scalar()


def _last_credential(connection: Connection, source_id: int, observed: datetime | None) -> str | None:
    query = sa.select(runs.c.credential).where(
        runs.c.source_id == source_id, runs.c.observed_at == observed, is_observed()
    )
    return None if observed is None else connection.execute(query).scalar()
