"""The promises of UserRepository's search, on every adapter."""

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from application.ports.user_repository import UserRepository
from domain.event import SYSTEM
from domain.user import PhoneNumber, User
from domain.user_query import UserQuery
from support.clock import Clock
from support.users import OTHER_APP, made, somebody, unique

pytestmark = pytest.mark.anyio


def new_number() -> PhoneNumber:
    """Return a phone number that no other test uses."""
    return PhoneNumber(f"+86{uuid.uuid4().int % 10**11:011}")


async def test_users_are_found_by_each_field(users: UserRepository, clock: Clock) -> None:
    """Openid, phone, unionid and id each find the user with all accounts, and no other user."""
    identity, number = somebody(unionid=unique("u")), new_number()
    user = await made(users, clock, identity)
    await made(users, clock)
    await users.find_or_create(replace(somebody(OTHER_APP), unionid=identity.unionid), clock.advance(seconds=1))
    await users.bind_phone(user.id, number, clock.now, SYSTEM)
    whole = await users.get(user.id)
    queries = [
        UserQuery(openid=identity.openid),
        UserQuery(phone=number.value),
        UserQuery(unionid=identity.unionid),
        UserQuery(id=user.id),
        UserQuery(identity.openid, number.value, identity.unionid, user.id),
    ]

    assert len(whole.accounts) == 2
    assert [await users.find_users(query) for query in queries] == [[whole]] * len(queries)


async def test_all_filters_must_match(users: UserRepository, clock: Clock) -> None:
    """A user who matches one filter and not another is not found."""
    first, second = somebody(), somebody()
    user = await made(users, clock, first)
    await made(users, clock, second)

    assert await users.find_users(UserQuery(openid=second.openid, id=user.id)) == []


async def test_an_openid_is_found_in_every_app(users: UserRepository, clock: Clock) -> None:
    """The same openid in two apps finds both users, the newer first."""
    identity = somebody()
    older = await made(users, clock, identity)
    newer = await made(users, clock, replace(identity, appid=OTHER_APP))

    assert await users.find_users(UserQuery(openid=identity.openid)) == [newer, older]


async def test_pages_have_each_user_once_newest_first(users: UserRepository, clock: Clock) -> None:
    """Pages have each user once, newest first, with all accounts, while new users come."""
    number = new_number()
    created = [await made(users, clock) for _ in range(7)]
    for user in created:
        await users.bind_phone(user.id, number, clock.now, SYSTEM)
    read: list[User] = []
    query = UserQuery(phone=number.value, limit=3)
    while page := await users.find_users(query):
        read += page
        query = replace(query, before=page[-1].id)
        late = await made(users, clock)
        await users.bind_phone(late.id, number, clock.now, SYSTEM)

    assert [user.id for user in read] == [user.id for user in reversed(created)]
    assert all(len(user.accounts) == 1 for user in read)


async def test_without_filters_the_newest_users_are_found(users: UserRepository, clock: Clock) -> None:
    """Without a filter, all users are found, newest first, at most as many as asked for."""
    older, newer = await made(users, clock), await made(users, clock)
    found = await users.find_users(UserQuery(limit=2))

    assert len(await users.find_users(UserQuery(limit=1))) == 1
    assert len(found) == 2
    assert newer in await users.find_users(UserQuery(limit=200))
    assert newer.id > older.id


async def test_a_merged_id_finds_the_remaining_user(users: UserRepository, clock: Clock) -> None:
    """The id of a user who was merged, also over two merges, finds the remaining user."""
    one, two, three = [await made(users, clock) for _ in range(3)]
    await users.merge(one.id, two.id, frozenset(), clock.now, SYSTEM)
    await users.merge(two.id, three.id, frozenset(), clock.now + timedelta(seconds=1), SYSTEM)
    remaining = await users.get(three.id)

    assert await users.find_users(UserQuery(id=one.id)) == [remaining]
    assert await users.find_users(UserQuery(id=two.id)) == [remaining]


async def test_a_blocked_user_is_found_with_the_block(users: UserRepository, clock: Clock) -> None:
    """A blocked user is found like any other, with the time of the block."""
    identity = somebody()
    user = await made(users, clock, identity)
    await users.block(user.id, clock.now, SYSTEM)
    (found,) = await users.find_users(UserQuery(openid=identity.openid))

    assert found.blocked_at == clock.now


@pytest.mark.parametrize("text", ["", "nobody", "x" * 300, "用户", "\x00", "' OR ''='", "%", "_" * 36], ids=ascii)
@pytest.mark.parametrize("field", ["openid", "phone", "unionid", "id"])
async def test_any_text_can_be_searched_for(users: UserRepository, clock: Clock, field: str, text: str) -> None:
    """A search for any text finds only users who have exactly this text."""
    await made(users, clock)
    query: dict[str, Any] = {field: text}

    assert await users.find_users(UserQuery(**query)) == []
