"""The stored data of a user, on every UserRepository."""

from dataclasses import replace

import pytest

from application.ports.user_repository import UserRepository
from domain.errors import NotFound
from domain.event import SYSTEM
from domain.user import PROFILE_LIMITS, Profile, ProfileChange
from support.clock import Clock
from support.users import NUMBER, OTHER_NUMBER, made, somebody

pytestmark = pytest.mark.anyio

FAMILY = "👩\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧"


async def test_a_profile_is_changed_field_by_field(users: UserRepository, clock: Clock) -> None:
    """A change sets the fields that it names and clears those with empty text. It does not change the others."""
    user, _ = await users.find_or_create(somebody(), clock.now)
    await users.change_profile(user.id, ProfileChange(name="李雷", city="上海", country="中国"), clock.now)
    now = clock.advance(hours=1)

    changed = await users.change_profile(user.id, ProfileChange(name="韩梅梅", country=""), now)

    assert changed.profile == Profile(name="韩梅梅", city="上海")
    assert (changed.created_at, changed.updated_at) == (user.created_at, now)
    assert await users.get(user.id) == changed


async def test_a_profile_change_affects_one_user(users: UserRepository, clock: Clock) -> None:
    """A change of one user's profile does not change another user."""
    ann, _ = await users.find_or_create(somebody(), clock.now)
    bob, _ = await users.find_or_create(somebody(), clock.now)
    before = await users.get(bob.id)
    await users.change_profile(ann.id, ProfileChange(name="Ann"), clock.advance(hours=1))

    assert await users.get(bob.id) == before


async def test_a_profile_survives_the_next_login(users: UserRepository, clock: Clock) -> None:
    """A login returns the profile that the user set."""
    identity = somebody()
    user, _ = await users.find_or_create(identity, clock.now)
    await users.change_profile(user.id, ProfileChange(name=FAMILY), clock.now)

    assert (await users.find_or_create(identity, clock.now))[0].profile == Profile(name=FAMILY)


@pytest.mark.parametrize(
    "text", [FAMILY, "🇨🇳", "𠮷野家", "O'Brien; DROP", "e\N{COMBINING ACUTE ACCENT} ", " x "], ids=ascii
)
async def test_profile_text_is_stored_unchanged(users: UserRepository, clock: Clock, text: str) -> None:
    """The store returns emoji, rare characters, quotes, combining marks and spaces at the ends unchanged."""
    user, _ = await users.find_or_create(somebody(), clock.now)
    await users.change_profile(user.id, ProfileChange(**dict.fromkeys(PROFILE_LIMITS, text)), clock.now)

    assert (await users.get(user.id)).profile == Profile(**dict.fromkeys(PROFILE_LIMITS, text))


async def test_text_as_long_as_the_limit_is_stored(users: UserRepository, clock: Clock) -> None:
    """Every profile field stores as many emoji as its limit."""
    longest = {name: "🀄" * limit for name, limit in PROFILE_LIMITS.items()}
    user, _ = await users.find_or_create(somebody(), clock.now)
    await users.change_profile(user.id, ProfileChange(**longest), clock.now)

    assert (await users.get(user.id)).profile == Profile(**longest)


async def test_a_phone_number_replaces_the_previous_one(users: UserRepository, clock: Clock) -> None:
    """A new phone number replaces the previous one, and changes only the number and the time of the change."""
    user = await made(users, clock)
    await users.change_profile(user.id, ProfileChange(name="Ann"), clock.now)
    await users.bind_phone(user.id, OTHER_NUMBER, clock.now, SYSTEM)
    before, now = await users.get(user.id), clock.advance(hours=1)
    bound = await users.bind_phone(user.id, NUMBER, now, SYSTEM)

    assert before.phone == OTHER_NUMBER.value
    assert bound == replace(before, phone=NUMBER.value, updated_at=now)
    assert await users.get(user.id) == bound


async def test_two_users_may_have_one_phone_number(users: UserRepository, clock: Clock) -> None:
    """Two users can have the same phone number, and neither loses it."""
    ann, bob = await made(users, clock), await made(users, clock)
    for user in (ann, bob):
        await users.bind_phone(user.id, NUMBER, clock.now, SYSTEM)

    assert [(await users.get(user.id)).phone for user in (ann, bob)] == [NUMBER.value] * 2


async def test_a_block_is_stored_until_it_is_lifted(users: UserRepository, clock: Clock) -> None:
    """Reads, logins and profile changes return the time since which a user is blocked, until the block is lifted."""
    identity = somebody()
    user, _ = await users.find_or_create(identity, clock.now)
    blocked = await users.block(user.id, clock.now, SYSTEM)
    at_login, _ = await users.find_or_create(identity, clock.now)
    changed = await users.change_profile(user.id, ProfileChange(name="Ann"), clock.now)

    assert {each.blocked_at for each in (blocked, at_login, changed)} == {clock.now}
    assert (await users.unblock(user.id, clock.now, SYSTEM)).blocked_at is None
    assert (await users.get(user.id)).blocked_at is None
    with pytest.raises(NotFound):
        await users.block("nobody", clock.now, SYSTEM)
