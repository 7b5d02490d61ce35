"""What a sync would do now: the same observation and the same decision, and not one byte written."""

from collections import Counter
from typing import Any

from sqlalchemy.engine import Connection

from syncer import fetch
from syncer.apply import load_inputs, read_response
from syncer.attempt import Attempt, limits, policy, record_of, request_of
from syncer.core.decide import DecisionInput, decide
from syncer.core.model import TRACKED, Change
from syncer.core.observation import PastObservations
from syncer.db import leases, state
from syncer.db.engine import reading
from syncer.db.state import CatalogState
from syncer.poll import observation_of
from syncer.report import Report, report_of, result_of


def preview_source(attempt: Attempt, *, is_new: bool) -> Report:
    """The report of a sync that was none: `run_id` is None and `changes` are what would be believed.

    `is_new`: there is no database yet. Raises UpstreamError, ClockError or DatabaseError.
    """
    response = fetch.fetch(request_of(attempt), clock=attempt.clock, limits=limits(attempt.source))
    if is_new:
        return _preview(attempt, response, None)
    with reading(attempt.engine) as connection:
        return _preview(attempt, response, connection)


def _preview(attempt: Attempt, response: fetch.Response, connection: Connection | None) -> Report:
    record = record_of(attempt.source, attempt.format)
    lease = None if connection is None else leases.peek(connection, record, attempt.key)
    observation = observation_of(attempt, lease, response)
    if connection is None or lease is None:
        read = read_response(attempt, observation, lease, CatalogState(), None)
        seen = DecisionInput(snapshot=read.snapshot, known={}, listed=frozenset(), priced=0, past=PastObservations())
    else:
        catalog = state.catalog(connection, lease.source_id, attempt.format.parser)
        believed = state.believed(connection, lease.source_id)
        read = read_response(attempt, observation, lease, catalog, believed)
        seen = load_inputs(connection, attempt, lease, observation, read)
    decision = decide(seen, policy(attempt.source))
    counts = Counter(change.kind for change in decision.believed)
    result = result_of(observation, read.snapshot, decision, counts, observation.at)
    return report_of(attempt, None, result, decision, read.warnings, decision.believed)


def preview_event(change: Change, report: Report, attempt: Attempt) -> dict[str, Any]:
    """What the event of a change would be, had the run been a real one: without an id, as the feed has none for it."""
    from syncer.alerts.event import event
    from syncer.history import ChangeRow
    from syncer.history.resolve import Source

    listing, record = change.listing, record_of(attempt.source, attempt.format)
    source = Source(
        id=0,
        name=record.name,
        headline=record.headline,
        currency=record.currency,
        price_units=record.price_units or {},
        created_at=report.result.observed_at,
        last_observed_at=None,
    )
    row = ChangeRow(
        id=0,
        source=source.name,
        run_id=0,
        model_id=change.model_id or 0,
        kind=change.kind,
        observed_at=report.result.observed_at,
        effective_at=change.effective_at,
        changed_after=change.changed_after,
        name=listing.name,
        **{field: getattr(listing, field) for field in TRACKED},
        price=listing.price,
        prices=dict(listing.prices),
        old_price=change.old_price,
        changed={field: list(pair) for field, pair in change.changed.items()},
        reverts_id=None,
        component=source.headline,
        currency=source.currency,
        unit=source.unit(source.headline, listing.type),
        units=source.units_of(listing.prices, listing.type),
    )
    whole = event(row, "")
    return {key: whole[key] for key in ("type", "subject", "time")} | {"data": whole["data"] | {"run_id": None}}
