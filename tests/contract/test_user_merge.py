"""The promises of UserRepository.merge, on every adapter."""

import asyncio
import json
import uuid
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from adapters.sql.database import Database
from application.ports.user_repository import UserRepository
from domain.errors import NotFound, RequestInvalid
from domain.event import SYSTEM
from domain.identity import AppId
from domain.user import Profile, ProfileChange, UnionIdConflict
from support.clock import Clock
from support.places import durable_users
from support.stores import read_rows
from support.users import APP, NUMBER, OTHER_APP, OTHER_NUMBER, accounts_of, conflicts_of, made, somebody, unique

pytestmark = pytest.mark.anyio

NOTHING: frozenset[str] = frozenset()
FAMILY = "👩\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧"


async def test_a_merge_moves_all_data_to_the_other_user(users: UserRepository, clock: Clock) -> None:
    """After a merge one user has the accounts, profile, phone number and unionid of both."""
    source = await made(users, clock, somebody(APP, unique("u")))
    target = await made(users, clock, somebody(OTHER_APP))
    await users.change_profile(source.id, ProfileChange(name="李雷", avatar=FAMILY), clock.now)
    await users.change_profile(target.id, ProfileChange(city="上海"), clock.now)
    await users.bind_phone(source.id, NUMBER, clock.now, SYSTEM)
    now = clock.advance(days=1)

    merged = await users.merge(source.id, target.id, NOTHING, now, SYSTEM)

    assert merged.id == target.id
    assert merged.profile == Profile(name="李雷", avatar=FAMILY, city="上海")
    assert (merged.phone, merged.unionid) == (NUMBER.value, source.unionid)
    assert (merged.created_at, merged.updated_at) == (target.created_at, now)
    assert set(accounts_of(merged)) == {*accounts_of(source), *accounts_of(target)}
    assert await users.get(target.id) == merged


async def test_logins_of_both_accounts_find_the_remaining_user(users: UserRepository, clock: Clock) -> None:
    """After a merge, logins of both accounts and of new accounts with the unionid return the remaining user."""
    here, there = somebody(APP, unique("u")), somebody(OTHER_APP)
    source, target = await made(users, clock, here), await made(users, clock, there)
    await users.merge(source.id, target.id, NOTHING, clock.now, SYSTEM)
    third = somebody(AppId("wx0000000000000003"), here.unionid)
    answers = [await users.find_or_create(identity, clock.now) for identity in (here, there, third)]

    assert {(user.id, is_new) for user, is_new in answers} == {(target.id, False)}
    assert await conflicts_of(users, target) == []


async def test_the_old_id_finds_the_remaining_user(users: UserRepository, clock: Clock) -> None:
    """The id of a merged user reads and changes the remaining user."""
    source, target = await made(users, clock), await made(users, clock)
    merged = await users.merge(source.id, target.id, NOTHING, clock.now, SYSTEM)
    found = await users.get(source.id)
    now = clock.advance(hours=1)
    renamed = await users.change_profile(source.id, ProfileChange(name="Ann"), now)
    bound = await users.bind_phone(source.id, NUMBER, now, SYSTEM)

    assert found == merged
    assert renamed == replace(merged, profile=Profile(name="Ann"), updated_at=now)
    assert bound == replace(renamed, phone=NUMBER.value)
    assert await users.get(source.id) == await users.get(target.id) == bound


async def test_merges_can_be_chained(users: UserRepository, clock: Clock) -> None:
    """After a chain of merges, every former id returns the last user, who has all accounts."""
    made_users = [await made(users, clock) for _ in range(4)]
    for source, target in pairwise(made_users):
        await users.merge(source.id, target.id, NOTHING, clock.now, SYSTEM)
    last = await users.get(made_users[-1].id)

    assert {(await users.get(user.id)).id for user in made_users} == {last.id}
    assert set(accounts_of(last)) == {account for user in made_users for account in accounts_of(user)}


async def test_each_id_of_a_user_finds_all_of_them(users: UserRepository, clock: Clock) -> None:
    """All ids of a user are listed, each before the id that it was merged into, also of merges in one moment."""
    *chain, other, alone = [(await made(users, clock)).id for _ in range(5)]
    first, second, last = chain
    for source, target in ((first, second), (other, second), (second, last)):
        await users.merge(source, target, NOTHING, clock.now, SYSTEM)
    found = [await users.ids_of(user_id) for user_id in (*chain, other)]

    assert found == [found[0]] * 4
    assert sorted(found[0]) == sorted([*chain, other])
    assert found[0][2:] == [second, last]
    assert await users.ids_of(alone) == [alone]


@pytest.mark.parametrize("user_id", ["nobody", "", "\N{PERSEVERING FACE}", "n" * 100])
async def test_an_unknown_user_has_no_ids(users: UserRepository, user_id: str) -> None:
    """The ids of an unknown user raise NotFound."""
    with pytest.raises(NotFound):
        await users.ids_of(user_id)


async def test_a_merge_on_a_host_whose_clock_is_behind_is_the_later_one(users: UserRepository, clock: Clock) -> None:
    """The order of ids is that of the merges, even if the host of the second merge has an earlier time."""
    first, second, last = [(await made(users, clock)).id for _ in range(3)]
    await users.merge(first, second, NOTHING, clock.now, SYSTEM)
    await users.merge(second, last, NOTHING, clock.now - timedelta(minutes=5), SYSTEM)

    assert await users.ids_of(last) == [first, second, last]


async def test_a_repeated_merge_changes_nothing(users: UserRepository, clock: Clock) -> None:
    """A repeated merge, at once or after a chain, returns the remaining user and changes nothing."""
    source, target, last = [await made(users, clock) for _ in range(3)]
    first = await users.merge(source.id, target.id, NOTHING, clock.now, SYSTEM)
    again = await users.merge(source.id, target.id, NOTHING, clock.advance(days=1), SYSTEM)
    chained = await users.merge(target.id, last.id, NOTHING, clock.now, SYSTEM)

    assert again == first
    assert await users.merge(source.id, target.id, NOTHING, clock.advance(days=1), SYSTEM) == chained
    assert await users.get(last.id) == chained


async def test_a_merge_of_a_user_into_itself_is_refused(users: UserRepository, clock: Clock) -> None:
    """A merge of a user into itself, or back into a user that was merged into it, raises RequestInvalid."""
    source, target = await made(users, clock), await made(users, clock)
    with pytest.raises(RequestInvalid):
        await users.merge(source.id, source.id, NOTHING, clock.now, SYSTEM)
    merged = await users.merge(source.id, target.id, NOTHING, clock.now, SYSTEM)
    with pytest.raises(RequestInvalid):
        await users.merge(target.id, source.id, NOTHING, clock.now, SYSTEM)

    assert await users.get(source.id) == merged


@pytest.mark.parametrize("user_id", ["", "nobody", str(uuid.UUID(int=7)), "用户", "\x00"], ids=ascii)
async def test_an_unknown_user_cannot_be_merged(users: UserRepository, clock: Clock, user_id: str) -> None:
    """An unknown id raises NotFound on either side, and the other user does not change."""
    user = await made(users, clock)
    with pytest.raises(NotFound):
        await users.merge(user_id, user.id, NOTHING, clock.now, SYSTEM)
    with pytest.raises(NotFound):
        await users.merge(user.id, user_id, NOTHING, clock.now, SYSTEM)

    assert await users.get(user.id) == user


async def test_a_refused_merge_changes_nothing(users: UserRepository, clock: Clock) -> None:
    """A merge of users with different values changes nothing, until the caller names the values to discard."""
    identities = [somebody(APP, unique("u")), somebody(OTHER_APP, unique("u"))]
    source, target = [await made(users, clock, identity) for identity in identities]
    for user, name, number in ((source, "Ann", NUMBER), (target, "Anne", OTHER_NUMBER)):
        await users.change_profile(user.id, ProfileChange(name=name), clock.now)
        await users.bind_phone(user.id, number, clock.now, SYSTEM)
    before = [await users.get(user.id) for user in (source, target)]
    for discard in (NOTHING, frozenset({"name", "phone"}), frozenset({"shoes"})):
        with pytest.raises(RequestInvalid):
            await users.merge(source.id, target.id, discard, clock.advance(hours=1), SYSTEM)

    assert [await users.get(user.id) for user in (source, target)] == before
    assert [(await users.find_or_create(identity, clock.now))[0].id for identity in identities] == [
        source.id,
        target.id,
    ]
    merged = await users.merge(source.id, target.id, frozenset({"name", "phone", "unionid"}), clock.now, SYSTEM)
    assert (merged.profile, merged.phone, merged.unionid) == (before[1].profile, before[1].phone, before[1].unionid)


@pytest.mark.parametrize("direction", ["into the owner", "into the other"])
async def test_a_merge_removes_the_conflict_between_the_two(
    users: UserRepository, clock: Clock, direction: str
) -> None:
    """A merge in either direction removes the conflict of the two users. The next login finds the remaining user."""
    unionid, identity = unique("u"), somebody()
    owner, user = await made(users, clock, somebody(OTHER_APP, unionid)), await made(users, clock, identity)
    await users.find_or_create(replace(identity, unionid=unionid), clock.now)
    source, target = (user, owner) if direction == "into the owner" else (owner, user)
    before = await conflicts_of(users, user)

    merged = await users.merge(source.id, target.id, NOTHING, clock.now, SYSTEM)
    again, _ = await users.find_or_create(replace(identity, unionid=unionid), clock.now)

    assert before == [UnionIdConflict(user.id, unionid, owner.id)]
    assert (merged.unionid, again.id) == (unionid, target.id)
    assert [conflict for conflict in await users.conflicts() if conflict.unionid == unionid] == []


async def test_a_merge_removes_a_conflict_that_had_no_owner_yet(users: UserRepository, clock: Clock) -> None:
    """A merge also removes a conflict that had no owner when it was recorded."""
    changed, identity = unique("u"), somebody(unionid=unique("u"))
    user = await made(users, clock, identity)
    await users.find_or_create(replace(identity, unionid=changed), clock.now)
    owner = await made(users, clock, somebody(OTHER_APP, changed))
    await users.merge(user.id, owner.id, frozenset({"unionid"}), clock.now, SYSTEM)

    assert await conflicts_of(users, owner) == []


async def test_conflicts_with_third_users_move_to_the_remaining_user(users: UserRepository, clock: Clock) -> None:
    """A conflict of the merged user with a third user is recorded for the remaining user, once."""
    unionids, identities = [unique("u"), unique("u")], [somebody(), somebody(OTHER_APP)]
    third = await made(users, clock, somebody(AppId("wx0000000000000003"), unionids[0]))
    fourth = await made(users, clock, somebody(AppId("wx0000000000000003"), unionids[1]))
    source, target = [await made(users, clock, identity) for identity in identities]
    for identity, unionid in zip(identities, unionids, strict=True):
        await users.find_or_create(replace(identity, unionid=unionid), clock.now)
    await users.find_or_create(replace(identities[0], unionid=unionids[1]), clock.now)
    await users.merge(source.id, target.id, NOTHING, clock.now, SYSTEM)

    assert await conflicts_of(users, source) == []
    assert sorted(await conflicts_of(users, target), key=lambda conflict: unionids.index(conflict.unionid)) == [
        UnionIdConflict(target.id, unionids[0], third.id),
        UnionIdConflict(target.id, unionids[1], fourth.id),
    ]


async def test_conflicts_of_third_users_name_the_remaining_user(users: UserRepository, clock: Clock) -> None:
    """A third user's conflict with the merged user becomes a conflict with the remaining user."""
    unionid, identity = unique("u"), somebody()
    owner, third = await made(users, clock, somebody(OTHER_APP, unionid)), await made(users, clock, identity)
    await users.find_or_create(replace(identity, unionid=unionid), clock.now)
    target = await made(users, clock)
    await users.merge(owner.id, target.id, NOTHING, clock.now, SYSTEM)

    assert await conflicts_of(users, third) == [UnionIdConflict(third.id, unionid, target.id)]


@durable_users
async def test_a_merge_stores_a_record_of_the_merged_user(users: UserRepository, clock: Clock, user_place: str) -> None:
    """A merge stores who was merged, into which user, and all data of the merged user, discarded or not."""
    source = await made(users, clock, somebody(APP, unique("u")))
    target = await made(users, clock)
    await users.change_profile(source.id, ProfileChange(name="李雷"), clock.now)
    await users.bind_phone(source.id, NUMBER, clock.now, SYSTEM)
    await users.bind_phone(target.id, OTHER_NUMBER, clock.now, SYSTEM)
    await users.merge(source.id, target.id, frozenset({"phone"}), clock.advance(hours=1), SYSTEM)
    last = await made(users, clock)
    await users.merge(target.id, last.id, NOTHING, clock.now, SYSTEM)
    async with Database(user_place) as database:
        statement = "SELECT into_id, record FROM merges WHERE from_id = :id"
        into_id, record = (await read_rows(database, {"id": source.id}, statement)).decode().splitlines()

    assert into_id == last.id
    kept = json.loads(record)
    assert (kept["id"], kept["unionid"], kept["phone"]) == (source.id, source.unionid, NUMBER.value)
    assert kept["profile"]["name"] == "李雷"
    assert kept["accounts"][0]["openid"] == source.accounts[0].openid


async def test_logins_during_a_merge_leave_one_user(users: UserRepository, clock: Clock) -> None:
    """After logins of both accounts during a merge, all accounts belong to one user."""
    for _ in range(3):
        unionid = unique("u")
        here, there = somebody(), somebody(OTHER_APP, unionid)
        source, target = await made(users, clock, here), await made(users, clock, there)
        identities = [here, there, replace(here, unionid=unionid), somebody(AppId("wx0000000000000003"), unionid)]
        logins = [users.find_or_create(identity, clock.now) for identity in identities * 3]

        merging = asyncio.create_task(users.merge(source.id, target.id, NOTHING, clock.now, SYSTEM))
        answers = await asyncio.gather(*logins)
        await merging
        found = {(await users.find_or_create(identity, clock.now))[0].id for identity in identities}
        left = await users.get(source.id)

        assert found == {target.id}
        assert {(await users.get(user.id)).id for user, _ in answers} == {target.id}
        assert sorted(accounts_of(left), key=str) == sorted({(i.appid, i.openid) for i in identities}, key=str)
        assert not any(is_new for _, is_new in answers)
        assert await conflicts_of(users, left) == []


async def test_changes_during_a_merge_are_not_lost(users: UserRepository, clock: Clock) -> None:
    """A change during a merge is not lost: the remaining user has it."""
    for _ in range(5):
        source, target = await made(users, clock), await made(users, clock)
        await asyncio.gather(
            users.merge(source.id, target.id, NOTHING, clock.now, SYSTEM),
            users.change_profile(source.id, ProfileChange(name="Ann"), clock.now),
            users.bind_phone(source.id, NUMBER, clock.now, SYSTEM),
        )
        left = await users.get(target.id)

        assert (left.profile.name, left.phone) == ("Ann", NUMBER.value)


async def test_concurrent_calls_of_the_same_merge_succeed(users: UserRepository, clock: Clock) -> None:
    """Concurrent calls of the same merge all succeed and return the same user."""
    source, target = await made(users, clock), await made(users, clock)
    answers = await asyncio.gather(*(users.merge(source.id, target.id, NOTHING, clock.now, SYSTEM) for _ in range(5)))

    assert {user.id for user in answers} == {target.id}
    assert set(accounts_of(await users.get(target.id))) == {*accounts_of(source), *accounts_of(target)}
