"""The whole schema: the tables, and the indexes by which the questions about them are seeks.

Apart from the tables because of start-up: a partial index has an option of each dialect, which makes SQLAlchemy import
both dialects, and no statement of a sync needs to know an index. Views and triggers are texts, in `views`.
"""

import sqlalchemy as sa

from syncer.db.tables import changes, findings, metadata, models, notices, runs

__all__ = ["metadata"]

sa.Index("ix_runs_source_id_id", runs.c.source_id, runs.c.id)
sa.Index("ix_runs_source_id_observed_at", runs.c.source_id, runs.c.observed_at)
sa.Index(
    "uq_runs_running",
    runs.c.source_id,
    unique=True,
    sqlite_where=runs.c.outcome == "running",
    postgresql_where=runs.c.outcome == "running",
)
sa.Index(
    "ix_models_current",  # holds all that a sync reads of a model whose element is unchanged
    models.c.source_id,
    models.c.name,
    models.c.digest,
    models.c.price,
    models.c.last_seen_at,
    sqlite_where=models.c.removed_at.is_(None),
    postgresql_where=models.c.removed_at.is_(None),
)
sa.Index(
    "ix_changes_model_id_effective_at",
    changes.c.model_id,
    changes.c.effective_at,
    changes.c.kind,
    changes.c.price,
)
sa.Index(
    "ix_changes_price_boundaries",
    changes.c.model_id,
    changes.c.effective_at,
    sqlite_where=changes.c.kind != "updated",
    postgresql_where=changes.c.kind != "updated",
)
sa.Index("ix_changes_observed_at", changes.c.observed_at)
sa.Index("ix_findings_source_id_state", findings.c.source_id, findings.c.state)
sa.Index("ix_notices_source_id_id", notices.c.source_id, notices.c.id)
