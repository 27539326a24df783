"""Phone numbers that may have one user only, on every UserRepository that a service uses."""

import asyncio
import secrets

import pytest

from adapters.sql.database import Database
from adapters.sql.user_repository import SqlUserRepository
from domain.errors import PhoneTaken
from domain.event import CLI, SYSTEM, WECHAT
from domain.user import PhoneNumber
from support.clock import Clock
from support.places import durable_users
from support.users import made

pytestmark = [pytest.mark.anyio, durable_users]


def new_number() -> PhoneNumber:
    """Return a number that no other test uses."""
    return PhoneNumber(f"+86{secrets.randbelow(10**11):011}")


async def test_a_number_has_one_user(user_place: str, clock: Clock) -> None:
    """A number of another user is refused, and the refused user keeps their own. A number may be bound again."""
    async with Database(user_place) as database:
        users, number, own = SqlUserRepository(database, unique_phones=True), new_number(), new_number()
        first, second = await made(users, clock), await made(users, clock)
        await users.bind_phone(first.id, number, clock.now, SYSTEM)
        await users.bind_phone(first.id, number, clock.now, SYSTEM)
        await users.bind_phone(second.id, own, clock.now, SYSTEM)
        with pytest.raises(PhoneTaken):
            await users.bind_phone(second.id, number, clock.now, SYSTEM)

        assert (await users.get(first.id)).phone == number.value
        assert (await users.get(second.id)).phone == own.value


async def test_numbers_from_before_count(user_place: str, clock: Clock) -> None:
    """A number that was bound while numbers were not unique is taken, too."""
    async with Database(user_place) as database:
        before, users, number = (
            SqlUserRepository(database),
            SqlUserRepository(database, unique_phones=True),
            new_number(),
        )
        first, second = await made(users, clock), await made(users, clock)
        await before.bind_phone(first.id, number, clock.now, SYSTEM)
        with pytest.raises(PhoneTaken):
            await users.bind_phone(second.id, number, clock.now, SYSTEM)

        assert (await users.bind_phone(first.id, number, clock.now, SYSTEM)).phone == number.value


async def test_without_the_setting_numbers_may_be_shared(user_place: str, clock: Clock) -> None:
    """Where numbers are not unique, a number of another user is bound, also one that was unique before."""
    async with Database(user_place) as database:
        users, shared, number = (
            SqlUserRepository(database, unique_phones=True),
            SqlUserRepository(database),
            new_number(),
        )
        first, second = await made(users, clock), await made(users, clock)
        await users.bind_phone(first.id, number, clock.now, SYSTEM)

        assert (await shared.bind_phone(second.id, number, clock.now, SYSTEM)).phone == number.value


@pytest.mark.parametrize("freed", ["another number", "a number of before", "a consent", "an erasure"])
async def test_a_number_that_is_given_up_is_free(user_place: str, clock: Clock, freed: str) -> None:
    """A number is free after its user has another one, revoked the consent, or was erased."""
    async with Database(user_place) as database:
        users, number = SqlUserRepository(database, unique_phones=True), new_number()
        first, second = await made(users, clock), await made(users, clock)
        await users.bind_phone(first.id, number, clock.now, SYSTEM)
        match freed:
            case "another number":
                await users.bind_phone(first.id, new_number(), clock.now, SYSTEM)
            case "a number of before":
                await SqlUserRepository(database).bind_phone(first.id, new_number(), clock.now, SYSTEM)
            case "a consent":
                await users.revoke_consent(first.id, frozenset({"phone"}), clock.now, WECHAT)
            case _:
                await users.erase(first.id, clock.now, CLI)

        assert (await users.bind_phone(second.id, number, clock.now, SYSTEM)).phone == number.value


@pytest.mark.parametrize("discarded", [False, True], ids=["the merged user's", "the remaining user's"])
async def test_a_merge_keeps_its_number_unique(user_place: str, clock: Clock, discarded: bool) -> None:
    """After a merge, the number of the remaining user is taken, and the other is free."""
    async with Database(user_place) as database:
        users, kept, lost = SqlUserRepository(database, unique_phones=True), new_number(), new_number()
        source, target, third = [await made(users, clock) for _ in range(3)]
        if discarded:
            await users.bind_phone(source.id, lost, clock.now, SYSTEM)
            await users.bind_phone(target.id, kept, clock.now, SYSTEM)
        else:
            await users.bind_phone(source.id, kept, clock.now, SYSTEM)
        merged = await users.merge(source.id, target.id, frozenset({"phone"}), clock.now, CLI)

        assert merged.phone == kept.value
        with pytest.raises(PhoneTaken):
            await users.bind_phone(third.id, kept, clock.now, SYSTEM)
        assert (await users.bind_phone(third.id, lost, clock.now, SYSTEM)).phone == lost.value


async def test_of_forty_calls_at_once_one_user_has_the_number(user_place: str, clock: Clock) -> None:
    """Of forty calls at once by which two users bind one number, all of one user succeed, and none of the other."""
    async with Database(user_place) as one, Database(user_place) as two:
        repositories = [SqlUserRepository(each, unique_phones=True) for each in (one, two)]
        owners = [await made(repositories[0], clock) for _ in range(2)]
        number = new_number()
        await asyncio.gather(*(each.get(owners[0].id) for each in repositories for _ in range(20)))  # connections
        calls = [
            repositories[index // 2 % 2].bind_phone(owners[index % 2].id, number, clock.now, SYSTEM)
            for index in range(40)
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        bound = {each.id for each in outcomes if not isinstance(each, BaseException)}
        refused = [each for each in outcomes if isinstance(each, BaseException)]

        assert len(bound) == 1
        assert {repr(each) for each in refused} == {repr(PhoneTaken())}
        assert len(refused) == 20
        assert {(await repositories[0].get(each.id)).phone for each in owners} == {number.value, None}
