"""Early, late and conflicting unionids, on every UserRepository."""

import asyncio
from dataclasses import replace

import pytest

from application.ports.user_repository import UserRepository
from domain.event import SYSTEM
from domain.user import UnionIdConflict
from support.clock import Clock
from support.users import APP, OTHER_APP, accounts_of, conflicts_of, somebody, unique

pytestmark = pytest.mark.anyio


async def test_a_unionid_is_one_user_in_all_apps(users: UserRepository, clock: Clock) -> None:
    """Accounts of two apps with the same unionid belong to one user."""
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
    """Concurrent first logins in two apps with the same unionid create one user, who is new in exactly one login."""
    here = somebody(APP, unique("u"))
    there = somebody(OTHER_APP, here.unionid)

    answers = await asyncio.gather(*(users.find_or_create(identity, clock.now) for identity in [here, there] * 5))
    user = await users.get(answers[0][0].id)

    assert {answer.id for answer, _ in answers} == {user.id}
    assert sum(is_new for _, is_new in answers) == 1
    assert set(accounts_of(user)) == {(APP, here.openid), (OTHER_APP, there.openid)}


async def test_a_late_unionid_is_added(users: UserRepository, clock: Clock) -> None:
    """A unionid that WeChat returns only later is added to the user, and finds the same user in other apps."""
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
    """When concurrent logins of an account have the same late unionid, all succeed and there is no conflict."""
    identity = somebody()
    user, _ = await users.find_or_create(identity, clock.now)
    late = replace(identity, unionid=unique("u"))

    answers = await asyncio.gather(*(users.find_or_create(late, clock.now) for _ in range(10)))

    assert {(answer.id, answer.unionid, is_new) for answer, is_new in answers} == {(user.id, late.unionid, False)}
    assert await conflicts_of(users, user) == []


async def test_a_unionid_stays_when_wechat_shows_none(users: UserRepository, clock: Clock) -> None:
    """A login without a unionid does not remove the user's unionid."""
    identity = somebody(unionid=unique("u"))
    user, _ = await users.find_or_create(identity, clock.now)
    again, _ = await users.find_or_create(replace(identity, unionid=None), clock.now)

    assert again.id == user.id
    assert (await users.get(user.id)).unionid == identity.unionid


async def test_a_late_unionid_of_another_user_changes_neither_user(users: UserRepository, clock: Clock) -> None:
    """With a late unionid of another user the login succeeds, changes neither user, and records one conflict."""
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
    """When concurrent first logins have the same conflict, all succeed and one conflict is recorded."""
    unionid, identity = unique("u"), somebody()
    owner, _ = await users.find_or_create(somebody(OTHER_APP, unionid), clock.now)
    user, _ = await users.find_or_create(identity, clock.now)
    late = replace(identity, unionid=unionid)

    answers = await asyncio.gather(*(users.find_or_create(late, clock.now) for _ in range(10)))

    assert {answer.id for answer, _ in answers} == {user.id}
    assert await conflicts_of(users, user) == [UnionIdConflict(user.id, unionid, owner.id)]


async def test_a_late_unionid_of_two_users_at_once_is_added_to_one(users: UserRepository, clock: Clock) -> None:
    """When logins of two users have the same late unionid at once, one user gets it. A conflict records the other."""
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
async def test_a_changed_unionid_changes_no_user(users: UserRepository, clock: Clock, is_anothers: bool) -> None:
    """When an account's unionid changes, the login succeeds, the first unionid stays, and one conflict is recorded."""
    changed, identity = unique("u"), somebody(unionid=unique("u"))
    user, _ = await users.find_or_create(identity, clock.now)
    owner = (await users.find_or_create(somebody(OTHER_APP, changed), clock.now))[0] if is_anothers else None
    before = await users.get(user.id)

    for _ in range(3):
        answer, is_new = await users.find_or_create(replace(identity, unionid=changed), clock.advance(days=1))
        assert (answer.id, is_new) == (user.id, False)

    assert await users.get(user.id) == before
    assert await conflicts_of(users, user) == [UnionIdConflict(user.id, changed, owner.id if owner else None)]


async def test_a_conflict_is_recorded_once_when_its_unionid_gets_an_owner(users: UserRepository, clock: Clock) -> None:
    """A conflict whose unionid later becomes another user's is still recorded once."""
    changed, identity = unique("u"), somebody(unionid=unique("u"))
    user, _ = await users.find_or_create(identity, clock.now)
    await users.find_or_create(replace(identity, unionid=changed), clock.now)
    await users.find_or_create(somebody(OTHER_APP, changed), clock.now)
    await users.find_or_create(replace(identity, unionid=changed), clock.now)

    assert [conflict.unionid for conflict in await conflicts_of(users, user)] == [changed]


@pytest.mark.parametrize("has_own", [False, True], ids=["no unionid yet", "another unionid"])
async def test_a_login_with_a_blocked_users_unionid_is_blocked(
    users: UserRepository, clock: Clock, has_own: bool
) -> None:
    """A login with a blocked user's unionid returns a blocked user, but the account's own user is not blocked."""
    blocked, _ = await users.find_or_create(somebody(APP, unique("u")), clock.now)
    other = somebody(OTHER_APP, unique("v") if has_own else None)
    user, _ = await users.find_or_create(other, clock.now)
    await users.block(blocked.id, clock.now, SYSTEM)
    shown, is_new = await users.find_or_create(replace(other, unionid=blocked.unionid), clock.now)
    kept = await users.get(user.id)

    assert (shown.id, is_new, shown.blocked_at) == (user.id, False, clock.now)
    assert kept.blocked_at is None
    assert await conflicts_of(users, user) == [UnionIdConflict(user.id, str(blocked.unionid), blocked.id)]


async def test_a_unionid_of_an_unblocked_user_does_not_block(users: UserRepository, clock: Clock) -> None:
    """A conflict with a user who is not blocked any more does not block a login."""
    first, _ = await users.find_or_create(somebody(APP, unique("u")), clock.now)
    other = somebody(OTHER_APP)
    await users.find_or_create(other, clock.now)
    await users.block(first.id, clock.now, SYSTEM)
    await users.unblock(first.id, clock.now, SYSTEM)
    shown, _ = await users.find_or_create(replace(other, unionid=first.unionid), clock.now)

    assert shown.blocked_at is None
