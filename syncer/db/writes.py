"""What a run decided, written: the effects of law 1. Each function takes a connection in a transaction, never commits.

- Nothing here decides what to believe: it writes a `Decision` as it is.
- The order is `leases.check_fencing_token`, `write_rejected`, `write_decision`, `results.close`: the fence first
  (law 7), and within the decision the feed's counter as late as can be (law 8), notices before changes.
- `changes.prices` is the whole state; the table `prices` has the moves, so that the last row of each component, in feed
  order, is that state exactly. Both are written here, of one change at a time.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.core.decision import Decision
from syncer.core.model import TRACKED, Change, Kind, Listing, Mark, Rejected, StoredModel, component_of
from syncer.core.rules import Evidence, Finding, FindingKind, evidence_to_json
from syncer.db import bulk, feed, leases, state
from syncer.db.leases import Lease, insert_into
from syncer.db.tables import changes, findings, models, prices, rejected_rows, sources

MOST_REJECTED = 1_000
"""So many elements that were never rejected before are kept of one response, lest a bad one fill the disk."""
_PLAIN = Mark()
Marks = Mapping[str, Mark]


# -- models and history ------------------------------------------------------------------------------------------------


def write_decision(
    connection: Connection,
    lease: Lease,
    known: Mapping[str, StoredModel],
    decision: Decision,
    *,
    at: datetime,
    parser: str,
    comment: str | None = None,
) -> Counter[Kind]:
    """Write all of a decision; how many changes of each kind. `comment` is that of the person who approved."""
    believed = decision.believed
    opened = write_findings(connection, lease, decision, comment=comment)
    ids = iter(_write_models(connection, lease, decision, at=at, parser=parser))
    _write_marks(connection, lease.source_id, known, decision, parser=parser)
    feed.write_notices(connection, lease.source_id, lease.run_id, decision.notices, at, opened=opened)
    if believed:
        model_ids = [next(ids) if change.model_id is None else change.model_id for change in believed]
        first = feed.next_ids(connection, len(believed))
        ids_and_changes = partial(zip, range(first, first + len(believed)), model_ids, believed, strict=True)
        bulk.insert(connection, changes, _CHANGE, _history(ids_and_changes(), lease, at))
        bulk.insert(connection, prices, _PRICE, _moves(ids_and_changes()))
    return Counter(change.kind for change in believed)


def _write_models(
    connection: Connection, lease: Lease, decision: Decision, *, at: datetime, parser: str
) -> Sequence[int]:
    """Bring `models` up to what is believed; the ids of the new ones, in order."""
    believed, marks = decision.believed, decision.marks
    added = [change for change in believed if change.model_id is None]
    ids = _insert_models(connection, lease, added, marks, at=at, parser=parser)
    moved = (change for change in believed if change.model_id is not None and change.kind is not Kind.REMOVED)
    bulk.update(
        connection,
        models,
        (*_STATE, *_MARK, "removed_at"),
        ((*_state(change, parser), *_mark(_mark_of(change.listing, marks)), None, change.model_id) for change in moved),
    )
    gone = (change for change in believed if change.kind is Kind.REMOVED)  # since when it was missing is in its mark
    bulk.update(
        connection,
        models,
        ("removed_at", "last_changed_at"),
        ((change.effective_at, change.effective_at, change.model_id) for change in gone),
    )
    return ids


def _write_marks(
    connection: Connection, source_id: int, known: Mapping[str, StoredModel], decision: Decision, *, parser: str
) -> None:
    """Marks that moved, of models whose state did not, and new bytes that say nothing new."""
    written = {change.listing.name for change in decision.believed if change.kind is not Kind.REMOVED}
    rest = {name: mark for name, mark in decision.marks.items() if name not in written}
    of_known = ((name, mark) for name, mark in rest.items() if name in known)
    bulk.update(connection, models, _MARK, ((*_mark(mark), known[name].id) for name, mark in of_known))
    told = {name: mark.expiring_told for name, mark in rest.items() if name not in known}
    mark_expiring(connection, source_id, {name: days for name, days in told.items() if days is not None})
    bulk.update(
        connection,
        models,
        ("extra", "digest", "parser"),
        ((new.extra, new.digest, parser, known[new.name].id) for new in decision.refreshed),
    )


def mark_expiring(connection: Connection, source_id: int, told: Mapping[str, int]) -> None:
    """Remember which threshold (in days) of its end a notice told of each model, where nothing else was written."""
    for name, days in told.items():
        this = sa.and_(models.c.source_id == source_id, models.c.name == name)
        connection.execute(sa.update(models).where(this).values(expiring_told=days))


def _moves(history: Iterable[tuple[int, int, Change]]) -> Iterator[tuple[Any, ...]]:
    """The rows of `prices`."""
    for change_id, model_id, change in history:
        for component, kind, old, new in price_moves(change):
            yield (model_id, component, change.effective_at, change_id, kind.value, change.changed_after, old, new)


def price_moves(change: Change) -> Iterator[tuple[str, Kind, Decimal | None, Decimal | None]]:
    """What one change says of each component: (component, kind, old price, price).

    A model that comes, returns or goes says something of every component; otherwise only those that moved do. What
    came by another reading of old bytes is `reread`, also beside moves.
    """
    now = change.listing.prices
    if change.kind is Kind.ADDED:  # most of a first load
        yield from ((component, Kind.ADDED, None, price) for component, price in now.items())
        return
    moved, reread = _of_prices(change.changed), _of_prices(change.reread)
    match change.kind:
        case Kind.REMOVED:
            yield from ((component, Kind.REMOVED, price, price) for component, price in now.items())
        case Kind.REREAD:
            yield from ((component, Kind.REREAD, old, new) for component, (old, new) in moved.items())
        case Kind.RELISTED:
            for component, price in now.items():
                by_reading = component in reread and component not in moved
                old, _ = moved.get(component) or reread.get(component) or (price, price)
                yield component, Kind.REREAD if by_reading else Kind.RELISTED, old, price
        case _:
            yield from ((component, Kind.REPRICED, old, new) for component, (old, new) in moved.items())
            rest = {component: pair for component, pair in reread.items() if component not in moved}
            yield from ((component, Kind.REREAD, old, new) for component, (old, new) in rest.items())


def _of_prices(fields: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Decimal | None, Decimal | None]]:
    pairs = ((component_of(field), pair) for field, pair in fields.items())
    return {component: pair for component, pair in pairs if component is not None}


# -- what is rejected --------------------------------------------------------------------------------------------------


def write_rejected(connection: Connection, lease: Lease, rejected: Sequence[Rejected]) -> None:
    """Keep each unreadable element once, with how often it was seen; of new ones no more than MOST_REJECTED."""
    if not rejected:
        return
    seen = Counter(row.digest for row in rejected)
    rows = {row.digest: row for row in rejected}
    known = _known_digests(connection, lease.source_id, rows)
    new = [digest for digest in rows if digest not in known]
    statement = insert_into(connection, rejected_rows)
    upsert = statement.on_conflict_do_update(
        index_elements=["source_id", "digest"],
        set_={
            "reason": statement.excluded.reason,
            "last_run_id": statement.excluded.last_run_id,
            "count": rejected_rows.c.count + statement.excluded.count,
        },
    )
    kept = [digest for digest in rows if digest in known] + new[:MOST_REJECTED]
    connection.execute(upsert, [_rejected(rows[digest], lease, seen[digest]) for digest in kept])


def _known_digests(connection: Connection, source_id: int, digests: Iterable[bytes]) -> set[bytes]:
    query = sa.select(rejected_rows.c.digest).where(
        rejected_rows.c.source_id == source_id, rejected_rows.c.digest.in_(sa.bindparam("some", expanding=True))
    )
    return {digest for some in bulk.pieces(digests) for digest in connection.execute(query, {"some": some}).scalars()}


def _rejected(row: Rejected, lease: Lease, count: int) -> dict[str, Any]:
    return {
        "source_id": lease.source_id,
        "digest": row.digest,
        "name": row.name,
        "reason": row.reason,
        "raw": row.raw,
        "first_run_id": lease.run_id,
        "last_run_id": lease.run_id,
        "count": count,
    }


# -- findings ----------------------------------------------------------------------------------------------------------


def write_findings(
    connection: Connection, lease: Lease, decision: Decision, *, comment: str | None = None
) -> dict[FindingKind, int]:
    """Open, keep and settle findings as decided; the ids of the opened ones, by kind. `comment` is the approver's."""
    opened = {finding.kind: open_finding(connection, lease, finding) for finding in decision.opened}
    for finding_id, evidence in decision.kept.items():
        _set_finding(connection, finding_id, last_run_id=lease.run_id, evidence=evidence_to_json(evidence))
    for finding_id, final in decision.settled.items():
        said = {"comment": comment} if final == "approved" and comment is not None else {}
        _set_finding(connection, finding_id, last_run_id=lease.run_id, state=final, settled_run_id=lease.run_id, **said)
    return opened


def open_finding(connection: Connection, lease: Lease, finding: Finding) -> int:
    """Store a new finding of this run; its id."""
    row = findings.insert().values(
        source_id=lease.source_id,
        kind=finding.kind.value,
        opened_run_id=lease.run_id,
        opened_at=finding.opened_at,
        evidence=evidence_to_json(finding.evidence),
        last_run_id=lease.run_id,
        state=finding.state,
        settled_run_id=None if finding.state == "open" else lease.run_id,
    )
    finding_id: int = connection.execute(row.returning(findings.c.id)).scalar_one()
    return finding_id


def set_rejected(
    connection: Connection, finding_id: int, *, evidence: Evidence | None = None, comment: str | None = None
) -> None:
    """A person's no to an open finding, or to the part of it that `evidence` is. The caller has locked the source."""
    part = {} if evidence is None else {"evidence": evidence_to_json(evidence)}
    _set_finding(connection, finding_id, state="rejected", comment=comment, **part)


def split_finding(connection: Connection, finding_id: int, rest: Evidence) -> int:
    """A second finding of the same rule, run and time that goes on with `rest`; its id."""
    same = [column for column in findings.c if column.name not in {"id", "evidence"}]
    row = dict(connection.execute(sa.select(*same).where(findings.c.id == finding_id)).mappings().one())
    copy = findings.insert().values(row | {"evidence": evidence_to_json(rest)}).returning(findings.c.id)
    new_id: int = connection.execute(copy).scalar_one()
    return new_id


def reopen_finding(connection: Connection, finding_id: int) -> None:
    """Take a rejection back: what upstream still says is asked again, in the very bytes that it said last, too."""
    _set_finding(connection, finding_id, state="open", comment=None, settled_run_id=None)
    its_source = sa.select(findings.c.source_id).where(findings.c.id == finding_id).scalar_subquery()
    connection.execute(sa.update(sources).where(sources.c.id == its_source).values(etag=None, body_digest=None))


def take_back_rejection(connection: Connection, lease: Lease, revert_id: int, names: Collection[str]) -> None:
    """The rejection that a revert left speaks no longer for `names`; with the last of its models it is withdrawn."""
    of_revert = sa.and_(findings.c.opened_run_id == revert_id, findings.c.kind == FindingKind.REVERTED.value)
    for finding in connection.execute(sa.select(findings).where(of_revert)).all():
        left = {name: withheld for name, withheld in finding.evidence.items() if name not in names}
        if left:
            _set_finding(connection, finding.id, evidence=left)
        else:
            _set_finding(
                connection, finding.id, last_run_id=lease.run_id, state="withdrawn", settled_run_id=lease.run_id
            )


def open_findings(connection: Connection, name: str) -> tuple[int, tuple[Finding, ...]]:
    """The source's id and its open findings, the source locked; waits for a sync that is writing."""
    source_id: int = leases.lock(connection, name).id
    found = state.findings_in_force(connection, source_id)
    return source_id, tuple(finding for finding in found if finding.state == "open")


def _set_finding(connection: Connection, finding_id: int, **values: Any) -> None:  # noqa: ANN401 - columns
    connection.execute(sa.update(findings).where(findings.c.id == finding_id).values(values))


# -- rows --------------------------------------------------------------------------------------------------------------

_STATE = (*TRACKED, "price", "prices", "extra", "digest", "parser", "last_changed_at")
_MARK = ("missing_since", "missing_count", "last_seen_at", "unread", "unread_since", "expiring_told")
_MODEL = ("id", "source_id", "name", "first_seen_at", *_STATE, *_MARK)
_CHANGE = (
    "id", "source_id", "run_id", "model_id", "kind", "observed_at", "effective_at", "changed_after", "old_price",
    "name", *TRACKED, "price", "prices", "changed", "reverts_id", "raw",
)  # fmt: skip
_PRICE = ("model_id", "component", "effective_at", "change_id", "kind", "changed_after", "old_price", "price")


def _state(change: Change, parser: str) -> tuple[Any, ...]:
    listing = change.listing
    element = (listing.extra, listing.digest, parser)
    return (*listing.tracked(), listing.price, listing.prices, *element, change.effective_at)


def _mark(mark: Mark) -> tuple[Any, ...]:
    unread = sorted(mark.unread) or None
    return (mark.missing_since, mark.missing_count, mark.last_seen_at, unread, mark.unread_since, mark.expiring_told)


def _insert_models(
    connection: Connection, lease: Lease, added: Sequence[Change], marks: Marks, *, at: datetime, parser: str
) -> Sequence[int]:
    """Insert the models of these changes; their ids, in order."""
    if not added:
        return ()
    ids = _model_ids(connection, len(added))
    rows = (
        (model_id, lease.source_id, new.listing.name, at, *_state(new, parser), *_mark(_mark_of(new.listing, marks)))
        for model_id, new in zip(ids, added, strict=True)
    )
    bulk.insert(connection, models, _MODEL, rows)
    return ids


def _mark_of(listing: Listing, marks: Marks) -> Mark:
    return marks.get(listing.name, _PLAIN)


def _model_ids(connection: Connection, count: int) -> Sequence[int]:
    """Ids handed out on our side: asking the database to return them costs more than the rows themselves."""
    if connection.dialect.name == "postgresql":
        # OFFSET 0 keeps the planner from looking the sequence up again for each id
        sequence = "(SELECT pg_get_serial_sequence('models', 'id')::regclass AS name OFFSET 0) AS sequence"
        query = sa.text(f"SELECT nextval(sequence.name) FROM {sequence}, generate_series(1, :count)")  # noqa: S608
        return connection.execute(query, {"count": count}).scalars().all()
    last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(models.c.id), 0))).scalar_one()
    return range(last + 1, last + 1 + count)


def _history(history: Iterable[tuple[int, int, Change]], lease: Lease, at: datetime) -> Iterator[tuple[Any, ...]]:
    """The rows of `changes`, in feed order."""
    for change_id, model_id, change in history:
        listing = change.listing
        yield (
            change_id,
            lease.source_id,
            lease.run_id,
            model_id,
            change.kind.value,
            at,
            change.effective_at,
            change.changed_after,
            change.old_price,
            listing.name,
            *listing.tracked(),
            listing.price,
            listing.prices,
            change.changed,
            change.reverts_id,
            None if change.kind is Kind.REMOVED else bytes(listing.raw).decode() or None,
        )
