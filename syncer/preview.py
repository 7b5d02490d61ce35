"""What a sync would do now: the same look and the same decision, and not one byte written."""

from collections import Counter

from sqlalchemy.engine import Connection, Engine

from syncer import fetch
from syncer.core import decide
from syncer.core.decide import Seen
from syncer.core.observation import Looks, observed_at
from syncer.db import store
from syncer.db.engine import reading
from syncer.db.store import Catalog, Claim
from syncer.settings import SourceSettings
from syncer.sync import Clock, Look, Report, closing_of, gather, limits, policy, read, report_of


def preview_source(engine: Engine | None, source: SourceSettings, *, key: str | None, clock: Clock) -> Report:
    """The report of a sync that was none: `run_id` is None and `changes` are what would be believed.

    `engine` is None where there is no database yet. Raises UpstreamError, ClockError or DatabaseError.
    """
    response = fetch.fetch(fetch.catalog_url(source.url), key=key, etag=None, clock=clock, limits=limits(source))
    if engine is None:
        return _preview(None, None, source, response, key)
    with reading(engine) as connection:
        return _preview(connection, store.last_claim(connection, source.name, key), source, response, key)


def _preview(
    connection: Connection | None,
    claim: Claim | None,
    source: SourceSettings,
    response: fetch.Response,
    key: str | None,
) -> Report:
    at = observed_at(response.received_at, claim.last_observed_at if claim else None)
    look = Look(body=response.body, at=at, status=response.status, digest="", remember=(None, "", ""))
    if connection is None or claim is None:
        snapshot = read(look, Catalog(), ever_listed=False, key=key)
        seen = Seen(snapshot=snapshot, known={}, listed=frozenset(), priced=0, looks=Looks(last=None, absent=None))
    else:
        catalog = store.catalog(connection, claim.source_id)
        snapshot = read(look, catalog, ever_listed=claim.ever_listed, key=key)
        seen = gather(connection, claim, catalog, snapshot, source.required)
    decision = decide.decide(seen, policy(source))
    counts = Counter(change.kind for change in decision.believed)
    closing = closing_of(look, snapshot, decision, counts, finished_at=at)
    return report_of(source.name, "sync", None, closing, decision, changes=decision.believed)
