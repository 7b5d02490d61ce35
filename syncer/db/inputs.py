"""What a decision rests on, gathered: whole states only of what moved, is missing or was pending."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.core import diff, notices
from syncer.core.decision import DecisionInput
from syncer.core.model import TRACKED, Listing, Snapshot, StoredModel, price_field
from syncer.core.notices import THRESHOLDS, Notice
from syncer.core.observation import Witness, doubtful
from syncer.core.text import rfc3339
from syncer.db import bulk, feed, state
from syncer.db.leases import Lease
from syncer.db.state import CatalogState
from syncer.db.tables import is_observed, models, rejected_rows, runs

_FARTHEST = timedelta(days=max(THRESHOLDS))


def load(
    connection: Connection,
    lease: Lease,
    catalog: CatalogState,
    snapshot: Snapshot,
    *,
    required: Collection[str],
    trust_date: bool,
    reread: Callable[[str], Listing],
    witness: Witness,
    expiring_after: datetime | None = None,
) -> DecisionInput:
    """All that `decide` asks for; `reread` gives the listing that the present parser makes of a stored element."""
    at, source_id = snapshot.observed_at, lease.source_id
    findings = state.findings_in_force(connection, source_id)
    names = {*snapshot.listings, *diff.not_present(catalog.listed, snapshot), *snapshot.present_unreadable}
    names.update(catalog.pending, required, *(finding.evidence for finding in findings))
    known = state.stored_models(connection, source_id, names) if lease.ever_listed else {}
    known = state.with_rereads(connection, known, snapshot, reread)
    return DecisionInput(
        snapshot=_with_what_the_same_state(connection, source_id, snapshot, known),
        known=known,
        listed=frozenset(catalog.listed),
        priced=catalog.priced,
        past=lease.past,
        findings=findings,
        new_credential=lease.past.last is not None and lease.credential != lease.last_credential,
        other_key=_under_another_key(connection, lease, known.values()),
        moved_source=moved_source(lease),
        recorded=_recorded(connection, source_id, snapshot),
        expiring=tuple(state.expiring(connection, source_id, at, _FARTHEST)),
        expiring_after=expiring_after,
        trouble=feed.trouble(connection, source_id),
        doubtful=doubtful(at, witness, trust_date=trust_date),
        response_at=witness.time,
    )


def of_unchanged(
    connection: Connection, lease: Lease, at: datetime, witness: Witness, *, trust_date: bool
) -> tuple[list[Notice], Mapping[str, int]]:
    """What an observation of the very same bytes has to tell: of the source's health, and of what goes soon.

    The second is the threshold, in days, that was told of each model.
    """
    shown_at = at - witness.age
    times = {
        "observed_at": rfc3339(at),
        "response_at": None if witness.time is None else rfc3339(witness.time),
        "shown_at": rfc3339(shown_at),
    }
    said = notices.of_health(
        feed.trouble(connection, lease.source_id), doubtful(at, witness, trust_date=trust_date), times
    )
    ends, told = notices.of_expiring(state.expiring(connection, lease.source_id, at, _FARTHEST), at)
    return [*said, *ends], told


def moved_source(lease: Lease) -> str | None:
    """What is another than at the last observation, in words; None if nothing is. (An import has no URL of its own.)"""
    if lease.past.last is None:
        return None
    record = lease.record
    if lease.observed_format != record.format:
        return f"the format is {record.format}, not {lease.observed_format}"
    if "://" in lease.observed_url and _place(lease.observed_url) != _place(record.url):  # a recording has no URL
        return f"the URL is {record.url}, not {lease.observed_url}"
    return None


def _place(url: str) -> tuple[str, str]:
    """What a URL points to, whatever its scheme (and the port that goes with it), its query and a slash at its end."""
    parts = urlsplit(url)
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return parts.netloc.lower().removesuffix(usual), parts.path.rstrip("/")


def _with_what_the_same_state(
    connection: Connection, source_id: int, snapshot: Snapshot, known: Mapping[str, StoredModel]
) -> Snapshot:
    """The snapshot, with what its unchanged elements state of the fields that its other elements lack.

    An unchanged element states what is stored of it. Hardly ever is there such a field, and so anything to ask.
    """
    had = (known[name].listing for name in snapshot.listings if name in known)
    lacking = {field for listing in had for field in _stated(listing)} - snapshot.stated
    if not lacking or not snapshot.same:
        return snapshot
    query = sa.select(models.c.name, models.c.prices, *(models.c[field] for field in TRACKED)).where(
        models.c.source_id == source_id, models.c.removed_at.is_(None)
    )
    found: set[str] = set()
    for some in connection.execute(query).partitions(bulk.PIECE):
        for row in some:
            if row.name in snapshot.same:
                prices = {price_field(name) for name, price in row.prices.items() if price is not None}
                found |= prices | {field for field in TRACKED if getattr(row, field) is not None}
        if lacking <= found:
            break
    return msgspec.structs.replace(snapshot, stated=snapshot.stated | found)


def _stated(listing: Listing) -> set[str]:
    prices = {price_field(name) for name, price in listing.prices.items() if price is not None}
    return prices | {field for field in TRACKED if getattr(listing, field) is not None}


def _under_another_key(connection: Connection, lease: Lease, known: Iterable[StoredModel]) -> frozenset[datetime]:
    """The first misses before which the last observation was under another key than this one."""
    since = {model.missing_since for model in known if model.listed and model.missing_since is not None}
    return frozenset(at for at in since if _key_before(connection, lease.source_id, at) != lease.credential)


def _key_before(connection: Connection, source_id: int, at: datetime) -> str | None:
    query = (
        sa.select(runs.c.credential)
        .where(runs.c.source_id == source_id, runs.c.observed_at < at, is_observed(), runs.c.kind != "revert")
        .order_by(runs.c.observed_at.desc())
        .limit(1)
    )
    return connection.execute(query).scalar()


def _recorded(connection: Connection, source_id: int, snapshot: Snapshot) -> frozenset[str]:
    """The names, of rows that were left out, of which rejected rows are stored already."""
    rows = (*snapshot.rejected, *snapshot.duplicates)
    names = {row.name for row in rows if row.name is not None}
    query = sa.select(rejected_rows.c.name).where(
        rejected_rows.c.source_id == source_id, rejected_rows.c.name.in_(sa.bindparam("names", expanding=True))
    )
    return frozenset(
        name for some in bulk.pieces(names) for name in connection.execute(query, {"names": some}).scalars()
    )
