"""Sessions that become another user's, on every SessionStore."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import SessionExpired
from domain.session import EndReason, Session, SessionPolicy
from domain.session_key import SessionKey
from support.sessions import POLICY, World, after, start_some

pytestmark = pytest.mark.anyio


async def test_sessions_follow_their_user(world: World) -> None:
    """The open sessions of one user become another's, as they were, beside those that the other has."""
    one, into = await world.user(), await world.user()
    moving = await start_some(world, one, 3, 0)
    own = await world.start(into)
    bystander = await world.start()
    moved = await world.store.move(one, into)

    assert moved == 3
    assert [await world.store.find(session.id) for session in moving] == [replace(s, user_id=into) for s in moving]
    assert await world.ids_of(into) == {session.id for session in (*moving, own)}
    assert {session.user_id for session in await world.store.list_for_user(into)} == {into}
    assert await world.ids_of(one) == set()
    assert await world.store.find(bystander.id) == bystander


async def test_session_keys_follow_their_sessions(world: World) -> None:
    """Who was logged in as one user and is the other now has the session_key that they had."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    await world.store.move(one, into)
    moved = await world.store.find(session.id)

    assert isinstance(moved, Session)
    assert (await world.vault.find(moved)).current == SessionKey(f"key of {session.id}")


async def test_a_move_replaces_no_newer_key(world: World) -> None:
    """The session_key of a login that came before its user's other sessions did stays the newest."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    newer = replace(world.new(into), identity=session.identity)
    await world.store.start(newer, SessionKey("a newer key"), 0)
    await world.store.move(one, into)

    assert (await world.vault.find(newer)).current == SessionKey("a newer key")


@pytest.mark.parametrize("session_place", ["redis", "redis-cluster"], indirect=True)
async def test_a_move_shortens_no_life(world: World) -> None:
    """A user's sessions stay theirs, however soon those end that come to them."""
    world.clock.now = datetime.now(UTC)
    one, into = await world.user(), await world.user()
    await world.start(one, policy=SessionPolicy(max_age=timedelta(seconds=1)))
    own = await world.start(into)
    await world.store.move(one, into)
    await asyncio.sleep(1)

    assert own.id in await world.ids_of(into)


@pytest.mark.parametrize("reason", EndReason)
async def test_a_move_revives_no_ended_session(world: World, reason: EndReason) -> None:
    """A session that was over before its user moved keeps its reason and is nobody's open session."""
    one, into = await world.user(), await world.user()
    ended, _ = await start_some(world, one, 2, 0)
    await world.store.end([ended], reason, world.clock.now)
    left = await world.store.find(ended.id)

    assert await world.store.move(one, into) == 1
    assert await world.store.find(ended.id) == left
    assert ended.id not in await world.ids_of(into)


async def test_moving_twice_is_moving_once(world: World) -> None:
    """A second move finds nothing to do, and so does one of a user without sessions."""
    one, into, nobody = [await world.user() for _ in range(3)]
    session = await world.start(one)

    assert [await world.store.move(one, into) for _ in range(2)] == [1, 0]
    assert await world.store.move(nobody, into) == 0
    assert await world.ids_of(into) == {session.id}


async def test_a_moved_session_goes_on(world: World) -> None:
    """A session that moved is touched and ended as any other."""
    one, into = await world.user(), await world.user()
    first, second = await start_some(world, one, 2, 0)
    await world.store.move(one, into)
    touched = replace(first, user_id=into).touch(POLICY, world.clock.advance(days=3))
    await world.store.touch(touched)
    await world.store.end([replace(second, user_id=into)], EndReason.ENDED, world.clock.now)

    assert await world.store.find(first.id) == touched
    assert await world.store.list_for_user(into) == [touched]
    assert await world.reason(second) is EndReason.ENDED


async def test_a_session_that_its_holder_knew_before_the_move_ends_after_it(world: World) -> None:
    """Who looked a session up under the former user and ends it after the move has ended it."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    await world.store.move(one, into)
    await world.store.end([session], EndReason.ENDED, world.clock.now)

    assert await world.reason(session) is EndReason.ENDED
    assert await world.store.list_for_user(into) == []


async def test_a_touch_does_not_move_a_session_back(world: World) -> None:
    """Who looked a session up under the former user and touches it after the move leaves it with the other."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    await world.store.move(one, into)
    touched = session.touch(POLICY, world.clock.advance(days=3))
    await world.store.touch(touched)

    assert await world.store.find(session.id) == replace(touched, user_id=into)
    assert await world.store.list_for_user(into) == [replace(touched, user_id=into)]
    assert await world.store.list_for_user(one) == []


async def test_a_touch_that_is_given_up_does_not_move_a_session_back(world: World) -> None:
    """Whenever a touch under the former user is cancelled, the session is the other's."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    await world.store.move(one, into)
    for turns in range(40):
        touched = session.touch(POLICY, world.clock.advance(minutes=2))
        touching = asyncio.create_task(world.store.touch(touched))
        for _ in range(turns):
            await asyncio.sleep(0)
        touching.cancel()
        await asyncio.gather(touching, return_exceptions=True)
        found = await world.store.find(session.id)

        assert isinstance(found, Session)
        assert found.user_id == into


async def test_moved_sessions_count(world: World) -> None:
    """Sessions that moved are as old as they were, and the oldest of all give way to the next login."""
    one, into = await world.user(), await world.user()
    oldest = await start_some(world, one, 2, 0)
    newer = await start_some(world, into, 2, 0)
    await world.store.move(one, into)
    newest = await world.start(into, limit=3)

    assert [await world.reason(session) for session in oldest] == [EndReason.REPLACED] * 2
    assert await world.ids_of(into) == {session.id for session in (*newer, newest)}


async def test_a_moved_session_expires_as_it_would_have(world: World) -> None:
    """A move takes no time from a session and gives it none."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    world.clock.advance(days=3)
    await world.store.move(one, into)
    found = await world.store.find(session.id)

    assert isinstance(found, Session)
    assert (found.idle_expires_at, found.expires_at) == (session.idle_expires_at, session.expires_at)
    with pytest.raises(SessionExpired):
        found.require_live(session.idle_expires_at)


async def test_an_end_that_races_a_move_ends_the_session(world: World) -> None:
    """However an end and a move fall together, what was ended has ended, and the rest are the other's."""
    one, into = await world.user(), await world.user()
    sessions = [await world.start(one) for _ in range(10)]
    ending = sessions[::2]
    await asyncio.gather(
        world.store.move(one, into),
        *(
            after(pauses, world.store.end([each], EndReason.ENDED, world.clock.now))
            for pauses, each in enumerate(ending)
        ),
    )

    assert {await world.reason(session) for session in ending} == {EndReason.ENDED}
    assert await world.ids_of(into) == {session.id for session in sessions[1::2]}
    assert await world.ids_of(one) == set()
