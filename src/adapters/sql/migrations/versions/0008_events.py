"""Events, webhooks, failures of logins, ended sessions of erased users, and searches for users by phone and openid."""

import sqlalchemy as sa
from alembic import op

from adapters.sql.tables import Identifier, UtcDateTime, long_text, text

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and add columns and indexes to the tables of users, accounts and sessions."""
    _create_tables()
    op.add_column("users", sa.Column("unique_phone", Identifier(32)))
    op.create_index("ix_users_unique_phone", "users", ["unique_phone"], unique=True)
    op.create_index("ix_users_phone", "users", ["phone"])
    op.create_index("ix_accounts_openid", "accounts", ["openid"])
    for column in (
        sa.Column("started_event", long_text()),
        sa.Column("ended_event", long_text()),
        sa.Column("has_events", sa.SmallInteger()),
    ):
        op.add_column("sessions", column)
    op.create_index("ix_sessions_has_events", "sessions", ["has_events"])


def _create_tables() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", Identifier(36), primary_key=True),
        sa.Column("time", UtcDateTime, nullable=False),
        sa.Column("type", Identifier(32), nullable=False),
        sa.Column("actor", text(255), nullable=False),
        sa.Column("user_id", Identifier(36)),
        sa.Column("session_id", Identifier(32)),
        sa.Column("app", Identifier(64)),
        sa.Column("ip", Identifier(45)),
        sa.Column("reason", text(512)),
    )
    op.create_index("ix_audit_events_time", "audit_events", ["time", "id"])
    for column in ("user_id", "type", "actor"):
        op.create_index(f"ix_audit_events_{column}", "audit_events", [column, "time", "id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("endpoint", Identifier(16), primary_key=True),
        sa.Column("event_id", Identifier(36), primary_key=True),
        sa.Column("event", long_text(), nullable=False),
        sa.Column("event_time", UtcDateTime, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime, nullable=False),
        sa.Column("user_id", Identifier(36)),
    )
    op.create_index("ix_webhook_deliveries_due_at", "webhook_deliveries", ["endpoint", "due_at"])
    op.create_index("ix_webhook_deliveries_user_id", "webhook_deliveries", ["user_id"])
    op.create_table(
        "ended_sessions",
        sa.Column("id", Identifier(32), primary_key=True),
        sa.Column("end_reason", Identifier(32), nullable=False),
        sa.Column("retain_until", UtcDateTime, nullable=False),
    )
    op.create_index("ix_ended_sessions_retain_until", "ended_sessions", ["retain_until"])
    op.create_table(
        "login_failures",
        sa.Column("minute", UtcDateTime, primary_key=True),
        sa.Column("app", Identifier(64), primary_key=True),
        sa.Column("code", Identifier(32), primary_key=True),
        sa.Column("errcode", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("count", sa.Integer(), nullable=False),
    )
