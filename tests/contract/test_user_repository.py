"""The promises of UserRepository, on every adapter."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC
from itertools import pairwise

import pytest

from adapters.memory.user_repository import MemoryUserRepository
from adapters.sql.database import Database
from adapters.sql.user_repository import SqlUserRepository
from application.ports import UserRepository
from domain.errors import NotFound, RequestInvalid
from domain.identity import AppId, Identity
from domain.user import PROFILE_LIMITS, PhoneNumber, Profile, ProfileChange, UnionIdConflict, User
from support.clock import Clock
from support.servers import find_mariadb
from support.stores import read_rows

pytestmark = pytest.mark.anyio

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
NOTHING: frozenset[str] = frozenset()
NUMBER, OTHER_NUMBER = PhoneNumber("+8613800000000"), PhoneNumber("+12025550123")
DATABASES = ["sqlite", "postgresql", *(["mariadb"] if find_mariadb() else [])]
durable = pytest.mark.parametrize("user_place", DATABASES, indirect=True)
FAMILY = "👩\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧"


@pytest.fixture
async def users(user_place: str) -> AsyncIterator[UserRepository]:
    """The repository under test."""
    if user_place == "memory":
        yield MemoryUserRepository()
        return
    async with Database(user_place) as database:
        yield SqlUserRepository(database)


def unique(prefix: str = "o") -> str:
    """An openid or a unionid that no other test has."""
    return f"{prefix}{uuid.uuid4().hex}"


def somebody(appid: AppId = APP, unionid: str | None = None) -> Identity:
    """An account that nobody saw before."""
    return Identity(appid, unique(), unionid)


async def made(users: UserRepository, clock: Clock, identity: Identity | None = None) -> User:
    """The user of this identity, or of one that nobody saw before, with all accounts."""
    user, _ = await users.find_or_create(identity or somebody(), clock.now)
    return await users.get(user.id)


async def conflicts_of(users: UserRepository, user: User) -> list[UnionIdConflict]:
    """The user's conflicts among those of all tests."""
    return [conflict for conflict in await users.conflicts() if conflict.user_id == user.id]


def accounts_of(user: User) -> list[tuple[AppId, str]]:
    """The user's accounts, without unionids."""
    return [(account.appid, account.openid) for account in user.accounts]


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


async def test_all_of_the_one_goes_to_the_other(users: UserRepository, clock: Clock) -> None:
    """After a merge one user has the accounts, the profile, the phone number and the unionid of both."""
    one = await made(users, clock, somebody(APP, unique("u")))
    into = await made(users, clock, somebody(OTHER_APP))
    await users.change_profile(one.id, ProfileChange(name="李雷", avatar=FAMILY), clock.now)
    await users.change_profile(into.id, ProfileChange(city="上海"), clock.now)
    await users.bind_phone(one.id, NUMBER, clock.now)
    now = clock.advance(days=1)

    merged = await users.merge(one.id, into.id, NOTHING, now)

    assert merged.id == into.id
    assert merged.profile == Profile(name="李雷", avatar=FAMILY, city="上海")
    assert (merged.phone, merged.unionid) == (NUMBER.value, one.unionid)
    assert (merged.created_at, merged.updated_at) == (into.created_at, now)
    assert set(accounts_of(merged)) == {*accounts_of(one), *accounts_of(into)}
    assert await users.get(into.id) == merged


async def test_both_accounts_log_the_one_user_in(users: UserRepository, clock: Clock) -> None:
    """After a merge, logins of either account, and new accounts of the unionid, find the user that is left."""
    here, there = somebody(APP, unique("u")), somebody(OTHER_APP)
    one, into = await made(users, clock, here), await made(users, clock, there)
    await users.merge(one.id, into.id, NOTHING, clock.now)
    third = somebody(AppId("wx0000000000000003"), here.unionid)
    answers = [await users.find_or_create(identity, clock.now) for identity in (here, there, third)]

    assert {(user.id, is_new) for user, is_new in answers} == {(into.id, False)}
    assert await conflicts_of(users, into) == []


async def test_the_old_id_finds_the_new_user(users: UserRepository, clock: Clock) -> None:
    """Whoever still has the id of the merged user gets and changes the user they are now."""
    one, into = await made(users, clock), await made(users, clock)
    merged = await users.merge(one.id, into.id, NOTHING, clock.now)
    found = await users.get(one.id)
    now = clock.advance(hours=1)
    renamed = await users.change_profile(one.id, ProfileChange(name="Ann"), now)
    bound = await users.bind_phone(one.id, NUMBER, now)

    assert found == merged
    assert renamed == replace(merged, profile=Profile(name="Ann"), updated_at=now)
    assert bound == replace(renamed, phone=NUMBER.value)
    assert await users.get(one.id) == await users.get(into.id) == bound


async def test_a_merge_chains(users: UserRepository, clock: Clock) -> None:
    """Of users merged one into the next, every former id finds the last one, who has all accounts."""
    made_users = [await made(users, clock) for _ in range(4)]
    for one, into in pairwise(made_users):
        await users.merge(one.id, into.id, NOTHING, clock.now)
    last = await users.get(made_users[-1].id)

    assert {(await users.get(user.id)).id for user in made_users} == {last.id}
    assert set(accounts_of(last)) == {account for user in made_users for account in accounts_of(user)}


async def test_a_merge_twice_is_a_merge_once(users: UserRepository, clock: Clock) -> None:
    """The same merge again, at once or after a chain, gives the user that is left and changes nothing."""
    one, into, last = [await made(users, clock) for _ in range(3)]
    first = await users.merge(one.id, into.id, NOTHING, clock.now)
    again = await users.merge(one.id, into.id, NOTHING, clock.advance(days=1))
    chained = await users.merge(into.id, last.id, NOTHING, clock.now)

    assert again == first
    assert await users.merge(one.id, into.id, NOTHING, clock.advance(days=1)) == chained
    assert await users.get(last.id) == chained


async def test_a_merge_of_one_user_is_refused(users: UserRepository, clock: Clock) -> None:
    """Nobody is merged into themselves, nor back into whom they came from."""
    one, into = await made(users, clock), await made(users, clock)
    with pytest.raises(RequestInvalid):
        await users.merge(one.id, one.id, NOTHING, clock.now)
    merged = await users.merge(one.id, into.id, NOTHING, clock.now)
    with pytest.raises(RequestInvalid):
        await users.merge(into.id, one.id, NOTHING, clock.now)

    assert await users.get(one.id) == merged


@pytest.mark.parametrize("user_id", ["", "nobody", str(uuid.UUID(int=7)), "用户", "\x00"], ids=ascii)
async def test_nobody_is_not_merged(users: UserRepository, clock: Clock, user_id: str) -> None:
    """An id that no user has is NotFound on either side, and the other user stays as they are."""
    user = await made(users, clock)
    with pytest.raises(NotFound):
        await users.merge(user_id, user.id, NOTHING, clock.now)
    with pytest.raises(NotFound):
        await users.merge(user.id, user_id, NOTHING, clock.now)

    assert await users.get(user.id) == user


async def test_a_refused_merge_changes_nothing(users: UserRepository, clock: Clock) -> None:
    """Two users who differ stay two, with all that they have, until somebody says what may be lost."""
    identities = [somebody(APP, unique("u")), somebody(OTHER_APP, unique("u"))]
    one, into = [await made(users, clock, identity) for identity in identities]
    for user, name, number in ((one, "Ann", NUMBER), (into, "Anne", OTHER_NUMBER)):
        await users.change_profile(user.id, ProfileChange(name=name), clock.now)
        await users.bind_phone(user.id, number, clock.now)
    before = [await users.get(user.id) for user in (one, into)]
    for discard in (NOTHING, frozenset({"name", "phone"}), frozenset({"shoes"})):
        with pytest.raises(RequestInvalid):
            await users.merge(one.id, into.id, discard, clock.advance(hours=1))

    assert [await users.get(user.id) for user in (one, into)] == before
    assert [(await users.find_or_create(identity, clock.now))[0].id for identity in identities] == [one.id, into.id]
    merged = await users.merge(one.id, into.id, frozenset({"name", "phone", "unionid"}), clock.now)
    assert (merged.profile, merged.phone, merged.unionid) == (before[1].profile, before[1].phone, before[1].unionid)


@pytest.mark.parametrize("direction", ["into the owner", "into the other"])
async def test_a_merge_settles_the_conflict_between_the_two(
    users: UserRepository, clock: Clock, direction: str
) -> None:
    """Whichever way round, the conflict is over, and the next login that shows the unionid is no new one."""
    unionid, identity = unique("u"), somebody()
    owner, user = await made(users, clock, somebody(OTHER_APP, unionid)), await made(users, clock, identity)
    await users.find_or_create(replace(identity, unionid=unionid), clock.now)
    one, into = (user, owner) if direction == "into the owner" else (owner, user)
    before = await conflicts_of(users, user)

    merged = await users.merge(one.id, into.id, NOTHING, clock.now)
    again, _ = await users.find_or_create(replace(identity, unionid=unionid), clock.now)

    assert before == [UnionIdConflict(user.id, unionid, owner.id)]
    assert (merged.unionid, again.id) == (unionid, into.id)
    assert [conflict for conflict in await users.conflicts() if conflict.unionid == unionid] == []


async def test_a_merge_settles_a_conflict_that_had_no_owner_yet(users: UserRepository, clock: Clock) -> None:
    """A unionid that was nobody's when it was shown is no conflict any more once it is the merged user's own."""
    changed, identity = unique("u"), somebody(unionid=unique("u"))
    user = await made(users, clock, identity)
    await users.find_or_create(replace(identity, unionid=changed), clock.now)
    owner = await made(users, clock, somebody(OTHER_APP, changed))
    await users.merge(user.id, owner.id, frozenset({"unionid"}), clock.now)

    assert await conflicts_of(users, owner) == []


async def test_conflicts_with_others_go_along(users: UserRepository, clock: Clock) -> None:
    """What the merged user disputes with a third stays recorded, for the user that is left, once."""
    unionids, identities = [unique("u"), unique("u")], [somebody(), somebody(OTHER_APP)]
    third = await made(users, clock, somebody(AppId("wx0000000000000003"), unionids[0]))
    fourth = await made(users, clock, somebody(AppId("wx0000000000000003"), unionids[1]))
    one, into = [await made(users, clock, identity) for identity in identities]
    for identity, unionid in zip(identities, unionids, strict=True):
        await users.find_or_create(replace(identity, unionid=unionid), clock.now)
    await users.find_or_create(replace(identities[0], unionid=unionids[1]), clock.now)
    await users.merge(one.id, into.id, NOTHING, clock.now)

    assert await conflicts_of(users, one) == []
    assert sorted(await conflicts_of(users, into), key=lambda conflict: unionids.index(conflict.unionid)) == [
        UnionIdConflict(into.id, unionids[0], third.id),
        UnionIdConflict(into.id, unionids[1], fourth.id),
    ]


async def test_conflicts_of_others_name_the_user_that_is_left(users: UserRepository, clock: Clock) -> None:
    """A third user who disputes a unionid with the merged one disputes it with the user that is left."""
    unionid, identity = unique("u"), somebody()
    owner, third = await made(users, clock, somebody(OTHER_APP, unionid)), await made(users, clock, identity)
    await users.find_or_create(replace(identity, unionid=unionid), clock.now)
    into = await made(users, clock)
    await users.merge(owner.id, into.id, NOTHING, clock.now)

    assert await conflicts_of(users, third) == [UnionIdConflict(third.id, unionid, into.id)]


@durable
async def test_what_the_merged_user_was_stays_on_record(users: UserRepository, clock: Clock, user_place: str) -> None:
    """A merge leaves a row with who was merged, into whom and when, and all that they were, discarded or not."""
    one = await made(users, clock, somebody(APP, unique("u")))
    into = await made(users, clock)
    await users.change_profile(one.id, ProfileChange(name="李雷"), clock.now)
    await users.bind_phone(one.id, NUMBER, clock.now)
    await users.bind_phone(into.id, OTHER_NUMBER, clock.now)
    await users.merge(one.id, into.id, frozenset({"phone"}), clock.advance(hours=1))
    last = await made(users, clock)
    await users.merge(into.id, last.id, NOTHING, clock.now)
    async with Database(user_place) as database:
        statement = "SELECT into_id, record FROM merges WHERE from_id = :id"
        into_id, record = (await read_rows(database, {"id": one.id}, statement)).decode().splitlines()

    assert into_id == last.id
    kept = json.loads(record)
    assert (kept["id"], kept["unionid"], kept["phone"]) == (one.id, one.unionid, NUMBER.value)
    assert kept["profile"]["name"] == "李雷"
    assert kept["accounts"][0]["openid"] == one.accounts[0].openid


async def test_logins_during_a_merge_leave_one_user(users: UserRepository, clock: Clock) -> None:
    """However logins of both accounts and the merge fall together, all accounts are one user's afterwards."""
    for _ in range(3):
        unionid = unique("u")
        here, there = somebody(), somebody(OTHER_APP, unionid)
        one, into = await made(users, clock, here), await made(users, clock, there)
        identities = [here, there, replace(here, unionid=unionid), somebody(AppId("wx0000000000000003"), unionid)]
        logins = [users.find_or_create(identity, clock.now) for identity in identities * 3]

        _, *answers = await asyncio.gather(users.merge(one.id, into.id, NOTHING, clock.now), *logins)
        found = {(await users.find_or_create(identity, clock.now))[0].id for identity in identities}
        left = await users.get(one.id)

        assert found == {into.id}
        assert {(await users.get(user.id)).id for user, _ in answers} == {into.id}
        assert sorted(accounts_of(left), key=str) == sorted({(i.appid, i.openid) for i in identities}, key=str)
        assert not any(is_new for _, is_new in answers)
        assert await conflicts_of(users, left) == []


async def test_changes_during_a_merge_are_not_lost(users: UserRepository, clock: Clock) -> None:
    """However a change and the merge fall together, what the user set is what the user that is left has."""
    for _ in range(5):
        one, into = await made(users, clock), await made(users, clock)
        await asyncio.gather(
            users.merge(one.id, into.id, NOTHING, clock.now),
            users.change_profile(one.id, ProfileChange(name="Ann"), clock.now),
            users.bind_phone(one.id, NUMBER, clock.now),
        )
        left = await users.get(into.id)

        assert (left.profile.name, left.phone) == ("Ann", NUMBER.value)


async def test_the_same_merge_many_times_at_once_is_one(users: UserRepository, clock: Clock) -> None:
    """When an operator is impatient, all merges of the same two succeed, with the same user."""
    one, into = await made(users, clock), await made(users, clock)
    answers = await asyncio.gather(*(users.merge(one.id, into.id, NOTHING, clock.now) for _ in range(5)))

    assert {user.id for user in answers} == {into.id}
    assert set(accounts_of(await users.get(into.id))) == {*accounts_of(one), *accounts_of(into)}


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
