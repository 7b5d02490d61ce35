"""Taking back what a run believed: compensating changes, and a rejected finding so that it is not believed again.

Nothing is deleted (law 2): each compensation names the change it withdraws. A change that a later one of the same model
stands on is refused. A revert can be reverted like any run: its no is then taken back.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.engine import Connection, Engine

from syncer.core.decide import Decision, Finding, FindingKind
from syncer.core.model import TRACKED, Change, Kind, Listing, Mark, StoredModel, component_of, price_field
from syncer.core.observation import observed_at
from syncer.core.rules import Withheld
from syncer.db import leases, results, state, writes
from syncer.db.engine import reading, writing
from syncer.db.leases import Lease
from syncer.db.results import Failure, RunResult
from syncer.db.state import WrittenChange
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
        record = leases.record_of_run(connection, run_id)
    if record is None:
        raise UsageError(f"there is no run {run_id}: see `syncer runs`")
    with writing(engine) as connection:
        lease = leases.acquire(connection, record, kind="revert", owner=owner, now=clock(), lasts=_LEASE, key=None)
    try:
        with writing(engine) as connection:
            leases.check_fencing_token(connection, lease)
            return _revert(connection, lease, run_id, clock())
    except BaseException as error:
        if not isinstance(error, Fenced):  # whatever it was, the attempt leaves a run (law 9)
            text = str(error) if isinstance(error, SyncerError) else f"{type(error).__name__}: {error}"
            with writing(engine) as connection:
                results.close_failed(connection, lease, Failure(error=text), now=clock())
        raise


def _revert(connection: Connection, lease: Lease, run_id: int, now: datetime) -> Reverted:
    written = state.written_by(connection, run_id)
    refused = tuple(row.name for row in written if not row.is_latest)
    taken_back = [row for row in written if row.is_latest]
    known = state.stored_models(connection, lease.source_id, [row.name for row in taken_back])
    if not known:
        why = "it changed nothing" if not written else f"later changes stand on it ({', '.join(refused)})"
        raise UsageError(f"nothing of run {run_id} can be taken back: {why}")
    at = observed_at(now, lease.last_time)
    parser = next(iter(known.values())).parser
    changes = [_compensation(row, known[row.name], lease, at) for row in taken_back]
    decision = Decision(believed=tuple(changes), marks=dict(_marks(taken_back, at)))
    counts = writes.write_decision(connection, lease, known, decision, at=at, parser=parser)
    writes.take_back_rejection(connection, lease, run_id, known)
    writes.open_finding(connection, lease, _not_again(taken_back, at))
    result = RunResult(
        outcome="changed",
        observed_at=at,
        finished_at=now,
        is_observation=False,
        error=f"reverted run {run_id}" + (f", but not {', '.join(refused)}" if refused else ""),
        counts=counts,
    )
    results.close(connection, lease, result)
    return Reverted(run_id=lease.run_id, source=lease.record.name, models=tuple(sorted(known)), refused=refused)


def _compensation(row: WrittenChange, before: StoredModel, lease: Lease, at: datetime) -> Change:
    return Change(
        kind=_opposite(row.kind),
        model_id=before.id,
        listing=_restored(before.listing, row, lease.record.headline),
        old_price=before.listing.price,
        changed={field: (pair[1], pair[0]) for field, pair in _fields(row).items()},
        effective_at=at,
        changed_after=max(row.effective_at, before.last_seen_at or lease.past.last_shown or row.effective_at),
        reverts_id=row.id,
    )


def _opposite(kind: Kind) -> Kind:
    return {Kind.ADDED: Kind.REMOVED, Kind.RELISTED: Kind.REMOVED, Kind.REMOVED: Kind.RELISTED}.get(kind, kind)


def _restored(now: Listing, row: WrittenChange, headline: str) -> Listing:
    """The state before the change; its element is unknown, so that the next observation reads it anew."""
    before = {field: pair[0] for field, pair in _fields(row).items()}
    prices = {**now.prices, **{name: old for field, old in before.items() if (name := component_of(field)) is not None}}
    tracked = {field: old for field, old in before.items() if component_of(field) is None}
    price = prices.get(headline)
    return msgspec.structs.replace(now, **tracked, prices=prices, price=price, raw=msgspec.Raw(), digest=b"")


def _fields(row: WrittenChange) -> Mapping[str, tuple[Any, Any]]:
    """What the change moved; a relisting is taken back as a whole."""
    return row.changed if row.kind in {Kind.REPRICED, Kind.UPDATED, Kind.REREAD} else {}


def _marks(taken_back: Collection[WrittenChange], at: datetime) -> Iterator[tuple[str, Mark]]:
    """Upstream does not plainly show what we now say: all of these are pending, and what comes next comes after."""
    for row in taken_back:
        gone = _opposite(row.kind) is Kind.REMOVED
        yield row.name, Mark(missing_since=at if gone else None, last_seen_at=at)


def _not_again(taken_back: Collection[WrittenChange], at: datetime) -> Finding:
    """The values of the reverted run, as rejected: upstream may go on saying them."""
    evidence = {row.name: Withheld(since=at, fields=_said(row)) for row in taken_back}
    return Finding(kind=FindingKind.REVERTED, evidence=evidence, opened_at=at, state="rejected")


def _said(row: WrittenChange) -> Mapping[str, Any] | None:
    """What the change said of its model: its absence (None), the whole state, or what moved."""
    if row.kind is Kind.REMOVED:
        return None
    if _opposite(row.kind) is Kind.REMOVED:
        fields = (*TRACKED, *map(price_field, row.listing.prices))
        return {field: row.listing.value(field) for field in fields}
    return {field: pair[1] for field, pair in row.changed.items()}
