"""Moves of sessions from one user to another, on every SessionStore."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import SessionExpired
from domain.session import EndReason, Session, SessionPolicy
from domain.session_key import SessionKey
from support.sessions import POLICY, World, after, start_some

pytestmark = pytest.mark.anyio


async def test_a_move_gives_sessions_to_the_other_user(world: World) -> None:
    """A move gives the open sessions of one user to another, unchanged, in addition to that user's own sessions."""
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


async def test_a_moved_session_retains_its_session_key(world: World) -> None:
    """After a move, a moved session still has its session_key."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    await world.store.move(one, into)
    moved = await world.store.find(session.id)

    assert isinstance(moved, Session)
    assert (await world.vault.find(moved)).current == SessionKey(f"key of {session.id}")


async def test_a_move_replaces_no_newer_key(world: World) -> None:
    """A move does not replace a newer session_key of the same account."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    newer = replace(world.new(into), identity=session.identity)
    await world.store.start(newer, SessionKey("a newer key"), 0)
    await world.store.move(one, into)

    assert (await world.vault.find(newer)).current == SessionKey("a newer key")


@pytest.mark.parametrize("session_place", ["redis", "redis-cluster"], indirect=True)
async def test_a_move_does_not_shorten_other_sessions(world: World) -> None:
    """A move of sessions that expire soon does not shorten the list of the other user."""
    world.clock.now = datetime.now(UTC)
    one, into = await world.user(), await world.user()
    await world.start(one, policy=SessionPolicy(max_age=timedelta(seconds=1)))
    own = await world.start(into)
    await world.store.move(one, into)
    await asyncio.sleep(1)

    assert own.id in await world.ids_of(into)


@pytest.mark.parametrize("reason", EndReason)
async def test_a_move_does_not_restart_an_ended_session(world: World, reason: EndReason) -> None:
    """A session that ended before the move retains its reason and is not an open session of the other user."""
    one, into = await world.user(), await world.user()
    ended, _ = await start_some(world, one, 2, 0)
    await world.store.end([ended], reason, world.clock.now)
    left = await world.store.find(ended.id)

    assert await world.store.move(one, into) == 1
    assert await world.store.find(ended.id) == left
    assert ended.id not in await world.ids_of(into)


async def test_a_second_move_moves_nothing(world: World) -> None:
    """A second move of a user, and a move of a user without sessions, move nothing."""
    one, into, nobody = [await world.user() for _ in range(3)]
    session = await world.start(one)

    assert [await world.store.move(one, into) for _ in range(2)] == [1, 0]
    assert await world.store.move(nobody, into) == 0
    assert await world.ids_of(into) == {session.id}


async def test_a_moved_session_can_be_touched_and_ended(world: World) -> None:
    """A moved session can be touched and ended as any other."""
    one, into = await world.user(), await world.user()
    first, second = await start_some(world, one, 2, 0)
    await world.store.move(one, into)
    touched = replace(first, user_id=into).touch(POLICY, world.clock.advance(days=3))
    await world.store.touch(touched)
    await world.store.end([replace(second, user_id=into)], EndReason.ENDED, world.clock.now)

    assert await world.store.find(first.id) == touched
    assert await world.store.list_for_user(into) == [touched]
    assert await world.reason(second) is EndReason.ENDED


async def test_a_session_read_before_the_move_can_be_ended_after_it(world: World) -> None:
    """A caller that read a session before the move can end it after the move."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    await world.store.move(one, into)
    await world.store.end([session], EndReason.ENDED, world.clock.now)

    assert await world.reason(session) is EndReason.ENDED
    assert await world.store.list_for_user(into) == []


async def test_a_touch_does_not_move_a_session_back(world: World) -> None:
    """A caller that read a session before the move and touches it afterwards does not change its new user."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    await world.store.move(one, into)
    touched = session.touch(POLICY, world.clock.advance(days=3))
    await world.store.touch(touched)

    assert await world.store.find(session.id) == replace(touched, user_id=into)
    assert await world.store.list_for_user(into) == [replace(touched, user_id=into)]
    assert await world.store.list_for_user(one) == []


async def test_a_cancelled_touch_does_not_move_a_session_back(world: World) -> None:
    """A touch under the former user that is cancelled at any moment does not change the session's new user."""
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


async def test_moved_sessions_count_for_the_limit(world: World) -> None:
    """Moved sessions retain their age and count for the limit. The next login replaces the oldest of all sessions."""
    one, into = await world.user(), await world.user()
    oldest = await start_some(world, one, 2, 0)
    newer = await start_some(world, into, 2, 0)
    await world.store.move(one, into)
    newest = await world.start(into, limit=3)

    assert [await world.reason(session) for session in oldest] == [EndReason.REPLACED] * 2
    assert await world.ids_of(into) == {session.id for session in (*newer, newest)}


async def test_a_move_does_not_change_the_expiry(world: World) -> None:
    """A move does not change the expiry of a session."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    world.clock.advance(days=3)
    await world.store.move(one, into)
    found = await world.store.find(session.id)

    assert isinstance(found, Session)
    assert (found.idle_expires_at, found.expires_at) == (session.idle_expires_at, session.expires_at)
    with pytest.raises(SessionExpired):
        found.require_live(session.idle_expires_at)


async def test_an_end_during_a_move_ends_the_session(world: World) -> None:
    """After a concurrent end and move, each ended session has ended, and the others belong to the other user."""
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
