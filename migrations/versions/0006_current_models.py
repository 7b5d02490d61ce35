"""What a sync reads of the current catalog stands in an index of its own; the view of it gathers what is held once.

Once released, this file is never edited. It imports nothing from syncer: what it needs is frozen in it; views and
triggers are frozen beside it, in migrations/sql.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_models_current",
        "models",
        ["source_id", "name", "digest", "price", "last_seen_at"],
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_models_current", "models")
