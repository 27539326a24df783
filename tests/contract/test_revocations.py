"""UserRepository forgets what WeChat says that it must forget, on every adapter."""

import asyncio
import uuid

import pytest

from application.ports.user_repository import UserRepository
from domain.event import WECHAT
from domain.identity import Identity
from domain.user import ProfileChange, User
from support.clock import Clock
from support.users import NUMBER, somebody

pytestmark = pytest.mark.anyio

PHONE = frozenset({"phone"})


async def with_data(users: UserRepository, identity: Identity, clock: Clock) -> User:
    """Return a user with a name, an avatar, a city and a phone number."""
    user, _ = await users.find_or_create(identity, clock.now)
    await users.change_profile(user.id, ProfileChange(name="Ann", avatar="https://a.example/1", city="Bern"), clock.now)
    return await users.bind_phone(user.id, NUMBER, clock.now, WECHAT)


async def test_an_account_has_its_user(users: UserRepository, clock: Clock) -> None:
    """A known account finds its user, and an unknown one none."""
    identity = somebody()
    user, _ = await users.find_or_create(identity, clock.now)
    found = await users.find_account(identity)

    assert found
    assert found.id == user.id
    assert await users.find_account(somebody()) is None


async def test_only_the_revoked_fields_are_emptied(users: UserRepository, clock: Clock) -> None:
    """A revocation empties its fields, and leaves the others."""
    before = await with_data(users, somebody(), clock)
    fields = frozenset({"name", "avatar"})
    done = await users.revoke_consent(before.id, fields, clock.advance(days=1), WECHAT, event_id=str(uuid.uuid4()))
    after = await users.get(before.id)

    assert done
    assert (after.profile.name, after.profile.avatar, after.profile.city) == ("", "", "Bern")
    assert after.phone == before.phone


async def test_a_revocation_happens_once(users: UserRepository, clock: Clock) -> None:
    """A revocation with an id that is known changes nothing: what the user gave again stays."""
    user = await with_data(users, somebody(), clock)
    event_id = str(uuid.uuid4())
    calls = [users.revoke_consent(user.id, PHONE, clock.now, WECHAT, event_id=event_id) for _ in range(8)]
    done = await asyncio.gather(*calls)
    emptied = (await users.get(user.id)).phone
    await users.bind_phone(user.id, NUMBER, clock.now, WECHAT)
    again = await users.revoke_consent(user.id, PHONE, clock.now, WECHAT, event_id=event_id)

    assert [user is not None for user in done].count(True) == 1
    assert emptied is None
    assert not again
    assert (await users.get(user.id)).phone == NUMBER.value


async def test_a_revocation_of_nothing_stored_is_an_event_only(users: UserRepository, clock: Clock) -> None:
    """A revocation without fields changes no user."""
    user = await users.get((await with_data(users, somebody(), clock)).id)
    done = await users.revoke_consent(user.id, frozenset(), clock.now, WECHAT, event_id=str(uuid.uuid4()))

    assert done
    assert await users.get(user.id) == user
