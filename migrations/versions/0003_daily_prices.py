"""A calendar of prices: the view daily_prices. No table changes; the view is frozen in migrations/sql.

Once released, this file is never edited.
"""

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Views come and go with each revision (env.py)."""


def downgrade() -> None:
    """Views come and go with each revision (env.py)."""
