"""What a sync would do now: the same look and the same decision, and not one byte written."""

from collections import Counter

from sqlalchemy.engine import Connection, Engine

from syncer import fetch
from syncer.core import decide
from syncer.core.decide import DecisionInput
from syncer.core.observation import PastObservations, observed_at
from syncer.db import store
from syncer.db.engine import reading
from syncer.db.store import Catalog, Lease
from syncer.settings import SourceSettings
from syncer.sync import ENDPOINT, Clock, Observation, Report, limits, load_inputs, policy, read, report_of, result_of


def preview_source(engine: Engine | None, source: SourceSettings, *, key: str | None, clock: Clock) -> Report:
    """The report of a sync that was none: `run_id` is None and `changes` are what would be believed.

    `engine` is None where there is no database yet. Raises UpstreamError, ClockError or DatabaseError.
    """
    response = fetch.fetch(
        fetch.Request(url=fetch.catalog_url(source.url, ENDPOINT), key=key), clock=clock, limits=limits(source)
    )
    if engine is None:
        return _preview(None, None, source, response, key)
    with reading(engine) as connection:
        return _preview(connection, store.peek_lease(connection, source.name, key), source, response, key)


def _preview(
    connection: Connection | None,
    lease: Lease | None,
    source: SourceSettings,
    response: fetch.Response,
    key: str | None,
) -> Report:
    at = observed_at(response.received_at, lease.last_observed_at if lease else None)
    observation = Observation(body=response.body, at=at, status=response.status, digest="", remember=(None, "", ""))
    if connection is None or lease is None:
        snapshot = read(observation, Catalog(), ever_listed=False, key=key)
        seen = DecisionInput(
            snapshot=snapshot, known={}, listed=frozenset(), priced=0, past=PastObservations(last=None, absent=None)
        )
    else:
        catalog = store.catalog(connection, lease.source_id)
        snapshot = read(observation, catalog, ever_listed=lease.ever_listed, key=key)
        seen = load_inputs(connection, lease, catalog, snapshot, source.required)
    decision = decide.decide(seen, policy(source))
    counts = Counter(change.kind for change in decision.believed)
    result = result_of(observation, snapshot, decision, counts, finished_at=at)
    return report_of(source.name, "sync", None, result, decision, changes=decision.believed)
