"""Pruning: runs that nothing rests on, and rejected rows not seen for long.

- History is never pruned. A run goes only if no change, finding, notice or rejected row names it, and if nothing rests
  on its time: no window of a change, no mark of a model, no later observation. So pruning changes no answer but the
  list of runs itself; and recordings that were imported stay known as such.
- It works in small transactions; stopped midway it has simply done less. It takes no lease and waits for none.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from syncer.db.engine import reading, writing
from syncer.db.tables import changes, findings, models, notices, rejected_rows, runs, sources

BATCH = 2_000
"""So many rows at most are deleted in one transaction."""
_LAST_RUNS = 2  # what a source's latest run is compared with, so that only new problems are reported


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows of one source were removed, or would be."""

    source: str
    runs: int
    rejected_rows: int


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What must stay: runs by id, and times as (source id, observed_at). A sync meanwhile adds only newer ones."""

    runs: frozenset[int]
    observations: frozenset[tuple[int, datetime]]

    def spares(self, run: Any) -> bool:  # noqa: ANN401 - a row of runs
        return run.id in self.runs or (run.source_id, run.observed_at) in self.observations


def prune(engine: Engine, *, before: datetime, dry_run: bool = False) -> list[Pruned]:
    """Remove runs that began before `before` and that nothing needs, and rejected rows not seen since; by source name.

    `before` lies a day back or more: no run that began earlier is still being written. With `dry_run` it only counts.
    Raises DatabaseError, and SourceBusy where the database stays locked.
    """
    rejected = Counter[int]()
    unseen = _old_rejected(engine, before)
    for first in range(0, len(unseen), BATCH):
        rejected.update(_delete_rejected(engine, unseen[first : first + BATCH], before, dry_run=dry_run))
    with reading(engine, one_moment=True) as connection:  # after the rejected rows: those that are gone name no run
        names = {row.id: row.name for row in connection.execute(sa.select(sources.c.id, sources.c.name))}
        kept = _kept(connection, before)
    old = Counter[int]()
    for found in _pages(engine, before):
        doomed = [run for run in found if not kept.spares(run)]
        old.update(_delete_runs(engine, doomed, before, dry_run=dry_run))
    pruned = [Pruned(source=name, runs=old[key], rejected_rows=rejected[key]) for key, name in names.items()]
    return sorted(pruned, key=lambda one: one.source)


def _kept(connection: Connection, before: datetime) -> _Kept:
    observations = connection.execute(sa.union(*_OBSERVATIONS)).all()
    named = connection.execute(sa.union(*_NAMED, *_named_by_rejected(before), _LATEST)).scalars()
    return _Kept(
        runs=frozenset(named), observations=frozenset((source, at) for source, at in observations if at is not None)
    )


def _pairs(table: sa.Table, *columns: sa.Column[Any]) -> list[sa.Select[Any]]:
    return [sa.select(table.c.source_id, column) for column in columns]


_last_observation = sa.func.max(runs.c.observed_at, type_=runs.c.observed_at.type)
_OBSERVATIONS: Sequence[sa.Select[Any]] = (
    *_pairs(changes, changes.c.effective_at, changes.c.changed_after),
    *_pairs(models, models.c.last_seen_at, models.c.missing_since, models.c.removed_at),
    *_pairs(findings, findings.c.opened_at),
    sa.select(sources.c.id, sources.c.last_observed_at),
    sa.select(sources.c.id, sources.c.last_judged_at),
    sa.select(runs.c.source_id, _last_observation).group_by(runs.c.source_id),
    # The last observation that read a catalog: one that met the same bytes carries on what this one could not read.
    sa.select(runs.c.source_id, _last_observation).where(runs.c.listed.is_not(None)).group_by(runs.c.source_id),
)
_NAMED: Sequence[sa.Select[Any]] = (
    sa.select(changes.c.run_id),
    sa.select(notices.c.run_id),
    sa.select(findings.c.opened_run_id),
    sa.select(findings.c.last_run_id),
    sa.select(findings.c.settled_run_id),
)
_numbered = sa.select(
    runs.c.id,
    sa.func.row_number().over(partition_by=runs.c.source_id, order_by=runs.c.id.desc()).label("back"),
).subquery()
_LATEST = sa.select(_numbered.c.id).where(_numbered.c.back <= _LAST_RUNS)
_rejecting = rejected_rows.join(runs, runs.c.id == rejected_rows.c.last_run_id).join(
    sources, sources.c.id == rejected_rows.c.source_id
)


def _is_old_rejected(before: datetime) -> sa.ColumnElement[bool]:
    """Last seen before, and not in the last observation."""
    return (runs.c.started_at < before) & runs.c.observed_at.is_distinct_from(sources.c.last_observed_at)


def _named_by_rejected(before: datetime) -> list[sa.Select[Any]]:
    columns = (rejected_rows.c.first_run_id, rejected_rows.c.last_run_id)
    return [sa.select(column).select_from(_rejecting).where(~_is_old_rejected(before)) for column in columns]


def _old_rejected(engine: Engine, before: datetime) -> Sequence[Any]:
    query = sa.select(rejected_rows.c.source_id, rejected_rows.c.digest, rejected_rows.c.last_run_id)
    with reading(engine) as connection:
        return connection.execute(query.select_from(_rejecting).where(_is_old_rejected(before))).all()


def _delete_rejected(engine: Engine, rows: Sequence[Any], before: datetime, *, dry_run: bool) -> Counter[int]:
    """Delete these, but for what a sync has seen again meanwhile; how many of each source."""
    named = Counter(row.source_id for row in rows)
    if dry_run:
        return named
    gone = Counter[int]()
    with writing(engine) as connection:
        _note_pruned(connection, named, before)  # the source first, as in a sync: else the two could deadlock
        for row in rows:
            this = sa.and_(*(rejected_rows.c[name] == getattr(row, name) for name in row._fields))
            gone[row.source_id] += connection.execute(rejected_rows.delete().where(this)).rowcount
    return gone


def _pages(engine: Engine, before: datetime) -> Iterator[Sequence[Any]]:
    """The old runs, oldest first, a batch at a time. Imports are none: they tell what has been imported already."""
    query = (
        sa.select(runs.c.id, runs.c.source_id, runs.c.observed_at)
        .where(runs.c.started_at < before, runs.c.kind != "import", runs.c.outcome != "running")
        .order_by(runs.c.id)
        .limit(BATCH)
    )
    last = 0
    while True:
        with reading(engine) as connection:
            page = connection.execute(query.where(runs.c.id > last)).all()
        if not page:
            return
        yield page
        last = page[-1].id


def _delete_runs(engine: Engine, doomed: Sequence[Any], before: datetime, *, dry_run: bool) -> Counter[int]:
    if dry_run or not doomed:
        return Counter(run.source_id for run in doomed)
    these = runs.delete().where(runs.c.id.in_([run.id for run in doomed]))
    with writing(engine) as connection:
        gone = Counter(connection.execute(these.returning(runs.c.source_id)).scalars())
        _note_pruned(connection, gone, before)
    return gone


def _note_pruned(connection: Connection, gone: Counter[int], before: datetime) -> None:
    """Say in each source's row that its runs are no longer all of them; a sync of it waits from here to the commit."""
    for source in sorted(gone):
        since = sa.or_(sources.c.pruned_before.is_(None), sources.c.pruned_before < before)
        connection.execute(sa.update(sources).where(sources.c.id == source, since).values(pruned_before=before))
