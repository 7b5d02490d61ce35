"""The first schema: sources, runs, models, changes, feed, rejected_rows.

Once released, this file is never edited. It imports nothing from syncer: what it needs is frozen in it; views and
triggers are frozen beside it, in migrations/sql.
"""

import secrets

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UTC_TIME = sa.DateTime(timezone=True)
PRICE = sa.Numeric().with_variant(sa.REAL(), "sqlite")
NAME = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.create_table(
        "feed",
        sa.Column("feed_id", sa.String(length=32), nullable=False, comment="random, made with the database"),
        sa.Column("last_id", sa.BigInteger(), nullable=False, comment="the highest feed id given out"),
        sa.PrimaryKeyConstraint("feed_id", name=op.f("pk_feed")),
        comment="one row: the counter behind the feed ids of changes",
    )
    feed = sa.table("feed", sa.column("feed_id"), sa.column("last_id"))
    op.execute(feed.insert().values(feed_id=secrets.token_hex(16), last_id=0))
    op.create_table(
        "sources",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", NAME, nullable=False, comment="as configured; unique"),
        sa.Column("url", sa.Text(), nullable=False, comment="the endpoint, without query or credentials"),
        sa.Column(
            "currency",
            sa.String(length=16),
            nullable=True,
            comment="as configured; NULL = unknown, the endpoint does not say",
        ),
        sa.Column(
            "price_units", JSON, nullable=True, comment="as configured: model type -> [quantity, word]; NULL = unknown"
        ),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column(
            "salt", sa.LargeBinary(length=16), nullable=False, comment="salt of the credential fingerprints in runs"
        ),
        sa.Column(
            "lease_owner", sa.String(length=255), nullable=True, comment="who is syncing this source now; NULL = nobody"
        ),
        sa.Column(
            "lease_token", sa.BigInteger(), server_default="0", nullable=False, comment="fencing token; only rises"
        ),
        sa.Column("lease_until", UTC_TIME, nullable=True, comment="when the lease may be taken over"),
        sa.Column("next_due_at", UTC_TIME, nullable=True, comment="when the daemon will sync it next"),
        sa.Column(
            "etag", sa.Text(), nullable=True, comment="of the last cleanly applied body; NULL while anything is pending"
        ),
        sa.Column(
            "body_digest",
            sa.String(length=32),
            nullable=True,
            comment="of the last cleanly applied body; NULL while anything is pending",
        ),
        sa.Column(
            "stored_with",
            sa.String(length=32),
            nullable=True,
            comment="digest of what etag and body_digest hold for (URL, key, rules)",
        ),
        sa.Column(
            "last_good_look_at", UTC_TIME, nullable=True, comment="observed_at of the last run that read the catalog"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.UniqueConstraint("name", name=op.f("uq_sources_name")),
        comment="provider endpoints that publish a catalog",
    )
    op.create_table(
        "models",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("name", NAME, nullable=False, comment="as upstream sends it; bytewise unique in its source"),
        sa.Column("alias", sa.String(length=255), nullable=True),
        sa.Column("type", sa.String(length=255), nullable=True),
        sa.Column("context_length", sa.BigInteger(), nullable=True, comment="tokens"),
        sa.Column("max_completion_tokens", sa.BigInteger(), nullable=True, comment="tokens"),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column(
            "price",
            PRICE,
            nullable=True,
            comment="in the source's currency and unit; NULL = unknown, 0 = free, negative as sent",
        ),
        sa.Column("huggingface_url", sa.Text(), nullable=True),
        sa.Column("extra", JSON, nullable=False, comment="upstream fields that are not tracked: kept, never a change"),
        sa.Column(
            "digest", sa.LargeBinary(length=16), nullable=False, comment="of the element these values were read from"
        ),
        sa.Column("first_seen_at", UTC_TIME, nullable=False),
        sa.Column(
            "last_seen_at",
            UTC_TIME,
            nullable=True,
            comment="last look that plainly showed it; written when it goes missing, unread or withheld, NULL = the last",
        ),
        sa.Column("last_changed_at", UTC_TIME, nullable=False, comment="effective_at of its latest change"),
        sa.Column(
            "missing_since",
            UTC_TIME,
            nullable=True,
            comment="first look that missed it, while it is missing or removed",
        ),
        sa.Column(
            "missing_looks", sa.Integer(), server_default="0", nullable=False, comment="good looks in a row without"
        ),
        sa.Column("removed_at", UTC_TIME, nullable=True, comment="effective_at of its removal; NULL = listed"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_models_source_id_sources")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("source_id", "name", name=op.f("uq_models_source_id_name")),
        comment="every model ever listed, in its last known state",
    )
    op.create_table(
        "runs",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="sync, import, approve or revert"),
        sa.Column("started_at", UTC_TIME, nullable=False),
        sa.Column(
            "observed_at",
            UTC_TIME,
            nullable=True,
            comment="when the response was complete; NULL if no catalog was read",
        ),
        sa.Column("finished_at", UTC_TIME, nullable=True),
        sa.Column(
            "outcome",
            sa.String(length=16),
            nullable=False,
            comment="changed, unchanged, held, failed, skipped; running while open, abandoned if its syncer died",
        ),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column(
            "listed",
            sa.Integer(),
            nullable=True,
            comment="models the response listed; NULL if it was not read (304, same bytes)",
        ),
        sa.Column("added", sa.Integer(), server_default="0", nullable=False),
        sa.Column("removed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("relisted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("repriced", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "rejected", sa.Integer(), server_default="0", nullable=False, comment="elements that could not be read"
        ),
        sa.Column(
            "withheld", sa.Integer(), server_default="0", nullable=False, comment="changes seen but not believed yet"
        ),
        sa.Column(
            "credential",
            sa.String(length=16),
            nullable=True,
            comment="fingerprint of the key: HMAC under the source's salt, never it",
        ),
        sa.Column("body_digest", sa.String(length=32), nullable=True, comment="fingerprint of the response"),
        sa.Column("error", sa.Text(), nullable=True, comment="why it failed, or what is held"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_runs_source_id_sources")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        comment="one row an attempt, whatever came of it",
    )
    op.create_index("ix_runs_source_id_id", "runs", ["source_id", "id"], unique=False)
    op.create_index("ix_runs_source_id_observed_at", "runs", ["source_id", "observed_at"], unique=False)
    op.create_index(
        "uq_runs_running",
        "runs",
        ["source_id"],
        unique=True,
        sqlite_where=sa.text("outcome = 'running'"),
        postgresql_where=sa.text("outcome = 'running'"),
    )
    op.create_table(
        "changes",
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False, comment="feed id: contiguous, in commit order"),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("run_id", BIG_ID, nullable=False),
        sa.Column("model_id", BIG_ID, nullable=False),
        sa.Column(
            "kind", sa.String(length=16), nullable=False, comment="added, removed, relisted, repriced or updated"
        ),
        sa.Column("observed_at", UTC_TIME, nullable=False, comment="when the run that wrote it looked"),
        sa.Column("effective_at", UTC_TIME, nullable=False, comment="first look that showed the new state"),
        sa.Column(
            "changed_after",
            UTC_TIME,
            nullable=True,
            comment="last look that still showed the old state; NULL = baseline",
        ),
        sa.Column(
            "old_price", PRICE, nullable=True, comment="the price before; NULL = unknown, or never listed before"
        ),
        sa.Column("price", PRICE, nullable=True, comment="the price after (for removed: the last one)"),
        sa.Column("name", NAME, nullable=False, comment="this and what follows: the whole state after the change"),
        sa.Column("alias", sa.String(length=255), nullable=True),
        sa.Column("type", sa.String(length=255), nullable=True),
        sa.Column("context_length", sa.BigInteger(), nullable=True),
        sa.Column("max_completion_tokens", sa.BigInteger(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("huggingface_url", sa.Text(), nullable=True),
        sa.Column("changed", JSON, nullable=False, comment="field -> [old, new]; {} for added and removed"),
        sa.Column("reverts_id", BIG_ID, nullable=True, comment="the change that this one takes back"),
        sa.Column("raw", sa.Text(), nullable=True, comment="the element as upstream sent it; NULL for removed"),
        sa.CheckConstraint(
            "kind IN ('added', 'removed', 'relisted', 'repriced', 'updated')", name=op.f("ck_changes_kind")
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_changes_model_id_models")),
        sa.ForeignKeyConstraint(["reverts_id"], ["changes.id"], name=op.f("fk_changes_reverts_id_changes")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_changes_run_id_runs")),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_changes_source_id_sources")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changes")),
        sa.UniqueConstraint("run_id", "model_id", name=op.f("uq_changes_run_id_model_id")),
        comment="the history: append-only, the database refuses UPDATE and DELETE",
    )
    op.create_index(
        "ix_changes_model_id_effective_at", "changes", ["model_id", "effective_at", "kind", "price"], unique=False
    )
    op.create_index("ix_changes_observed_at", "changes", ["observed_at"], unique=False)
    op.create_index(
        "ix_changes_price_boundaries",
        "changes",
        ["model_id", "effective_at"],
        unique=False,
        sqlite_where=sa.text("kind != 'updated'"),
        postgresql_where=sa.text("kind != 'updated'"),
    )
    op.create_table(
        "rejected_rows",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False, comment="of the element's raw JSON"),
        sa.Column("name", NAME, nullable=True, comment="NULL where not even the name could be read"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False, comment="the beginning of the element as upstream sent it"),
        sa.Column("first_run_id", BIG_ID, nullable=False),
        sa.Column("last_run_id", BIG_ID, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False, comment="how often it was seen"),
        sa.ForeignKeyConstraint(["first_run_id"], ["runs.id"], name=op.f("fk_rejected_rows_first_run_id_runs")),
        sa.ForeignKeyConstraint(["last_run_id"], ["runs.id"], name=op.f("fk_rejected_rows_last_run_id_runs")),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_rejected_rows_source_id_sources")),
        sa.PrimaryKeyConstraint("source_id", "digest", name=op.f("pk_rejected_rows")),
        comment="elements of responses that could not be read, with the reason",
    )


def downgrade() -> None:
    if op.get_bind().execute(sa.text("SELECT 1 FROM changes LIMIT 1")).first():
        raise CommandError("`changes` holds history: syncer never drops it; delete the database yourself if you must")
    op.drop_table("rejected_rows")
    op.drop_table("changes")
    op.drop_table("runs")
    op.drop_table("models")
    op.drop_table("sources")
    op.drop_table("feed")
