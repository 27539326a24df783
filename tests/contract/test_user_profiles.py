"""What is kept of a user, on every UserRepository."""

from dataclasses import replace

import pytest

from application.ports.user_repository import UserRepository
from domain.errors import NotFound
from domain.user import PROFILE_LIMITS, Profile, ProfileChange
from support.clock import Clock
from support.users import NUMBER, OTHER_NUMBER, made, somebody

pytestmark = pytest.mark.anyio

FAMILY = "👩\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧"


async def test_a_profile_is_changed_field_by_field(users: UserRepository, clock: Clock) -> None:
    """A change sets the fields it names, empties those it names with empty text, and keeps the others."""
    user, _ = await users.find_or_create(somebody(), clock.now)
    await users.change_profile(user.id, ProfileChange(name="李雷", city="上海", country="中国"), clock.now)
    now = clock.advance(hours=1)

    changed = await users.change_profile(user.id, ProfileChange(name="韩梅梅", country=""), now)

    assert changed.profile == Profile(name="韩梅梅", city="上海")
    assert (changed.created_at, changed.updated_at) == (user.created_at, now)
    assert await users.get(user.id) == changed


async def test_a_profile_is_of_one_user(users: UserRepository, clock: Clock) -> None:
    """Changing one user's profile leaves the others as they are."""
    ann, _ = await users.find_or_create(somebody(), clock.now)
    bob, _ = await users.find_or_create(somebody(), clock.now)
    before = await users.get(bob.id)
    await users.change_profile(ann.id, ProfileChange(name="Ann"), clock.advance(hours=1))

    assert await users.get(bob.id) == before


async def test_a_profile_survives_the_next_login(users: UserRepository, clock: Clock) -> None:
    """A login answers with the profile that the user set."""
    identity = somebody()
    user, _ = await users.find_or_create(identity, clock.now)
    await users.change_profile(user.id, ProfileChange(name=FAMILY), clock.now)

    assert (await users.find_or_create(identity, clock.now))[0].profile == Profile(name=FAMILY)


@pytest.mark.parametrize(
    "text", [FAMILY, "🇨🇳", "𠮷野家", "O'Brien; DROP", "e\N{COMBINING ACUTE ACCENT} ", " x "], ids=ascii
)
async def test_text_of_people_is_kept_as_it_is(users: UserRepository, clock: Clock, text: str) -> None:
    """Emoji, rare characters, quotes, combining marks and spaces at the ends come back unchanged."""
    user, _ = await users.find_or_create(somebody(), clock.now)
    await users.change_profile(user.id, ProfileChange(**dict.fromkeys(PROFILE_LIMITS, text)), clock.now)

    assert (await users.get(user.id)).profile == Profile(**dict.fromkeys(PROFILE_LIMITS, text))


async def test_text_as_long_as_the_limit_is_kept(users: UserRepository, clock: Clock) -> None:
    """Every profile field takes as many emoji as its limit says."""
    longest = {name: "🀄" * limit for name, limit in PROFILE_LIMITS.items()}
    user, _ = await users.find_or_create(somebody(), clock.now)
    await users.change_profile(user.id, ProfileChange(**longest), clock.now)

    assert (await users.get(user.id)).profile == Profile(**longest)


async def test_a_phone_number_is_bound_in_place_of_any_before(users: UserRepository, clock: Clock) -> None:
    """The last number is the user's, changed now, beside all that was known before."""
    user = await made(users, clock)
    await users.change_profile(user.id, ProfileChange(name="Ann"), clock.now)
    await users.bind_phone(user.id, OTHER_NUMBER, clock.now)
    before, now = await users.get(user.id), clock.advance(hours=1)
    bound = await users.bind_phone(user.id, NUMBER, now)

    assert before.phone == OTHER_NUMBER.value
    assert bound == replace(before, phone=NUMBER.value, updated_at=now)
    assert await users.get(user.id) == bound


async def test_a_phone_number_may_be_two_users(users: UserRepository, clock: Clock) -> None:
    """A number belongs to whoever shows it: a family may share one, and nobody loses theirs."""
    ann, bob = await made(users, clock), await made(users, clock)
    for user in (ann, bob):
        await users.bind_phone(user.id, NUMBER, clock.now)

    assert [(await users.get(user.id)).phone for user in (ann, bob)] == [NUMBER.value] * 2


async def test_a_block_is_kept_until_it_is_lifted(users: UserRepository, clock: Clock) -> None:
    """Since when a user is blocked is told by every look at them, by their login too; a profile change leaves it."""
    identity = somebody()
    user, _ = await users.find_or_create(identity, clock.now)
    blocked = await users.block(user.id, clock.now)
    at_login, _ = await users.find_or_create(identity, clock.now)
    changed = await users.change_profile(user.id, ProfileChange(name="Ann"), clock.now)

    assert {each.blocked_at for each in (blocked, at_login, changed)} == {clock.now}
    assert (await users.block(user.id, None)).blocked_at is None
    assert (await users.get(user.id)).blocked_at is None
    with pytest.raises(NotFound):
        await users.block("nobody", clock.now)
