"""One sync, top to bottom: lease, fetch, shortcut or read, and one transaction in which everything is applied.

All effects of a run are committed together or not at all (law 1), and every attempt leaves a run (law 9). The network
is waited for with no transaction open. The clock is the caller's.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy.engine import Connection

from syncer import fetch, http_client
from syncer.attempt import Attempt, Body, acquire, limits, policy, reading_digest, redacted, request_of, secrets_of
from syncer.core import notices, parse
from syncer.core.decide import Decision, DecisionInput, decide
from syncer.core.model import Change, Kind, Snapshot
from syncer.core.notices import Notice
from syncer.core.observation import NO_WITNESS, Witness, observed_at
from syncer.db import feed, inputs, leases, results, state, writes
from syncer.db.engine import reading, writing
from syncer.db.leases import Lease
from syncer.db.results import Failure, RunResult, Shortcut
from syncer.db.state import CatalogState
from syncer.errors import BadResponse, DatabaseError, Fenced, SyncerError, UpstreamError

log = logging.getLogger("syncer.sync")

_SHORTEST_SECRET = 8  # what is shorter (EMPTY, none, test) is customary where no key is asked for, and stands in names


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A response and its time. `bodies` are its pages, `witness` what it says of its own time.

    `partial` is what its head says against the list's being whole. `shortcut` is what the source keeps of it while
    nothing is pending. `expiring_after`: nothing is told of what expires before (an import's own end).
    """

    bodies: tuple[Body, ...]
    at: datetime
    shortcut: Shortcut
    status: int | None = None
    witness: Witness = NO_WITNESS
    partial: str | None = None
    expiring_after: datetime | None = None

    @property
    def shown_at(self) -> datetime:
        """When upstream itself showed it: before a cache kept it."""
        return self.at - self.witness.age


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one run.

    `result` is how it was closed; `run_id` is None for a preview, of which `changes` are what would be believed.
    `missing` counts the models that were not listed and whose removal is neither confirmed yet nor withheld.
    `announced` says what this run withheld that no earlier one did; the result's `error` also what still is withheld.
    `notices` are what it told of the source's health.
    `warnings` are about the format of a source that is observed for the first time.
    """

    source: str
    kind: str
    run_id: int | None
    result: RunResult
    missing: int = 0
    announced: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    warnings: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def outcome(self) -> str:
        """How the run ended, in a word."""
        return self.result.outcome


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
        observation = observe(attempt, lease, usable=usable)
        if usable and observation.shortcut.body_digest == lease.body_digest:
            return close_unchanged(attempt, lease, observation)
        if attempt.archive is not None:
            attempt.archive(attempt.source.name, observation.at, b"".join(observation.bodies))
        return decide_and_apply(attempt, lease, observation)
    except BaseException as error:  # noqa: BLE001 - whatever it was, the attempt leaves a run (law 9) and goes on up
        result = record_failure_of(attempt, lease, error)
        return Report(source=attempt.source.name, kind=attempt.kind, run_id=lease.run_id, result=result)


# -- what upstream shows -----------------------------------------------------------------------------------------------


def observe(attempt: Attempt, lease: Lease, *, usable: bool) -> Observation:
    """Fetch the catalog, and date it; unconditionally where the stored bytes are not `usable`."""
    response = fetch.fetch(
        request_of(attempt, etag=lease.etag if usable else None), clock=attempt.clock, limits=limits(attempt.source)
    )
    return observation_of(attempt, lease, response, stored_at=lease.stored_at if usable else None)


def observation_of(
    attempt: Attempt, lease: Lease | None, response: fetch.Response, *, stored_at: datetime | None = None
) -> Observation:
    """A response as an observation; raises ClockError where its time cannot be right (law 5)."""
    witness = Witness(date=response.date, **({} if response.age is None else {"age": response.age}))
    last = lease.last_time if lease else None
    at = observed_at(response.received_at, last, witness, trust_date=attempt.source.trust_date)
    not_modified = response.status == 304 and lease is not None
    shortcut = Shortcut(
        etag=response.etag or (lease.etag if not_modified and lease else None),
        body_digest=str(lease.body_digest) if not_modified and lease else parse.body_digest(b"".join(response.bodies)),
        stored_with=reading_digest(attempt, lease.credential if lease else None),
        stored_at=stored_at or at,
    )
    return Observation(
        bodies=without_secrets(attempt, response.bodies), at=at, shortcut=shortcut, status=response.status,
        witness=witness, partial=response.partial,
    )  # fmt: skip


def without_secrets(attempt: Attempt, bodies: tuple[Body, ...]) -> tuple[Body, ...]:
    """The bodies with *** for each key that upstream echoes in them, so that it is never stored, kept or printed.

    They stay the very objects that they are if there is none, and JSON if there is.
    """
    secrets = tuple(
        secret for secret in secrets_of(attempt) if len(secret) >= _SHORTEST_SECRET and not secret.isdigit()
    )
    return tuple(http_client.redact_bytes(body, secrets, whole=True) for body in bodies) if secrets else bodies


def is_usable(attempt: Attempt, lease: Lease) -> bool:
    """Whether the bytes of the last clean response still say what this one would: read alike, and not too long ago."""
    if lease.body_digest is None or lease.stored_at is None:
        return False
    fresh = attempt.clock() - lease.stored_at < attempt.source.revalidate_after
    return fresh and lease.stored_with == reading_digest(attempt, lease.credential)


def close_unchanged(attempt: Attempt, lease: Lease, observation: Observation) -> Report:
    """The very bytes of the last clean response: one row says so, and it is an observation."""
    with writing(attempt.engine) as connection:
        leases.check_fencing_token(connection, lease)
        said, told = inputs.of_unchanged(
            connection, lease, observation.at, observation.witness, trust_date=attempt.source.trust_date
        )
        rejected, _ = results.carried_counts(connection, lease.source_id)
        writes.mark_expiring(connection, lease.source_id, told)
        feed.write_notices(connection, lease.source_id, lease.run_id, said, observation.at)
        result = RunResult(
            outcome="unchanged",
            observed_at=observation.at,
            finished_at=attempt.clock(),
            shown_at=observation.shown_at,
            http_status=observation.status,
            rejected=rejected,
            judged=lease.past.judged == lease.past.last,
            body_digest=observation.shortcut.body_digest,
            shortcut=observation.shortcut,
        )
        results.close(connection, lease, result)
    return Report(
        source=attempt.source.name, kind=attempt.kind, run_id=lease.run_id, result=result, notices=tuple(said)
    )


# -- read, decide, apply -----------------------------------------------------------------------------------------------


class Reading(NamedTuple):
    """A response as it was read, and what a first one tells of its format."""

    snapshot: Snapshot
    catalog: CatalogState
    warnings: tuple[str, ...] = ()


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
        warnings = _first_doubts(attempt, snapshot) if lease is None or not lease.ever_listed else ()
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


def result_of(
    observation: Observation, snapshot: Snapshot, decision: Decision, counts: Mapping[Kind, int], now: datetime
) -> RunResult:
    """How a run ends that has decided."""
    return RunResult(
        outcome=decision.outcome,
        observed_at=observation.at,
        finished_at=now,
        shown_at=observation.shown_at,
        judged=decision.judges,
        http_status=observation.status,
        listed=snapshot.listed,
        rejected=len(snapshot.rejected) + len(snapshot.unreadable),
        withheld=decision.withheld,
        body_digest=observation.shortcut.body_digest,
        error="; ".join(decision.reasons) or None,
        counts=counts,
        shortcut=None if decision.pending else observation.shortcut,
    )


def report_of(
    attempt: Attempt,
    run_id: int | None,
    result: RunResult,
    decision: Decision,
    warnings: tuple[str, ...] = (),
    changes: tuple[Change, ...] = (),
) -> Report:
    """A run as it was closed, and what was decided on the way."""
    return Report(
        source=attempt.source.name,
        kind=attempt.kind,
        run_id=run_id,
        result=result,
        missing=decision.unconfirmed,
        announced=decision.announced,
        notices=tuple(decision.notices),
        warnings=warnings,
        changes=changes,
    )


def _first_doubts(attempt: Attempt, snapshot: Snapshot) -> tuple[str, ...]:
    """What a first response says against its format; raises BadResponse where it cannot be the right one."""
    if not snapshot.listed and not snapshot.rejected:
        raise BadResponse("the list is empty, and this source has never listed a model")
    doubts = parse.unmatched(snapshot, attempt.format)
    if doubts.error:
        raise BadResponse(doubts.error)
    return doubts.warnings


# -- what went wrong ---------------------------------------------------------------------------------------------------


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
            if not _close_failed(connection, lease, failure, attempt.clock()):
                committed = results.stored_result(connection, lease.run_id)
                if isinstance(error, DatabaseError) and committed is not None:
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
