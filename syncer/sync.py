"""One sync, top to bottom: lease, fetch, shortcut or read, and one transaction in which everything is applied.

All effects of a run are committed together or not at all (law 1), and every attempt leaves a run (law 9). The network
is waited for with no transaction open. The clock is the caller's.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from hashlib import blake2b

import msgspec
from sqlalchemy.engine import Connection, Engine

from syncer import fetch
from syncer.core import decide, diff, parse
from syncer.core.decide import Decision, DecisionInput, FindingKind, Policy
from syncer.core.model import Change, Kind, Snapshot
from syncer.core.notices import after_observation, of_failure
from syncer.core.observation import observed_at
from syncer.db import notices, store, writes
from syncer.db.engine import reading, writing
from syncer.db.store import Catalog, Lease, RunResult
from syncer.errors import BadResponse, DatabaseError, Fenced, SyncerError, UpstreamError
from syncer.settings import SourceSettings

log = logging.getLogger("syncer.sync")

ENDPOINT = "/serverless/models"

Clock = Callable[[], datetime]
Archive = Callable[[str, datetime, parse.Bytes], None]
"""Keeps the body of a response that has to be read: called with (source name, observed_at, body)."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A response and its time. `remember` is what the source keeps of it while nothing is pending."""

    body: parse.Bytes
    at: datetime
    digest: str
    status: int | None = None
    remember: tuple[str | None, str, str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one run. `counts` are the believed changes by kind; `changes` are given by a preview only.

    `missing` counts the models that were not listed and whose removal is neither confirmed yet nor withheld.
    `doubts` says what this run withheld that no earlier one did; `error` also what was withheld before and still is.
    """

    source: str
    kind: str
    outcome: str
    run_id: int | None
    observed_at: datetime
    http_status: int | None
    listed: int | None
    counts: Mapping[Kind, int]
    rejected: int = 0
    withheld: int = 0
    missing: int = 0
    error: str | None = None
    doubts: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()


def sync_source(
    engine: Engine,
    source: SourceSettings,
    *,
    key: str | None,
    clock: Clock,
    owner: str,
    archive: Archive | None = None,
    approving: Collection[FindingKind] = (),
) -> Report:
    """Bring one source's catalog and history up to date.

    `approving` names the doubts that a person has said yes to. Raises SourceBusy (or Fenced) where another syncer has
    the source, and, once the failed run is recorded, UpstreamError, ClockError, DatabaseError or whatever went wrong.
    """
    kind = "approve" if approving else "sync"
    lease: Lease | None = None
    try:
        with writing(engine) as connection:
            lease = store.acquire(
                connection, origin(source), kind=kind, owner=owner, now=clock(), lease_for=source.lease, key=key
            )
        return sync_leased(engine, source, lease, key=key, clock=clock, archive=archive, approving=approving)
    except (KeyboardInterrupt, SystemExit) as signal:  # it may come just between the two
        if lease is not None:
            record_failure_of(engine, lease, signal, key, clock)
        raise


def sync_leased(
    engine: Engine,
    source: SourceSettings,
    lease: Lease,
    *,
    key: str | None,
    clock: Clock,
    archive: Archive | None = None,
    approving: Collection[FindingKind] = (),
) -> Report:
    """`sync_source` from its lease on; the daemon leases a source together with its tick."""
    try:
        result, decision = _poll(engine, source, lease, key, clock, archive, approving)
    except BaseException as error:  # noqa: BLE001 - whatever it was, the attempt leaves a run (law 9) and goes on up
        result, decision = record_failure_of(engine, lease, error, key, clock), None
    return report_of(source.name, "approve" if approving else "sync", lease.run_id, result, decision)


# -- the two ways a poll can go ----------------------------------------------------------------------------------------


def _poll(
    engine: Engine,
    source: SourceSettings,
    lease: Lease,
    key: str | None,
    clock: Clock,
    archive: Archive | None,
    approving: Collection[FindingKind],
) -> tuple[RunResult, Decision | None]:
    rules = rules_digest(source, lease.credential)
    usable = lease.stored_with == rules and lease.body_digest is not None
    etag = lease.etag if usable else None
    response = fetch.fetch(
        fetch.Request(url=fetch.catalog_url(source.url, ENDPOINT), key=key, etag=etag),
        clock=clock,
        limits=limits(source),
    )
    at = observed_at(response.received_at, lease.last_observed_at)
    digest = str(lease.body_digest) if response.status == 304 else parse.body_digest(response.body)
    etag = response.etag or (lease.etag if response.status == 304 else None)
    observation = Observation(
        body=response.body, at=at, status=response.status, digest=digest, remember=(etag, digest, rules)
    )
    if usable and digest == lease.body_digest:
        return _close_unchanged(engine, lease, observation, clock), None
    if archive is not None:
        archive(source.name, at, response.body)
    return decide_and_apply(engine, source, lease, observation, key=key, clock=clock, approving=approving)


def decide_and_apply(
    engine: Engine,
    source: SourceSettings,
    lease: Lease,
    observation: Observation,
    *,
    clock: Clock,
    key: str | None = None,
    approving: Collection[FindingKind] = (),
) -> tuple[RunResult, Decision]:
    """Read one response and apply what is believed of it, all in one transaction; raises BadResponse or Fenced."""
    with reading(engine) as connection:
        catalog = store.catalog(connection, lease.source_id)  # our lease keeps it as it is
    snapshot = read(observation, catalog, ever_listed=lease.ever_listed, key=key)
    with writing(engine) as connection:
        store.check_fencing_token(connection, lease)
        seen = load_inputs(connection, lease, catalog, snapshot, source.required)
        decision = decide.decide(seen, policy(source), approving)
        counts = _apply(connection, lease, seen, decision)
        result = result_of(observation, snapshot, decision, counts, clock())
        store.close(connection, lease, result)
    return result, decision


def result_of(
    observation: Observation, snapshot: Snapshot, decision: Decision, counts: Mapping[Kind, int], finished_at: datetime
) -> RunResult:
    """How a run ends that has decided."""
    return RunResult(
        outcome=decision.outcome,
        observed_at=observation.at,
        finished_at=finished_at,
        http_status=observation.status,
        listed=snapshot.listed,
        rejected=len(snapshot.rejected),
        withheld=decision.withheld,
        body_digest=observation.digest,
        error="; ".join(decision.reasons) or None,
        counts=counts,
        remember=None if decision.pending else observation.remember,
    )


def _close_unchanged(engine: Engine, lease: Lease, observation: Observation, clock: Clock) -> RunResult:
    """The very bytes of the last clean look: one row says so."""
    result = RunResult(
        outcome="unchanged",
        observed_at=observation.at,
        finished_at=clock(),
        http_status=observation.status,
        body_digest=observation.digest,
        remember=observation.remember,
    )
    with writing(engine) as connection:
        store.check_fencing_token(connection, lease)
        said = after_observation(in_trouble=notices.in_trouble(connection, lease.source_id))
        notices.write(connection, lease.source_id, lease.run_id, said, observation.at)
        store.close(connection, lease, result)
    return result


def record_failure(engine: Engine, source: SourceSettings, error: SyncerError, *, clock: Clock, owner: str) -> None:
    """Leave a failed run (law 9) for an attempt that ended before anything was asked, such as one without a key."""
    with writing(engine) as connection:
        now = clock()
        lease = store.acquire(
            connection, origin(source), kind="sync", owner=owner, now=now, lease_for=source.lease, key=None
        )
        _close_failed(connection, lease, store.Failure(error=str(error)), now)


# -- load, (decide,) apply ---------------------------------------------------------------------------------------------


def read(observation: Observation, catalog: Catalog, *, ever_listed: bool, key: str | None) -> Snapshot:
    """The response as a snapshot; raises BadResponse, without the key, where it is no catalog."""
    try:
        snapshot = parse.snapshot(observation.body, observation.at, catalog.by_digest)
        if not ever_listed and not snapshot.listed and not snapshot.rejected:
            raise BadResponse("the list is empty, and this source has never listed a model")
    except BadResponse as error:
        raise BadResponse(str(error), http_status=observation.status).without(key) from None
    return snapshot


def load_inputs(
    connection: Connection, lease: Lease, catalog: Catalog, snapshot: Snapshot, required: Collection[str]
) -> DecisionInput:
    """Everything the decision rests on: whole states only of what moved, is missing or was pending."""
    findings = store.findings_in_force(connection, lease.source_id)
    names = {*snapshot.listings, *diff.not_present(catalog.listed, snapshot), *snapshot.unread, *catalog.pending}
    names.update(required, *(finding.evidence for finding in findings))
    known = store.known(connection, lease.source_id, names) if lease.ever_listed else {}
    return DecisionInput(
        snapshot=snapshot,
        known=known,
        listed=catalog.listed,
        priced=catalog.priced,
        past=store.past_observations(connection, lease.source_id, lease.last_good_look_at),
        findings=findings,
        new_credential=lease.last_good_look_at is not None and lease.credential != lease.last_credential,
    )


def _apply(connection: Connection, lease: Lease, seen: DecisionInput, decision: Decision) -> Mapping[Kind, int]:
    """Write what was decided, the feed last."""
    at = seen.snapshot.observed_at
    writes.write_rejected(connection, lease, seen.snapshot.rejected)
    opened = writes.write_findings(connection, lease, decision)
    writes.write_marks(connection, seen.known, decision.marks, decision.refreshed)
    counts = writes.write_changes(connection, lease, decision.believed, at)
    states = ((finding, decision.settled.get(finding.id or 0)) for finding in seen.findings)
    settled = [(finding, state) for finding, state in states if state is not None]
    said = after_observation(
        in_trouble=notices.in_trouble(connection, lease.source_id),
        settled=settled,
        opened=list(zip(decision.opened, opened, decision.doubts, strict=True)),
    )
    notices.write(connection, lease.source_id, lease.run_id, said, at)
    return counts


def record_failure_of(
    engine: Engine,
    lease: Lease,
    error: BaseException,
    key: str | None,
    clock: Clock,
    body_digest: str | None = None,
) -> RunResult:
    """Record the failure and raise it; but if a commit was cut off and had succeeded, say how the run was closed."""
    if isinstance(error, Fenced):
        raise error
    text = str(error) if isinstance(error, SyncerError) else f"{type(error).__name__}: {error}"
    text = text.replace(key, "***") if key else text
    status = error.http_status if isinstance(error, UpstreamError) else None
    try:
        with writing(engine) as connection:
            failure = store.Failure(error=text, http_status=status, body_digest=body_digest)
            if not _close_failed(connection, lease, failure, clock()):
                committed = store.stored_result(connection, lease.run_id)
                if isinstance(error, DatabaseError) and committed is not None:
                    return committed
    except SyncerError as second:
        log.warning("the failed run %s could not be closed, a later one will find it: %s", lease.run_id, second)
    raise error


def _close_failed(connection: Connection, lease: Lease, failure: store.Failure, now: datetime) -> bool:
    """Close the run as failed, if it is still open, and say so in the feed if the source looked well until now."""
    closed = store.close_failed(connection, lease, failure, now=now)
    if closed and not notices.in_trouble(connection, lease.source_id):
        said = of_failure(failure.error, failure.http_status)
        notices.write(connection, lease.source_id, lease.run_id, [said], now)
    return closed


# -- small translations ------------------------------------------------------------------------------------------------


def policy(source: SourceSettings) -> Policy | None:
    """The source's trust settings as the rules take them; None believes everything."""
    if not source.trust:
        return None
    return Policy(**{name: getattr(source, name) for name in Policy.__struct_fields__})


def origin(source: SourceSettings) -> store.SourceRecord:
    """What the database keeps of a source's settings."""
    return store.SourceRecord(
        name=source.name,
        url=fetch.public_url(fetch.catalog_url(source.url, ENDPOINT)),
        currency=source.currency,
        price_units=source.price_units or None,
    )


def limits(source: SourceSettings) -> fetch.Limits:
    """What a fetch of the source may cost."""
    return fetch.Limits(deadline=source.deadline.total_seconds(), max_body=source.max_body)


def rules_digest(source: SourceSettings, credential: str | None) -> str:
    """What stored bytes hold for: another URL, key, rule or parser may read them differently."""
    parts = (source.url, credential, source.trust, policy(source), parse.VERSION)
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def report_of(
    name: str,
    kind: str,
    run_id: int | None,
    result: RunResult,
    decision: Decision | None,
    changes: tuple[Change, ...] = (),
) -> Report:
    """A run as it was closed, and what was decided on the way, as a Report."""
    return Report(
        source=name,
        kind=kind,
        outcome=result.outcome,
        run_id=run_id,
        observed_at=result.observed_at,
        http_status=result.http_status,
        listed=result.listed,
        counts=result.counts,
        rejected=result.rejected,
        withheld=result.withheld,
        error=result.error,
        missing=decision.unconfirmed if decision else 0,
        doubts=decision.doubts if decision else (),
        changes=changes,
    )
