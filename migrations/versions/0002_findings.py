"""What is withheld until somebody settles it: findings.

Once released, this file is never edited. It imports nothing from syncer: what it needs is frozen in it; views and
triggers are frozen beside it, in migrations/sql.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UTC_TIME = sa.DateTime(timezone=True)
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.create_table(
        "findings",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False, comment="which rule doubts"),
        sa.Column("opened_run_id", BIG_ID, nullable=False),
        sa.Column("opened_at", UTC_TIME, nullable=False, comment="the first look that showed what is withheld"),
        sa.Column(
            "evidence",
            JSON,
            nullable=False,
            comment="model -> withheld values, null = its absence; the ceiling of an approval",
        ),
        sa.Column("last_run_id", BIG_ID, nullable=False, comment="last run that upheld it"),
        sa.Column("state", sa.String(16), nullable=False, comment="open, approved, rejected, or withdrawn by upstream"),
        sa.Column("settled_run_id", BIG_ID, comment="the run that settled it; NULL for a plain no"),
        sa.PrimaryKeyConstraint("id", name="pk_findings"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_findings_source_id_sources"),
        sa.ForeignKeyConstraint(["opened_run_id"], ["runs.id"], name="fk_findings_opened_run_id_runs"),
        sa.ForeignKeyConstraint(["last_run_id"], ["runs.id"], name="fk_findings_last_run_id_runs"),
        sa.ForeignKeyConstraint(["settled_run_id"], ["runs.id"], name="fk_findings_settled_run_id_runs"),
        comment="what is doubtful and withheld until it is settled",
    )
    op.create_index("ix_findings_source_id_state", "findings", ["source_id", "state"])


def downgrade() -> None:
    op.drop_table("findings")
