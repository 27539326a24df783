"""The limit on the sessions of a user, on every SessionStore."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.errors import SessionExpired
from domain.event import DEFAULT_POLICY, SYSTEM, EventPolicy
from domain.session import EndedSession, EndReason, Session
from domain.session_key import SessionKey
from support.places import WITHOUT_SENTINEL, each_place
from support.sessions import KEYS, POLICY, Scenario, start_some

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("limit", [1, 3])
async def test_the_oldest_session_is_replaced(scenario: Scenario, limit: int) -> None:
    """When a user exceeds the limit, the newest sessions stay live and the oldest are replaced."""
    user_id = await scenario.user()
    sessions = await start_some(scenario, user_id, limit + 2, limit)

    assert [await scenario.reason(session) for session in sessions] == [EndReason.REPLACED] * 2 + [None] * limit
    assert await scenario.ids_of(user_id) == {session.id for session in sessions[2:]}


async def test_a_start_returns_how_many_sessions_it_replaced(scenario: Scenario) -> None:
    """A start returns the number of sessions that it replaces."""
    user_id = await scenario.user()
    await start_some(scenario, user_id, 3, 0)
    started = [await scenario.store.start(scenario.new(user_id), SessionKey("a key"), limit) for limit in (0, 4, 2)]

    assert started == [0, 1, 3]


async def test_a_replaced_session_is_retained_like_any_other(scenario: Scenario) -> None:
    """A replaced session has the reason REPLACED, and is retained for seven days after its replacement."""
    user_id = await scenario.user()
    first, _, last = await start_some(scenario, user_id, 3, 2)
    left = await scenario.store.find(first.id)

    assert isinstance(left, EndedSession)
    assert left.reason is EndReason.REPLACED
    assert abs(left.retain_until - (last.created_at + timedelta(days=7))) < timedelta(milliseconds=1)


async def test_without_a_limit_no_session_is_replaced(scenario: Scenario) -> None:
    """With a limit of 0 a user may have any number of sessions."""
    user_id = await scenario.user()
    sessions = await start_some(scenario, user_id, 15, 0)

    assert await scenario.ids_of(user_id) == {session.id for session in sessions}


async def test_the_limit_counts_sessions_of_one_user(scenario: Scenario) -> None:
    """The limit of a user does not count the sessions of other users."""
    first, second = await scenario.user(), await scenario.user()
    sessions = [await scenario.start(user_id, limit=1) for user_id in (first, second)]

    assert [await scenario.reason(session) for session in sessions] == [None, None]


async def test_a_lower_limit_ends_all_that_are_too_many(scenario: Scenario) -> None:
    """When the limit is lowered, the next login ends all sessions beyond it."""
    user_id = await scenario.user()
    sessions = await start_some(scenario, user_id, 5, 0)
    last = await scenario.start(user_id, limit=2)

    assert await scenario.ids_of(user_id) == {sessions[-1].id, last.id}


async def test_ended_sessions_do_not_count(scenario: Scenario) -> None:
    """A session that was logged out does not count for the limit."""
    user_id = await scenario.user()
    first, second = await start_some(scenario, user_id, 2, 2)
    await scenario.store.end([second], EndReason.ENDED, scenario.clock.now, SYSTEM)
    third = await scenario.start(user_id, limit=2)

    assert await scenario.ids_of(user_id) == {first.id, third.id}


async def test_expired_sessions_do_not_count(scenario: Scenario) -> None:
    """An expired session does not count for the limit, and the limit does not end it."""
    user_id = await scenario.user()
    idle, used = await start_some(scenario, user_id, 2, 2)
    now = scenario.clock.advance(days=6)
    await scenario.store.touch(used.touch(POLICY, now))
    now = scenario.clock.advance(days=3)
    newest = await scenario.start(user_id, limit=2)
    found = await scenario.store.find(idle.id)

    assert [await scenario.reason(session) for session in (used, newest)] == [None, None]
    assert found == idle
    with pytest.raises(SessionExpired):
        found.require_live(now)


@pytest.mark.parametrize("max_age", [timedelta(days=8), timedelta(days=90)], ids=["shorter", "longer"])
async def test_the_oldest_is_replaced_after_a_change_of_the_maximum_age(scenario: Scenario, max_age: timedelta) -> None:
    """A changed maximum age does not change the order of sessions: the limit ends the session that started first."""
    user_id = await scenario.user()
    first, second = await start_some(scenario, user_id, 2, 2)
    third = await scenario.start(user_id, limit=2, policy=replace(POLICY, max_age=max_age))

    assert [await scenario.reason(session) for session in (first, second, third)] == [EndReason.REPLACED, None, None]


async def test_a_touch_does_not_make_a_session_newer(scenario: Scenario) -> None:
    """The oldest session is the one that started first, even if it was used recently."""
    user_id = await scenario.user()
    first, second = await start_some(scenario, user_id, 2, 2)
    await scenario.store.touch(first.touch(POLICY, scenario.clock.advance(days=1)))
    third = await scenario.start(user_id, limit=2)

    assert await scenario.ids_of(user_id) == {second.id, third.id}


async def start_after(scenario: Scenario, previous: Session, limit: int) -> tuple[Session, int]:
    """Start a session in place of a previous one, and return it and the number of sessions that ended."""
    session = scenario.new(previous.user_id)
    return session, await scenario.store.start(session, SessionKey("a key"), limit, previous)


@pytest.mark.parametrize("limit", [0, 3, 4])
async def test_a_start_ends_the_previous_session(scenario: Scenario, limit: int) -> None:
    """A session that starts in place of another ends only that session, as replaced, if the limit allows the others."""
    sessions = await start_some(scenario, await scenario.user(), 3, 0)
    started, ended = await start_after(scenario, sessions[-1], limit)

    assert [await scenario.reason(each) for each in [*sessions, started]] == [None, None, EndReason.REPLACED, None]
    assert ended == 1


async def test_a_previous_session_beyond_a_lower_limit_counts_once(scenario: Scenario) -> None:
    """When the previous session is also beyond a lowered limit, exactly as many sessions stay as the limit allows."""
    sessions = await start_some(scenario, await scenario.user(), 5, 0)
    started, ended = await start_after(scenario, sessions[0], 2)

    assert await scenario.ids_of(started.user_id) == {sessions[-1].id, started.id}
    assert ended == 4


async def test_an_ended_previous_session_retains_its_reason(scenario: Scenario) -> None:
    """When the previous session is logged out before the next one starts, its reason does not change."""
    session = await scenario.start()
    await scenario.store.end([session], EndReason.ENDED, scenario.clock.now, SYSTEM)
    _, ended = await start_after(scenario, session, 0)

    assert (ended, await scenario.reason(session)) == (0, EndReason.ENDED)


async def test_logins_at_once_do_not_exceed_the_limit(scenario: Scenario) -> None:
    """Of twenty sessions of one user that start concurrently, the three newest stay live. The others are replaced."""
    user_id, sessions = await scenario.user(), []
    for _ in range(20):
        sessions.append(scenario.new(user_id))
        scenario.clock.advance(milliseconds=1)
    await asyncio.gather(*(scenario.store.start(session, SessionKey("a key"), 3) for session in sessions))

    assert [await scenario.reason(session) for session in sessions] == [EndReason.REPLACED] * 17 + [None] * 3
    assert await scenario.ids_of(user_id) == {session.id for session in sessions[17:]}


async def test_logins_in_one_moment_do_not_exceed_the_limit(scenario: Scenario) -> None:
    """The limit also applies to sessions that start in the same microsecond."""
    user_id = await scenario.user()
    await asyncio.gather(*(scenario.start(user_id, limit=3) for _ in range(10)))

    assert len(await scenario.ids_of(user_id)) == 3


@each_place(WITHOUT_SENTINEL)
@pytest.mark.parametrize("policy", [DEFAULT_POLICY, EventPolicy(audit_sessions=True)], ids=["no events", "events"])
async def test_a_user_may_have_a_thousand_sessions(scenario: Scenario, policy: EventPolicy) -> None:
    """Without a limit, a user can have a thousand sessions, which are listed and ended in one call."""
    store, _ = scenario.environment.open(KEYS, policy)
    user_id = await scenario.user()
    sessions = [scenario.new(user_id) for _ in range(1000)]
    for start in range(0, len(sessions), 100):  # as many as a busy machine answers within a client's time limit
        wave = sessions[start : start + 100]
        await asyncio.gather(*(store.start(session, SessionKey("a key"), 0) for session in wave))
    before = await store.list_for_user(user_id)
    ended = await store.end(before, EndReason.ENDED, scenario.clock.now, SYSTEM)

    assert {session.id for session in before} == {session.id for session in sessions}
    assert ended == len(sessions)
    assert {await scenario.reason(session) for session in sessions} == {EndReason.ENDED}
    assert await scenario.store.list_for_user(user_id) == []
