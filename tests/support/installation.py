"""A database and a session store with the use cases on them, and all the bytes that they store."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from sqlalchemy import Connection, select, text

from adapters.crypto.ciphers import FernetCipher
from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.redis.client import create_client
from adapters.redis.connections import RedisClient
from adapters.redis.session_events import RedisSessionEvents
from adapters.sql.database import Database
from adapters.sql.events import SqlEvents
from adapters.sql.key_vault import SqlKeyVault
from adapters.sql.session_events import SqlSessionEvents
from adapters.sql.session_store import SqlSessionStore
from adapters.sql.tables import metadata
from adapters.sql.user_repository import SqlUserRepository
from application.event_relay import EventRelay
from application.login import LoggedIn, LoginContext, LoginRequest, LoginUseCase
from application.merge import MergeUsers
from application.own_data import OwnData
from application.ports.key_vault import KeyVault
from application.ports.session_store import SessionStore
from application.sessions import Sessions
from application.user_sessions import UserSessions
from domain.device import Device
from domain.event import EventPolicy
from domain.identity import AppId, Identity
from support.clock import Clock
from support.sessions import KEYS, POLICY
from support.stores import open_redis

POLICY_OF_EVENTS = EventPolicy(audit_sessions=True, subscriptions={"endpoint": ("*",)})
"""All events are kept, and one webhook is sent all of them."""


@dataclass
class Installation:
    """The use cases, the stores below them, and the clock."""

    database: Database
    redis: RedisClient | None
    users: SqlUserRepository
    store: SessionStore
    vault: KeyVault
    clock: Clock
    apps: frozenset[AppId]

    def __post_init__(self) -> None:
        self.wechat = MemoryIdentityProvider()
        self.events = SqlEvents(self.database, POLICY_OF_EVENTS)
        in_redis = [RedisSessionEvents(self.redis)] if self.redis else []
        self.relay = EventRelay([*in_redis, SqlSessionEvents(self.database)], self.events)
        self.sessions = Sessions(self.store, policy=POLICY, clock=self.clock)
        self.login = LoginUseCase(self.wechat, self.users, self.store, apps=self.apps, policy=POLICY, clock=self.clock)
        self.merge = MergeUsers(
            self.users, self.store, UserSessions(self.store, self.users, clock=self.clock), clock=self.clock
        )
        self.own_data = self.own_data_with(self.store, self.vault)

    def own_data_with(self, store: SessionStore, vault: KeyVault) -> OwnData:
        """Return the use case on other session stores."""
        return OwnData(self.users, store, vault, self.events, clock=self.clock)

    async def log_in(self, identity: Identity, device: Device) -> LoggedIn:
        """Log in as a user of WeChat."""
        code = self.wechat.issue(identity).value
        return await self.login(LoginRequest(code, identity.appid.value), LoginContext(device))

    async def stored(self) -> bytes:
        """Return all that the database and Redis store, keys included."""
        rows = await self.database.read(_all_rows)
        return b"\n".join([*rows, *(await read_all_of_redis(self.redis) if self.redis else [])])


@asynccontextmanager
async def open_installation(
    database_url: str, redis_url: str | None, clock: Clock, apps: Sequence[AppId]
) -> AsyncIterator[Installation]:
    """Open the use cases on a migrated database, with sessions in Redis if there is a URL of one."""
    async with Database(database_url) as database:
        users = SqlUserRepository(database, POLICY_OF_EVENTS)
        if redis_url is None:
            vault = SqlKeyVault(database, FernetCipher(MultiFernet([Fernet(key) for key in KEYS])))
            store = SqlSessionStore(database, vault, POLICY_OF_EVENTS)
            yield Installation(database, None, users, store, vault, clock, frozenset(apps))
            return
        async with create_client(redis_url) as redis:
            redis_store, redis_vault = open_redis(redis, KEYS, POLICY_OF_EVENTS)
            yield Installation(database, redis, users, redis_store, redis_vault, clock, frozenset(apps))


def _all_rows(connection: Connection) -> list[bytes]:
    rows = [row for table in metadata.sorted_tables for row in connection.execute(select(table)).all()]
    return [str(tuple(row)).encode() for row in rows]


async def checkpoint(database: Database) -> None:
    """Let SQLite write its write-ahead log into the file."""
    await database.read(lambda connection: connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).all())


async def read_all_of_redis(redis: RedisClient) -> list[bytes]:
    """Return the names and the values of all keys of wxlogin."""
    names = [name async for name in redis.scan_iter("wxlogin:*")]
    return [*names, *[part for name in names for part in await _parts(redis, name)]]


async def _parts(redis: RedisClient, name: bytes) -> list[bytes]:
    reads: dict[bytes, Any] = {
        b"string": partial(redis.execute_command, "GET", name),
        b"zset": partial(redis.execute_command, "ZRANGE", name, 0, -1),
        b"hash": partial(redis.execute_command, "HVALS", name),
        b"set": partial(redis.execute_command, "SMEMBERS", name),
        b"stream": partial(redis.execute_command, "XRANGE", name, "-", "+"),
    }
    kind = await redis.type(name)
    return [repr(await reads[kind]()).encode()] if kind in reads else []


def with_unionid(identity: Identity, unionid: str) -> Identity:
    """Return the identity with this unionid."""
    return replace(identity, unionid=unionid)
