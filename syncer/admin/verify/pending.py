"""What is pending, doubtful or unreadable: sources, findings, notices and rejected rows."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.admin.verify.rules import RowRule, Verdict, all_of
from syncer.core.notices import NoticeKind
from syncer.core.rules import FindingKind
from syncer.db.tables import findings, is_observed, models, notices, rejected_rows, runs, sources

# -- sources -----------------------------------------------------------------------------------------------------------


def _last_observation(column: sa.Column[Any]) -> sa.ScalarSelect[Any]:
    query = sa.select(column).where(runs.c.source_id == sources.c.id, is_observed())
    return query.where(runs.c.kind != "revert").order_by(runs.c.id.desc()).limit(1).scalar_subquery()


_is_pending = sa.or_(
    sa.exists().where(
        models.c.source_id == sources.c.id,
        models.c.removed_at.is_(None),
        models.c.missing_since.is_not(None),  # equal bytes are as unreadable as they were
    ),
    sa.exists().where(findings.c.source_id == sources.c.id, findings.c.state == "open"),
)


def urls(connection: Connection) -> Iterator[Verdict]:
    """Sources whose URL might tell a secret."""
    for source in connection.execute(sa.select(sources.c.id, sources.c.url)):
        parts = urlsplit(source.url)
        if parts.username is not None or parts.password is not None or parts.query:
            what = "its url has credentials or a query"  # which is not repeated here
            yield Verdict(law="law 11", table="sources", row=str(source.id), what=what)


SOURCES = all_of(
    RowRule(
        law="law 3",
        table=sources,
        what="remembers etag or body_digest although something is pending: the next response might not be read",
        broken=_is_pending & (sources.c.etag.is_not(None) | sources.c.body_digest.is_not(None)),
    ),
    RowRule(
        law="law 6",
        table=sources,
        what="last_observed_at is not observed_at of its last observation",
        broken=sources.c.last_observed_at.is_distinct_from(_last_observation(runs.c.observed_at)),
    ),
    RowRule(
        law="law 6",
        table=sources,
        what="last_shown_at or last_judged_at is after last_observed_at",
        broken=(sources.c.last_shown_at > sources.c.last_observed_at)
        | (sources.c.last_judged_at > sources.c.last_observed_at),
    ),
)


# -- findings, notices, rejected rows ----------------------------------------------------------------------------------

_opened, _last_seen, _settled = runs.alias("opened"), runs.alias("last_seen"), runs.alias("settled")
_with_runs = (
    findings.join(_opened, _opened.c.id == findings.c.opened_run_id)
    .join(_last_seen, _last_seen.c.id == findings.c.last_run_id)
    .outerjoin(_settled, _settled.c.id == findings.c.settled_run_id)
)
FINDINGS = all_of(
    RowRule(
        law="contract",
        table=findings,
        what="has a kind or a state that there is not",
        broken=findings.c.kind.not_in([doubt.value for doubt in FindingKind])
        | findings.c.state.not_in(["open", "approved", "rejected", "confirmed", "withdrawn"]),
    ),
    RowRule(
        law="contract",
        table=findings,
        what="its runs are of another source",
        rows=_with_runs,
        broken=sa.or_(*(run.c.source_id != findings.c.source_id for run in (_opened, _last_seen, _settled))),
    ),
    RowRule(
        law="law 1",
        table=findings,
        what="was opened, last seen or settled by a run that read no catalog",
        rows=_with_runs,
        broken=sa.or_(
            ~is_observed(_opened),
            ~is_observed(_last_seen),
            findings.c.settled_run_id.is_not(None) & ~is_observed(_settled),
        ),
    ),
    RowRule(
        law="law 6",
        table=findings,
        what="its times or runs are out of order",
        rows=_with_runs,
        broken=sa.or_(
            findings.c.opened_at > _opened.c.observed_at,
            findings.c.last_run_id < findings.c.opened_run_id,
            findings.c.settled_run_id < findings.c.opened_run_id,
            findings.c.settled_run_id > findings.c.last_run_id,
        ),
    ),
    RowRule(
        law="contract",
        table=findings,
        what="state and settled_run_id disagree on whether it is settled",
        broken=sa.or_(
            (findings.c.state == "open") & findings.c.settled_run_id.is_not(None),
            findings.c.state.in_(["approved", "confirmed", "withdrawn"]) & findings.c.settled_run_id.is_(None),
        ),
    ),
)

NOTICES = all_of(
    RowRule(
        law="contract",
        table=notices,
        what="its run, its finding or its model is of another source",
        rows=notices.outerjoin(runs, runs.c.id == notices.c.run_id)
        .outerjoin(findings, findings.c.id == notices.c.finding_id)
        .outerjoin(models, models.c.id == notices.c.model_id),
        broken=sa.or_(*(other.c.source_id != notices.c.source_id for other in (runs, findings, models))),
    ),
    RowRule(
        law="contract",
        table=notices,
        what="has a kind that there is not",
        broken=notices.c.kind.not_in([word.value for word in NoticeKind]),
    ),
)

_first, _last = runs.alias("first"), runs.alias("last")
_rejected_said = sa.select(sa.func.coalesce(sa.func.sum(runs.c.rejected), 0)).where(runs.c.source_id == sources.c.id)
_rejected_kept = sa.select(sa.func.coalesce(sa.func.sum(rejected_rows.c.count), 0)).where(
    rejected_rows.c.source_id == sources.c.id
)
REJECTED = all_of(
    RowRule(
        law="law 3",
        table=rejected_rows,
        what="its runs are of another source, out of order, or rejected nothing",
        rows=rejected_rows.join(_first, _first.c.id == rejected_rows.c.first_run_id).join(
            _last, _last.c.id == rejected_rows.c.last_run_id
        ),
        broken=sa.or_(
            _first.c.source_id != rejected_rows.c.source_id,
            _last.c.source_id != rejected_rows.c.source_id,
            rejected_rows.c.first_run_id > rejected_rows.c.last_run_id,
            _first.c.rejected == 0,
            _last.c.rejected == 0,
        ),
    ),
    RowRule(
        law="law 3",
        table=sources,
        what="rejected_rows counts more than its runs say",
        broken=sources.c.pruned_before.is_(None)
        & (_rejected_said.scalar_subquery() < _rejected_kept.scalar_subquery()),
    ),
)
