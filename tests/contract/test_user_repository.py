"""The promises of UserRepository, on every adapter."""

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC

import pytest

from application.ports import UserRepository
from domain.errors import NotFound
from domain.identity import AppId, Identity
from domain.user import PROFILE_LIMITS, PhoneNumber, Profile, ProfileChange, UnionIdConflict
from support.clock import Clock
from support.servers import find_mariadb
from support.users import APP, OTHER_APP, accounts_of, conflicts_of, made, somebody, unique

pytestmark = pytest.mark.anyio

NOTHING: frozenset[str] = frozenset()
NUMBER, OTHER_NUMBER = PhoneNumber("+8613800000000"), PhoneNumber("+12025550123")
DATABASES = ["sqlite", "postgresql", *(["mariadb"] if find_mariadb() else [])]
durable = pytest.mark.parametrize("user_place", DATABASES, indirect=True)
FAMILY = "👩\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧"


async def test_the_first_login_creates_a_user(users: UserRepository, clock: Clock) -> None:
    """Whoever was never seen is a new user with an empty profile and this one account."""
    identity = somebody()

    user, is_new = await users.find_or_create(identity, clock.now)
    kept = await users.get(user.id)

    assert is_new
    assert kept.profile == Profile()
    assert (kept.unionid, kept.phone) == (None, None)
    assert accounts_of(kept) == [(APP, identity.openid)]


async def test_later_logins_find_the_user(users: UserRepository, clock: Clock) -> None:
    """Whoever was seen before is the same user, not new and not changed."""
    identity = somebody(unionid=unique("u"))
    user, _ = await users.find_or_create(identity, clock.now)
    before = await users.get(user.id)
    found, is_new = await users.find_or_create(identity, clock.advance(days=1))

    assert not is_new
    assert found.id == user.id
    assert await users.get(user.id) == before


async def test_many_first_logins_at_once_make_one_user(users: UserRepository, clock: Clock) -> None:
    """Of 40 first logins of one account at once, all get the same user and exactly one is told that it is new."""
    identity = somebody()

    answers = await asyncio.gather(*(users.find_or_create(identity, clock.now) for _ in range(40)))
    user = await users.get(answers[0][0].id)

    assert {answer.id for answer, _ in answers} == {user.id}
    assert sum(is_new for _, is_new in answers) == 1
    assert accounts_of(user) == [(APP, identity.openid)]


async def test_first_logins_of_many_users_at_once(users: UserRepository, clock: Clock) -> None:
    """Twenty accounts that log in for the first time at once are twenty new users."""
    answers = await asyncio.gather(*(users.find_or_create(somebody(), clock.now) for _ in range(20)))

    assert len({user.id for user, _ in answers}) == 20
    assert all(is_new for _, is_new in answers)


@pytest.mark.parametrize("field", ["openid", "unionid"])
async def test_case_matters(users: UserRepository, clock: Clock, field: str) -> None:
    """Openids and unionids that differ in their case alone belong to two users."""
    name = uuid.uuid4().hex
    lower = replace(somebody(unionid=unique("u")), **{field: f"oa{name}"})
    upper = replace(somebody(unionid=unique("u")), **{field: f"oA{name}"})
    first, _ = await users.find_or_create(lower, clock.now)
    second, is_new = await users.find_or_create(upper, clock.now)

    assert is_new
    assert second.id != first.id
    assert (await users.find_or_create(lower, clock.now))[0].id == first.id


async def test_an_openid_belongs_to_its_app(users: UserRepository, clock: Clock) -> None:
    """The same openid in two apps, without a unionid, is two users."""
    identity = somebody()
    first, _ = await users.find_or_create(identity, clock.now)
    second, is_new = await users.find_or_create(replace(identity, appid=OTHER_APP), clock.now)

    assert is_new
    assert second.id != first.id


async def test_the_longest_names_are_kept(users: UserRepository, clock: Clock) -> None:
    """An appid of 64 characters, and an openid and a unionid of 128, are kept whole."""
    longest = Identity(AppId("x" * 64), unique().ljust(128, "o"), unique("u").ljust(128, "u"))
    user, _ = await users.find_or_create(longest, clock.now)
    almost = replace(longest, openid=longest.openid[:-1] + "p", unionid=None)

    assert (await users.get(user.id)).unionid == longest.unionid
    assert (await users.find_or_create(longest, clock.now))[0].id == user.id
    assert (await users.find_or_create(almost, clock.now))[0].id != user.id


async def test_a_unionid_is_one_user_in_all_apps(users: UserRepository, clock: Clock) -> None:
    """Accounts of two apps that show the same unionid are one user with both accounts."""
    here = somebody(APP, unique("u"))
    there = somebody(OTHER_APP, here.unionid)
    first, _ = await users.find_or_create(here, clock.now)
    second, is_new = await users.find_or_create(there, clock.advance(seconds=1))
    user = await users.get(first.id)

    assert not is_new
    assert second.id == first.id
    assert user.unionid == here.unionid
    assert accounts_of(user) == [(APP, here.openid), (OTHER_APP, there.openid)]


async def test_a_unionid_is_one_user_when_its_accounts_log_in_at_once(users: UserRepository, clock: Clock) -> None:
    """First logins at once in two apps with the same unionid make one user, new to exactly one of them."""
    here = somebody(APP, unique("u"))
    there = somebody(OTHER_APP, here.unionid)

    answers = await asyncio.gather(*(users.find_or_create(identity, clock.now) for identity in [here, there] * 5))
    user = await users.get(answers[0][0].id)

    assert {answer.id for answer, _ in answers} == {user.id}
    assert sum(is_new for _, is_new in answers) == 1
    assert set(accounts_of(user)) == {(APP, here.openid), (OTHER_APP, there.openid)}


async def test_a_late_unionid_is_added(users: UserRepository, clock: Clock) -> None:
    """A unionid that an account shows only later becomes the user's, and brings the accounts of other apps along."""
    identity, unionid = somebody(), unique("u")
    user, _ = await users.find_or_create(identity, clock.now)
    now = clock.advance(days=1)

    late, is_new = await users.find_or_create(replace(identity, unionid=unionid), now)
    elsewhere, _ = await users.find_or_create(somebody(OTHER_APP, unionid), now)
    kept = await users.get(user.id)

    assert not is_new
    assert late.id == elsewhere.id == user.id
    assert late.unionid == kept.unionid == unionid
    assert kept.updated_at == now
    assert await conflicts_of(users, user) == []


async def test_a_late_unionid_of_many_logins_at_once_is_added_once(users: UserRepository, clock: Clock) -> None:
    """When many logins of an account show its late unionid at once, all succeed and it is no conflict."""
    identity = somebody()
    user, _ = await users.find_or_create(identity, clock.now)
    late = replace(identity, unionid=unique("u"))

    answers = await asyncio.gather(*(users.find_or_create(late, clock.now) for _ in range(10)))

    assert {(answer.id, answer.unionid, is_new) for answer, is_new in answers} == {(user.id, late.unionid, False)}
    assert await conflicts_of(users, user) == []


async def test_a_unionid_stays_when_wechat_shows_none(users: UserRepository, clock: Clock) -> None:
    """A login without a unionid takes none away."""
    identity = somebody(unionid=unique("u"))
    user, _ = await users.find_or_create(identity, clock.now)
    again, _ = await users.find_or_create(replace(identity, unionid=None), clock.now)

    assert again.id == user.id
    assert (await users.get(user.id)).unionid == identity.unionid


async def test_a_late_unionid_of_another_user_changes_nobody(users: UserRepository, clock: Clock) -> None:
    """A late unionid that another user has lets the login succeed, changes neither, and is recorded once."""
    unionid, identity = unique("u"), somebody()
    owner, _ = await users.find_or_create(somebody(OTHER_APP, unionid), clock.now)
    user, _ = await users.find_or_create(identity, clock.now)
    before = [await users.get(owner.id), await users.get(user.id)]
    late = replace(identity, unionid=unionid)

    answers = [await users.find_or_create(late, clock.advance(days=1)) for _ in range(3)]
    answers += await asyncio.gather(*(users.find_or_create(late, clock.now) for _ in range(5)))

    assert {(answer.id, is_new) for answer, is_new in answers} == {(user.id, False)}
    assert [await users.get(owner.id), await users.get(user.id)] == before
    assert await conflicts_of(users, user) == [UnionIdConflict(user.id, unionid, owner.id)]
    assert await conflicts_of(users, owner) == []


async def test_a_conflict_seen_by_many_at_once_is_recorded_once(users: UserRepository, clock: Clock) -> None:
    """When the first logins to show a conflict run at once, all succeed and one conflict is recorded."""
    unionid, identity = unique("u"), somebody()
    owner, _ = await users.find_or_create(somebody(OTHER_APP, unionid), clock.now)
    user, _ = await users.find_or_create(identity, clock.now)
    late = replace(identity, unionid=unionid)

    answers = await asyncio.gather(*(users.find_or_create(late, clock.now) for _ in range(10)))

    assert {answer.id for answer, _ in answers} == {user.id}
    assert await conflicts_of(users, user) == [UnionIdConflict(user.id, unionid, owner.id)]


async def test_a_late_unionid_that_two_users_show_at_once_is_one_users(users: UserRepository, clock: Clock) -> None:
    """When two users show the same late unionid at once, one gets it, the other's conflict is recorded."""
    unionid, identities = unique("u"), [somebody(APP), somebody(OTHER_APP)]
    made = [(await users.find_or_create(identity, clock.now))[0] for identity in identities]
    late = [replace(identity, unionid=unionid) for identity in identities]

    await asyncio.gather(*(users.find_or_create(identity, clock.now) for identity in late))
    kept = [await users.get(user.id) for user in made]
    winner, loser = sorted(kept, key=lambda user: user.unionid is None)

    assert (winner.unionid, loser.unionid) == (unionid, None)
    assert await conflicts_of(users, winner) == []
    assert await conflicts_of(users, loser) == [UnionIdConflict(loser.id, unionid, winner.id)]


@pytest.mark.parametrize("is_anothers", [False, True], ids=["nobody's", "another user's"])
async def test_a_changed_unionid_changes_nobody(users: UserRepository, clock: Clock, is_anothers: bool) -> None:
    """An account that shows another unionid than before logs in, keeps the first, and is recorded once."""
    changed, identity = unique("u"), somebody(unionid=unique("u"))
    user, _ = await users.find_or_create(identity, clock.now)
    owner = (await users.find_or_create(somebody(OTHER_APP, changed), clock.now))[0] if is_anothers else None
    before = await users.get(user.id)

    for _ in range(3):
        answer, is_new = await users.find_or_create(replace(identity, unionid=changed), clock.advance(days=1))
        assert (answer.id, is_new) == (user.id, False)

    assert await users.get(user.id) == before
    assert await conflicts_of(users, user) == [UnionIdConflict(user.id, changed, owner.id if owner else None)]


async def test_a_conflict_is_recorded_once_though_its_unionid_finds_an_owner(
    users: UserRepository, clock: Clock
) -> None:
    """A changed unionid that was nobody's stays one conflict when it becomes another user's."""
    changed, identity = unique("u"), somebody(unionid=unique("u"))
    user, _ = await users.find_or_create(identity, clock.now)
    await users.find_or_create(replace(identity, unionid=changed), clock.now)
    await users.find_or_create(somebody(OTHER_APP, changed), clock.now)
    await users.find_or_create(replace(identity, unionid=changed), clock.now)

    assert [conflict.unionid for conflict in await conflicts_of(users, user)] == [changed]


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


async def test_times_are_utc_to_the_microsecond(users: UserRepository, clock: Clock) -> None:
    """The times of a user come back as they went in, with their microseconds, in UTC."""
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
async def test_nobody_is_not_found(users: UserRepository, clock: Clock, user_id: str) -> None:
    """An id that no user has, whatever it looks like, is NotFound, to see and to change."""
    with pytest.raises(NotFound):
        await users.get(user_id)
    with pytest.raises(NotFound):
        await users.change_profile(user_id, ProfileChange(name="Ann"), clock.now)
    with pytest.raises(NotFound):
        await users.bind_phone(user_id, NUMBER, clock.now)


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
