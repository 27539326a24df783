"""The merge of two users who are the same person."""

from dataclasses import replace

import pytest

from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.merge import MergeUsers
from application.sessions import Sessions
from application.user_sessions import UserSessions
from domain.device import UNKNOWN_DEVICE
from domain.errors import NotFound, RequestInvalid, SessionEnded
from domain.event import SYSTEM
from domain.identity import AppId, Identity
from domain.session import EndReason, Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from domain.user import ProfileChange, UnionIdConflict, User
from support.clock import Clock

pytestmark = pytest.mark.anyio

HERE, THERE = Identity(AppId("wx0000000000000001"), "oAnn"), Identity(AppId("wx0000000000000002"), "oAnn2", "uAnn")
ELSEWHERE = Identity(AppId("wx0000000000000003"), "oAnn3")


class World:
    """Users with sessions, and the use case that merges them."""

    def __init__(self, users: MemoryUserRepository, store: MemorySessionStore, clock: Clock) -> None:
        self.users, self.store, self.clock = users, store, clock
        self.sessions = Sessions(store, policy=SessionPolicy(), clock=clock)
        self.user_sessions = UserSessions(store, users, clock=clock)
        self.merge = MergeUsers(users, store, self.user_sessions, clock=clock)

    async def log_in(self, identity: Identity) -> tuple[User, str]:
        """Return the user, and the token of a new session."""
        user, _ = await self.users.find_or_create(identity, self.clock.now)
        token = SessionToken.generate()
        session = Session.start(token, user.id, identity, UNKNOWN_DEVICE, SessionPolicy(), self.clock.now)
        await self.store.start(session, SessionKey("a key"), 0)
        return user, token.value

    async def user_id_of(self, token: str) -> str:
        """Return the id of the user that the token authenticates."""
        return (await self.sessions.authenticate(token)).user_id


@pytest.fixture
def world(users: MemoryUserRepository, store: MemorySessionStore, clock: Clock) -> World:
    """A world without users."""
    return World(users, store, clock)


async def test_sessions_stay_valid_after_a_merge(world: World) -> None:
    """After a merge every live token of either user authenticates the remaining user. Ended sessions stay ended."""
    source, first = await world.log_in(HERE)
    _, second = await world.log_in(HERE)
    _, ended = await world.log_in(HERE)
    target, third = await world.log_in(THERE)
    await world.sessions.end(SessionToken(ended).session_id, SYSTEM)

    merged = await world.merge(source.id, target.id, SYSTEM)

    assert merged.sessions == 2
    assert {await world.user_id_of(token) for token in (first, second, third)} == {target.id}
    assert len(await world.sessions.list_for_user(target.id)) == 3
    assert await world.sessions.list_for_user(source.id) == []
    with pytest.raises(SessionEnded):
        await world.user_id_of(ended)


async def test_a_merge_gives_all_data_to_the_remaining_user(world: World) -> None:
    """The remaining user has both accounts. Both accounts and the id of the merged user find the remaining user."""
    source, _ = await world.log_in(HERE)
    target, _ = await world.log_in(THERE)
    await world.users.change_profile(source.id, ProfileChange(name="Ann"), world.clock.now)
    now = world.clock.advance(hours=1)

    merged = await world.merge(source.id, target.id, SYSTEM)

    assert merged.user.id == target.id
    assert (merged.user.profile.name, merged.user.unionid, merged.user.updated_at) == ("Ann", "uAnn", now)
    assert merged.user.accounts == (THERE, HERE)
    assert await world.users.get(source.id) == await world.users.get(target.id) == merged.user
    assert {(await world.log_in(identity))[0].id for identity in (HERE, THERE)} == {target.id}


async def test_a_refused_merge_changes_nothing(world: World) -> None:
    """A refused merge changes neither users nor sessions, until the operator names the fields to discard."""
    source, token = await world.log_in(HERE)
    target, _ = await world.log_in(THERE)
    await world.users.change_profile(source.id, ProfileChange(name="Ann"), world.clock.now)
    await world.users.change_profile(target.id, ProfileChange(name="Anne"), world.clock.now)
    before = [await world.users.get(user.id) for user in (source, target)]
    with pytest.raises(RequestInvalid, match="--discard name"):
        await world.merge(source.id, target.id, SYSTEM)

    assert [await world.users.get(user.id) for user in (source, target)] == before
    assert await world.user_id_of(token) == source.id
    merged = await world.merge(source.id, target.id, SYSTEM, frozenset({"name"}))
    assert merged.user.profile.name == "Anne"
    assert await world.user_id_of(token) == target.id


@pytest.mark.parametrize("which", ["from", "into"])
async def test_an_unknown_user_cannot_be_merged(world: World, which: str) -> None:
    """An unknown id raises NotFound on either side, and no session moves."""
    ann, token = await world.log_in(HERE)
    ids = ("nobody", ann.id) if which == "from" else (ann.id, "nobody")
    with pytest.raises(NotFound):
        await world.merge(*ids, SYSTEM)

    assert await world.user_id_of(token) == ann.id


async def test_a_user_is_not_merged_into_itself(world: World) -> None:
    """A merge of a user into itself raises RequestInvalid, and the sessions do not change."""
    ann, token = await world.log_in(HERE)
    with pytest.raises(RequestInvalid):
        await world.merge(ann.id, ann.id, SYSTEM)

    assert await world.user_id_of(token) == ann.id
    assert len(await world.sessions.list_for_user(ann.id)) == 1


async def test_a_repeated_merge_finishes_an_interrupted_one(world: World) -> None:
    """When a merge stopped after the users and before the sessions, the same merge again moves the sessions."""
    source, token = await world.log_in(HERE)
    target, _ = await world.log_in(THERE)
    await world.users.merge(source.id, target.id, frozenset(), world.clock.now, SYSTEM)

    merged = await world.merge(source.id, target.id, SYSTEM)

    assert (merged.user.id, merged.sessions) == (target.id, 1)
    assert await world.user_id_of(token) == target.id
    assert (await world.merge(source.id, target.id, SYSTEM)).sessions == 0


async def test_a_chain_of_merges_moves_all_sessions(world: World) -> None:
    """A merge by a former id also moves all sessions to the remaining user."""
    first, one = await world.log_in(HERE)
    second, two = await world.log_in(THERE)
    third, three = await world.log_in(ELSEWHERE)
    await world.merge(first.id, second.id, SYSTEM)
    await world.merge(third.id, first.id, SYSTEM)

    assert {await world.user_id_of(token) for token in (one, two, three)} == {second.id}
    assert len(await world.sessions.list_for_user(second.id)) == 3
    assert {(await world.users.get(user.id)).id for user in (first, second, third)} == {second.id}


async def test_an_expired_session_is_not_counted(world: World) -> None:
    """Expired sessions do not count among the moved sessions."""
    source, _ = await world.log_in(HERE)
    world.clock.advance(days=8)
    await world.log_in(HERE)
    target, _ = await world.log_in(THERE)

    assert (await world.merge(source.id, target.id, SYSTEM)).sessions == 1


async def test_a_merge_removes_the_conflict_between_the_two(world: World) -> None:
    """A conflict is listed until its two users are merged."""
    owner, _ = await world.log_in(THERE)
    user, _ = await world.log_in(HERE)
    await world.log_in(replace(HERE, unionid="uAnn"))
    before = await world.merge.conflicts()
    await world.merge(user.id, owner.id, SYSTEM)

    assert before == [UnionIdConflict(user.id, "uAnn", owner.id)]
    assert await world.merge.conflicts() == []


async def test_an_ended_session_is_not_counted(world: World) -> None:
    """Ended sessions do not count among the moved sessions."""
    source, token = await world.log_in(HERE)
    target, _ = await world.log_in(THERE)
    found = await world.store.find(SessionToken(token).session_id)
    assert isinstance(found, Session)
    await world.store.end([found], EndReason.REPLACED, world.clock.now, SYSTEM)

    assert (await world.merge(source.id, target.id, SYSTEM)).sessions == 0


@pytest.mark.parametrize("blocked", [HERE, THERE], ids=["from", "into"])
async def test_a_merge_with_a_blocked_user_ends_all_sessions(world: World, blocked: Identity) -> None:
    """When either user is blocked, a merge ends all sessions of both. A repeated merge does the same."""
    source, first = await world.log_in(HERE)
    target, second = await world.log_in(THERE)
    await world.users.block((source if blocked is HERE else target).id, world.clock.now, SYSTEM)
    merged = await world.merge(source.id, target.id, SYSTEM)
    late = await world.log_in(replace(HERE, openid="oLate"))
    repeated = await world.merge(source.id, target.id, SYSTEM)

    for token in (first, second):
        with pytest.raises(SessionEnded):
            await world.user_id_of(token)
    assert (merged.user.blocked_at, merged.ended, repeated.ended) == (world.clock.now, 2, 0)
    assert await world.user_id_of(late[1]) == late[0].id
