"""Runs, and what each of them wrote: feed ids, counts, and every change by itself."""

import heapq
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.admin.verify.rules import RowRule, Verdict, all_of, stream
from syncer.core.model import Kind
from syncer.db.tables import changes, feed, is_observed, models, notices, runs, sources

# -- the feed ----------------------------------------------------------------------------------------------------------


def feed_ids(connection: Connection) -> Iterator[Verdict]:
    """Holes in the feed, and a counter that is not at its end."""
    last = 0
    for feed_id, table in heapq.merge(
        *(_ids_of(connection, table) for table in (changes, notices)), key=lambda entry: entry[0]
    ):
        if feed_id != last + 1:
            what = f"its feed id follows {last}: ids are contiguous from 1, over changes and notices together"
            yield Verdict(law="law 8", table=table.name, row=str(feed_id), what=what)
        last = feed_id
    counters = connection.execute(sa.select(feed)).all()
    for counter in counters:
        if counter.last_id != last:
            what = f"it counts to {counter.last_id}, the last feed id is {last}"
            yield Verdict(law="law 8", table="feed", row=counter.feed_id, what=what)
    if len(counters) != 1:
        yield Verdict(law="law 8", table="feed", row="*", what=f"it has {len(counters)} rows instead of one")


def _ids_of(connection: Connection, table: sa.Table) -> Iterator[tuple[int, sa.Table]]:
    for (feed_id,) in stream(connection, sa.select(table.c.id).order_by(table.c.id)):
        yield feed_id, table


# -- runs --------------------------------------------------------------------------------------------------------------

_GOOD = ("changed", "unchanged", "held")
_ENDED_BADLY = ("failed", "abandoned")
_OUTCOMES = (*_GOOD, *_ENDED_BADLY, "skipped", "running")
_later = runs.alias("later")
_observation = (
    sa.select(
        runs.c.id,
        runs.c.observed_at,
        sa.func.lag(runs.c.observed_at).over(partition_by=runs.c.source_id, order_by=runs.c.id).label("last"),
    )
    .where(is_observed())
    .subquery()
)
_is_failed_import = (runs.c.outcome == "failed") & (runs.c.kind == "import")
_earlier, _tried = runs.alias("earlier"), runs.alias("tried")
_is_tried_again = sa.exists().where(
    _tried.c.source_id == runs.c.source_id,
    _tried.c.observed_at == runs.c.observed_at,
    _tried.c.body_digest == runs.c.body_digest,
    _tried.c.outcome == "failed",
    _tried.c.id < runs.c.id,
)

RUNS = all_of(
    RowRule(
        law="law 5",
        table=runs,
        what="observed_at is not after that of the run before",
        rows=runs.join(_observation, _observation.c.id == runs.c.id),
        broken=_observation.c.observed_at <= _observation.c.last,
    ),
    RowRule(
        law="law 5",
        table=runs,
        what="a failed import has the time of an earlier run, and tries no response again",
        broken=_is_failed_import
        & sa.exists().where(
            _earlier.c.source_id == runs.c.source_id,
            _earlier.c.observed_at >= runs.c.observed_at,
            _earlier.c.id < runs.c.id,
        )
        & ~_is_tried_again,
    ),
    RowRule(
        law="law 7",
        table=runs,
        what="is still running although its source has a later run",
        broken=(runs.c.outcome == "running")
        & sa.exists().where(_later.c.source_id == runs.c.source_id, _later.c.id > runs.c.id),
    ),
    RowRule(
        law="law 7",
        table=runs,
        what="is running, but nobody has its source's lease",
        rows=runs.join(sources),
        broken=(runs.c.outcome == "running") & sources.c.lease_until.is_(None),
    ),
    RowRule(
        law="law 9",
        table=runs,
        what="has a kind or an outcome that there is not",
        broken=runs.c.kind.not_in(["sync", "import", "approve", "revert"]) | runs.c.outcome.not_in(_OUTCOMES),
    ),
    RowRule(
        law="law 9",
        table=runs,
        what="finished_at and the outcome disagree on whether it has ended",
        broken=runs.c.finished_at.is_(None) != (runs.c.outcome == "running"),
    ),
    RowRule(
        law="law 9",
        table=runs,
        what="observed_at and the outcome disagree on whether a catalog was read",
        broken=sa.or_(
            runs.c.outcome.in_(_GOOD) & runs.c.observed_at.is_(None),
            runs.c.outcome.in_((*_ENDED_BADLY, "running")) & runs.c.observed_at.is_not(None) & ~_is_failed_import,
        ),
    ),
    RowRule(
        law="law 9",
        table=runs,
        what="does not say why it failed or what is held",
        broken=runs.c.outcome.in_((*_ENDED_BADLY, "held")) & runs.c.error.is_(None),
    ),
)


def counts(connection: Connection) -> Iterator[Verdict]:
    """What a run says it did, against what it wrote."""
    wrote = {kind: sa.func.count().filter(changes.c.kind == kind.value) for kind in Kind}
    said = {kind: runs.c[kind.value] for kind in Kind}
    query = (
        sa.select(runs.c.id, runs.c.outcome, *said.values(), *(count.label(f"wrote_{k}") for k, count in wrote.items()))
        .outerjoin(changes, changes.c.run_id == runs.c.id)
        .group_by(runs.c.id)
        .order_by(runs.c.id)
    )
    for run in stream(connection, query):
        wrong = [kind for kind in Kind if getattr(run, kind) != getattr(run, f"wrote_{kind}")]
        for kind in wrong:
            what = f"says {getattr(run, kind)} {kind}, but wrote {getattr(run, f'wrote_{kind}')}"
            yield Verdict(law="law 9", table="runs", row=str(run.id), what=what)
        wrote_any = any(getattr(run, f"wrote_{kind}") for kind in Kind)
        wrote_news = any(getattr(run, f"wrote_{kind}") for kind in Kind if kind is not Kind.REREAD)
        right = wrote_any if run.outcome == "changed" else run.outcome == "held" or not wrote_news
        if not right:
            what = f"is {run.outcome}, but {'wrote' if wrote_any else 'wrote no'} changes"
            yield Verdict(law="law 1", table="runs", row=str(run.id), what=what)


# -- changes, each by itself -------------------------------------------------------------------------------------------

_reverted = changes.alias("reverted")
_with_run = changes.join(runs, runs.c.id == changes.c.run_id)


CHANGES = all_of(
    RowRule(
        law="law 1",
        table=changes,
        what="its run is of another source",
        rows=_with_run,
        broken=runs.c.source_id != changes.c.source_id,
    ),
    RowRule(
        law="law 5",
        table=changes,
        what="observed_at is not that of its run",
        rows=_with_run,
        broken=runs.c.observed_at.is_distinct_from(changes.c.observed_at),
    ),
    RowRule(
        law="law 2",
        table=changes,
        what="source_id or name is not that of its model",
        rows=changes.join(models, models.c.id == changes.c.model_id),
        broken=(models.c.source_id != changes.c.source_id) | (models.c.name != changes.c.name),
    ),
    RowRule(
        law="law 6",
        table=changes,
        what="effective_at is the time of no observation",
        broken=~sa.exists().where(
            _later.c.source_id == changes.c.source_id,
            _later.c.observed_at == changes.c.effective_at,
            is_observed(_later),
        ),
    ),
    RowRule(
        law="law 6",
        table=changes,
        what="has no changed_after, although it is not of the baseline",
        broken=changes.c.changed_after.is_(None) & (changes.c.kind != Kind.ADDED.value),
    ),
    RowRule(
        law="law 2",
        table=changes,
        what="reverts_id is not that of a change of its model",
        rows=changes.join(_reverted, _reverted.c.id == changes.c.reverts_id),
        broken=_reverted.c.model_id != changes.c.model_id,
    ),
    RowRule(
        law="law 2",
        table=changes,
        what="a run of kind revert, and no other, withdraws changes by reverts_id",
        rows=_with_run,
        broken=(runs.c.kind == "revert") != changes.c.reverts_id.is_not(None),
    ),
)
