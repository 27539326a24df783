"""Users, their WeChat accounts, unionid conflicts, sessions."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from adapters.sql.tables import Identifier, UtcDateTime, text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "users",
        sa.Column("id", Identifier(36), primary_key=True),
        sa.Column("unionid", Identifier(128)),
        sa.Column("phone", Identifier(32)),
        sa.Column("name", text(64), nullable=False),
        sa.Column("avatar", text(1024), nullable=False),
        sa.Column("language", text(32), nullable=False),
        sa.Column("province", text(64), nullable=False),
        sa.Column("city", text(64), nullable=False),
        sa.Column("country", text(64), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.UniqueConstraint("unionid", name="uq_users_unionid"),
    )
    op.create_table(
        "accounts",
        sa.Column("appid", Identifier(64), primary_key=True),
        sa.Column("openid", Identifier(128), primary_key=True),
        _user_id("accounts", "user_id", nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_accounts_user_id", "accounts", ["user_id"])
    op.create_table(
        "unionid_conflicts",
        _user_id("unionid_conflicts", "user_id", primary_key=True),
        sa.Column("unionid", Identifier(128), primary_key=True),
        _user_id("unionid_conflicts", "other_user_id"),
        sa.Column("created_at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_unionid_conflicts_other_user_id", "unionid_conflicts", ["other_user_id"])
    op.create_table(
        "sessions",
        sa.Column("id", Identifier(32), primary_key=True),
        _user_id("sessions", "user_id", nullable=False),
        sa.Column("appid", Identifier(64), nullable=False),
        sa.Column("openid", Identifier(128), nullable=False),
        sa.Column("unionid", Identifier(128)),
        sa.Column("sealed_key", Identifier(1024)),
        sa.Column("user_agent", text(512)),
        sa.Column("ip", Identifier(45)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("last_seen_at", UtcDateTime, nullable=False),
        sa.Column("idle_expires_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("forget_at", UtcDateTime, nullable=False),
        sa.Column("end_reason", Identifier(32)),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_index("ix_sessions_forget_at", "sessions", ["forget_at"])


def _user_id(table: str, column: str, **options: Any) -> sa.Column[str]:
    reference = sa.ForeignKey("users.id", name=f"fk_{table}_{column}", ondelete="CASCADE")
    return sa.Column(column, Identifier(36), reference, **options)
