"""What a SessionStore has at hand is what it would find, and no older."""

import secrets
from datetime import timedelta

import pytest

from domain.session import EndReason, Session
from support.sessions import KEYS, POLICY, World

pytestmark = pytest.mark.anyio

remembering = pytest.mark.parametrize("session_place", ["memory", "redis", "redis-sentinel"], indirect=True)


@pytest.fixture
async def found(world: World) -> list[Session]:
    """Sessions of three users that the store was asked for before."""
    started = [await world.start() for _ in range(3)]
    assert [await world.store.find(session.id) for session in started] == started
    return started


def ids(sessions: list[Session]) -> list[str]:
    """By which they are recalled, among others that nobody has."""
    return [secrets.token_hex(16), *(session.id for session in sessions), "", "no id"]


async def test_nothing_is_recalled_that_would_not_be_found(world: World, found: list[Session]) -> None:
    """What is recalled are some of the sessions asked for, as they are, on every store."""
    recalled = await world.store.recall(ids(found))

    assert [session for session in found if session in recalled] == recalled


@remembering
async def test_what_was_found_is_at_hand(world: World, found: list[Session]) -> None:
    """A store with a memory recalls all that it was asked for before."""
    assert await world.store.recall(ids(found)) == found


async def test_a_touch_is_recalled(world: World, found: list[Session]) -> None:
    """Once another process has touched a session, nobody recalls it as it was."""
    other, _ = world.home.open(KEYS)
    await other.touch(found[1].touch(POLICY, world.clock.now + timedelta(hours=1)))

    assert found[1] not in await world.store.recall(ids(found))


async def test_what_ended_is_not_at_hand(world: World, found: list[Session]) -> None:
    """Once another process has ended a session, nobody recalls it; the others stay."""
    other, _ = world.home.open(KEYS)
    before = await world.store.recall(ids(found))
    await other.end([found[1]], EndReason.ENDED, world.clock.now)

    assert await world.store.recall(ids(found)) == [session for session in before if session != found[1]]
