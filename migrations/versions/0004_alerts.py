"""A source's health in the feed, and those who read the feed: notices, consumers, told.

Once released, this file is never edited. It imports nothing from syncer: what it needs is frozen in it; views and
triggers are frozen beside it, in migrations/sql.
"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UTC_TIME = sa.DateTime(timezone=True)
PRICE = sa.Numeric().with_variant(sa.REAL(), "sqlite")
NAME = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column(
            "id", BIG_ID, autoincrement=False, nullable=False, comment="feed id, from the same counter as changes"
        ),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("run_id", BIG_ID, comment="the run that noticed; NULL where none did (stale)"),
        sa.Column("finding_id", BIG_ID, comment="for held and settled"),
        sa.Column("kind", sa.String(16), nullable=False, comment="failed, stale, recovered, held or settled"),
        sa.Column("observed_at", UTC_TIME, nullable=False),
        sa.Column("data", JSON, nullable=False, comment="what there is to say"),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_notices_source_id_sources"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_notices_run_id_runs"),
        sa.ForeignKeyConstraint(["finding_id"], ["findings.id"], name="fk_notices_finding_id_findings"),
        comment="a source's health in the feed",
    )
    op.create_index("ix_notices_source_id_id", "notices", ["source_id", "id"])
    op.create_table(
        "consumers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", NAME, nullable=False, comment="of its [[alerts]] table, or of `syncer changes --cursor`"),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="the last feed id that it is done with"),
        sa.Column("state", sa.String(16), nullable=False, comment="active, paused or disabled"),
        sa.Column("reason", sa.Text(), comment="why it is disabled"),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("failing", JSON, nullable=False, comment="names of sources in a trouble that it was told of"),
        sa.Column(
            "batch_id", sa.String(400), comment="of the message being handed over; frozen before its first attempt"
        ),
        sa.Column("batch_end", sa.BigInteger(), comment="its position once that has arrived"),
        sa.Column("batch_rules", sa.String(32), comment="fingerprint of the rules that chose it"),
        sa.Column("batch_body", sa.Text(), comment="the very bytes of the message"),
        sa.Column("batch_told", JSON, comment="what is remembered of each model once it has arrived"),
        sa.Column("batch_since", UTC_TIME, comment="first attempt"),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0", comment="failed attempts in a row"),
        sa.Column("next_attempt_at", UTC_TIME, comment="NULL = now"),
        sa.Column("last_delivered_at", UTC_TIME),
        sa.Column("last_error", sa.Text()),
        sa.Column("lease_owner", sa.String(255)),
        sa.Column(
            "lease_token", sa.BigInteger(), nullable=False, server_default="0", comment="fencing token; only rises"
        ),
        sa.Column("lease_until", UTC_TIME),
        sa.PrimaryKeyConstraint("id", name="pk_consumers"),
        sa.UniqueConstraint("name", name="uq_consumers_name"),
        comment="named readers of the feed with a stored position",
    )
    op.create_table(
        "told",
        sa.Column("consumer_id", sa.Integer(), nullable=False),
        sa.Column("model_id", BIG_ID, nullable=False),
        sa.Column("price", PRICE, comment="what its next move is measured from; NULL = unknown"),
        sa.Column("told_at", UTC_TIME, comment="when it was last told; NULL = never, price is the base"),
        sa.PrimaryKeyConstraint("consumer_id", "model_id", name="pk_told"),
        sa.ForeignKeyConstraint(["consumer_id"], ["consumers.id"], name="fk_told_consumer_id_consumers"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_told_model_id_models"),
        comment="what each consumer was last told of each model",
    )


def downgrade() -> None:
    notices = sa.text("SELECT 1 FROM notices LIMIT 1")
    if op.get_bind().execute(notices).first():
        raise CommandError("`notices` holds a part of the feed: without it the feed would have holes")
    op.drop_table("told")
    op.drop_table("consumers")
    op.drop_table("notices")
