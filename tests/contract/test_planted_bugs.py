"""The contract suites of SessionStore and KeyVault fail on an adapter with a bug: each bug planted here is caught."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from redis.exceptions import RedisError
from sqlalchemy import Connection, Row, select, update
from sqlalchemy.exc import SQLAlchemyError

from adapters.crypto.ciphers import FernetCipher, SivCipher
from adapters.redis.client import create_client
from adapters.redis.connections import RedisClient, map_redis_errors, run, run_all
from adapters.redis.key_vault import RedisKeyVault
from adapters.redis.records import encode_session, millis, seconds, set_of
from adapters.redis.session_store import (
    NO_LIMIT,
    OVERWRITE_SCRIPT,
    RETENTION_SECONDS,
    End,
    RedisSessionStore,
    _add_command,
    _member,
    name_of,
)
from adapters.sql.database import Database
from adapters.sql.key_vault import SqlKeyVault
from adapters.sql.session_records import row_of
from adapters.sql.session_store import SqlSessionStore
from adapters.sql.tables import session_keys
from adapters.sql.tables import sessions as session_rows
from application.ports.key_vault import KeyVault
from application.ports.session_store import SessionStore
from contract import (
    test_key_vault,
    test_session_ends,
    test_session_faults,
    test_session_limit,
    test_session_moves,
    test_session_store,
)
from domain.event import Cause
from domain.session import EndReason, Session
from domain.session_key import Reencrypted, SessionKey
from support.clock import Clock
from support.interruptions import TrappedCluster
from support.places import TECHNOLOGIES, open_environment
from support.sessions import KEYS, Scenario
from support.stores import StoreEnvironment
from support.topologies import quiet_garbage

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


class ForgetfulRedisStore(RedisSessionStore):
    """A store that removes the member of a session before the session has ended."""

    async def _end_members(self, ends: Sequence[End]) -> int:
        with map_redis_errors():
            await run_all(self._redis, [[("ZREM", set_of(end.user_id), end.member)] for end in ends])
        return await super()._end_members(ends)


class ForgetfulMoveRedisStore(RedisSessionStore):
    """A store that removes the member of a session before the session has moved."""

    async def move(self, from_id: str, into_id: str) -> None:
        """See SessionStore."""
        for session in await self.list_for_user(from_id):
            moved = replace(session, user_id=into_id)
            arguments = (from_id, encode_session(moved), millis(session.retain_until))
            commands = [
                ("ZREM", set_of(from_id), _member(session)),
                _add_command(moved, session.created_at, NO_LIMIT),
                ("EVAL", OVERWRITE_SCRIPT, 1, name_of(session.id), *arguments),
            ]
            with map_redis_errors():
                await run(self._redis, commands)


class UnlistingRedisStore(RedisSessionStore):
    """A store whose touch updates the member of a session, and does not add one that is missing."""

    async def touch(self, session: Session) -> None:
        """See SessionStore."""
        arguments = (session.user_id, encode_session(session), millis(session.retain_until))
        await self._redis.eval(OVERWRITE_SCRIPT, 1, name_of(session.id), *arguments)
        score = seconds(session.idle_expires_at)
        await self._redis.zadd(set_of(session.user_id), {_member(session): score}, xx=True)


class HostClockRedisStore(RedisSessionStore):
    """A store whose start removes what is past its time by the clock of the host."""

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore."""
        now = seconds(session.created_at)
        await self._redis.zremrangebyscore(set_of(session.user_id), f"(-{now}", f"({now - RETENTION_SECONDS}")
        return await super().start(session, key, limit, previous)


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


class UntranslatedSqlStore(SqlSessionStore):
    """A store that does not translate the exceptions of SQLAlchemy."""

    async def find(self, session_id: str) -> None:
        """See SessionStore."""
        await self._database._connections.read(partial(_find, session_id=session_id))


def _find(connection: Connection, session_id: str) -> None:
    connection.execute(select(session_rows).where(session_rows.c.id == session_id))


class OverwritingSqlVault(SqlKeyVault):
    """A vault whose re-encryption overwrites newer keys."""

    async def reencrypt(self) -> Reencrypted:
        """See KeyVault."""
        rows = await self._database.read(_read_keys)
        await asyncio.sleep(0.05)  # users log in meanwhile
        await self._database.write(partial(_overwrite_keys, rows=rows, cipher=self._cipher))
        return Reencrypted(done=len(rows))


def _read_keys(connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(select(session_keys)).all()


def _overwrite_keys(connection: Connection, rows: Sequence[Row[Any]], cipher: FernetCipher) -> None:
    for row in rows:
        [current], _ = cipher.reencrypt(row.current)
        account = (session_keys.c.appid == row.appid) & (session_keys.c.openid == row.openid)
        connection.execute(update(session_keys).where(account).values(current=current))


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


def plant_in_sql(
    store: type[SqlSessionStore] = SqlSessionStore,
    vault: type[SqlKeyVault] = SqlKeyVault,
    cipher: type[FernetCipher] = FernetCipher,
) -> Plant:
    """Return a function that plants a bug in one of the classes on SQL."""

    def plant(database: Database, keys: Sequence[str]) -> tuple[SessionStore, KeyVault]:
        planted = vault(database, cipher(MultiFernet([Fernet(key) for key in keys])))
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
moves = partial(test_session_moves.test_a_touch_during_a_move_leaves_the_session_with_the_other_user, move_first=True)
no_secret = test_session_store.test_no_secret_is_stored_unencrypted
one_ends = partial(test_session_limit.test_a_start_ends_the_previous_session, limit=0)
limit_holds = test_session_limit.test_a_previous_session_beyond_a_lower_limit_counts_once
clocks = test_session_faults.test_a_host_whose_clock_is_ahead_removes_no_live_session
reencryption = test_key_vault.test_reencryption_overwrites_no_login


@pytest.mark.parametrize(
    ("session_place", "plant", "promise"),
    [
        pytest.param("redis", plant_in_redis(cipher=ClearSivCipher), no_secret, id="redis: in clear"),
        pytest.param("redis", plant_in_redis(RevivingRedisStore), touches, id="redis: no compare-and-set"),
        pytest.param("redis", plant_in_redis(RevivingRedisStore), moves, id="redis: no compare-and-set, move"),
        pytest.param("redis", plant_in_redis(HostClockRedisStore), clocks, id="redis: the host's clock"),
        pytest.param("sqlite", plant_in_sql(cipher=ClearFernetCipher), no_secret, id="sql: in clear"),
        pytest.param("sqlite", plant_in_sql(RevivingSqlStore), touches, id="sql: no compare-and-set"),
        pytest.param("sqlite", plant_in_sql(RevivingSqlStore), moves, id="sql: no compare-and-set, move"),
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
@pytest.mark.parametrize(
    ("store", "promise"),
    [
        (LeakyRedisStore, test_session_ends.test_an_ended_session_is_not_in_its_users_set),
        (UnlistingRedisStore, test_session_faults.test_a_touch_lists_a_session_again),
    ],
)
async def test_a_wrong_set_of_a_user_is_caught(
    session_place: str, store: type[RedisSessionStore], promise: Callable[..., Awaitable[None]], clock: Clock
) -> None:
    """A store that leaves an ended session in its user's set, or a live one out of it, fails the test."""
    async with planted_environment(session_place, plant_in_redis(store)) as environment:
        with pytest.raises(AssertionError):
            await promise(Scenario(environment, clock), session_place)


@pytest.mark.parametrize(
    ("store", "promise"),
    [
        (ForgetfulRedisStore, test_session_faults.test_an_end_can_be_repeated_whenever_a_master_dies),
        (
            ForgetfulRedisStore,
            test_session_faults.test_a_replacement_leaves_no_session_unlisted_whenever_a_master_dies,
        ),
        (ForgetfulMoveRedisStore, test_session_faults.test_a_move_can_be_repeated_whenever_a_master_dies),
    ],
)
async def test_a_member_that_is_removed_first_is_caught(
    trapped: TrappedCluster, store: type[RedisSessionStore], promise: Callable[..., Awaitable[None]], clock: Clock
) -> None:
    """A store that removes the member of a session before its record fails the test when a master dies."""
    with quiet_garbage():
        async with planted_environment(trapped.url, plant_in_redis(store)) as environment:
            with pytest.raises(AssertionError):
                await promise(Scenario(environment, clock), trapped, shard=2)


@pytest.mark.parametrize(
    ("kind", "plant", "error"),
    [
        ("redis", plant_in_redis(UntranslatedRedisStore), RedisError),
        ("sqlite", plant_in_sql(UntranslatedSqlStore), SQLAlchemyError),
    ],
)
async def test_an_error_of_a_library_is_caught(
    kind: str, plant: Plant, error: type[Exception], clock: Clock, tmp_path: Path
) -> None:
    """A store that raises the exception of its library fails the test."""
    unreachable_url = TECHNOLOGIES[kind].unreachable_url
    assert unreachable_url
    async with planted_environment(unreachable_url(tmp_path), plant) as environment:
        store, _ = environment.open(KEYS)
        with pytest.raises(error):
            await test_session_store.test_a_missing_server_raises_store_unavailable(
                store, clock, lambda store, session: store.find(session.id)
            )


@pytest.mark.parametrize(
    ("session_place", "plant"),
    [
        ("redis", plant_in_redis(vault=OverwritingRedisVault)),
        ("sqlite", plant_in_sql(vault=OverwritingSqlVault)),
    ],
    indirect=["session_place"],
)
async def test_a_reencryption_that_overwrites_logins_is_caught(session_place: str, plant: Plant, clock: Clock) -> None:
    """A vault whose re-encryption overwrites a login's key fails the test."""
    async with planted_environment(session_place, plant) as environment:
        with pytest.raises(AssertionError):
            await reencryption(test_key_vault.Scenario(environment, clock))
