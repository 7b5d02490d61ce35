"""A run that came to nothing: every attempt leaves a run (law 9), and the feed says once that the source failed."""

import logging
from datetime import datetime

from sqlalchemy.engine import Connection

from syncer.attempt import Attempt, acquire, redacted
from syncer.core import notices
from syncer.db import feed, results
from syncer.db.engine import writing
from syncer.db.leases import Lease
from syncer.db.results import Failure, RunResult
from syncer.errors import DatabaseError, Fenced, SyncerError, UpstreamError

log = logging.getLogger("syncer.sync")


def record_failure(attempt: Attempt, error: SyncerError) -> None:
    """Leave a failed run (law 9) for an attempt that ended before anything was asked, such as one without a key."""
    with writing(attempt.engine) as connection:
        now = attempt.clock()
        _close_failed(connection, acquire(connection, attempt, now), Failure(error=str(error)), now)


def record_failure_of(
    attempt: Attempt,
    lease: Lease,
    error: BaseException,
    *,
    body_digest: str | None = None,
    at: datetime | None = None,
) -> RunResult:
    """Record the failure and raise it; but if a commit was cut off and had succeeded, say how the run was closed.

    What its own operator interrupted is `abandoned`, and nobody is told. `body_digest` and `at` are those of an
    imported response that could not be read.
    """
    if isinstance(error, Fenced):
        raise error
    failure = Failure(
        error=_sentence(attempt, error),
        http_status=error.http_status if isinstance(error, UpstreamError) else None,
        body_digest=body_digest,
        abandoned=isinstance(error, KeyboardInterrupt | SystemExit),
        observed_at=at,
    )
    try:
        with writing(attempt.engine) as connection:
            closed = _close_failed(connection, lease, failure, attempt.clock())
            committed = None if closed else results.stored_result(connection, lease.run_id)
        if committed is not None and isinstance(error, DatabaseError):
            return committed
    except SyncerError as second:
        log.warning("the failed run %s could not be closed, a later one will find it: %s", lease.run_id, second)
    raise error


def _sentence(attempt: Attempt, error: BaseException) -> str:
    """What a failed run says of its error."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "stopped by its operator"
    return redacted(attempt, str(error) if isinstance(error, SyncerError) else f"{type(error).__name__}: {error}")


def _close_failed(connection: Connection, lease: Lease, failure: Failure, now: datetime) -> bool:
    """Close the run as failed, if it is still open, and say so in the feed if the source looked well until now."""
    closed = results.close_failed(connection, lease, failure, now=now)
    if closed and not failure.abandoned:
        trouble = feed.trouble(connection, lease.source_id)
        said = notices.of_failure(trouble, failure.error, failure.http_status)
        feed.write_notices(connection, lease.source_id, lease.run_id, said, failure.observed_at or now)
    return closed
