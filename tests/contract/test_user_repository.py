"""The promises of UserRepository, on every adapter."""

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from application.ports.user_repository import UserRepository
from domain.errors import NotFound
from domain.event import SYSTEM
from domain.identity import AppId, Identity
from domain.user import Profile, ProfileChange
from support.clock import Clock
from support.users import APP, NUMBER, OTHER_APP, accounts_of, somebody, unique

pytestmark = pytest.mark.anyio


async def test_the_first_login_creates_a_user(users: UserRepository, clock: Clock) -> None:
    """The first login of an account creates a user with an empty profile and this one account."""
    identity = somebody()

    user, is_new = await users.find_or_create(identity, clock.now)
    kept = await users.get(user.id)

    assert is_new
    assert kept.profile == Profile()
    assert (kept.unionid, kept.phone) == (None, None)
    assert accounts_of(kept) == [(APP, identity.openid)]


async def test_later_logins_find_the_user(users: UserRepository, clock: Clock) -> None:
    """A later login returns the same user, not new and not changed."""
    identity = somebody(unionid=unique("u"))
    user, _ = await users.find_or_create(identity, clock.now)
    before = await users.get(user.id)
    found, is_new = await users.find_or_create(identity, clock.advance(days=1))

    assert not is_new
    assert found.id == user.id
    assert await users.get(user.id) == before


async def test_concurrent_first_logins_create_one_user(users: UserRepository, clock: Clock) -> None:
    """Of 40 concurrent first logins of one account, all return the same user, and exactly one returns it as new."""
    identity = somebody()

    answers = await asyncio.gather(*(users.find_or_create(identity, clock.now) for _ in range(40)))
    user = await users.get(answers[0][0].id)

    assert {answer.id for answer, _ in answers} == {user.id}
    assert sum(is_new for _, is_new in answers) == 1
    assert accounts_of(user) == [(APP, identity.openid)]


async def test_first_logins_of_many_users_at_once(users: UserRepository, clock: Clock) -> None:
    """Concurrent first logins of twenty accounts create twenty new users."""
    answers = await asyncio.gather(*(users.find_or_create(somebody(), clock.now) for _ in range(20)))

    assert len({user.id for user, _ in answers}) == 20
    assert all(is_new for _, is_new in answers)


@pytest.mark.parametrize("field", ["openid", "unionid"])
async def test_ids_are_case_sensitive(users: UserRepository, clock: Clock, field: str) -> None:
    """Openids and unionids that differ only in case belong to two users."""
    name = uuid.uuid4().hex
    fields: list[dict[str, Any]] = [{field: f"oa{name}"}, {field: f"oA{name}"}]
    lower, upper = (replace(somebody(unionid=unique("u")), **each) for each in fields)
    first, _ = await users.find_or_create(lower, clock.now)
    second, is_new = await users.find_or_create(upper, clock.now)

    assert is_new
    assert second.id != first.id
    assert (await users.find_or_create(lower, clock.now))[0].id == first.id


async def test_an_openid_belongs_to_its_app(users: UserRepository, clock: Clock) -> None:
    """The same openid in two apps, without a unionid, belongs to two users."""
    identity = somebody()
    first, _ = await users.find_or_create(identity, clock.now)
    second, is_new = await users.find_or_create(replace(identity, appid=OTHER_APP), clock.now)

    assert is_new
    assert second.id != first.id


async def test_the_longest_ids_are_stored(users: UserRepository, clock: Clock) -> None:
    """The store returns an appid of 64 characters, and an openid and a unionid of 128, completely."""
    longest = Identity(AppId("x" * 64), unique().ljust(128, "o"), unique("u").ljust(128, "u"))
    user, _ = await users.find_or_create(longest, clock.now)
    almost = replace(longest, openid=longest.openid[:-1] + "p", unionid=None)

    assert (await users.get(user.id)).unionid == longest.unionid
    assert (await users.find_or_create(longest, clock.now))[0].id == user.id
    assert (await users.find_or_create(almost, clock.now))[0].id != user.id


async def test_times_are_utc_to_the_microsecond(users: UserRepository, clock: Clock) -> None:
    """The store returns the times of a user in UTC, to the microsecond."""
    created, updated = clock.now, clock.advance(microseconds=1)
    user, _ = await users.find_or_create(somebody(), created)
    await users.change_profile(user.id, ProfileChange(name="Ann"), updated)
    kept = await users.get(user.id)

    assert created.microsecond == 123456
    assert (kept.created_at, kept.updated_at) == (created, updated)
    assert (kept.created_at.tzinfo, kept.updated_at.tzinfo) == (UTC, UTC)


@pytest.mark.parametrize(
    "user_id", ["", "nobody", str(uuid.UUID(int=7)), "x" * 60, "用户", "\x00", "' OR ''='"], ids=ascii
)
async def test_an_unknown_user_is_not_found(users: UserRepository, clock: Clock, user_id: str) -> None:
    """An unknown id in any form raises NotFound for reads and changes."""
    with pytest.raises(NotFound):
        await users.get(user_id)
    with pytest.raises(NotFound):
        await users.change_profile(user_id, ProfileChange(name="Ann"), clock.now)
    with pytest.raises(NotFound):
        await users.bind_phone(user_id, NUMBER, clock.now, SYSTEM)
