"""Device grants, with which websites ask for sessions."""

import sqlalchemy as sa
from alembic import op

from adapters.sql.tables import Identifier, UtcDateTime, image, text

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create their table."""
    op.create_table(
        "device_grants",
        sa.Column("scene", Identifier(22), primary_key=True),
        sa.Column("secret_hash", Identifier(64), nullable=False),
        sa.Column("client_id", text(255), nullable=False),
        sa.Column("appid", Identifier(64), nullable=False),
        sa.Column("user_agent", text(512)),
        sa.Column("ip", Identifier(45)),
        sa.Column("number", Identifier(8)),
        sa.Column("choices", Identifier(32)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("retain_until", UtcDateTime, nullable=False),
        sa.Column("state", Identifier(16), nullable=False),
        sa.Column("user_id", Identifier(36)),
        sa.Column("session_id", Identifier(32)),
        sa.Column("picture", image()),
        sa.Column("drawing_until", UtcDateTime),
    )
    op.create_index("ix_device_grants_retain_until", "device_grants", ["retain_until"])
