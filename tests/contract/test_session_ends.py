"""The use and the end of sessions, on every SessionStore: an ended session stays ended."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from adapters.redis.client import create_client
from adapters.redis.records import set_of
from domain.event import SYSTEM
from domain.session import EndedSession, EndReason, Session, SessionPolicy
from support.clock import Clock
from support.places import redis_and_cluster
from support.sessions import KEYS, POLICY, Scenario, after

pytestmark = pytest.mark.anyio

single_redis = pytest.mark.parametrize("session_place", ["redis"], indirect=True)


async def test_a_touch_is_stored(scenario: Scenario) -> None:
    """A touch stores the time of use and the new idle expiry, and changes nothing else."""
    session = await scenario.start()
    touched = session.touch(POLICY, scenario.clock.advance(days=3))
    await scenario.store.touch(touched)

    assert touched.idle_expires_at > session.idle_expires_at
    assert await scenario.store.find(session.id) == touched
    assert await scenario.store.list_for_user(session.user_id) == [touched]


@pytest.mark.parametrize("reason", EndReason)
async def test_a_touch_does_not_restart_an_ended_session(scenario: Scenario, reason: EndReason) -> None:
    """A touch of an ended session changes nothing."""
    session = await scenario.start()
    await scenario.store.end([session], reason, scenario.clock.now, SYSTEM)
    left = await scenario.store.find(session.id)
    await scenario.store.touch(session.touch(POLICY, scenario.clock.advance(days=1)))

    assert await scenario.store.find(session.id) == left == session.end(reason, session.created_at)
    assert await scenario.store.list_for_user(session.user_id) == []


async def test_a_touch_of_an_unknown_session_creates_nothing(scenario: Scenario) -> None:
    """A touch of an unknown session does not create a session."""
    session = scenario.new(await scenario.user())
    await scenario.store.touch(session)

    assert await scenario.store.find(session.id) is None
    assert await scenario.store.list_for_user(session.user_id) == []


async def test_a_touch_during_an_end_does_not_restart_the_session(scenario: Scenario) -> None:
    """After a concurrent touch and end, in any order, the session has ended with the given reason."""
    user_id = await scenario.user()
    sessions = [await scenario.start(user_id) for _ in range(30)]
    now = scenario.clock.advance(seconds=90)
    other, _ = scenario.environment.open(KEYS)
    for pauses, session in enumerate(sessions):
        touch = scenario.store.touch(session.touch(POLICY, now))
        end = other.end([session], EndReason.ENDED, now, SYSTEM)
        first, second = (touch, end) if pauses % 2 else (end, touch)
        await asyncio.gather(first, after(pauses // 2, second))

    assert {await scenario.reason(session) for session in sessions} == {EndReason.ENDED}
    assert await scenario.ids_of(user_id) == set()


@redis_and_cluster
async def test_an_ended_session_is_not_in_its_users_set(scenario: Scenario, session_place: str) -> None:
    """The set of a user in Redis does not retain ended sessions."""
    user_id = await scenario.user()
    ended, kept = await scenario.start(user_id), await scenario.start(user_id)
    await scenario.store.end([ended], EndReason.ENDED, scenario.clock.now, SYSTEM)
    async with create_client(session_place) as redis:
        members = [bytes(each) for each in await redis.zrange(set_of(kept.user_id), 0, -1) if isinstance(each, bytes)]

    assert [bytes.fromhex(session.id) in b"".join(members) for session in (ended, kept)] == [False, True]


@pytest.mark.parametrize("days", [0, 5, 29])
@pytest.mark.parametrize("reason", EndReason)
async def test_an_end_reason_is_retained_until_the_session_would_expire(
    scenario: Scenario, reason: EndReason, days: int
) -> None:
    """An ended session retains its reason until its maximum age or for seven days, whichever is shorter."""
    session = await scenario.start(policy=SessionPolicy(idle=timedelta(days=30)))
    now = scenario.clock.advance(days=days)
    await scenario.store.end([session], reason, now, SYSTEM)

    assert await scenario.store.find(session.id) == EndedSession(
        reason, min(session.expires_at, now + timedelta(days=7))
    )


async def test_many_sessions_end_at_once(scenario: Scenario) -> None:
    """The end of several sessions ends these and no others. The end of no sessions does nothing."""
    user_id = await scenario.user()
    first, second, third = [await scenario.start(user_id) for _ in range(3)]
    await scenario.store.end([first, second], EndReason.ENDED, scenario.clock.now, SYSTEM)
    await scenario.store.end([], EndReason.ENDED, scenario.clock.now, SYSTEM)

    assert await scenario.ids_of(user_id) == {third.id}
    assert await scenario.store.find(third.id) == third


@pytest.mark.parametrize(
    ("first", "second"), [(EndReason.ENDED, EndReason.REPLACED), (EndReason.REPLACED, EndReason.ENDED)]
)
async def test_a_session_ends_once(scenario: Scenario, first: EndReason, second: EndReason) -> None:
    """A session that is ended twice retains the first reason and its time, and counts once."""
    session = await scenario.start()
    ended = [await scenario.store.end([session], first, scenario.clock.now, SYSTEM)]
    left = await scenario.store.find(session.id)
    ended.append(await scenario.store.end([session], second, scenario.clock.advance(days=1), SYSTEM))

    assert ended == [1, 0]
    assert left == session.end(first, session.created_at)
    assert await scenario.store.find(session.id) == left


@pytest.fixture
def just_before_forgotten(clock: Clock) -> Callable[[timedelta], None]:
    """Return a function that sets the clock so that data with the given retention expires after one real second."""

    def move(kept: timedelta) -> None:
        clock.now = datetime.now(UTC) + timedelta(seconds=1) - kept

    return move


@single_redis
async def test_redis_deletes_an_expired_session_after_its_retention(
    scenario: Scenario, just_before_forgotten: Callable[[timedelta], None]
) -> None:
    """Redis retains an expired session, and its place in the user's list, until the retention is over."""
    just_before_forgotten(timedelta(days=14))
    session = await scenario.start(policy=SessionPolicy(idle=timedelta(days=7), max_age=timedelta(days=7)))

    assert await scenario.store.find(session.id) == session
    assert await is_deleted_soon(scenario, session)


@single_redis
async def test_redis_deletes_an_ended_session_after_its_retention(
    scenario: Scenario, just_before_forgotten: Callable[[timedelta], None]
) -> None:
    """Redis retains the reason of an ended session until the retention is over."""
    just_before_forgotten(timedelta(days=7))
    session = await scenario.start()
    await scenario.store.end([session], EndReason.ENDED, scenario.clock.now, SYSTEM)

    assert await scenario.reason(session) is EndReason.ENDED
    assert await is_deleted_soon(scenario, session)


async def is_deleted_soon(scenario: Scenario, session: Session) -> bool:
    """Return whether Redis deletes all data of the session within a few seconds."""
    names = (session.id.encode(), bytes.fromhex(session.id))
    for _ in range(250):
        rest = await scenario.environment.at_rest(session)
        if not any(name in rest for name in names):
            return True
        await asyncio.sleep(0.02)
    return False
