"""One sync, top to bottom: lease, poll, shortcut or read, and one transaction in which everything is applied.

All effects of a run are committed together or not at all (law 1), and every attempt leaves a run (law 9). The network
is waited for with no transaction open. The clock is the caller's.

    sync_source              take the lease and open a run
      sync_leased
        poll                 what upstream shows, and when
        close_unchanged      the bytes of last time, and nothing pending: one row says so
        decide_and_apply     read it; in one transaction: check the fencing token, decide, apply, close the run
        record_failure_of    whatever went wrong
"""

from syncer.attempt import Attempt, acquire
from syncer.db import feed, inputs, leases, results
from syncer.db.engine import writing
from syncer.db.leases import Lease
from syncer.db.results import RunResult
from syncer.failures import record_failure_of
from syncer.poll import Observation, is_usable, poll
from syncer.report import Report


def sync_source(attempt: Attempt) -> Report:
    """Bring one source's catalog and history up to date.

    Raises SourceBusy (or Fenced) where another syncer has the source, and, once the failed run is recorded,
    UpstreamError, ClockError, DatabaseError or whatever went wrong.
    """
    lease: Lease | None = None
    try:
        with writing(attempt.engine) as connection:
            lease = acquire(connection, attempt, attempt.clock())
        return sync_leased(attempt, lease)
    except (KeyboardInterrupt, SystemExit) as signal:  # it may come just between the two
        if lease is not None:
            record_failure_of(attempt, lease, signal)
        raise


def sync_leased(attempt: Attempt, lease: Lease) -> Report:
    """`sync_source` from its lease on; the daemon takes a source together with its tick."""
    try:
        usable = is_usable(attempt, lease)  # asked once: it could run out while upstream answers
        observation = poll(attempt, lease, usable=usable)
        if observation.is_unchanged:
            return close_unchanged(attempt, lease, observation)
        from syncer.apply import decide_and_apply  # not at the top: it is half of the start-up

        if attempt.archive is not None:
            attempt.archive(attempt.source.name, observation.at, b"".join(observation.bodies))
        return decide_and_apply(attempt, lease, observation)
    except BaseException as error:  # noqa: BLE001 - whatever it was, the attempt leaves a run (law 9) and goes on up
        result = record_failure_of(attempt, lease, error)
        return Report(source=attempt.source.name, kind=attempt.kind, run_id=lease.run_id, result=result)


def close_unchanged(attempt: Attempt, lease: Lease, observation: Observation) -> Report:
    """The very bytes of the last clean response: one row says so, and it is an observation."""
    with writing(attempt.engine) as connection:
        leases.check_fencing_token(connection, lease)
        notices, thresholds = inputs.of_unchanged(
            connection, lease, observation.at, observation.witness, trust_date=attempt.source.trust_date
        )
        if thresholds:
            from syncer.db.writes import mark_expiring

            mark_expiring(connection, lease.source_id, thresholds)
        feed.write_notices(connection, lease.source_id, lease.run_id, notices, observation.at)
        result = RunResult(
            outcome="unchanged",
            observed_at=observation.at,
            finished_at=attempt.clock(),
            shown_at=observation.shown_at,
            http_status=observation.status,
            rejected=results.carried_rejected(connection, lease.source_id),
            judged=lease.past.judged == lease.past.last,
            body_digest=observation.shortcut.body_digest,
            shortcut=observation.shortcut,
        )
        results.close(connection, lease, result)
    return Report(
        source=attempt.source.name, kind=attempt.kind, run_id=lease.run_id, result=result, notices=tuple(notices)
    )
