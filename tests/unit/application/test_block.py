"""The block of a user, and the end of the block."""

import pytest

from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.block import BlockUsers
from application.user_sessions import UserSessions
from domain.device import UNKNOWN_DEVICE
from domain.errors import NotFound
from domain.event import SYSTEM
from domain.identity import AppId, Identity
from domain.session import EndedSession, Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from support.clock import Clock

pytestmark = pytest.mark.anyio

ANN = Identity(AppId("wx0000000000000001"), "oAnn")
POLICY = SessionPolicy()


@pytest.fixture
def blocking(users: MemoryUserRepository, store: MemorySessionStore, clock: Clock) -> BlockUsers:
    """The use case."""
    return BlockUsers(users, UserSessions(store, users, clock=clock), clock=clock)


async def start(store: MemorySessionStore, user_id: str, clock: Clock) -> Session:
    """Return a new session of the user."""
    session = Session.start(SessionToken.generate(), user_id, ANN, UNKNOWN_DEVICE, POLICY, clock.now)
    await store.start(session, SessionKey("key"), 0)
    return session


async def test_a_block_ends_every_session(
    blocking: BlockUsers, users: MemoryUserRepository, store: MemorySessionStore, clock: Clock
) -> None:
    """A block ends all sessions of the user, and stores the time of the block."""
    user, _ = await users.find_or_create(ANN, clock.now)
    sessions = [await start(store, user.id, clock) for _ in range(3)]

    assert await blocking.block(user.id, SYSTEM) == 3
    assert {type(await store.find(session.id)) for session in sessions} == {EndedSession}
    assert (await users.get(user.id)).blocked_at == clock.now


async def test_an_unblock_removes_the_block(blocking: BlockUsers, users: MemoryUserRepository, clock: Clock) -> None:
    """After an unblock the user is the same as before the block."""
    user, _ = await users.find_or_create(ANN, clock.now)
    await blocking.block(user.id, SYSTEM)

    assert await blocking.unblock(user.id, SYSTEM) == user
    assert await users.get(user.id) == user


async def test_an_unknown_user_cannot_be_blocked(blocking: BlockUsers) -> None:
    """Block and unblock of an unknown user raise NotFound."""
    for call in (blocking.block, blocking.unblock):
        with pytest.raises(NotFound):
            await call("nobody", SYSTEM)
