"""The storage of session stores and key vaults under test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from cryptography.fernet import Fernet, MultiFernet
from sqlalchemy import Connection, Row, TextClause, text

from adapters.crypto.ciphers import FernetCipher, SivCipher
from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.session_events import MemorySessionEvents
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from adapters.redis.client import create_client
from adapters.redis.connections import RedisClient
from adapters.redis.key_vault import RedisKeyVault
from adapters.redis.records import set_of
from adapters.redis.session_events import RedisSessionEvents
from adapters.redis.session_store import RedisSessionStore
from adapters.sql.database import Database
from adapters.sql.key_vault import SqlKeyVault
from adapters.sql.session_events import SqlSessionEvents
from adapters.sql.session_store import SqlSessionStore
from adapters.sql.user_repository import SqlUserRepository
from application.ports.key_vault import KeyVault
from application.ports.session_events import SessionEvents
from application.ports.session_store import SessionStore
from application.ports.user_repository import UserRepository
from domain.event import DEFAULT_POLICY, EventPolicy
from domain.session import Session


class OpenStore(Protocol):
    """A function that opens a store and its vault."""

    def __call__(
        self, encryption_keys: Sequence[str], policy: EventPolicy = DEFAULT_POLICY
    ) -> tuple[SessionStore, KeyVault]:
        """Return a new store and its vault with these keys."""


@dataclass
class StoreEnvironment:
    """A place of sessions: the function that opens a store on it, its users, its stored bytes, and its events."""

    open: OpenStore
    users: UserRepository
    at_rest: Callable[[Session], Awaitable[bytes]]
    events: SessionEvents


@asynccontextmanager
async def memory_environment(_place: str) -> AsyncIterator[StoreEnvironment]:
    """Open an environment of sessions in this process."""
    vault, events = MemoryKeyVault(), MemorySessionEvents()
    store = MemorySessionStore(vault, events.publish)

    def open_again(
        encryption_keys: Sequence[str], policy: EventPolicy = DEFAULT_POLICY
    ) -> tuple[SessionStore, KeyVault]:
        return store, vault

    yield StoreEnvironment(open_again, MemoryUserRepository(), nothing_at_rest, events)


@asynccontextmanager
async def redis_environment(url: str) -> AsyncIterator[StoreEnvironment]:
    """Open an environment of sessions in a Redis of any kind."""
    async with create_client(url) as redis:
        events = RedisSessionEvents(redis)
        yield StoreEnvironment(partial(open_redis, redis), MemoryUserRepository(), partial(read_redis, redis), events)


@asynccontextmanager
async def database_environment(url: str) -> AsyncIterator[StoreEnvironment]:
    """Open an environment of sessions in a database, beside their users."""
    async with Database(url) as database:
        users = SqlUserRepository(database)
        events = SqlSessionEvents(database)
        yield StoreEnvironment(partial(open_sql, database), users, partial(read_database, database), events)


async def nothing_at_rest(_session: Session) -> bytes:
    """Return nothing, because memory stores no bytes."""
    return b""


def open_redis(
    redis: RedisClient, encryption_keys: Sequence[str], policy: EventPolicy = DEFAULT_POLICY
) -> tuple[SessionStore, KeyVault]:
    """Return a store and its vault in Redis."""
    vault = RedisKeyVault(redis, SivCipher(encryption_keys))
    return RedisSessionStore(redis, vault, policy), vault


def open_sql(
    database: Database, encryption_keys: Sequence[str], policy: EventPolicy = DEFAULT_POLICY
) -> tuple[SessionStore, KeyVault]:
    """Return a store and its vault in a database."""
    vault = SqlKeyVault(database, FernetCipher(MultiFernet([Fernet(key) for key in encryption_keys])))
    return SqlSessionStore(database, vault, policy), vault


async def read_redis(redis: RedisClient, session: Session) -> bytes:
    """Return all that Redis stores of the session and its user."""
    names = (session.id.encode(), set_of(session.user_id).encode())
    keys = [key async for key in redis.scan_iter("*") if key.endswith(names)]
    values = [await read_key(redis, key) for key in keys]
    return b"\n".join([*keys, *(part for parts in values for part in parts)])


async def read_key(redis: RedisClient, key: bytes) -> list[bytes]:
    """Return the values of one key of any type."""
    match await redis.type(key):
        case b"string":
            return [_bytes(await redis.get(key) or b"")]
        case b"zset":
            return [_bytes(member) for member in await redis.zrange(key, 0, -1)]
        case _:
            return []


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


async def read_database(database: Database, session: Session) -> bytes:
    """Return the row of the session, and that of its account."""
    return await read_rows(
        database,
        {"id": session.id, "openid": session.identity.openid},
        "SELECT * FROM sessions WHERE id = :id",
        "SELECT * FROM session_keys WHERE openid = :openid",
    )


def _all(connection: Connection, statement: TextClause) -> list[Row[Any]]:
    return list(connection.execute(statement).all())


async def read_rows(database: Database, params: dict[str, str], *statements: str) -> bytes:
    """Return all values that the statements find, one in each line."""
    rows: list[Row[Any]] = []
    for statement in statements:
        bound = text(statement).bindparams(**{k: v for k, v in params.items() if f":{k}" in statement})
        rows += await database.read(partial(_all, statement=bound))
    return "\n".join(str(value) for row in rows for value in row).encode()
