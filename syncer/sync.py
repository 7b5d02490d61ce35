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

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy.engine import Connection

from syncer.attempt import Attempt, acquire, policy, redacted
from syncer.core import parse
from syncer.core.decide import Decision, DecisionInput, decide
from syncer.core.model import Kind, Snapshot
from syncer.db import feed, inputs, leases, results, state, writes
from syncer.db.engine import reading, writing
from syncer.db.leases import Lease
from syncer.db.results import RunResult
from syncer.db.state import CatalogState
from syncer.errors import BadResponse
from syncer.failures import record_failure_of
from syncer.poll import Observation, is_usable, poll
from syncer.report import Report, report_of, result_of


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
        if usable and observation.shortcut.body_digest == lease.body_digest:
            return close_unchanged(attempt, lease, observation)
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
        writes.mark_expiring(connection, lease.source_id, thresholds)
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


def decide_and_apply(attempt: Attempt, lease: Lease, observation: Observation) -> Report:
    """Read one response and apply what is believed of it, all in one transaction; raises BadResponse or Fenced."""
    with reading(attempt.engine) as connection:  # our lease keeps the catalog as it is
        read = read_response(attempt, observation, connection, lease)
    with writing(attempt.engine) as connection:
        leases.check_fencing_token(connection, lease)
        seen = load_inputs(connection, attempt, lease, observation, read)
        decision = decide(seen, policy(attempt.source), attempt.approval)
        counts = apply(connection, attempt, lease, seen, decision)
        result = result_of(observation, read.snapshot, decision, counts, attempt.clock())
        results.close(connection, lease, result)
    return report_of(attempt, lease.run_id, result, decision, read.warnings)


# -- the parts of decide_and_apply -------------------------------------------------------------------------------------


class Reading(NamedTuple):
    """A response as it was read, and what a first one tells of its format."""

    snapshot: Snapshot
    catalog: CatalogState
    warnings: tuple[str, ...] = ()


def read_response(
    attempt: Attempt, observation: Observation, connection: Connection | None, lease: Lease | None
) -> Reading:
    """The response as a snapshot; raises BadResponse, without the key, where it is no catalog."""
    catalog = CatalogState()
    if connection is not None and lease is not None:
        catalog = state.catalog(connection, lease.source_id, attempt.format.parser)
    try:
        snapshot = parse.snapshot(
            observation.bodies,
            attempt.format,
            observed_at=observation.at,
            shown_at=observation.shown_at,
            known=catalog.by_digest,
            http_partial=observation.partial,
            believed=None if connection is None or lease is None else state.believed(connection, lease.source_id),
        )
        warnings = _misfits(attempt, snapshot) if lease is None or not lease.ever_listed else ()
    except BadResponse as error:
        raise BadResponse(redacted(attempt, str(error)), http_status=observation.status) from None
    return Reading(snapshot, catalog, warnings)


def load_inputs(
    connection: Connection, attempt: Attempt, lease: Lease, observation: Observation, read: Reading
) -> DecisionInput:
    """Everything the decision rests on: whole states only of what moved, is missing or was pending."""
    return inputs.load(
        connection,
        lease,
        read.catalog,
        read.snapshot,
        required=attempt.source.required,
        trust_date=attempt.source.trust_date,
        reread=lambda raw: parse.element(raw.encode(), attempt.format),
        witness=observation.witness,
        expiring_after=observation.expiring_after,
    )


def apply(
    connection: Connection, attempt: Attempt, lease: Lease, seen: DecisionInput, decision: Decision
) -> Mapping[Kind, int]:
    """Write what was decided, the feed last."""
    snapshot, at = seen.snapshot, seen.snapshot.observed_at
    writes.write_rejected(connection, lease, (*snapshot.rejected, *snapshot.duplicates, *snapshot.unreadable))
    return writes.write_decision(
        connection,
        lease,
        seen.known,
        decision,
        at=at,
        parser=snapshot.parser,
        comment=None if attempt.approval is None else attempt.approval.comment,
    )


def _misfits(attempt: Attempt, snapshot: Snapshot) -> tuple[str, ...]:
    """What a first response says against its format; raises BadResponse where it cannot be the right one."""
    if not snapshot.listed and not snapshot.rejected:
        raise BadResponse("the list is empty, and this source has never listed a model")
    misfits = parse.unmatched(snapshot, attempt.format)
    if misfits.error:
        raise BadResponse(misfits.error)
    return misfits.warnings
