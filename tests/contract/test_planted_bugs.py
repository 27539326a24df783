"""The contract suites of SessionStore and KeyVault fail on an adapter with a bug: each bug planted here is caught."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from redis.exceptions import RedisError
from sqlalchemy import Connection, update

from adapters.crypto.ciphers import FernetCipher, SivCipher
from adapters.redis.client import create_client
from adapters.redis.connections import RedisClient, run, run_all
from adapters.redis.key_vault import RedisKeyVault
from adapters.redis.records import encode_session, millis, seconds
from adapters.redis.session_store import RedisSessionStore, name_of
from adapters.sql.database import Database
from adapters.sql.key_vault import SqlKeyVault
from adapters.sql.session_records import row_of
from adapters.sql.session_store import SqlSessionStore
from adapters.sql.tables import sessions as session_rows
from application.ports.key_vault import KeyVault
from application.ports.session_store import SessionStore
from contract import test_key_vault, test_session_ends, test_session_limit, test_session_store
from domain.event import Cause
from domain.session import EndReason, Session
from domain.session_key import Reencrypted, SessionKey
from support.clock import Clock
from support.places import open_environment
from support.servers import free_port
from support.sessions import KEYS, Scenario
from support.stores import StoreEnvironment

pytestmark = pytest.mark.anyio

NEVER = datetime(2100, 1, 1, tzinfo=UTC)

Plant = Callable[[Any, Sequence[str]], tuple[SessionStore, KeyVault]]
"""A function that returns a store and a vault, one of them with a bug, on a Redis client or a database."""

Promise = Callable[[Any], Awaitable[None]]
"""A test of a contract suite."""


class ClearSivCipher(SivCipher):
    """A SivCipher that does not encrypt."""

    def encrypt(self, account: bytes, key: SessionKey) -> bytes:
        """See SivCipher."""
        return key.value.encode()

    def decrypt(self, account: bytes, encrypted: bytes) -> SessionKey:
        """See SivCipher."""
        return SessionKey(encrypted.decode())


class ClearFernetCipher(FernetCipher):
    """A FernetCipher that does not encrypt."""

    def encrypt(self, secret: str) -> str:
        """See FernetCipher."""
        return secret

    def decrypt(self, encrypted: str | bytes) -> str:
        """See FernetCipher."""
        return str(encrypted)


class RevivingRedisStore(RedisSessionStore):
    """A store whose touch overwrites a session without a comparison."""

    async def touch(self, session: Session) -> None:
        """See SessionStore."""
        record = ("SET", name_of(session.id), encode_session(session), "PXAT", millis(session.retain_until))
        await run(self._redis, [record])


class LeakyRedisStore(RedisSessionStore):
    """A store that deletes an ended session and leaves its member in the user's set."""

    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime, cause: Cause) -> int:
        """See SessionStore."""
        for session in sessions:
            await self._redis.delete(name_of(session.id))
        return len(sessions)


class UntranslatedRedisStore(RedisSessionStore):
    """A store that does not translate the exceptions of redis-py."""

    async def find(self, session_id: str) -> None:
        """See SessionStore."""
        await self._redis.get(name_of(session_id))


class OverwritingRedisVault(RedisKeyVault):
    """A vault whose re-encryption overwrites newer keys."""

    async def reencrypt(self) -> Reencrypted:
        """See KeyVault."""
        names = [name async for name in self._redis.scan_iter("wxlogin:u:*")]
        found = await run_all(self._redis, [[("ZRANGEBYSCORE", name, "-inf", "(0")] for name in names])
        for name, [members] in zip(names, found, strict=True):
            for member in members:
                await self._redis.zrem(name, member)
                await self._redis.zadd(name, {self._reencrypted(member)[0]: -seconds(NEVER)})
        return Reencrypted(done=len(names))


class UnmindfulRedisStore(RedisSessionStore):
    """A store whose start ignores the previous session."""

    async def start(
        self, session: Session, key: SessionKey | None, limit: int, _previous: Session | None = None
    ) -> int:
        """See SessionStore."""
        return await super().start(session, key, limit)


class GenerousSqlStore(SqlSessionStore):
    """A store whose start raises the limit by the previous session, as if that one were always within it."""

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore."""
        return await super().start(session, key, limit + bool(previous), previous)


class RevivingSqlStore(SqlSessionStore):
    """A store whose touch overwrites a session without a comparison."""

    async def touch(self, session: Session) -> None:
        """See SessionStore."""
        await self._database.write(partial(_overwrite, session=session))


def _overwrite(connection: Connection, session: Session) -> None:
    row = update(session_rows).where(session_rows.c.id == session.id)
    connection.execute(row.values({**row_of(session), "end_reason": None}))


def plant_in_redis(
    store: type[RedisSessionStore] = RedisSessionStore,
    vault: type[RedisKeyVault] = RedisKeyVault,
    cipher: type[SivCipher] = SivCipher,
) -> Plant:
    """Return a function that plants a bug in one of the classes on Redis."""

    def plant(redis: RedisClient, keys: Sequence[str]) -> tuple[SessionStore, KeyVault]:
        planted = vault(redis, cipher(keys))
        return store(redis, planted), planted

    return plant


def plant_in_sql(store: type[SqlSessionStore] = SqlSessionStore, cipher: type[FernetCipher] = FernetCipher) -> Plant:
    """Return a function that plants a bug in one of the classes on SQL."""

    def plant(database: Database, keys: Sequence[str]) -> tuple[SessionStore, KeyVault]:
        planted = SqlKeyVault(database, cipher(MultiFernet([Fernet(key) for key in keys])))
        return store(database, planted), planted

    return plant


@asynccontextmanager
async def planted_environment(place: str, plant: Plant) -> AsyncIterator[StoreEnvironment]:
    """Open an environment whose store or vault has the bug."""
    async with open_environment(place) as environment:
        if place.startswith("redis"):
            async with create_client(place) as redis:
                yield replace(environment, open=partial(plant, redis))
        else:
            async with Database(place) as database:
                yield replace(environment, open=partial(plant, database))


touches = test_session_ends.test_a_touch_during_an_end_does_not_restart_the_session
no_secret = test_session_store.test_no_secret_is_stored_unencrypted
one_ends = partial(test_session_limit.test_a_start_ends_the_previous_session, limit=0)
limit_holds = test_session_limit.test_a_previous_session_beyond_a_lower_limit_counts_once
reencryption = test_key_vault.test_reencryption_overwrites_no_login


@pytest.mark.parametrize(
    ("session_place", "plant", "promise"),
    [
        pytest.param("redis", plant_in_redis(cipher=ClearSivCipher), no_secret, id="redis: in clear"),
        pytest.param("redis", plant_in_redis(RevivingRedisStore), touches, id="redis: no compare-and-set"),
        pytest.param("sqlite", plant_in_sql(cipher=ClearFernetCipher), no_secret, id="sql: in clear"),
        pytest.param("sqlite", plant_in_sql(RevivingSqlStore), touches, id="sql: no compare-and-set"),
        pytest.param("redis", plant_in_redis(UnmindfulRedisStore), one_ends, id="redis: previous session ignored"),
        pytest.param("sqlite", plant_in_sql(GenerousSqlStore), limit_holds, id="sql: one beyond the limit"),
    ],
    indirect=["session_place"],
)
async def test_the_suite_of_session_stores_catches(
    session_place: str, plant: Plant, promise: Promise, clock: Clock
) -> None:
    """A store with a planted bug fails the test of the promise that the bug breaks."""
    async with planted_environment(session_place, plant) as environment:
        with pytest.raises(AssertionError):
            await promise(Scenario(environment, clock))


@pytest.mark.parametrize("session_place", ["redis"], indirect=True)
async def test_an_index_that_leaks_is_caught(session_place: str, clock: Clock) -> None:
    """A store that leaves an ended session in its user's set fails the test."""
    async with planted_environment(session_place, plant_in_redis(LeakyRedisStore)) as environment:
        with pytest.raises(AssertionError):
            await test_session_ends.test_an_ended_session_is_not_in_its_users_set(
                Scenario(environment, clock), session_place
            )


async def test_an_error_of_a_library_is_caught(clock: Clock) -> None:
    """A store that raises the exception of its library fails the test."""
    async with planted_environment(
        f"redis://127.0.0.1:{free_port()}", plant_in_redis(UntranslatedRedisStore)
    ) as environment:
        store, _ = environment.open(KEYS)
        with pytest.raises(RedisError):
            await test_session_store.test_a_missing_server_raises_store_unavailable(
                store, clock, lambda store, session: store.find(session.id)
            )


@pytest.mark.parametrize("session_place", ["redis"], indirect=True)
async def test_a_reencryption_that_overwrites_logins_is_caught(session_place: str, clock: Clock) -> None:
    """A vault whose re-encryption overwrites a login's key fails the test."""
    async with planted_environment(session_place, plant_in_redis(vault=OverwritingRedisVault)) as environment:
        with pytest.raises(AssertionError):
            await reencryption(test_key_vault.Scenario(environment, clock))
