"""Taking back what a run believed: compensating changes, and a rejected finding so that it is not believed again.

Nothing is deleted (law 2): each compensation names the change it withdraws. A change that a later one of the same model
stands on is refused. A revert can be reverted like any run: its no is then taken back.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.engine import Connection, Engine

from syncer.core.decide import Finding, FindingKind, Mark
from syncer.core.model import TRACKED, Change, Kind, Listing, StoredModel
from syncer.core.observation import PastObservations, observed_at
from syncer.db import store, writes
from syncer.db.engine import reading, writing
from syncer.db.store import Lease, RunResult, Written
from syncer.errors import Fenced, SyncerError, UsageError

_LEASE = timedelta(minutes=10)


class Reverted(msgspec.Struct, frozen=True, kw_only=True):
    """What a revert did: its own run, and the models whose change could not be taken back since they moved again."""

    run_id: int
    source: str
    models: tuple[str, ...]
    refused: tuple[str, ...]


def revert_run(engine: Engine, run_id: int, *, clock: Callable[[], datetime], owner: str) -> Reverted:
    """Append compensating changes for all changes of a run, in a run of kind `revert`.

    Raises UsageError if there is no such run or nothing of it can be taken back, SourceBusy, DatabaseError.
    """
    with reading(engine) as connection:
        origin = store.origin_of_run(connection, run_id)
    if origin is None:
        raise UsageError(f"there is no run {run_id}: see `syncer status`, or the column run_id of `syncer changes`")
    with writing(engine) as connection:
        now = clock()
        lease = store.acquire(connection, origin, kind="revert", owner=owner, now=now, lease_for=_LEASE, key=None)
    try:
        with writing(engine) as connection:
            store.check_fencing_token(connection, lease)
            return _revert(connection, lease, origin.name, run_id, clock())
    except BaseException as error:
        if not isinstance(error, Fenced):  # whatever it was, the attempt leaves a run (law 9)
            text = str(error) if isinstance(error, SyncerError) else f"{type(error).__name__}: {error}"
            with writing(engine) as connection:
                store.close_failed(connection, lease, store.Failure(error=text), now=clock())
        raise


def _revert(connection: Connection, lease: Lease, source: str, run_id: int, now: datetime) -> Reverted:
    written = store.written_by(connection, run_id)
    refused = tuple(row.name for row in written if not row.is_latest)
    known = store.known(connection, lease.source_id, [row.name for row in written if row.is_latest])
    if not known:
        why = "it changed nothing" if not written else f"later changes stand on it ({', '.join(refused)})"
        raise UsageError(f"nothing of run {run_id} can be taken back: {why}")
    at = observed_at(now, lease.last_observed_at)
    past = store.past_observations(connection, lease.source_id, lease.last_good_look_at)
    taken_back = [row for row in written if row.is_latest]
    counts = writes.write_changes(connection, lease, list(_compensations(taken_back, known, at, past)), at)
    writes.write_marks(connection, known, dict(_marks(taken_back, at)), ())
    writes.take_back_no(connection, lease, run_id, known)
    writes.open_finding(connection, lease, _not_again(taken_back, at))
    result = RunResult(
        outcome="changed",
        observed_at=at,
        finished_at=now,
        is_observation=False,
        error=f"reverted run {run_id}" + (f", but not {', '.join(refused)}" if refused else ""),
        counts=counts,
    )
    store.close(connection, lease, result)
    return Reverted(run_id=lease.run_id, source=source, models=tuple(sorted(known)), refused=refused)


def _compensations(
    taken_back: Sequence[Written], known: Mapping[str, StoredModel], at: datetime, past: PastObservations
) -> Iterator[Change]:
    for row in taken_back:
        before = known[row.name]
        yield Change(
            kind=_opposite(row.kind),
            model_id=before.id,
            listing=_restored(before.listing, row),
            old_price=before.listing.price,
            changed={field: (pair[1], pair[0]) for field, pair in _fields(row).items()},
            effective_at=at,
            changed_after=max(row.effective_at, before.last_seen_at or past.last or row.effective_at),
            reverts_id=row.id,
        )


def _opposite(kind: Kind) -> Kind:
    return {Kind.ADDED: Kind.REMOVED, Kind.RELISTED: Kind.REMOVED, Kind.REMOVED: Kind.RELISTED}.get(kind, kind)


def _restored(now: Listing, row: Written) -> Listing:
    """The state before the change; its element is unknown, so that the next look reads it anew."""
    values = {field: pair[0] for field, pair in _fields(row).items()}
    return msgspec.structs.replace(now, **values, raw=msgspec.Raw(), digest=b"")


def _fields(row: Written) -> Mapping[str, Sequence[Any]]:
    """What the change moved; a relisting is taken back as a whole."""
    return row.changed if row.kind in {Kind.REPRICED, Kind.UPDATED} else {}


def _marks(taken_back: Collection[Written], at: datetime) -> Iterator[tuple[str, Mark]]:
    """Upstream does not plainly show what we now say: all of these are pending, and what comes next comes after."""
    for row in taken_back:
        gone = _opposite(row.kind) is Kind.REMOVED
        yield row.name, Mark(missing_since=at if gone else None, last_seen_at=at)


def _not_again(taken_back: Collection[Written], at: datetime) -> Finding:
    """The values of the reverted run, as rejected: upstream may go on saying them."""
    evidence: dict[str, Mapping[str, Any] | None] = {}
    for row in taken_back:
        if row.kind is Kind.REMOVED:
            evidence[row.name] = None
        elif _opposite(row.kind) is Kind.REMOVED:
            evidence[row.name] = {field: getattr(row.listing, field) for field in TRACKED}
        else:
            evidence[row.name] = {field: pair[1] for field, pair in row.changed.items()}
    return Finding(kind=FindingKind.REVERTED, evidence=evidence, opened_at=at, state="rejected")
