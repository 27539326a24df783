"""Access tokens, which all processes share."""

import sqlalchemy as sa
from alembic import op

from adapters.sql.tables import Identifier, UtcDateTime, text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create their table."""
    op.create_table(
        "access_tokens",
        sa.Column("appid", Identifier(64), primary_key=True),
        sa.Column("sealed", text(4096)),
        sa.Column("holder", Identifier(36)),
        sa.Column("held_until", UtcDateTime),
    )
