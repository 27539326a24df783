"""The tables. Their history is in migrations/versions; a test holds the two against each other."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, DateTime, Dialect, ForeignKey, MetaData, String, Table, Text, TypeDecorator
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine


class UtcDateTime(TypeDecorator[datetime]):
    """A UTC time to the microsecond, on databases that know no time zones too."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """MySQL keeps whole seconds unless told otherwise."""
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if dialect.name in ("mysql", "mariadb") else DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """To naive UTC."""
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From naive UTC."""
        return value.replace(tzinfo=UTC) if value else None


class Identifier(TypeDecorator[str]):
    """ASCII text that differs when its case does. MySQL would call oA and oa the same openid.

    What cannot be an identifier is nobody's: it becomes NULL, which equals nothing, where databases would complain.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """MySQL has to be told to compare exactly."""
        exact = mysql.VARCHAR(self.length, charset="ascii", collation="ascii_bin")
        return dialect.type_descriptor(exact if dialect.name in ("mysql", "mariadb") else String(self.length))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """NULL, if it cannot be one."""
        return value if value and value.isascii() and value.isprintable() else None


def text(length: int) -> String:
    """Text of people, with emoji. MySQL's older default has none."""
    return String(length).with_variant(mysql.VARCHAR(length, charset="utf8mb4"), "mysql", "mariadb")


def long_text() -> Text:
    """Text without a limit that anybody meets: 16 MiB on MySQL."""
    return Text().with_variant(mysql.MEDIUMTEXT(charset="utf8mb4"), "mysql", "mariadb")


metadata = MetaData(
    naming_convention={
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

users = Table(
    "users",
    metadata,
    Column("id", Identifier(36), primary_key=True),
    Column("unionid", Identifier(128), unique=True),
    Column("phone", Identifier(32)),
    Column("name", text(64), nullable=False),
    Column("avatar", text(1024), nullable=False),
    Column("language", text(32), nullable=False),
    Column("province", text(64), nullable=False),
    Column("city", text(64), nullable=False),
    Column("country", text(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("blocked_at", UtcDateTime),
)

accounts = Table(
    "accounts",
    metadata,
    Column("appid", Identifier(64), primary_key=True),
    Column("openid", Identifier(128), primary_key=True),
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
)

unionid_conflicts = Table(
    "unionid_conflicts",
    metadata,
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True),
    Column("unionid", Identifier(128), primary_key=True),
    Column("other_user_id", ForeignKey(users.c.id, ondelete="CASCADE"), index=True),
    Column("created_at", UtcDateTime, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Identifier(32), primary_key=True),
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("appid", Identifier(64), nullable=False),
    Column("openid", Identifier(128), nullable=False),
    Column("unionid", Identifier(128)),
    Column("user_agent", text(512)),
    Column("ip", Identifier(45)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("idle_expires_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("forget_at", UtcDateTime, nullable=False, index=True),
    Column("end_reason", Identifier(32)),
)

session_keys = Table(
    "session_keys",
    metadata,
    Column("appid", Identifier(64), primary_key=True),
    Column("openid", Identifier(128), primary_key=True),
    Column("key_id", Identifier(16)),
    Column("current", Identifier(1024), nullable=False),
    Column("previous", Identifier(1024)),
    Column("replaced_at", UtcDateTime),
    Column("forget_at", UtcDateTime, nullable=False, index=True),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("appid", Identifier(64), primary_key=True),
    Column("sealed", text(4096)),
    Column("holder", Identifier(36)),
    Column("held_until", UtcDateTime),
)

merges = Table(
    "merges",
    metadata,
    Column("from_id", Identifier(36), primary_key=True),
    Column("into_id", Identifier(36), nullable=False, index=True),
    Column("merged_at", UtcDateTime, nullable=False),
    Column("record", long_text(), nullable=False),
)
