"""The list and the end of all sessions of a user."""

import pytest

from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.user_sessions import UserSessions
from domain.device import UNKNOWN_DEVICE
from domain.errors import NotFound, StoreUnavailable
from domain.event import SYSTEM
from domain.identity import AppId, Identity
from domain.session import EndedSession, EndReason, Session, SessionPolicy, SessionToken
from support.clock import Clock

pytestmark = pytest.mark.anyio

APP = AppId("wx0000000000000001")
NO_LIMIT = 0


class World:
    """Users with sessions, and the use case."""

    def __init__(self, users: MemoryUserRepository, store: MemorySessionStore, clock: Clock) -> None:
        self.users, self.store, self.clock = users, store, clock
        self.user_sessions = UserSessions(store, users, clock=clock)

    async def log_in(self, openid: str, times: int = 1) -> list[Session]:
        """Start sessions of a user, one second apart, and return them."""
        identity, started = Identity(APP, openid), []
        user, _ = await self.users.find_or_create(identity, self.clock.now)
        for _ in range(times):
            now = self.clock.advance(seconds=1)
            token = SessionToken.generate()
            started.append(Session.start(token, user.id, identity, UNKNOWN_DEVICE, SessionPolicy(), now))
            await self.store.start(started[-1], None, NO_LIMIT)
        return started

    async def reasons(self, *sessions: Session) -> set[EndReason | None]:
        """Return why the sessions ended, None for those that did not."""
        found = [await self.store.find(session.id) for session in sessions]
        return {each.reason if isinstance(each, EndedSession) else None for each in found}


@pytest.fixture
def world(users: MemoryUserRepository, store: MemorySessionStore, clock: Clock) -> World:
    """A world without users."""
    return World(users, store, clock)


@pytest.mark.parametrize("reason", EndReason)
async def test_a_user_is_logged_out_everywhere(world: World, reason: EndReason) -> None:
    """The end of all sessions of a user returns their number and gives each the reason.

    Other users are not affected.
    """
    anns, bobs = await world.log_in("oAnn", 3), await world.log_in("oBob")
    ended = [await world.user_sessions.end_all(anns[0].user_id, SYSTEM, reason) for _ in range(2)]

    assert ended == [3, 0]
    assert await world.reasons(*anns) == {reason}
    assert await world.reasons(*bobs) == {None}


async def test_the_sessions_of_a_merged_user_are_listed_and_ended_by_each_id(world: World) -> None:
    """Each id of a merged user lists the sessions under all of them, newest first, and ends them."""
    chain = [await world.log_in(openid) for openid in ("oOne", "oTwo", "oThree")]
    one, two, three = [session for sessions in chain for session in sessions]
    for source, target in ((one, two), (two, three)):
        await world.users.merge(source.user_id, target.user_id, frozenset(), world.clock.now, SYSTEM)
    listed = [await world.user_sessions.list_all(each.user_id) for each in (one, two, three)]

    assert listed == [[three, two, one]] * 3
    assert await world.user_sessions.end_all(two.user_id, SYSTEM) == 3
    assert await world.reasons(one, two, three) == {EndReason.ENDED}


async def test_an_expired_session_is_neither_listed_nor_ended(world: World) -> None:
    """An expired session keeps its state."""
    expired = await world.log_in("oAnn")
    world.clock.advance(days=8)
    live = await world.log_in("oAnn")

    assert await world.user_sessions.list_all(live[0].user_id) == live
    assert await world.user_sessions.end_all(live[0].user_id, SYSTEM) == 1
    assert await world.reasons(*expired) == {None}


async def test_an_unknown_user_is_not_found(world: World) -> None:
    """The sessions of an unknown user can be neither listed nor ended."""
    with pytest.raises(NotFound):
        await world.user_sessions.list_all("nobody")
    with pytest.raises(NotFound):
        await world.user_sessions.end_all("nobody", SYSTEM)


class DeadUserRepository(MemoryUserRepository):
    """A database that does not answer."""

    async def ids_of(self, user_id: str) -> list[str]:
        """See UserRepository."""
        raise StoreUnavailable


async def test_a_log_out_without_the_database_ends_the_sessions_under_the_id(
    store: MemorySessionStore, clock: Clock
) -> None:
    """When the users cannot be read, the sessions under the given id end, and the caller gets the error."""
    world = World(DeadUserRepository(), store, clock)
    sessions = await world.log_in("oAnn", 2)
    with pytest.raises(StoreUnavailable):
        await world.user_sessions.end_all(sessions[0].user_id, SYSTEM)

    assert await world.reasons(*sessions) == {EndReason.ENDED}
