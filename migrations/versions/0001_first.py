"""The first schema: tables, indexes, triggers and views, as migrations/sql/0001_*.sql have them.

Once released, neither this file nor those is ever edited. It imports nothing from syncer.
"""

import secrets
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError, load_python_file

operations = load_python_file(str(Path(__file__).parent.parent), "operations.py")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

VIEWS = (
    "catalog",
    "catalog_prices",
    "price_periods",
    "price_changes",
    "daily_prices",
    "availability",
    "feed_events",
    "offers",
)
TABLES = (
    "feed",
    "sources",
    "runs",
    "models",
    "changes",
    "prices",
    "findings",
    "notices",
    "rejected_rows",
    "consumers",
    "notified",
)


def upgrade() -> None:
    operations.run_script(operations.read_script(f"0001_{op.get_bind().dialect.name}.sql"))
    feed = sa.table("feed", sa.column("feed_id"), sa.column("last_id"))
    op.execute(feed.insert().values(feed_id=secrets.token_hex(16), last_id=0))


def downgrade() -> None:
    history = sa.text("SELECT 1 FROM changes UNION ALL SELECT 1 FROM notices LIMIT 1")
    if op.get_bind().execute(history).first():
        raise CommandError("there is history, and syncer never drops it: remove the database by hand")
    operations.drop_views(*VIEWS)
    for table in reversed(TABLES):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION append_only()")
        op.execute("DROP FUNCTION refuse_unknown()")
