"""Sessions that a SessionStore finds in one go are what it finds one by one, and no older."""

import secrets
from datetime import timedelta

import pytest

from domain.session import EndReason, Session
from support.sessions import KEYS, POLICY, World

pytestmark = pytest.mark.anyio

in_one_go = pytest.mark.parametrize("session_place", ["memory", "redis", "redis-sentinel"], indirect=True)
"""The stores that do so with whatever they have."""


@pytest.fixture
async def started(world: World) -> list[Session]:
    """Sessions of four users. The store was asked for the first two before."""
    started = [await world.start() for _ in range(4)]
    assert [await world.store.find(session.id) for session in started[:2]] == started[:2]
    return started


def ids(sessions: list[Session]) -> list[str]:
    """By which they are looked for, among others that nobody has."""
    return [secrets.token_hex(16), *(session.id for session in sessions), "", "no id"]


async def test_nothing_else_is_found_together(world: World, started: list[Session]) -> None:
    """What is found together are some of the sessions asked for, in their order and as they are, on every store."""
    found = await world.store.find_together(ids(started))

    assert [session for session in started if session in found] == found


@in_one_go
async def test_all_are_found_together(world: World, started: list[Session]) -> None:
    """All there are are found, whether or not they were asked for before, and again."""
    first = await world.store.find_together(ids(started))

    assert first == await world.store.find_together(ids(started)) == started


@in_one_go
async def test_more_are_found_together_than_one_command_reads(world: World) -> None:
    """Hundreds at once are found as a few are, and one that is asked for twice is found twice."""
    started = [await world.start() for _ in range(220)]
    twice = [*started, started[0], started[-1]]

    assert await world.store.find_together(ids(twice)) == twice


async def test_a_touch_is_seen(world: World, started: list[Session]) -> None:
    """Once another process has touched sessions, nobody finds them as they were."""
    other, _ = world.home.open(KEYS)
    touched = [session.touch(POLICY, world.clock.now + timedelta(hours=1)) for session in started[1:3]]
    for session in touched:
        await other.touch(session)
    found = await world.store.find_together(ids(started))

    assert set(found) <= {started[0], *touched, started[3]}


async def test_what_ended_is_not_found_together(world: World, started: list[Session]) -> None:
    """Once another process has ended sessions, nobody finds them; the others stay."""
    other, _ = world.home.open(KEYS)
    before = await world.store.find_together(ids(started))
    await other.end(started[1:3], EndReason.ENDED, world.clock.now)

    assert await world.store.find_together(ids(started)) == [s for s in before if s not in started[1:3]]
