"""A source may be retired, and its old runs pruned: both are said in its row.

Once released, this file is never edited. It imports nothing from syncer: what it needs is frozen in it; views and
triggers are frozen beside it, in migrations/sql.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UTC_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column(
        "sources",
        sa.Column("retired_at", UTC_TIME, comment="since when nobody is meant to sync it; the next sync clears it"),
    )
    op.add_column(
        "sources",
        sa.Column("pruned_before", UTC_TIME, comment="runs that began earlier may have been pruned; NULL = none was"),
    )


def downgrade() -> None:
    op.drop_column("sources", "pruned_before")
    op.drop_column("sources", "retired_at")
