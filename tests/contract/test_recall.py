"""What a SessionStore has at hand is what it would find, and no older."""

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet

from application.ports import SessionStore
from domain.identity import AppId, Identity
from domain.session import UNKNOWN_CLIENT, EndReason, Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from support.clock import Clock
from support.stores import Home, open_home

pytestmark = pytest.mark.anyio

KEYS = [Fernet.generate_key().decode()]
remembering = pytest.mark.parametrize("session_place", ["memory", "redis", "redis-sentinel"], indirect=True)


@pytest.fixture
async def home(session_place: str) -> AsyncIterator[Home]:
    """Where the sessions are kept."""
    async with open_home(session_place) as home:
        yield home


@pytest.fixture
def store(home: Home) -> SessionStore:
    """The store under test."""
    return home.open(KEYS)[0]


@pytest.fixture
async def found(home: Home, store: SessionStore, clock: Clock) -> list[Session]:
    """Sessions of three users that the store was asked for before."""
    started = [await start(home, store, clock) for _ in range(3)]
    assert [await store.find(session.id) for session in started] == started
    return started


async def start(home: Home, store: SessionStore, clock: Clock) -> Session:
    """A session of a new user."""
    identity = Identity(AppId("wx0000000000000001"), secrets.token_hex(14))
    user, _ = await home.users.find_or_create(identity, clock.now)
    session = Session.start(SessionToken.generate(), user.id, identity, UNKNOWN_CLIENT, SessionPolicy(), clock.now)
    await store.start(session, SessionKey("a key"), 0)
    return session


def ids(sessions: list[Session]) -> list[str]:
    """By which they are recalled, among others that nobody has."""
    return [secrets.token_hex(16), *(session.id for session in sessions), "", "no id"]


async def test_nothing_is_recalled_that_would_not_be_found(store: SessionStore, found: list[Session]) -> None:
    """What is recalled are some of the sessions asked for, as they are, on every store."""
    recalled = await store.recall(ids(found))

    assert [session for session in found if session in recalled] == recalled


@remembering
async def test_what_was_found_is_at_hand(store: SessionStore, found: list[Session]) -> None:
    """A store with a memory recalls all that it was asked for before."""
    assert await store.recall(ids(found)) == found


async def test_a_touch_is_recalled(home: Home, store: SessionStore, found: list[Session], clock: Clock) -> None:
    """Once another process has touched a session, nobody recalls it as it was."""
    touched = found[1].touch(SessionPolicy(), clock.now + timedelta(hours=1))
    await home.open(KEYS)[0].touch(touched)

    assert found[1] not in await store.recall(ids(found))


async def test_what_ended_is_not_at_hand(home: Home, store: SessionStore, found: list[Session], clock: Clock) -> None:
    """Once another process has ended a session, nobody recalls it; the others stay."""
    before = await store.recall(ids(found))
    await home.open(KEYS)[0].end([found[1]], EndReason.ENDED, clock.now)

    assert await store.recall(ids(found)) == [session for session in before if session != found[1]]
