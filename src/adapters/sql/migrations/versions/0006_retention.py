"""Name the end of the retention as the code does."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rename `forget_at` to `retain_until`, with its indexes."""
    for table in ("sessions", "session_keys"):
        op.drop_index(f"ix_{table}_forget_at", table)
        op.execute(f"ALTER TABLE {table} RENAME COLUMN forget_at TO retain_until")
        op.create_index(f"ix_{table}_retain_until", table, ["retain_until"])
