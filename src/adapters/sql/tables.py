"""The tables. A test checks that the migrations lead to them."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine


class UtcDateTime(TypeDecorator[datetime]):
    """A UTC time with microseconds, also on databases without time zones."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Ask MySQL for microseconds. Its default is whole seconds."""
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if dialect.name in ("mysql", "mariadb") else DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert to naive UTC."""
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert from naive UTC."""
        return value.replace(tzinfo=UTC) if value else None


class Identifier(TypeDecorator[str]):
    """ASCII text, compared case-sensitively. MySQL's default would treat oA and oa as the same openid.

    Other text becomes NULL in a query, which equals no row, where databases would raise an error. So does text with a
    blank at its end, which MySQL ignores.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Ask MySQL to compare exactly."""
        exact = mysql.VARCHAR(self.length, charset="ascii", collation="ascii_bin")
        return dialect.type_descriptor(exact if dialect.name in ("mysql", "mariadb") else String(self.length))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Convert text that is not an identifier to NULL."""
        return value if value and value.isascii() and value.isprintable() and value[-1] != " " else None


def text(length: int) -> String:
    """Return the type of text with emoji, which MySQL's older default cannot store."""
    return String(length).with_variant(mysql.VARCHAR(length, charset="utf8mb4"), "mysql", "mariadb")


def exact_text(length: int) -> String:
    """Return the type of text that is compared letter for letter: to MySQL's default, `ann`, `ANN` and `ånn` are one.

    MySQL ignores blanks at the end of this one, too.
    """
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(exact, "mysql", "mariadb")


def long_text() -> Text:
    """Return the type of long text, up to 16 MiB on MySQL."""
    return Text().with_variant(mysql.MEDIUMTEXT(charset="utf8mb4"), "mysql", "mariadb")


def image() -> LargeBinary:
    """Return the type of a picture, up to 16 MiB on MySQL, whose default ends at 64 KiB."""
    return LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


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
    Column("phone", Identifier(32), index=True),
    Column("unique_phone", Identifier(32), index=True, unique=True),
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
    Column("openid", Identifier(128), primary_key=True, index=True),
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
    Column("retain_until", UtcDateTime, nullable=False, index=True),
    Column("end_reason", Identifier(32)),
    Column("started_event", long_text()),
    Column("ended_event", long_text()),
    Column("has_events", SmallInteger, index=True),
)

ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("id", Identifier(32), primary_key=True),
    Column("end_reason", Identifier(32), nullable=False),
    Column("retain_until", UtcDateTime, nullable=False, index=True),
)
"""The reasons why sessions of erased users ended."""

session_keys = Table(
    "session_keys",
    metadata,
    Column("appid", Identifier(64), primary_key=True),
    Column("openid", Identifier(128), primary_key=True),
    Column("key_id", Identifier(16)),
    Column("current", Identifier(1024), nullable=False),
    Column("previous", Identifier(1024)),
    Column("replaced_at", UtcDateTime),
    Column("retain_until", UtcDateTime, nullable=False, index=True),
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

device_grants = Table(
    "device_grants",
    metadata,
    Column("scene", Identifier(22), primary_key=True),
    Column("secret_hash", Identifier(64), nullable=False),
    Column("client_id", text(255), nullable=False),
    Column("appid", Identifier(64), nullable=False),
    Column("user_agent", text(512)),
    Column("ip", Identifier(45)),
    Column("number", Identifier(8)),
    Column("choices", Identifier(32)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("retain_until", UtcDateTime, nullable=False, index=True),
    Column("state", Identifier(16), nullable=False),
    Column("user_id", Identifier(36)),
    Column("session_id", Identifier(32)),
    Column("picture", image()),
    Column("drawing_until", UtcDateTime),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", Identifier(36), primary_key=True),
    Column("time", UtcDateTime, nullable=False),
    Column("type", Identifier(32), nullable=False),
    Column("actor", exact_text(255), nullable=False),
    Column("user_id", Identifier(36)),
    Column("session_id", Identifier(32)),
    Column("app", Identifier(64)),
    Column("ip", Identifier(45)),
    Column("reason", text(512)),
    Index("ix_audit_events_time", "time", "id"),
    Index("ix_audit_events_user_id", "user_id", "time", "id"),
    Index("ix_audit_events_type", "type", "time", "id"),
    Index("ix_audit_events_actor", "actor", "time", "id"),
    Index("ix_audit_events_type_actor", "type", "actor", "time", "id"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("endpoint", Identifier(16), primary_key=True),
    Column("event_id", Identifier(36), primary_key=True),
    Column("event", long_text(), nullable=False),
    Column("event_time", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("user_id", Identifier(36), index=True),
    Index("ix_webhook_deliveries_due_at", "endpoint", "due_at"),
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("minute", UtcDateTime, primary_key=True),
    Column("app", Identifier(64), primary_key=True),
    Column("code", Identifier(32), primary_key=True),
    Column("errcode", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
)
