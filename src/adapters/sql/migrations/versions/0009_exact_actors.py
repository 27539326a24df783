"""Actors of events are compared letter for letter."""

from alembic import op

from adapters.sql.tables import exact_text

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the collation on MariaDB and MySQL. Other databases compare so by themselves.

    MariaDB rebuilds one index while events are written: five seconds for a million of them. MySQL copies the table, and
    writes wait. There is no release with events before this migration.
    """
    if op.get_bind().dialect.name in ("mysql", "mariadb"):
        op.alter_column("audit_events", "actor", type_=exact_text(255), existing_nullable=False)
