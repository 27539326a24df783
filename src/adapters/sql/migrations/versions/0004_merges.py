"""Users that were merged, and what they were."""

import sqlalchemy as sa
from alembic import op

from adapters.sql.tables import Identifier, UtcDateTime, long_text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create their table."""
    op.create_table(
        "merges",
        sa.Column("from_id", Identifier(36), primary_key=True),
        sa.Column("into_id", Identifier(36), nullable=False),
        sa.Column("merged_at", UtcDateTime, nullable=False),
        sa.Column("record", long_text(), nullable=False),
    )
    op.create_index("ix_merges_into_id", "merges", ["into_id"])
