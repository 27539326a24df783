"""The promises of SessionStore, on every adapter."""

import asyncio
import base64
import secrets
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet, MultiFernet

from application.ports import SessionStore
from domain.errors import Retry, SessionExpired, StoreUnavailable, TokenInvalid
from domain.identity import AppId, Identity
from domain.session import Client, EndedSession, EndReason, Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from support.clock import Clock
from support.servers import find_mariadb
from support.stores import Home, open_home

pytestmark = pytest.mark.anyio

APP = AppId("wx0000000000000001")
POLICY = SessionPolicy(idle=timedelta(days=7), max_age=timedelta(days=30))
OLD, NEW = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())
SEALED = b"gAAAA"
"""How every Fernet token of this century begins: https://github.com/fernet/spec."""
PHONE = Client("MicroMessenger/8.0 微信 👩\N{ZERO WIDTH JOINER}👧 Ünïcode", "2001:db8::1")

DATABASES = ["sqlite", "postgresql", *(["mariadb"] if find_mariadb() else [])]
durable = pytest.mark.parametrize("session_place", ["redis", "redis-cluster", *DATABASES], indirect=True)
in_redis = pytest.mark.parametrize("session_place", ["redis", "redis-cluster"], indirect=True)
on_redis = pytest.mark.parametrize("session_place", ["redis"], indirect=True)


class World:
    """A store, and users whose sessions it keeps."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self.home = home
        self.clock = clock
        self.store, self.vault = home.open(MultiFernet([OLD]))

    async def user(self) -> str:
        """The id of a new user."""
        user, _ = await self.home.users.find_or_create(Identity(APP, f"o{uuid.uuid4().hex}"), self.clock.now)
        return user.id

    async def start(
        self, user_id: str | None = None, *, limit: int = 0, client: Client = PHONE, policy: SessionPolicy = POLICY
    ) -> Session:
        """Start a session now, of a new user unless one is given."""
        session = self.new(user_id or await self.user(), client, policy)
        await self.store.start(session, SessionKey(f"key of {session.id}"), limit)
        return session

    def new(self, user_id: str, client: Client = PHONE, policy: SessionPolicy = POLICY) -> Session:
        """A session that the store has not seen."""
        identity = Identity(APP, f"o{user_id}", f"u{user_id}")
        return Session.start(SessionToken.generate(), user_id, identity, client, policy, self.clock.now)

    async def reason(self, session: Session) -> EndReason | None:
        """Why the session is over, or None if it is not."""
        found = await self.store.find(session.id)
        return found.reason if isinstance(found, EndedSession) else None

    async def ids_of(self, user_id: str) -> set[str]:
        """The user's sessions that have not ended."""
        return {session.id for session in await self.store.of_user(user_id)}


@pytest.fixture
async def world(session_place: str, clock: Clock) -> AsyncIterator[World]:
    """The store under test."""
    async with open_home(session_place) as home:
        yield World(home, clock)


@pytest.mark.parametrize(
    "client",
    [PHONE, Client(), Client("", "203.0.113.7"), Client("🀄" * 512, "f" * 45)],
    ids=["phone", "none", "", "long"],
)
async def test_a_session_is_found_as_it_started(world: World, client: Client) -> None:
    """All of a session comes back as it went in: its user, identity and device, its times to the microsecond."""
    session = await world.start(client=client)

    found = await world.store.find(session.id)

    assert found == session
    assert isinstance(found, Session)
    assert found.created_at.microsecond == 123456
    assert {found.created_at.tzinfo, found.last_seen_at.tzinfo, found.idle_expires_at.tzinfo} == {UTC}


async def test_a_session_without_a_unionid_is_found_without_one(world: World) -> None:
    """A unionid that WeChat did not show stays unknown."""
    session = world.new(await world.user())
    session = replace(session, identity=replace(session.identity, unionid=None))
    await world.store.start(session, SessionKey("a key"), 0)

    assert await world.store.find(session.id) == session


@pytest.mark.parametrize("session_id", ["", "0" * 32, "x" * 60, "会话", "\x00", "*", "' OR ''='"], ids=ascii)
async def test_what_never_started_is_unknown(world: World, session_id: str) -> None:
    """An id that no session has, whatever it looks like, finds nothing."""
    await world.start()

    assert await world.store.find(session_id) is None


async def test_an_expired_session_is_found_until_it_is_forgotten(world: World) -> None:
    """For a week after its end an expired session says that it expired, then its token is just invalid."""
    session = await world.start()
    now = world.clock.advance(days=7)
    found = await world.store.find(session.id)

    assert found
    with pytest.raises(SessionExpired):
        found.live(now)
    with pytest.raises(TokenInvalid):
        found.live(now + timedelta(days=7))


async def test_a_touch_is_kept(world: World) -> None:
    """A touch writes when the session was seen and when it idles out, and changes nothing else."""
    session = await world.start()
    touched = session.touch(POLICY, world.clock.advance(days=3))
    await world.store.touch(touched)

    assert touched.idle_expires_at > session.idle_expires_at
    assert await world.store.find(session.id) == touched
    assert await world.store.of_user(session.user_id) == [touched]


@pytest.mark.parametrize("reason", EndReason)
async def test_a_touch_revives_nothing(world: World, reason: EndReason) -> None:
    """A touch of an ended session changes nothing."""
    session = await world.start()
    await world.store.end([session], reason, world.clock.now)
    left = await world.store.find(session.id)
    await world.store.touch(session.touch(POLICY, world.clock.advance(days=1)))

    assert await world.store.find(session.id) == left == session.end(reason, session.created_at)
    assert await world.store.of_user(session.user_id) == []


async def test_a_touch_of_what_never_started_is_nothing(world: World) -> None:
    """A touch of a session that the store does not know makes no session."""
    session = world.new(await world.user())
    await world.store.touch(session)

    assert await world.store.find(session.id) is None
    assert await world.store.of_user(session.user_id) == []


async def test_a_touch_that_races_an_end_revives_nothing(world: World) -> None:
    """However a touch and the end of a session fall together, it has ended afterwards, with the reason given."""
    user_id = await world.user()
    sessions = [await world.start(user_id) for _ in range(30)]
    now = world.clock.advance(seconds=90)
    for pauses, session in enumerate(sessions):
        touches = [world.store.touch(session.touch(POLICY, now)) for _ in range(2)]
        end = world.store.end([session], EndReason.ENDED, now)
        await asyncio.gather(*touches, after(pauses % 15, end))

    assert {await world.reason(session) for session in sessions} == {EndReason.ENDED}
    assert await world.ids_of(user_id) == set()


async def after(pauses: int, call: Awaitable[None]) -> None:
    """Call when other tasks had that many turns."""
    for _ in range(pauses):
        await asyncio.sleep(0)
    await call


async def test_a_users_sessions_are_those_not_ended(world: World) -> None:
    """A user has the sessions that started and have not ended, and no other user's."""
    user_id, other = await world.user(), await world.user()
    ended, *kept = [await world.start(user_id) for _ in range(4)]
    await world.start(other)
    await world.store.end([ended], EndReason.ENDED, world.clock.now)
    mine = sorted(await world.store.of_user(user_id), key=lambda session: session.id)

    assert mine == sorted(kept, key=lambda session: session.id)
    assert await world.store.of_user(await world.user()) == []


@pytest.mark.parametrize("user_id", ["", "nobody", "用户", "\x00"], ids=ascii)
async def test_nobody_has_no_sessions(world: World, user_id: str) -> None:
    """A user who is not there, whatever the id looks like, has no sessions."""

    assert await world.store.of_user(user_id) == []


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


async def start_some(world: World, user_id: str, number: int, limit: int) -> list[Session]:
    """Start that many sessions of a user, a second apart."""
    sessions = []
    for _ in range(number):
        sessions.append(await world.start(user_id, limit=limit))
        world.clock.advance(seconds=1)
    return sessions


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
    assert abs(left.forget_at - (last.created_at + timedelta(days=7))) < timedelta(milliseconds=1)


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
        found.live(now)


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
    await asyncio.gather(*(world.store.start(session, SessionKey("a key"), 0) for session in sessions))
    open_before = await world.store.of_user(user_id)
    await world.store.end(open_before, EndReason.ENDED, world.clock.now)

    assert {session.id for session in open_before} == {session.id for session in sessions}
    assert {await world.reason(session) for session in sessions} == {EndReason.ENDED}
    assert await world.store.of_user(user_id) == []


async def test_a_purge_drops_what_is_forgotten(world: World, session_place: str) -> None:
    """A purge drops sessions at the moment they are forgotten, says how many, and leaves all others."""
    await world.store.purge(world.clock.now + timedelta(days=365))
    ended, expired = await world.start(), await world.start()
    await world.store.end([ended], EndReason.ENDED, world.clock.now)
    world.clock.advance(seconds=1)
    young = await world.start()
    drops_by_itself = session_place.startswith("redis")

    assert await world.store.purge(ended.created_at + timedelta(days=7) - timedelta(microseconds=1)) == 0
    assert await world.reason(ended) is EndReason.ENDED
    assert await world.store.purge(ended.created_at + timedelta(days=7)) == (0 if drops_by_itself else 1)
    assert await world.store.purge(expired.forget_at) == (0 if drops_by_itself else 1)
    assert await world.store.find(young.id) == young
    assert drops_by_itself or [await world.store.find(gone.id) for gone in (ended, expired)] == [None, None]


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
    assert {session.user_id for session in await world.store.of_user(into)} == {into}
    assert await world.ids_of(one) == set()
    assert await world.store.find(bystander.id) == bystander


@pytest.mark.parametrize("reason", EndReason)
async def test_what_has_ended_does_not_come_back_by_moving(world: World, reason: EndReason) -> None:
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
    assert await world.store.of_user(into) == [touched]
    assert await world.reason(second) is EndReason.ENDED


async def test_a_session_that_its_holder_knew_before_the_move_ends_after_it(world: World) -> None:
    """Who looked a session up under the former user and ends it after the move has ended it."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    await world.store.move(one, into)
    await world.store.end([session], EndReason.ENDED, world.clock.now)

    assert await world.reason(session) is EndReason.ENDED
    assert await world.store.of_user(into) == []


async def test_a_touch_does_not_move_a_session_back(world: World) -> None:
    """Who looked a session up under the former user and touches it after the move leaves it with the other."""
    one, into = await world.user(), await world.user()
    session = await world.start(one)
    await world.store.move(one, into)
    touched = session.touch(POLICY, world.clock.advance(days=3))
    await world.store.touch(touched)

    assert await world.store.find(session.id) == replace(touched, user_id=into)
    assert await world.store.of_user(into) == [replace(touched, user_id=into)]
    assert await world.store.of_user(one) == []


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
        found.live(session.idle_expires_at)


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
    for _ in range(250):
        rest = await world.home.at_rest(session)
        if session.id.encode() not in rest and f"wx:u:{session.user_id}".encode() not in rest:
            return True
        await asyncio.sleep(0.02)
    return False


@durable
async def test_sessions_survive_a_restart(world: World) -> None:
    """Another store on the same server has the sessions and their ends."""
    live, ended = await world.start(), await world.start()
    await world.store.end([ended], EndReason.ENDED, world.clock.now)

    restarted, _ = world.home.open(MultiFernet([OLD]))

    assert await restarted.find(live.id) == live
    assert await restarted.of_user(live.user_id) == [live]
    assert await restarted.find(ended.id) == ended.end(EndReason.ENDED, world.clock.now)


@durable
async def test_no_secret_rests(world: World) -> None:
    """Neither the session_key nor the token is in what the store keeps, as text or as bytes."""
    token, key = SessionToken.generate(), base64.b64encode(secrets.token_bytes(16)).decode()
    session = replace(world.new(await world.user()), id=token.session_id)
    await world.store.start(session, SessionKey(key), 0)

    kept = await world.home.at_rest(session)

    assert session.identity.openid.encode() in kept
    assert (await world.vault.find(session.identity)).current == SessionKey(key)
    for secret in (
        key.encode(),
        base64.b64decode(key),
        token.value.encode(),
        base64.urlsafe_b64decode(token.value + "="),
    ):
        assert secret not in kept
        assert secret.hex().encode() not in kept


@pytest.fixture
async def unreachable(unreachable_place: str) -> AsyncIterator[SessionStore]:
    """A store whose server is not there."""
    async with open_home(unreachable_place) as home:
        yield home.open(MultiFernet([OLD]))[0]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda store, session: store.start(session, SessionKey("a key"), 3), id="start"),
        pytest.param(lambda store, session: store.find(session.id), id="find"),
        pytest.param(lambda store, session: store.touch(session), id="touch"),
        pytest.param(lambda store, session: store.of_user(session.user_id), id="of_user"),
        pytest.param(lambda store, session: store.end([session], EndReason.ENDED, session.created_at), id="end"),
        pytest.param(lambda store, session: store.move(session.user_id, "bob"), id="move"),
    ],
)
async def test_a_server_that_is_not_there_is_unavailable(
    unreachable: SessionStore, clock: Clock, call: Callable[[SessionStore, Session], Awaitable[object]]
) -> None:
    """Whatever is asked of a store whose server does not answer, it is StoreUnavailable, which says to try later."""
    identity = Identity(APP, "oAnn")
    session = Session.start(SessionToken.generate(), "ann", identity, Client(), POLICY, clock.now)
    with pytest.raises(StoreUnavailable) as failed:
        await call(unreachable, session)

    assert failed.value.retry is Retry.LATER
    assert "nothing" not in failed.value.detail
