"""A session_key belongs to a user in an app, not to a session."""

import sqlalchemy as sa
from alembic import op

from adapters.sql.tables import Identifier, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Move the newest key of each account out of its sessions."""
    keys = op.create_table(
        "session_keys",
        sa.Column("appid", Identifier(64), primary_key=True),
        sa.Column("openid", Identifier(128), primary_key=True),
        sa.Column("key_id", Identifier(16)),
        sa.Column("current", Identifier(1024), nullable=False),
        sa.Column("previous", Identifier(1024)),
        sa.Column("replaced_at", UtcDateTime),
        sa.Column("forget_at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_session_keys_forget_at", "session_keys", ["forget_at"])
    op.execute(keys.insert().from_select(["appid", "openid", "current", "forget_at"], _newest()))
    with op.batch_alter_table("sessions") as sessions:
        sessions.drop_column("sealed_key")


def _newest() -> sa.Select[tuple[str, str, str, object]]:
    columns = ("id", "appid", "openid", "sealed_key", "created_at", "expires_at")
    one, other = (sa.table("sessions", *map(sa.column, columns), schema=None).alias(name) for name in ("one", "other"))
    same = (other.c.appid == one.c.appid) & (other.c.openid == one.c.openid) & other.c.sealed_key.is_not(None)
    is_newer = (other.c.created_at > one.c.created_at) | (
        (other.c.created_at == one.c.created_at) & (other.c.id > one.c.id)
    )
    return sa.select(one.c.appid, one.c.openid, one.c.sealed_key, one.c.expires_at).where(
        one.c.sealed_key.is_not(None), ~sa.exists().where(same, is_newer).correlate(one)
    )
