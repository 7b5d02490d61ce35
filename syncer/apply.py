"""What one response means: read it, decide what of it to believe, apply that, all in one transaction (law 1).

Most polls bring nothing new and end before it, so `syncer.sync` loads this module only when it is needed.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import NamedTuple

from sqlalchemy.engine import Connection, Engine

from syncer.attempt import Attempt, policy, redacted
from syncer.core import parse
from syncer.core.decide import Decision, DecisionInput, decide
from syncer.core.model import Kind, Listing, Snapshot
from syncer.db import inputs, leases, results, state, writes
from syncer.db.engine import reading, writing
from syncer.db.leases import Lease
from syncer.db.state import CatalogState
from syncer.errors import BadResponse
from syncer.poll import Observation
from syncer.report import Report, report_of, result_of


def decide_and_apply(attempt: Attempt, lease: Lease, observation: Observation) -> Report:
    """Read one response and apply what is believed of it, all in one transaction; raises BadResponse or Fenced."""
    with reading(attempt.engine) as connection:  # our lease keeps the catalog as it is
        catalog = state.catalog(connection, lease.source_id, attempt.format.parser)
    with _believed(attempt.engine, lease.source_id) as believed:
        read = read_response(attempt, observation, lease, catalog, believed)
    with writing(attempt.engine) as connection:
        leases.check_fencing_token(connection, lease)
        seen = load_inputs(connection, attempt, lease, observation, read)
        decision = decide(seen, policy(attempt.source), attempt.approval)
        counts = apply(connection, attempt, lease, seen, decision)
        result = result_of(observation, read.snapshot, decision, counts, attempt.clock())
        results.close(connection, lease, result)
    return report_of(attempt, lease.run_id, result, decision, read.warnings)


class Reading(NamedTuple):
    """A response as it was read, and what a first one tells of its format."""

    snapshot: Snapshot
    catalog: CatalogState
    warnings: tuple[str, ...] = ()


def read_response(
    attempt: Attempt,
    observation: Observation,
    lease: Lease | None,
    catalog: CatalogState,
    believed: parse.Believed | None,
) -> Reading:
    """The response as a snapshot; raises BadResponse, without the key, where it is no catalog."""
    try:
        snapshot = parse.snapshot(
            observation.bodies,
            attempt.format,
            observed_at=observation.at,
            shown_at=observation.shown_at,
            known=catalog.by_digest,
            http_partial=observation.partial,
            believed=believed,
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


@contextmanager
def _believed(engine: Engine, source_id: int) -> Iterator[parse.Believed]:
    """What is stored of a model, by its name. Hardly any response asks: without a question no transaction is open.

    Reading a large response takes longer than a server may let a transaction idle.
    """
    with ExitStack() as stack:

        @cache
        def connection() -> Connection:
            return stack.enter_context(reading(engine))

        def believed(name: str) -> Listing | None:
            return state.believed(connection(), source_id)(name)

        yield believed


def _misfits(attempt: Attempt, snapshot: Snapshot) -> tuple[str, ...]:
    """What a first response says against its format; raises BadResponse where it cannot be the right one."""
    if not snapshot.listed and not snapshot.rejected:
        raise BadResponse("the list is empty, and this source has never listed a model")
    misfits = parse.unmatched(snapshot, attempt.format)
    if misfits.error:
        raise BadResponse(misfits.error)
    return misfits.warnings
