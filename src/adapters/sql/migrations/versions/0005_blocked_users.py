"""Add blocked users."""

import sqlalchemy as sa
from alembic import op

from adapters.sql.tables import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Remember since when."""
    op.add_column("users", sa.Column("blocked_at", UtcDateTime))
