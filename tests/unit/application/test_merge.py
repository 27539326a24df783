"""Make two users one, when they turn out to be the same person."""

from dataclasses import replace

import pytest

from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.merge import MergeUsers
from application.sessions import Sessions
from domain.device import UNKNOWN_DEVICE
from domain.errors import NotFound, RequestInvalid, SessionEnded
from domain.identity import AppId, Identity
from domain.session import EndReason, Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from domain.user import ProfileChange, UnionIdConflict, User
from support.clock import Clock

pytestmark = pytest.mark.anyio

HERE, THERE = Identity(AppId("wx0000000000000001"), "oAnn"), Identity(AppId("wx0000000000000002"), "oAnn2", "uAnn")
ELSEWHERE = Identity(AppId("wx0000000000000003"), "oAnn3")


class World:
    """Users with sessions, and what merges them."""

    def __init__(self, users: MemoryUserRepository, store: MemorySessionStore, clock: Clock) -> None:
        self.users, self.store, self.clock = users, store, clock
        self.sessions = Sessions(store, policy=SessionPolicy(), clock=clock)
        self.merge = MergeUsers(users, store, self.sessions, clock=clock)

    async def log_in(self, identity: Identity) -> tuple[User, str]:
        """The user, and the token of a new session."""
        user, _ = await self.users.find_or_create(identity, self.clock.now)
        token = SessionToken.generate()
        session = Session.start(token, user.id, identity, UNKNOWN_DEVICE, SessionPolicy(), self.clock.now)
        await self.store.start(session, SessionKey("a key"), 0)
        return user, token.value

    async def whose(self, token: str) -> str:
        """The id of the user that the token logs in."""
        return (await self.sessions.authenticate(token)).user_id


@pytest.fixture
def world(users: MemoryUserRepository, store: MemorySessionStore, clock: Clock) -> World:
    """Nobody yet."""
    return World(users, store, clock)


async def test_a_merge_keeps_sessions_valid(world: World) -> None:
    """After a merge every token of either user opens a session of the one that is left, and what ended stays ended."""
    one, first = await world.log_in(HERE)
    _, second = await world.log_in(HERE)
    _, ended = await world.log_in(HERE)
    into, third = await world.log_in(THERE)
    await world.sessions.end(SessionToken(ended).session_id)

    merged = await world.merge(one.id, into.id)

    assert merged.sessions == 2
    assert {await world.whose(token) for token in (first, second, third)} == {into.id}
    assert len(await world.sessions.list_for_user(into.id)) == 3
    assert await world.sessions.list_for_user(one.id) == []
    with pytest.raises(SessionEnded):
        await world.whose(ended)


async def test_all_of_the_one_is_the_others(world: World) -> None:
    """The user that is left has both accounts, both find them, and so does the id of the one that is gone."""
    one, _ = await world.log_in(HERE)
    into, _ = await world.log_in(THERE)
    await world.users.change_profile(one.id, ProfileChange(name="Ann"), world.clock.now)
    now = world.clock.advance(hours=1)

    merged = await world.merge(one.id, into.id)

    assert merged.user.id == into.id
    assert (merged.user.profile.name, merged.user.unionid, merged.user.updated_at) == ("Ann", "uAnn", now)
    assert merged.user.accounts == (THERE, HERE)
    assert await world.users.get(one.id) == await world.users.get(into.id) == merged.user
    assert {(await world.log_in(identity))[0].id for identity in (HERE, THERE)} == {into.id}


async def test_a_refused_merge_changes_nothing(world: World) -> None:
    """A refused merge leaves users and sessions as they are, until the operator says what may be lost."""
    one, token = await world.log_in(HERE)
    into, _ = await world.log_in(THERE)
    await world.users.change_profile(one.id, ProfileChange(name="Ann"), world.clock.now)
    await world.users.change_profile(into.id, ProfileChange(name="Anne"), world.clock.now)
    before = [await world.users.get(user.id) for user in (one, into)]
    with pytest.raises(RequestInvalid, match="--discard name"):
        await world.merge(one.id, into.id)

    assert [await world.users.get(user.id) for user in (one, into)] == before
    assert await world.whose(token) == one.id
    merged = await world.merge(one.id, into.id, frozenset({"name"}))
    assert merged.user.profile.name == "Anne"
    assert await world.whose(token) == into.id


@pytest.mark.parametrize("which", ["from", "into"])
async def test_an_unknown_user_cannot_be_merged(world: World, which: str) -> None:
    """An id that no user has is NotFound, on either side, and moves no session."""
    ann, token = await world.log_in(HERE)
    ids = ("nobody", ann.id) if which == "from" else (ann.id, "nobody")
    with pytest.raises(NotFound):
        await world.merge(*ids)

    assert await world.whose(token) == ann.id


async def test_a_user_is_not_merged_into_themselves(world: World) -> None:
    """A user merged into themselves is RequestInvalid, and keeps their sessions."""
    ann, token = await world.log_in(HERE)
    with pytest.raises(RequestInvalid):
        await world.merge(ann.id, ann.id)

    assert await world.whose(token) == ann.id
    assert len(await world.sessions.list_for_user(ann.id)) == 1


async def test_an_interrupted_merge_is_finished_by_the_same_command(world: World) -> None:
    """When the users are one already but sessions stayed behind, the same merge again brings them along."""
    one, token = await world.log_in(HERE)
    into, _ = await world.log_in(THERE)
    await world.users.merge(one.id, into.id, frozenset(), world.clock.now)

    merged = await world.merge(one.id, into.id)

    assert (merged.user.id, merged.sessions) == (into.id, 1)
    assert await world.whose(token) == into.id
    assert (await world.merge(one.id, into.id)).sessions == 0


async def test_sessions_follow_a_chain_of_merges(world: World) -> None:
    """Whichever of their former ids somebody is merged by, their sessions come to the user that is left."""
    first, one = await world.log_in(HERE)
    second, two = await world.log_in(THERE)
    third, three = await world.log_in(ELSEWHERE)
    await world.merge(first.id, second.id)
    await world.merge(third.id, first.id)

    assert {await world.whose(token) for token in (one, two, three)} == {second.id}
    assert len(await world.sessions.list_for_user(second.id)) == 3
    assert {(await world.users.get(user.id)).id for user in (first, second, third)} == {second.id}


async def test_an_expired_session_is_not_counted(world: World) -> None:
    """Sessions that expired unused are not among those that a merge moves."""
    one, _ = await world.log_in(HERE)
    world.clock.advance(days=8)
    await world.log_in(HERE)
    into, _ = await world.log_in(THERE)

    assert (await world.merge(one.id, into.id)).sessions == 1


async def test_a_merge_settles_the_conflict_between_the_two(world: World) -> None:
    """A conflict is listed until the two users of it are merged."""
    owner, _ = await world.log_in(THERE)
    user, _ = await world.log_in(HERE)
    await world.log_in(replace(HERE, unionid="uAnn"))
    before = await world.merge.conflicts()
    await world.merge(user.id, owner.id)

    assert before == [UnionIdConflict(user.id, "uAnn", owner.id)]
    assert await world.merge.conflicts() == []


async def test_a_session_that_ended_meanwhile_is_not_counted(world: World) -> None:
    """Sessions that are over do not come along."""
    one, token = await world.log_in(HERE)
    into, _ = await world.log_in(THERE)
    found = await world.store.find(SessionToken(token).session_id)
    assert isinstance(found, Session)
    await world.store.end([found], EndReason.REPLACED, world.clock.now)

    assert (await world.merge(one.id, into.id)).sessions == 0


@pytest.mark.parametrize("blocked", [HERE, THERE], ids=["from", "into"])
async def test_a_merge_with_a_blocked_user_ends_all_sessions(world: World, blocked: Identity) -> None:
    """Whichever of the two is blocked, no session of either is left; nor when the merge is repeated after a failure."""
    one, first = await world.log_in(HERE)
    into, second = await world.log_in(THERE)
    await world.users.block((one if blocked is HERE else into).id, world.clock.now)
    merged = await world.merge(one.id, into.id)
    late = await world.log_in(replace(HERE, openid="oLate"))
    repeated = await world.merge(one.id, into.id)

    for token in (first, second):
        with pytest.raises(SessionEnded):
            await world.whose(token)
    assert (merged.user.blocked_at, merged.ended, repeated.ended) == (world.clock.now, 2, 0)
    assert await world.whose(late[1]) == late[0].id
