"""Logins of one account at once, on every database."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, text

from adapters.sql.connections import T, Work
from adapters.sql.database import Database
from adapters.sql.user_repository import SqlUserRepository
from support.clock import Clock
from support.servers import find_mariadb
from support.users import OTHER_APP, somebody, unique

pytestmark = pytest.mark.anyio

DATABASES = ["sqlite", "postgresql", *(["mariadb"] if find_mariadb() else [])]
on_databases = pytest.mark.parametrize("user_place", DATABASES, indirect=True)


class CountingDatabase(Database):
    """A Database that counts how often a transaction ran, and how often one was undone."""

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


@on_databases
@pytest.mark.parametrize("unionid", [None, "u"], ids=["without a unionid", "with a unionid"])
async def test_no_first_login_is_undone_because_another_was_faster(
    database: CountingDatabase, clock: Clock, unionid: str | None
) -> None:
    """Of 40 first logins of one account at once, each needs one transaction at most, and none of them fails."""
    users, identity = SqlUserRepository(database), somebody(unionid=unionid and unique(unionid))
    await asyncio.gather(*(users.find_or_create(identity, clock.now) for _ in range(40)))

    assert database.runs <= 40
    assert database.undone == 0


@on_databases
async def test_a_lost_race_leaves_no_user_without_an_account(database: CountingDatabase, clock: Clock) -> None:
    """What a login prepared before it saw that another was faster is gone."""
    users = SqlUserRepository(database)
    identities = [somebody(), somebody(unionid=unique("u")), somebody(OTHER_APP, unique("u"))]
    await asyncio.gather(*(users.find_or_create(identity, clock.now) for identity in identities * 10))
    orphans = text("SELECT count(*) FROM users WHERE id NOT IN (SELECT user_id FROM accounts)")

    assert await database.read(lambda connection: connection.scalar(orphans)) == 0
