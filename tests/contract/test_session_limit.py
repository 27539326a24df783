"""How many sessions a user may have, on every SessionStore."""

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
async def test_the_oldest_session_gives_way(world: World, limit: int) -> None:
    """Of more sessions than the limit the newest stay, and each of the oldest was replaced."""
    user_id = await world.user()
    sessions = await start_some(world, user_id, limit + 2, limit)

    assert [await world.reason(session) for session in sessions] == [EndReason.REPLACED] * 2 + [None] * limit
    assert await world.ids_of(user_id) == {session.id for session in sessions[2:]}


async def test_a_start_says_how_many_gave_way(world: World) -> None:
    """Whoever counts the sessions that end hears of those that nobody ended."""
    user_id = await world.user()
    await start_some(world, user_id, 3, 0)
    started = [await world.store.start(world.new(user_id), SessionKey("a key"), limit) for limit in (0, 4, 2)]

    assert started == [0, 1, 3]


async def test_a_replaced_session_is_remembered_like_any_other(world: World) -> None:
    """What is left of a session that gave way says when it gave way and how long that is known."""
    user_id = await world.user()
    first, _, last = await start_some(world, user_id, 3, 2)
    left = await world.store.find(first.id)

    assert isinstance(left, EndedSession)
    assert left.reason is EndReason.REPLACED
    assert abs(left.retain_until - (last.created_at + timedelta(days=7))) < timedelta(milliseconds=1)


async def test_without_a_limit_no_session_gives_way(world: World) -> None:
    """With a limit of 0 a user may have any number of sessions."""
    user_id = await world.user()
    sessions = await start_some(world, user_id, 15, 0)

    assert await world.ids_of(user_id) == {session.id for session in sessions}


async def test_a_limit_is_one_users(world: World) -> None:
    """Sessions of other users do not count."""
    first, second = await world.user(), await world.user()
    sessions = [await world.start(user_id, limit=1) for user_id in (first, second)]

    assert [await world.reason(session) for session in sessions] == [None, None]


async def test_a_lower_limit_ends_all_that_are_too_many(world: World) -> None:
    """When the limit was lowered, the next login ends as many as are too many."""
    user_id = await world.user()
    sessions = await start_some(world, user_id, 5, 0)
    last = await world.start(user_id, limit=2)

    assert await world.ids_of(user_id) == {sessions[-1].id, last.id}


async def test_ended_sessions_do_not_count(world: World) -> None:
    """A session that was logged out makes room for another."""
    user_id = await world.user()
    first, second = await start_some(world, user_id, 2, 2)
    await world.store.end([second], EndReason.ENDED, world.clock.now)
    third = await world.start(user_id, limit=2)

    assert await world.ids_of(user_id) == {first.id, third.id}


async def test_expired_sessions_do_not_count(world: World) -> None:
    """Sessions that idled out neither push others out nor are pushed out themselves."""
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
async def test_the_oldest_gives_way_when_sessions_live_shorter_or_longer_now(world: World, max_age: timedelta) -> None:
    """A changed policy does not change which session is the oldest: the new one stays, and so do its later rivals."""
    user_id = await world.user()
    first, second = await start_some(world, user_id, 2, 2)
    third = await world.start(user_id, limit=2, policy=replace(POLICY, max_age=max_age))

    assert [await world.reason(session) for session in (first, second, third)] == [EndReason.REPLACED, None, None]


async def test_a_touched_session_is_no_younger(world: World) -> None:
    """The oldest session is the one that started first, however lately it was used."""
    user_id = await world.user()
    first, second = await start_some(world, user_id, 2, 2)
    await world.store.touch(first.touch(POLICY, world.clock.advance(days=1)))
    third = await world.start(user_id, limit=2)

    assert await world.ids_of(user_id) == {second.id, third.id}


async def start_after(world: World, previous: Session, limit: int) -> tuple[Session, int]:
    """Start a session in place of a previous one, and return it and how many sessions ended."""
    session = world.new(previous.user_id)
    return session, await world.store.start(session, SessionKey("a key"), limit, previous)


@pytest.mark.parametrize("limit", [0, 3, 4])
async def test_a_start_ends_the_previous_session(world: World, limit: int) -> None:
    """A session that starts in place of another ends that one alone, as replaced, if the limit allows the others."""
    sessions = await start_some(world, await world.user(), 3, 0)
    started, ended = await start_after(world, sessions[-1], limit)

    assert [await world.reason(each) for each in [*sessions, started]] == [None, None, EndReason.REPLACED, None]
    assert ended == 1


async def test_a_previous_session_beyond_a_lower_limit_counts_once(world: World) -> None:
    """The limit was lowered, and the previous session is the oldest: exactly as many stay as the limit allows."""
    sessions = await start_some(world, await world.user(), 5, 0)
    started, ended = await start_after(world, sessions[0], 2)

    assert await world.ids_of(started.user_id) == {sessions[-1].id, started.id}
    assert ended == 4


async def test_a_previous_session_that_has_ended_keeps_its_reason(world: World) -> None:
    """A log-out between the look at the previous session and the start of the next one is not overwritten."""
    session = await world.start()
    await world.store.end([session], EndReason.ENDED, world.clock.now)
    _, ended = await start_after(world, session, 0)

    assert (ended, await world.reason(session)) == (0, EndReason.ENDED)


async def test_logins_at_once_do_not_exceed_the_limit(world: World) -> None:
    """Of twenty sessions of one user that start at once, the three newest stay, and the others were replaced."""
    user_id, sessions = await world.user(), []
    for _ in range(20):
        sessions.append(world.new(user_id))
        world.clock.advance(milliseconds=1)
    await asyncio.gather(*(world.store.start(session, SessionKey("a key"), 3) for session in sessions))

    assert [await world.reason(session) for session in sessions] == [EndReason.REPLACED] * 17 + [None] * 3
    assert await world.ids_of(user_id) == {session.id for session in sessions[17:]}


async def test_logins_in_one_moment_do_not_exceed_the_limit(world: World) -> None:
    """Sessions that start at the same microsecond are limited too."""
    user_id = await world.user()
    await asyncio.gather(*(world.start(user_id, limit=3) for _ in range(10)))

    assert len(await world.ids_of(user_id)) == 3


@in_redis
async def test_a_user_may_have_a_thousand_sessions(world: World) -> None:
    """Without a limit, a user has as many sessions as there were logins, all of which are seen and ended at once."""
    user_id = await world.user()
    sessions = [world.new(user_id) for _ in range(1000)]
    for start in range(0, len(sessions), 100):  # as many at once as a busy machine answers within a client's time limit
        wave = sessions[start : start + 100]
        await asyncio.gather(*(world.store.start(session, SessionKey("a key"), 0) for session in wave))
    open_before = await world.store.list_for_user(user_id)
    await world.store.end(open_before, EndReason.ENDED, world.clock.now)

    assert {session.id for session in open_before} == {session.id for session in sessions}
    assert {await world.reason(session) for session in sessions} == {EndReason.ENDED}
    assert await world.store.list_for_user(user_id) == []
