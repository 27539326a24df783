"""Moves of sessions from one user to another, on every SessionStore."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import SessionExpired
from domain.event import SYSTEM
from domain.session import EndReason, Session, SessionPolicy
from domain.session_key import SessionKey
from support.sessions import KEYS, POLICY, Scenario, after, start_some

pytestmark = pytest.mark.anyio


async def test_a_move_gives_sessions_to_the_other_user(scenario: Scenario) -> None:
    """A move gives the open sessions of one user to another, unchanged, in addition to that user's own sessions."""
    one, into = await scenario.user(), await scenario.user()
    moving = await start_some(scenario, one, 3, 0)
    own = await scenario.start(into)
    bystander = await scenario.start()
    await scenario.store.move(one, into)

    assert [await scenario.store.find(session.id) for session in moving] == [replace(s, user_id=into) for s in moving]
    assert await scenario.ids_of(into) == {session.id for session in (*moving, own)}
    assert {session.user_id for session in await scenario.store.list_for_user(into)} == {into}
    assert await scenario.ids_of(one) == set()
    assert await scenario.store.find(bystander.id) == bystander


async def test_a_moved_session_retains_its_session_key(scenario: Scenario) -> None:
    """After a move, a moved session still has its session_key."""
    one, into = await scenario.user(), await scenario.user()
    session = await scenario.start(one)
    await scenario.store.move(one, into)
    moved = await scenario.store.find(session.id)

    assert isinstance(moved, Session)
    assert (await scenario.vault.get(moved)).current == SessionKey(f"key of {session.id}")


async def test_a_move_replaces_no_newer_key(scenario: Scenario) -> None:
    """A move does not replace a newer session_key of the same account."""
    one, into = await scenario.user(), await scenario.user()
    session = await scenario.start(one)
    newer = replace(scenario.new(into), identity=session.identity)
    await scenario.store.start(newer, SessionKey("a newer key"), 0)
    await scenario.store.move(one, into)

    assert (await scenario.vault.get(newer)).current == SessionKey("a newer key")


@pytest.mark.parametrize("session_place", ["redis", "redis-cluster"], indirect=True)
async def test_a_move_does_not_shorten_other_sessions(scenario: Scenario) -> None:
    """A move of sessions that expire soon does not shorten the list of the other user."""
    scenario.clock.now = datetime.now(UTC)
    one, into = await scenario.user(), await scenario.user()
    await scenario.start(one, policy=SessionPolicy(max_age=timedelta(seconds=1)))
    own = await scenario.start(into)
    await scenario.store.move(one, into)
    await asyncio.sleep(1)

    assert own.id in await scenario.ids_of(into)


@pytest.mark.parametrize("reason", EndReason)
async def test_a_move_does_not_restart_an_ended_session(scenario: Scenario, reason: EndReason) -> None:
    """A session that ended before the move retains its reason and is not an open session of the other user."""
    one, into = await scenario.user(), await scenario.user()
    ended, _ = await start_some(scenario, one, 2, 0)
    await scenario.store.end([ended], reason, scenario.clock.now, SYSTEM)
    left = await scenario.store.find(ended.id)
    await scenario.store.move(one, into)

    assert await scenario.store.find(ended.id) == left
    assert ended.id not in await scenario.ids_of(into)


async def test_a_second_move_moves_nothing(scenario: Scenario) -> None:
    """A second move of a user, and a move of a user without sessions, move nothing."""
    one, into, idle = [await scenario.user() for _ in range(3)]
    session = await scenario.start(one)

    for user_id in (one, one, idle):
        await scenario.store.move(user_id, into)

    assert await scenario.ids_of(into) == {session.id}
    assert await scenario.store.list_for_user(one) == []


async def test_a_moved_session_can_be_touched_and_ended(scenario: Scenario) -> None:
    """A moved session can be touched and ended as any other."""
    one, into = await scenario.user(), await scenario.user()
    first, second = await start_some(scenario, one, 2, 0)
    await scenario.store.move(one, into)
    touched = replace(first, user_id=into).touch(POLICY, scenario.clock.advance(days=3))
    await scenario.store.touch(touched)
    await scenario.store.end([replace(second, user_id=into)], EndReason.ENDED, scenario.clock.now, SYSTEM)

    assert await scenario.store.find(first.id) == touched
    assert await scenario.store.list_for_user(into) == [touched]
    assert await scenario.reason(second) is EndReason.ENDED


async def test_a_session_read_before_the_move_can_be_ended_after_it(scenario: Scenario) -> None:
    """A caller that read a session before the move can end it after the move."""
    one, into = await scenario.user(), await scenario.user()
    session = await scenario.start(one)
    await scenario.store.move(one, into)
    await scenario.store.end([session], EndReason.ENDED, scenario.clock.now, SYSTEM)

    assert await scenario.reason(session) is EndReason.ENDED
    assert await scenario.store.list_for_user(into) == []


async def test_a_touch_does_not_move_a_session_back(scenario: Scenario) -> None:
    """A caller that read a session before the move and touches it afterwards does not change its new user."""
    one, into = await scenario.user(), await scenario.user()
    session = await scenario.start(one)
    await scenario.store.move(one, into)
    touched = session.touch(POLICY, scenario.clock.advance(days=3))
    await scenario.store.touch(touched)

    assert await scenario.store.find(session.id) == replace(touched, user_id=into)
    assert await scenario.store.list_for_user(into) == [replace(touched, user_id=into)]
    assert await scenario.store.list_for_user(one) == []


async def test_a_cancelled_touch_does_not_move_a_session_back(scenario: Scenario) -> None:
    """A touch under the former user that is cancelled at any moment does not change the session's new user."""
    one, into = await scenario.user(), await scenario.user()
    session = await scenario.start(one)
    await scenario.store.move(one, into)
    for turns in range(40):
        touched = session.touch(POLICY, scenario.clock.advance(minutes=2))
        touching = asyncio.create_task(scenario.store.touch(touched))
        for _ in range(turns):
            await asyncio.sleep(0)
        touching.cancel()
        await asyncio.gather(touching, return_exceptions=True)
        found = await scenario.store.find(session.id)

        assert isinstance(found, Session)
        assert found.user_id == into


async def test_moved_sessions_count_for_the_limit(scenario: Scenario) -> None:
    """Moved sessions retain their age and count for the limit. The next login replaces the oldest of all sessions."""
    one, into = await scenario.user(), await scenario.user()
    oldest = await start_some(scenario, one, 2, 0)
    newer = await start_some(scenario, into, 2, 0)
    await scenario.store.move(one, into)
    newest = await scenario.start(into, limit=3)

    assert [await scenario.reason(session) for session in oldest] == [EndReason.REPLACED] * 2
    assert await scenario.ids_of(into) == {session.id for session in (*newer, newest)}


async def test_a_move_does_not_change_the_expiry(scenario: Scenario) -> None:
    """A move does not change the expiry of a session."""
    one, into = await scenario.user(), await scenario.user()
    session = await scenario.start(one)
    scenario.clock.advance(days=3)
    await scenario.store.move(one, into)
    found = await scenario.store.find(session.id)

    assert isinstance(found, Session)
    assert (found.idle_expires_at, found.expires_at) == (session.idle_expires_at, session.expires_at)
    with pytest.raises(SessionExpired):
        found.require_live(session.idle_expires_at)


async def test_an_end_during_a_move_ends_the_session(scenario: Scenario) -> None:
    """After a concurrent end and move, each ended session has ended, and the others belong to the other user."""
    one, into = await scenario.user(), await scenario.user()
    sessions = [await scenario.start(one) for _ in range(10)]
    ending = sessions[::2]
    await asyncio.gather(
        scenario.store.move(one, into),
        *(
            after(pauses, scenario.store.end([each], EndReason.ENDED, scenario.clock.now, SYSTEM))
            for pauses, each in enumerate(ending)
        ),
    )

    assert {await scenario.reason(session) for session in ending} == {EndReason.ENDED}
    assert await scenario.ids_of(into) == {session.id for session in sessions[1::2]}
    assert await scenario.ids_of(one) == set()


@pytest.mark.parametrize("move_first", [True, False], ids=["move", "touch"])
async def test_a_touch_during_a_move_leaves_the_session_with_the_other_user(
    scenario: Scenario, move_first: bool
) -> None:
    """After a concurrent touch and move, in any order, the session is the other user's, and in that list alone."""
    other, _ = scenario.environment.open(KEYS)
    for pauses in range(0, 45, 3):  # a touch of a Redis nearby takes thirteen turns, a move 22
        one, into = await scenario.user(), await scenario.user()
        session = await scenario.start(one)
        touch = scenario.store.touch(session.touch(POLICY, scenario.clock.now + timedelta(minutes=2)))
        move = other.move(one, into)
        first, second = (move, touch) if move_first else (touch, move)
        await asyncio.gather(first, after(pauses, second))
        found = await scenario.store.find(session.id)

        assert isinstance(found, Session)
        assert found.user_id == into
        assert await scenario.ids_of(into) == {session.id}
        assert await scenario.ids_of(one) == set()
