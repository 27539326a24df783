"""Concurrent logins of one account, on every database: no login is rolled back or waits for another."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from sqlalchemy import Connection, insert, text
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.sql.connections import T, Work
from adapters.sql.database import Database
from adapters.sql.session_records import row_of
from adapters.sql.tables import sessions
from adapters.sql.user_repository import SqlUserRepository
from domain.device import UNKNOWN_DEVICE
from domain.session import Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from domain.user import User
from support.clock import Clock
from support.places import DATABASES, durable_users
from support.sessions import KEYS
from support.stores import open_sql
from support.users import OTHER_APP, made, somebody, unique

pytestmark = pytest.mark.anyio

on_servers = pytest.mark.parametrize("user_place", DATABASES[1:], indirect=True)


class CountingDatabase(Database):
    """A Database that counts its transactions and the rollbacks among them."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.runs = self.undone = 0

    async def write(self, work: Work[T]) -> T:
        """See Database."""

        def counted(connection: Connection) -> T:
            self.runs += 1
            try:
                return work(connection)
            except Exception:
                self.undone += 1
                raise

        return await super().write(counted)


@pytest.fixture
async def database(user_place: str) -> AsyncIterator[CountingDatabase]:
    """The database under test."""
    async with CountingDatabase(user_place) as database:
        yield database


@durable_users
@pytest.mark.parametrize("unionid", [None, "u"], ids=["without a unionid", "with a unionid"])
async def test_no_concurrent_first_login_is_rolled_back(
    database: CountingDatabase, clock: Clock, unionid: str | None
) -> None:
    """40 concurrent first logins of one account need at most one transaction each, and none is rolled back."""
    users, identity = SqlUserRepository(database), somebody(unionid=unionid and unique(unionid))
    await asyncio.gather(*(users.find_or_create(identity, clock.now) for _ in range(40)))

    assert database.runs <= 40
    assert database.undone == 0


@durable_users
async def test_a_lost_race_leaves_no_user_without_an_account(database: CountingDatabase, clock: Clock) -> None:
    """A login that loses a race leaves no user without an account in the database."""
    users = SqlUserRepository(database)
    identities = [somebody(), somebody(unionid=unique("u")), somebody(OTHER_APP, unique("u"))]
    await asyncio.gather(*(users.find_or_create(identity, clock.now) for identity in identities * 10))
    orphans = text("SELECT count(*) FROM users WHERE id NOT IN (SELECT user_id FROM accounts)")

    assert await database.read(lambda connection: connection.scalar(orphans)) == 0


@on_servers
async def test_a_login_does_not_wait_for_another_of_the_same_user(
    database: CountingDatabase, user_place: str, clock: Clock
) -> None:
    """While one login's transaction is open, another login of the user starts a session and ends the oldest one."""
    user = await made(SqlUserRepository(database), clock)
    store, _ = open_sql(database, KEYS)
    oldest, newest = [start(user, clock.advance(seconds=1)) for _ in range(2)]
    await store.start(oldest, SessionKey("a key"), 1)
    engine = create_async_engine(user_place)
    async with engine.connect() as other:
        await other.execute(insert(sessions), row_of(start(user, clock.now)))  # not committed
        replaced = await store.start(newest, SessionKey("a key"), 1)
    await engine.dispose()

    assert replaced == 1
    assert await store.list_for_user(user.id) == [newest]


def start(user: User, now: datetime) -> Session:
    """Return a new session of the user."""
    return Session.start(SessionToken.generate(), user.id, user.accounts[0], UNKNOWN_DEVICE, SessionPolicy(), now)
