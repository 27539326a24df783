"""How sessions are used and end, on every SessionStore: what has ended stays ended."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from adapters.redis.client import create_client
from adapters.redis.records import set_of
from domain.session import EndedSession, EndReason, Session, SessionPolicy
from support.clock import Clock
from support.places import in_redis
from support.sessions import KEYS, POLICY, World, after

pytestmark = pytest.mark.anyio

on_redis = pytest.mark.parametrize("session_place", ["redis"], indirect=True)


async def test_a_touch_is_kept(world: World) -> None:
    """A touch writes when the session was seen and when it idles out, and changes nothing else."""
    session = await world.start()
    touched = session.touch(POLICY, world.clock.advance(days=3))
    await world.store.touch(touched)

    assert touched.idle_expires_at > session.idle_expires_at
    assert await world.store.find(session.id) == touched
    assert await world.store.list_for_user(session.user_id) == [touched]


@pytest.mark.parametrize("reason", EndReason)
async def test_a_touch_revives_nothing(world: World, reason: EndReason) -> None:
    """A touch of an ended session changes nothing."""
    session = await world.start()
    await world.store.end([session], reason, world.clock.now)
    left = await world.store.find(session.id)
    await world.store.touch(session.touch(POLICY, world.clock.advance(days=1)))

    assert await world.store.find(session.id) == left == session.end(reason, session.created_at)
    assert await world.store.list_for_user(session.user_id) == []


async def test_a_touch_of_what_never_started_is_nothing(world: World) -> None:
    """A touch of a session that the store does not know makes no session."""
    session = world.new(await world.user())
    await world.store.touch(session)

    assert await world.store.find(session.id) is None
    assert await world.store.list_for_user(session.user_id) == []


async def test_a_touch_that_races_an_end_revives_nothing(world: World) -> None:
    """However a touch and the end of a session fall together, it has ended afterwards, with the reason given."""
    user_id = await world.user()
    sessions = [await world.start(user_id) for _ in range(30)]
    now = world.clock.advance(seconds=90)
    other, _ = world.home.open(KEYS)
    for pauses, session in enumerate(sessions):
        touch = world.store.touch(session.touch(POLICY, now))
        end = other.end([session], EndReason.ENDED, now)
        first, second = (touch, end) if pauses % 2 else (end, touch)
        await asyncio.gather(first, after(pauses // 2, second))

    assert {await world.reason(session) for session in sessions} == {EndReason.ENDED}
    assert await world.ids_of(user_id) == set()


@in_redis
async def test_an_ended_session_leaves_its_users_set(world: World, session_place: str) -> None:
    """The set of a user in Redis does not grow with the sessions that ended."""
    ended, kept = [await world.start(user_id) for user_id in [await world.user()] for _ in range(2)]
    await world.store.end([ended], EndReason.ENDED, world.clock.now)
    async with create_client(session_place) as redis:
        members = [bytes(each) for each in await redis.zrange(set_of(kept.user_id), 0, -1) if isinstance(each, bytes)]

    assert [bytes.fromhex(session.id) in b"".join(members) for session in (ended, kept)] == [False, True]


@pytest.mark.parametrize("days", [0, 5, 29])
@pytest.mark.parametrize("reason", EndReason)
async def test_an_end_keeps_its_reason_as_long_as_the_session_would_have_lived(
    world: World, reason: EndReason, days: int
) -> None:
    """What is left of a session is its reason, until its greatest age or for seven days, to the microsecond."""
    session = await world.start(policy=SessionPolicy(idle=timedelta(days=30)))
    now = world.clock.advance(days=days)
    await world.store.end([session], reason, now)

    assert await world.store.find(session.id) == EndedSession(reason, min(session.expires_at, now + timedelta(days=7)))


async def test_many_sessions_end_at_once(world: World) -> None:
    """Ending several sessions ends those and no other, and ending none is nothing."""
    user_id = await world.user()
    first, second, third = [await world.start(user_id) for _ in range(3)]
    await world.store.end([first, second], EndReason.ENDED, world.clock.now)
    await world.store.end([], EndReason.ENDED, world.clock.now)

    assert await world.ids_of(user_id) == {third.id}
    assert await world.store.find(third.id) == third


@pytest.mark.parametrize(
    ("first", "second"), [(EndReason.ENDED, EndReason.REPLACED), (EndReason.REPLACED, EndReason.ENDED)]
)
async def test_a_session_ends_once(world: World, first: EndReason, second: EndReason) -> None:
    """A session that is ended twice keeps the first reason and its time."""
    session = await world.start()
    await world.store.end([session], first, world.clock.now)
    left = await world.store.find(session.id)
    await world.store.end([session], second, world.clock.advance(days=1))

    assert left == session.end(first, session.created_at)
    assert await world.store.find(session.id) == left


@pytest.fixture
def just_before_forgotten(clock: Clock) -> Callable[[timedelta], None]:
    """Moves the clock back, so that what is kept for that long is forgotten after a second of real time."""

    def move(kept: timedelta) -> None:
        clock.now = datetime.now(UTC) + timedelta(seconds=1) - kept

    return move


@on_redis
async def test_redis_drops_an_expired_session_by_itself(
    world: World, just_before_forgotten: Callable[[timedelta], None]
) -> None:
    """Redis keeps an expired session until it is forgotten, and no longer, and the user's list of sessions too."""
    just_before_forgotten(timedelta(days=14))
    session = await world.start(policy=SessionPolicy(idle=timedelta(days=7), max_age=timedelta(days=7)))

    assert await world.store.find(session.id) == session
    assert await is_gone_soon(world, session)


@on_redis
async def test_redis_drops_an_ended_session_by_itself(
    world: World, just_before_forgotten: Callable[[timedelta], None]
) -> None:
    """Redis keeps the reason of an ended session until it is forgotten, and no longer."""
    just_before_forgotten(timedelta(days=7))
    session = await world.start()
    await world.store.end([session], EndReason.ENDED, world.clock.now)

    assert await world.reason(session) is EndReason.ENDED
    assert await is_gone_soon(world, session)


async def is_gone_soon(world: World, session: Session) -> bool:
    """Whether nothing is left of the session within a few seconds."""
    names = (session.id.encode(), bytes.fromhex(session.id))
    for _ in range(250):
        rest = await world.home.at_rest(session)
        if not any(name in rest for name in names):
            return True
        await asyncio.sleep(0.02)
    return False
