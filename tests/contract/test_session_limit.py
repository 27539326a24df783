"""The limit on the sessions of a user, on every SessionStore."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.errors import SessionExpired
from domain.session import EndedSession, EndReason, Session
from domain.session_key import SessionKey
from support.places import in_redis
from support.sessions import POLICY, World, start_some

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("limit", [1, 3])
async def test_the_oldest_session_is_replaced(world: World, limit: int) -> None:
    """When a user exceeds the limit, the newest sessions stay live and the oldest are replaced."""
    user_id = await world.user()
    sessions = await start_some(world, user_id, limit + 2, limit)

    assert [await world.reason(session) for session in sessions] == [EndReason.REPLACED] * 2 + [None] * limit
    assert await world.ids_of(user_id) == {session.id for session in sessions[2:]}


async def test_a_start_returns_how_many_sessions_it_replaced(world: World) -> None:
    """A start returns the number of sessions that it replaces."""
    user_id = await world.user()
    await start_some(world, user_id, 3, 0)
    started = [await world.store.start(world.new(user_id), SessionKey("a key"), limit) for limit in (0, 4, 2)]

    assert started == [0, 1, 3]


async def test_a_replaced_session_is_retained_like_any_other(world: World) -> None:
    """A replaced session has the reason REPLACED, and is retained for seven days after its replacement."""
    user_id = await world.user()
    first, _, last = await start_some(world, user_id, 3, 2)
    left = await world.store.find(first.id)

    assert isinstance(left, EndedSession)
    assert left.reason is EndReason.REPLACED
    assert abs(left.retain_until - (last.created_at + timedelta(days=7))) < timedelta(milliseconds=1)


async def test_without_a_limit_no_session_is_replaced(world: World) -> None:
    """With a limit of 0 a user may have any number of sessions."""
    user_id = await world.user()
    sessions = await start_some(world, user_id, 15, 0)

    assert await world.ids_of(user_id) == {session.id for session in sessions}


async def test_the_limit_counts_sessions_of_one_user(world: World) -> None:
    """The limit of a user does not count the sessions of other users."""
    first, second = await world.user(), await world.user()
    sessions = [await world.start(user_id, limit=1) for user_id in (first, second)]

    assert [await world.reason(session) for session in sessions] == [None, None]


async def test_a_lower_limit_ends_all_that_are_too_many(world: World) -> None:
    """When the limit is lowered, the next login ends all sessions beyond it."""
    user_id = await world.user()
    sessions = await start_some(world, user_id, 5, 0)
    last = await world.start(user_id, limit=2)

    assert await world.ids_of(user_id) == {sessions[-1].id, last.id}


async def test_ended_sessions_do_not_count(world: World) -> None:
    """A session that was logged out does not count for the limit."""
    user_id = await world.user()
    first, second = await start_some(world, user_id, 2, 2)
    await world.store.end([second], EndReason.ENDED, world.clock.now)
    third = await world.start(user_id, limit=2)

    assert await world.ids_of(user_id) == {first.id, third.id}


async def test_expired_sessions_do_not_count(world: World) -> None:
    """An expired session does not count for the limit, and the limit does not end it."""
    user_id = await world.user()
    idle, used = await start_some(world, user_id, 2, 2)
    now = world.clock.advance(days=6)
    await world.store.touch(used.touch(POLICY, now))
    now = world.clock.advance(days=3)
    newest = await world.start(user_id, limit=2)
    found = await world.store.find(idle.id)

    assert [await world.reason(session) for session in (used, newest)] == [None, None]
    assert found == idle
    with pytest.raises(SessionExpired):
        found.require_live(now)


@pytest.mark.parametrize("max_age", [timedelta(days=8), timedelta(days=90)], ids=["shorter", "longer"])
async def test_the_oldest_is_replaced_after_a_change_of_the_maximum_age(world: World, max_age: timedelta) -> None:
    """A changed maximum age does not change the order of sessions: the limit ends the session that started first."""
    user_id = await world.user()
    first, second = await start_some(world, user_id, 2, 2)
    third = await world.start(user_id, limit=2, policy=replace(POLICY, max_age=max_age))

    assert [await world.reason(session) for session in (first, second, third)] == [EndReason.REPLACED, None, None]


async def test_a_touch_does_not_make_a_session_newer(world: World) -> None:
    """The oldest session is the one that started first, even if it was used recently."""
    user_id = await world.user()
    first, second = await start_some(world, user_id, 2, 2)
    await world.store.touch(first.touch(POLICY, world.clock.advance(days=1)))
    third = await world.start(user_id, limit=2)

    assert await world.ids_of(user_id) == {second.id, third.id}


async def start_after(world: World, previous: Session, limit: int) -> tuple[Session, int]:
    """Start a session in place of a previous one, and return it and the number of sessions that ended."""
    session = world.new(previous.user_id)
    return session, await world.store.start(session, SessionKey("a key"), limit, previous)


@pytest.mark.parametrize("limit", [0, 3, 4])
async def test_a_start_ends_the_previous_session(world: World, limit: int) -> None:
    """A session that starts in place of another ends only that session, as replaced, if the limit allows the others."""
    sessions = await start_some(world, await world.user(), 3, 0)
    started, ended = await start_after(world, sessions[-1], limit)

    assert [await world.reason(each) for each in [*sessions, started]] == [None, None, EndReason.REPLACED, None]
    assert ended == 1


async def test_a_previous_session_beyond_a_lower_limit_counts_once(world: World) -> None:
    """When the previous session is also beyond a lowered limit, exactly as many sessions stay as the limit allows."""
    sessions = await start_some(world, await world.user(), 5, 0)
    started, ended = await start_after(world, sessions[0], 2)

    assert await world.ids_of(started.user_id) == {sessions[-1].id, started.id}
    assert ended == 4


async def test_an_ended_previous_session_retains_its_reason(world: World) -> None:
    """When the previous session is logged out before the next one starts, its reason does not change."""
    session = await world.start()
    await world.store.end([session], EndReason.ENDED, world.clock.now)
    _, ended = await start_after(world, session, 0)

    assert (ended, await world.reason(session)) == (0, EndReason.ENDED)


async def test_logins_at_once_do_not_exceed_the_limit(world: World) -> None:
    """Of twenty sessions of one user that start concurrently, the three newest stay live. The others are replaced."""
    user_id, sessions = await world.user(), []
    for _ in range(20):
        sessions.append(world.new(user_id))
        world.clock.advance(milliseconds=1)
    await asyncio.gather(*(world.store.start(session, SessionKey("a key"), 3) for session in sessions))

    assert [await world.reason(session) for session in sessions] == [EndReason.REPLACED] * 17 + [None] * 3
    assert await world.ids_of(user_id) == {session.id for session in sessions[17:]}


async def test_logins_in_one_moment_do_not_exceed_the_limit(world: World) -> None:
    """The limit also applies to sessions that start in the same microsecond."""
    user_id = await world.user()
    await asyncio.gather(*(world.start(user_id, limit=3) for _ in range(10)))

    assert len(await world.ids_of(user_id)) == 3


@in_redis
async def test_a_user_may_have_a_thousand_sessions(world: World) -> None:
    """Without a limit, a user can have a thousand sessions, which are listed and ended in one call."""
    user_id = await world.user()
    sessions = [world.new(user_id) for _ in range(1000)]
    for start in range(0, len(sessions), 100):  # as many as a busy machine answers within a client's time limit
        wave = sessions[start : start + 100]
        await asyncio.gather(*(world.store.start(session, SessionKey("a key"), 0) for session in wave))
    open_before = await world.store.list_for_user(user_id)
    await world.store.end(open_before, EndReason.ENDED, world.clock.now)

    assert {session.id for session in open_before} == {session.id for session in sessions}
    assert {await world.reason(session) for session in sessions} == {EndReason.ENDED}
    assert await world.store.list_for_user(user_id) == []
