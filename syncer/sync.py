"""One sync, top to bottom: claim, fetch, shortcut or read, and one transaction in which everything is applied.

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
from syncer.core.decide import Decision, Doubt, Policy, Seen
from syncer.core.model import Change, Kind, Snapshot
from syncer.core.notices import after_look, of_failure
from syncer.core.observation import observed_at
from syncer.db import notices, store, writes
from syncer.db.engine import reading, writing
from syncer.db.store import Catalog, Claim, Closing
from syncer.errors import BadResponse, DatabaseError, Fenced, SyncerError, UpstreamError
from syncer.settings import SourceSettings

log = logging.getLogger("syncer.sync")

Clock = Callable[[], datetime]
Keep = Callable[[str, datetime, parse.Bytes], None]
"""Keeps the body of a response that has to be read: called with (source name, observed_at, body)."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
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
    keep: Keep | None = None,
    approving: Collection[Doubt] = (),
) -> Report:
    """Bring one source's catalog and history up to date.

    `approving` names the doubts that a person has said yes to. Raises SourceBusy (or Fenced) where another syncer has
    the source, and, once the failed run is recorded, UpstreamError, ClockError, DatabaseError or whatever went wrong.
    """
    kind = "approve" if approving else "sync"
    claim: Claim | None = None
    try:
        with writing(engine) as connection:
            claim = store.claim(
                connection, origin(source), kind=kind, owner=owner, now=clock(), lease=source.lease, key=key
            )
        return sync_claimed(engine, source, claim, key=key, clock=clock, keep=keep, approving=approving)
    except (KeyboardInterrupt, SystemExit) as signal:  # it may come just between the two
        if claim is not None:
            closed_all_the_same(engine, claim, signal, key, clock)
        raise


def sync_claimed(
    engine: Engine,
    source: SourceSettings,
    claim: Claim,
    *,
    key: str | None,
    clock: Clock,
    keep: Keep | None = None,
    approving: Collection[Doubt] = (),
) -> Report:
    """`sync_source` from its claim on; the daemon claims a source together with its tick."""
    try:
        closing, decision = _look(engine, source, claim, key, clock, keep, approving)
    except BaseException as error:  # noqa: BLE001 - whatever it was, the attempt leaves a run (law 9) and goes on up
        closing, decision = closed_all_the_same(engine, claim, error, key, clock), None
    return report_of(source.name, "approve" if approving else "sync", claim.run_id, closing, decision)


# -- the two ways a look can go ----------------------------------------------------------------------------------------


def _look(
    engine: Engine,
    source: SourceSettings,
    claim: Claim,
    key: str | None,
    clock: Clock,
    keep: Keep | None,
    approving: Collection[Doubt],
) -> tuple[Closing, Decision | None]:
    rules = rules_digest(source, claim.credential)
    usable = claim.stored_with == rules and claim.body_digest is not None
    etag = claim.etag if usable else None
    response = fetch.fetch(fetch.catalog_url(source.url), key=key, etag=etag, clock=clock, limits=limits(source))
    at = observed_at(response.received_at, claim.last_observed_at)
    digest = str(claim.body_digest) if response.status == 304 else parse.body_digest(response.body)
    etag = response.etag or (claim.etag if response.status == 304 else None)
    look = Look(body=response.body, at=at, status=response.status, digest=digest, remember=(etag, digest, rules))
    if usable and digest == claim.body_digest:
        return _close_unchanged(engine, claim, look, clock), None
    if keep is not None:
        keep(source.name, at, response.body)
    return judge(engine, source, claim, look, key=key, clock=clock, approving=approving)


def judge(
    engine: Engine,
    source: SourceSettings,
    claim: Claim,
    look: Look,
    *,
    clock: Clock,
    key: str | None = None,
    approving: Collection[Doubt] = (),
) -> tuple[Closing, Decision]:
    """Read one response and apply what is believed of it, all in one transaction; raises BadResponse or Fenced."""
    with reading(engine) as connection:
        catalog = store.catalog(connection, claim.source_id)  # our lease keeps it as it is
    snapshot = read(look, catalog, ever_listed=claim.ever_listed, key=key)
    with writing(engine) as connection:
        store.fence(connection, claim)
        seen = gather(connection, claim, catalog, snapshot, source.required)
        decision = decide.decide(seen, policy(source), approving)
        counts = _apply(connection, claim, seen, decision)
        closing = closing_of(look, snapshot, decision, counts, clock())
        store.close(connection, claim, closing)
    return closing, decision


def closing_of(
    look: Look, snapshot: Snapshot, decision: Decision, counts: Mapping[Kind, int], finished_at: datetime
) -> Closing:
    """How a run ends that has decided."""
    return Closing(
        outcome=decision.outcome,
        observed_at=look.at,
        finished_at=finished_at,
        http_status=look.status,
        listed=snapshot.listed,
        rejected=len(snapshot.rejected),
        withheld=decision.withheld,
        body_digest=look.digest,
        error="; ".join(decision.reasons) or None,
        counts=counts,
        remember=None if decision.pending else look.remember,
    )


def _close_unchanged(engine: Engine, claim: Claim, look: Look, clock: Clock) -> Closing:
    """The very bytes of the last clean look: one row says so."""
    closing = Closing(
        outcome="unchanged",
        observed_at=look.at,
        finished_at=clock(),
        http_status=look.status,
        body_digest=look.digest,
        remember=look.remember,
    )
    with writing(engine) as connection:
        store.fence(connection, claim)
        said = after_look(in_trouble=notices.in_trouble(connection, claim.source_id))
        notices.write(connection, claim.source_id, claim.run_id, said, look.at)
        store.close(connection, claim, closing)
    return closing


def record_failure(engine: Engine, source: SourceSettings, error: SyncerError, *, clock: Clock, owner: str) -> None:
    """Leave a failed run (law 9) for an attempt that ended before anything was asked, such as one without a key."""
    with writing(engine) as connection:
        now = clock()
        claim = store.claim(connection, origin(source), kind="sync", owner=owner, now=now, lease=source.lease, key=None)
        _close_failed(connection, claim, store.Failure(error=str(error)), now)


# -- gather, (decide,) apply -------------------------------------------------------------------------------------------


def read(look: Look, catalog: Catalog, *, ever_listed: bool, key: str | None) -> Snapshot:
    """The response as a snapshot; raises BadResponse, without the key, where it is no catalog."""
    try:
        snapshot = parse.snapshot(look.body, look.at, catalog.by_digest)
        if not ever_listed and not snapshot.listed and not snapshot.rejected:
            raise BadResponse("the list is empty, and this source has never listed a model")
    except BadResponse as error:
        raise BadResponse(str(error), http_status=look.status).without(key) from None
    return snapshot


def gather(
    connection: Connection, claim: Claim, catalog: Catalog, snapshot: Snapshot, required: Collection[str]
) -> Seen:
    """Everything the decision rests on: whole states only of what moved, is missing or was pending."""
    findings = store.findings_in_force(connection, claim.source_id)
    names = {*snapshot.listings, *diff.not_present(catalog.listed, snapshot), *snapshot.unread, *catalog.pending}
    names.update(required, *(finding.evidence for finding in findings))
    known = store.known(connection, claim.source_id, names) if claim.ever_listed else {}
    return Seen(
        snapshot=snapshot,
        known=known,
        listed=catalog.listed,
        priced=catalog.priced,
        looks=store.looks(connection, claim.source_id, claim.last_good_look_at),
        findings=findings,
        new_credential=claim.last_good_look_at is not None and claim.credential != claim.last_credential,
    )


def _apply(connection: Connection, claim: Claim, seen: Seen, decision: Decision) -> Mapping[Kind, int]:
    """Write what was decided, the feed last."""
    at = seen.snapshot.observed_at
    writes.write_rejected(connection, claim, seen.snapshot.rejected)
    opened = writes.write_findings(connection, claim, decision)
    writes.write_marks(connection, seen.known, decision.marks, decision.refreshed)
    counts = writes.write_changes(connection, claim, decision.believed, at)
    states = ((finding, decision.settled.get(finding.id or 0)) for finding in seen.findings)
    settled = [(finding, state) for finding, state in states if state is not None]
    said = after_look(
        in_trouble=notices.in_trouble(connection, claim.source_id),
        settled=settled,
        opened=list(zip(decision.opened, opened, decision.doubts, strict=True)),
    )
    notices.write(connection, claim.source_id, claim.run_id, said, at)
    return counts


def closed_all_the_same(
    engine: Engine,
    claim: Claim,
    error: BaseException,
    key: str | None,
    clock: Clock,
    body_digest: str | None = None,
) -> Closing:
    """Record the failure and raise it; but if a commit was cut off and had succeeded, say how the run was closed."""
    if isinstance(error, Fenced):
        raise error
    text = str(error) if isinstance(error, SyncerError) else f"{type(error).__name__}: {error}"
    text = text.replace(key, "***") if key else text
    status = error.http_status if isinstance(error, UpstreamError) else None
    try:
        with writing(engine) as connection:
            failure = store.Failure(error=text, http_status=status, body_digest=body_digest)
            if not _close_failed(connection, claim, failure, clock()):
                committed = store.closing(connection, claim.run_id)
                if isinstance(error, DatabaseError) and committed is not None:
                    return committed
    except SyncerError as second:
        log.warning("the failed run %s could not be closed, a later one will find it: %s", claim.run_id, second)
    raise error


def _close_failed(connection: Connection, claim: Claim, failure: store.Failure, now: datetime) -> bool:
    """Close the run as failed, if it is still open, and say so in the feed if the source looked well until now."""
    closed = store.close_failed(connection, claim, failure, now=now)
    if closed and not notices.in_trouble(connection, claim.source_id):
        said = of_failure(failure.error, failure.http_status)
        notices.write(connection, claim.source_id, claim.run_id, [said], now)
    return closed


# -- small translations ------------------------------------------------------------------------------------------------


def policy(source: SourceSettings) -> Policy | None:
    """The source's trust settings as the rules take them; None believes everything."""
    if not source.trust:
        return None
    return Policy(**{name: getattr(source, name) for name in Policy.__struct_fields__})


def origin(source: SourceSettings) -> store.Origin:
    """What the database keeps of a source's settings."""
    return store.Origin(
        name=source.name,
        url=fetch.public_url(fetch.catalog_url(source.url)),
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
    closing: Closing,
    decision: Decision | None,
    changes: tuple[Change, ...] = (),
) -> Report:
    """A run as it was closed, and what was decided on the way, as a Report."""
    return Report(
        source=name,
        kind=kind,
        outcome=closing.outcome,
        run_id=run_id,
        observed_at=closing.observed_at,
        http_status=closing.http_status,
        listed=closing.listed,
        counts=closing.counts,
        rejected=closing.rejected,
        withheld=closing.withheld,
        error=closing.error,
        missing=decision.unconfirmed if decision else 0,
        doubts=decision.doubts if decision else (),
        changes=changes,
    )
