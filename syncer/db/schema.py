"""The whole schema: the tables, and the indexes by which the questions about them are seeks.

Apart from the tables because of start-up: a partial index has an option of each dialect, which makes SQLAlchemy import
both dialects, and no statement of a sync needs to know an index. Views and triggers are texts, in `views`.
"""

import sqlalchemy as sa

from syncer.db.tables import changes, findings, metadata, models, notices, prices, runs

__all__ = ["metadata"]

prices.dialect_options["sqlite"]["with_rowid"] = False
prices.primary_key.dialect_options["postgresql"]["include"] = ["kind", "price"]

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
    models.c.parser,
    models.c.price,
    models.c.last_seen_at,
    sqlite_where=models.c.removed_at.is_(None),
    postgresql_where=models.c.removed_at.is_(None),
)
sa.Index("ix_models_name", models.c.name)  # a view is asked for a model without naming its source
sa.Index(
    "ix_models_unread",  # those that may be readable again, and are plainly seen
    models.c.source_id,
    models.c.name,
    sqlite_where=models.c.unread.is_not(None),
    postgresql_where=models.c.unread.is_not(None),
)
sa.Index(
    "ix_models_expires_at",
    models.c.source_id,
    models.c.expires_at,
    sqlite_where=models.c.expires_at.is_not(None),
    postgresql_where=models.c.expires_at.is_not(None),
)
sa.Index("ix_changes_observed_at", changes.c.observed_at)
sa.Index(
    "ix_prices_reread",  # a comparison of two moments leaves these out
    prices.c.effective_at,
    sqlite_where=prices.c.kind == "reread",
    postgresql_where=prices.c.kind == "reread",
)
sa.Index("ix_findings_source_id_state", findings.c.source_id, findings.c.state)
sa.Index("ix_notices_source_id_id", notices.c.source_id, notices.c.id)
sa.Index("ix_notices_observed_at", notices.c.observed_at)
sa.Index("ix_notices_model_id", notices.c.model_id)
