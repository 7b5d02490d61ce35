"""What a run decided, written: the effects of law 1. Each takes a connection in a transaction and never commits.

- Nothing here decides what to believe: it writes a `decide.Decision` as it is.
- The feed counter is touched last, just before the changes, so that other sources wait as little as can be (law 8).
- It comes after `store.fence`, the first statement of the transaction, and before `store.close`, the last (law 7).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.core.decide import Decision, Finding, FindingKind, Mark
from syncer.core.model import TRACKED, Change, Kind, Listing, Rejected, StoredModel
from syncer.db import bulk, store
from syncer.db.store import Lease, findings_in_force, insert_into
from syncer.db.tables import changes, feed, findings, models, rejected_rows


def write_changes(connection: Connection, lease: Lease, believed: Sequence[Change], at: datetime) -> Counter[Kind]:
    """Bring `models` up to date and append to `changes`; how many of each kind."""
    ids = _insert_models(connection, lease, [change for change in believed if change.kind is Kind.ADDED], at)
    moved = (change for change in believed if change.kind not in {Kind.ADDED, Kind.REMOVED})
    bulk.update(
        connection,
        models,
        (*_STATE, *_MARK, "removed_at"),
        ((*_state(change), *_mark(Mark()), None, change.model_id) for change in moved),
    )
    gone = (change for change in believed if change.kind is Kind.REMOVED)  # since when it was missing is in its mark
    bulk.update(
        connection,
        models,
        ("removed_at", "last_changed_at"),
        ((change.effective_at, change.effective_at, change.model_id) for change in gone),
    )
    if believed:
        first = next_feed_ids(connection, len(believed))
        bulk.insert(connection, changes, _CHANGE, _history(believed, lease, first, iter(ids), at))
    return Counter(change.kind for change in believed)


def write_marks(
    connection: Connection, known: Mapping[str, StoredModel], marks: Mapping[str, Mark], refreshed: Iterable[Listing]
) -> None:
    """What a look did not plainly show, and new bytes that say nothing new."""
    bulk.update(connection, models, _MARK, ((*_mark(mark), known[name].id) for name, mark in marks.items()))
    bulk.update(
        connection,
        models,
        ("extra", "digest", *_MARK),
        ((new.extra, new.digest, *_mark(Mark()), known[new.name].id) for new in refreshed),
    )


def write_rejected(connection: Connection, lease: Lease, rejected: Sequence[Rejected]) -> None:
    """Keep each unreadable element once, with how often it was seen."""
    if not rejected:
        return
    seen = Counter(row.digest for row in rejected)
    rows = [
        {
            "source_id": lease.source_id,
            "digest": row.digest,
            "name": row.name,
            "reason": row.reason,
            "raw": row.raw,
            "first_run_id": lease.run_id,
            "last_run_id": lease.run_id,
            "count": seen[row.digest],
        }
        for row in {row.digest: row for row in rejected}.values()
    ]
    statement = insert_into(connection, rejected_rows)
    upsert = statement.on_conflict_do_update(
        index_elements=["source_id", "digest"],
        set_={
            "reason": statement.excluded.reason,
            "last_run_id": statement.excluded.last_run_id,
            "count": rejected_rows.c.count + statement.excluded.count,
        },
    )
    connection.execute(upsert, rows)


def write_findings(connection: Connection, lease: Lease, decision: Decision) -> list[int]:
    """Open, uphold and settle findings as decided; the ids of the opened ones, in order."""
    opened = [open_finding(connection, lease, finding) for finding in decision.opened]
    for finding_id in decision.still_open:
        _set_finding(connection, finding_id, last_run_id=lease.run_id)
    for finding_id, state in decision.settled.items():
        _set_finding(connection, finding_id, last_run_id=lease.run_id, state=state, settled_run_id=lease.run_id)
    for finding_id, evidence in decision.trimmed.items():
        _set_finding(connection, finding_id, evidence=evidence)
    return opened


def open_finding(connection: Connection, lease: Lease, finding: Finding) -> int:
    """Store a new finding of this run; its id."""
    row = findings.insert().values(
        source_id=lease.source_id,
        kind=finding.kind.value,
        opened_run_id=lease.run_id,
        opened_at=finding.opened_at,
        evidence=finding.evidence,
        last_run_id=lease.run_id,
        state=finding.state,
        settled_run_id=None if finding.state == "open" else lease.run_id,
    )
    finding_id: int = connection.execute(row.returning(findings.c.id)).scalar_one()
    return finding_id


def take_back_no(connection: Connection, lease: Lease, revert_id: int, names: Collection[str]) -> None:
    """The no that a revert left speaks no longer for `names`; with the last of its models it is withdrawn."""
    of_revert = sa.and_(findings.c.opened_run_id == revert_id, findings.c.kind == FindingKind.REVERTED.value)
    for finding in connection.execute(sa.select(findings).where(of_revert)).all():
        left = {name: withheld for name, withheld in finding.evidence.items() if name not in names}
        if left:
            _set_finding(connection, finding.id, evidence=left)
        else:
            _set_finding(
                connection, finding.id, last_run_id=lease.run_id, state="withdrawn", settled_run_id=lease.run_id
            )


def reject(connection: Connection, name: str, kinds: Collection[FindingKind]) -> tuple[int, list[Finding]]:
    """A person's no to the open findings of a source: its id, and those findings. Waits for a sync that is writing."""
    source: int = store.lock(connection, name).id
    rejected = [
        finding
        for finding in findings_in_force(connection, source)
        if finding.state == "open" and finding.kind in kinds
    ]
    for finding in rejected:
        _set_finding(connection, int(finding.id or 0), state="rejected")
    return source, rejected


def _set_finding(connection: Connection, finding_id: int, **values: Any) -> None:  # noqa: ANN401 - columns
    connection.execute(sa.update(findings).where(findings.c.id == finding_id).values(values))


# -- rows --------------------------------------------------------------------------------------------------------------

_STATE = (*TRACKED, "extra", "digest", "last_changed_at")
_MARK = ("missing_since", "missing_looks", "last_seen_at")
_MODEL = ("id", "source_id", "name", "first_seen_at", *_STATE, *_MARK)
_CHANGE = (
    "id", "source_id", "run_id", "model_id", "kind", "observed_at", "effective_at", "changed_after", "old_price",
    "name", *TRACKED, "changed", "reverts_id", "raw",
)  # fmt: skip


def _state(change: Change) -> tuple[Any, ...]:
    listing = change.listing
    return (*listing.tracked(), listing.extra, listing.digest, change.effective_at)


def _mark(mark: Mark) -> tuple[Any, ...]:
    return (mark.missing_since, mark.missing_count, mark.last_seen_at)


def _insert_models(connection: Connection, lease: Lease, added: Sequence[Change], at: datetime) -> Sequence[int]:
    """Insert the models of these changes; their ids, in order."""
    if not added:
        return ()
    ids = _model_ids(connection, len(added))
    rows = (
        (model_id, lease.source_id, change.listing.name, at, *_state(change), *_mark(Mark()))
        for model_id, change in zip(ids, added, strict=True)
    )
    bulk.insert(connection, models, _MODEL, rows)
    return ids


def _model_ids(connection: Connection, count: int) -> Sequence[int]:
    """Ids handed out on our side: asking the database to return them costs more than the rows themselves."""
    if connection.dialect.name == "postgresql":
        # OFFSET 0 keeps the planner from looking the sequence up again for each id
        sequence = "(SELECT pg_get_serial_sequence('models', 'id')::regclass AS name OFFSET 0) AS sequence"
        query = sa.text(f"SELECT nextval(sequence.name) FROM {sequence}, generate_series(1, :count)")  # noqa: S608
        return connection.execute(query, {"count": count}).scalars().all()
    last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(models.c.id), 0))).scalar_one()
    return range(last + 1, last + 1 + count)


def next_feed_ids(connection: Connection, count: int) -> int:
    """The first of `count` feed ids; from here to the commit, every other writer of the feed waits."""
    connection.execute(sa.update(feed).values(last_id=feed.c.last_id + count))
    last: int = connection.execute(sa.select(feed.c.last_id)).scalar_one()
    return last - count + 1


def _history(
    believed: Sequence[Change], lease: Lease, first_id: int, new_ids: Iterator[int], at: datetime
) -> Iterator[tuple[Any, ...]]:
    """The rows of `changes`, in feed order; `new_ids` are those of the models that were added, in the same order."""
    for feed_id, change in enumerate(believed, first_id):
        yield (
            feed_id,
            lease.source_id,
            lease.run_id,
            next(new_ids) if change.model_id is None else change.model_id,
            change.kind.value,
            at,
            change.effective_at,
            change.changed_after,
            change.old_price,
            change.listing.name,
            *change.listing.tracked(),
            change.changed,
            change.reverts_id,
            bytes(change.listing.raw).decode() or None,
        )
