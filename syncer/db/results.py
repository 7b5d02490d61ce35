"""How a run ends: one row says it, and the source's row remembers what the next run needs. Nothing here commits."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.core.model import Kind
from syncer.db import leases
from syncer.db.leases import Lease
from syncer.db.tables import runs, sources


class Shortcut(msgspec.Struct, frozen=True, kw_only=True):
    """What lets the next run pass over a body that it has read already: what the body was, and what it holds for.

    `stored_at` is when it was last asked for unconditionally.
    """

    etag: str | None
    body_digest: str
    stored_with: str
    stored_at: datetime


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, and what the source keeps of it.

    `is_observation` is False for a revert, which read no catalog. `shown_at` is `observed_at` less the Age of the
    response. `judged`: it could judge absence. `shortcut` is None while anything is pending. `listed` is None where
    nothing was read, because the bytes were the same.
    """

    outcome: str
    observed_at: datetime
    finished_at: datetime
    is_observation: bool = True
    shown_at: datetime | None = None
    judged: bool = True
    http_status: int | None = None
    listed: int | None = None
    rejected: int = 0
    withheld: int = 0
    body_digest: str | None = None
    error: str | None = None
    counts: Mapping[Kind, int] = {}
    shortcut: Shortcut | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run came to nothing; `abandoned` if its own operator stopped it, which is nobody's trouble.

    `observed_at` is the recorded time of an imported response that could not be read.
    """

    error: str
    http_status: int | None = None
    body_digest: str | None = None
    abandoned: bool = False
    observed_at: datetime | None = None


_COLUMNS = (
    "outcome",
    "observed_at",
    "finished_at",
    "http_status",
    "listed",
    "rejected",
    "withheld",
    "body_digest",
    "error",
)


def close(connection: Connection, lease: Lease, result: RunResult) -> None:
    """Close the run and release the lease; the last statements of the writing transaction."""
    values = {name: getattr(result, name) for name in _COLUMNS}
    values |= {kind.value: count for kind, count in result.counts.items()}
    connection.execute(sa.update(runs).where(runs.c.id == lease.run_id).values(values))
    leases.release(connection, sources, lease.source_id, lease.token, **_remembered(lease, result))


def close_failed(connection: Connection, lease: Lease, failure: Failure, *, now: datetime) -> bool:
    """Close the run as failed if it is still open and release the lease if it is still ours; was it still open?"""
    leases.release(
        connection, sources, lease.source_id, lease.token
    )  # first, as in `acquire`: else they could deadlock
    closed = connection.execute(
        sa.update(runs)
        .where(runs.c.id == lease.run_id, runs.c.outcome == "running")
        .values(
            outcome="abandoned" if failure.abandoned else "failed",
            observed_at=failure.observed_at,
            finished_at=now,
            error=failure.error,
            http_status=failure.http_status,
            body_digest=failure.body_digest,
        )
    )
    return closed.rowcount > 0


def stored_result(connection: Connection, run_id: int) -> RunResult | None:
    """How a run was closed, as far as its row tells; None if no catalog was read, or a failover lost the very run."""
    run = connection.execute(sa.select(runs).where(runs.c.id == run_id)).first()
    if run is None or run.observed_at is None:
        return None
    counts = {kind: getattr(run, kind.value) for kind in Kind}
    return RunResult(**{name: getattr(run, name) for name in _COLUMNS}, counts=counts)


def carried_rejected(connection: Connection, source_id: int) -> int:
    """How many rows the last run that read a catalog rejected: the same bytes have the same unreadable rows."""
    query = (
        sa.select(runs.c.rejected)
        .where(runs.c.source_id == source_id, runs.c.listed.is_not(None))
        .order_by(runs.c.id.desc())
        .limit(1)
    )
    return connection.scalar(query) or 0


def already_imported(connection: Connection, name: str, at: datetime, body_digest: str) -> bool:
    """Whether a run has observed this very response at this very time.

    One that failed on this body counts if the source was observed since; else the body is tried again.
    """
    later = runs.alias()
    observed_since = sa.exists().where(
        later.c.source_id == runs.c.source_id, later.c.observed_at > at, later.c.outcome != "failed"
    )
    is_past = sa.or_(runs.c.outcome != "failed", observed_since)
    query = (
        sa.select(runs.c.id)
        .join(sources, sources.c.id == runs.c.source_id)
        .where(sources.c.name == name, runs.c.body_digest == body_digest, runs.c.observed_at == at, is_past)
    )
    return connection.execute(query.limit(1)).first() is not None


def has_failed_on(connection: Connection, source_id: int, at: datetime, body_digest: str) -> bool:
    """Whether an import has failed on this very response: it may be tried again at its own time."""
    query = sa.select(runs.c.id).where(
        runs.c.source_id == source_id,
        runs.c.observed_at == at,
        runs.c.body_digest == body_digest,
        runs.c.outcome == "failed",
    )
    return connection.execute(query.limit(1)).first() is not None


def _remembered(lease: Lease, result: RunResult) -> dict[str, Any]:
    """What the source's row keeps of the run. A revert leaves nothing that could pass over the next body."""
    if not result.is_observation:
        return {"etag": None, "body_digest": None}
    shortcut = result.shortcut
    kept: dict[str, Any] = {
        "url": lease.record.url,
        "format": lease.record.format,
        "headline": lease.record.headline,
        "etag": shortcut and shortcut.etag,
        "body_digest": shortcut and shortcut.body_digest,
        "stored_with": shortcut and shortcut.stored_with,
        "stored_at": shortcut and shortcut.stored_at,
        "last_observed_at": result.observed_at,
        "last_shown_at": result.shown_at or result.observed_at,
    }
    return kept | ({"last_judged_at": result.observed_at} if result.judged else {})
