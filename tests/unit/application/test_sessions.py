"""Authentication of a token, the list of a user's sessions, and log-out."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from adapters.memory.session_store import MemorySessionStore
from application.sessions import Sessions
from domain.device import UNKNOWN_DEVICE
from domain.errors import (
    NotFound,
    SessionEnded,
    SessionExpired,
    SessionReplaced,
    TokenInvalid,
    TokenMissing,
    WxLoginError,
)
from domain.event import SYSTEM
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from support.clock import Clock

pytestmark = pytest.mark.anyio

POLICY = SessionPolicy(idle=timedelta(days=7), max_age=timedelta(days=30))
INTERVAL = 60.0
APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
NEVER_ISSUED = "0123456789-_abcdefghijklmnopqrstuvwxyzABCDE"


class Started:
    """A started session, and its token."""

    def __init__(self, token: SessionToken, session: Session) -> None:
        self.token = token.value
        self.session = session
        self.id = session.id


Start = Callable[..., Awaitable[Started]]


@pytest.fixture
def sessions(store: MemorySessionStore, clock: Clock) -> Sessions:
    """The use case."""
    return Sessions(store, policy=POLICY, clock=clock)


@pytest.fixture
def start(store: MemorySessionStore, clock: Clock) -> Start:
    """Return a function that starts a session of a user now."""

    async def start(user_id: str = "ann", limit: int = 0, appid: AppId = APP) -> Started:
        token = SessionToken.generate()
        identity = Identity(appid, f"o{user_id}")
        session = Session.start(token, user_id, identity, UNKNOWN_DEVICE, POLICY, clock())
        await store.start(session, SessionKey("a key"), limit)
        return Started(token, session)

    return start


async def test_a_token_authenticates_its_session(sessions: Sessions, start: Start) -> None:
    """Each token authenticates its own session."""
    ann, bob = await start("ann"), await start("bob")

    assert await sessions.authenticate(ann.token) == ann.session
    assert await sessions.authenticate(bob.token) == bob.session


@pytest.mark.parametrize(
    ("token", "error"),
    [("", TokenMissing), ("no token of ours", TokenInvalid), (NEVER_ISSUED, TokenInvalid)],
)
async def test_an_unknown_token_is_refused(sessions: Sessions, token: str, error: type[WxLoginError]) -> None:
    """A missing token raises TokenMissing, and an unknown one raises TokenInvalid."""
    with pytest.raises(error):
        await sessions.authenticate(token)


async def test_an_idle_session_expires(sessions: Sessions, start: Start, clock: Clock) -> None:
    """A session that is unused for its idle time raises SessionExpired, and TokenInvalid seven days later."""
    started = await start()
    clock.advance(days=7)
    with pytest.raises(SessionExpired):
        await sessions.authenticate(started.token)
    clock.advance(days=7)
    with pytest.raises(TokenInvalid):
        await sessions.authenticate(started.token)


async def test_a_session_in_use_expires_at_its_maximum_age(sessions: Sessions, start: Start, clock: Clock) -> None:
    """A session that is used daily is live until its maximum age, and then raises SessionExpired."""
    started = await start()
    for _ in range(29):
        clock.advance(days=1)
        await sessions.authenticate(started.token)
    clock.advance(days=1)
    with pytest.raises(SessionExpired):
        await sessions.authenticate(started.token)


async def test_a_session_logged_out_is_ended(sessions: Sessions, start: Start, clock: Clock) -> None:
    """The token of a session that was logged out raises SessionEnded, and TokenInvalid seven days later."""
    started = await start()
    await sessions.end(started.id, SYSTEM)
    with pytest.raises(SessionEnded):
        await sessions.authenticate(started.token)
    clock.advance(days=7)
    with pytest.raises(TokenInvalid):
        await sessions.authenticate(started.token)


async def test_the_token_of_a_replaced_session_is_refused(sessions: Sessions, start: Start, clock: Clock) -> None:
    """The token of a session that a newer login replaced raises SessionReplaced."""
    started = await start(limit=1)
    clock.advance(seconds=1)
    await start(limit=1)
    with pytest.raises(SessionReplaced):
        await sessions.authenticate(started.token)


async def test_a_session_is_written_at_most_once_an_interval(
    sessions: Sessions, start: Start, store: MemorySessionStore, clock: Clock
) -> None:
    """A touch is stored at most once a minute, however often the session is used."""
    started = await start()
    written = []
    for seconds in (INTERVAL - 0.000001, 0.000001, INTERVAL - 1, 1):
        clock.advance(seconds=seconds)
        await sessions.authenticate(started.token)
        kept = await store.find(started.id)
        assert isinstance(kept, Session)
        written.append((kept.last_seen_at - started.session.created_at).total_seconds())

    assert written == [0, INTERVAL, INTERVAL, 2 * INTERVAL]


async def test_a_used_session_stays_live(
    sessions: Sessions, start: Start, store: MemorySessionStore, clock: Clock
) -> None:
    """Use of a session renews its idle time, in the answer and in the store."""
    started = await start()
    now = clock.advance(days=6)

    session = await sessions.authenticate(started.token)

    assert session == await store.find(started.id)
    assert (session.last_seen_at, session.idle_expires_at) == (now, now + POLICY.idle)


async def test_a_users_sessions_are_listed_newest_first(sessions: Sessions, start: Start, clock: Clock) -> None:
    """The list of a user has the live sessions from the newest to the oldest, and no ended or expired session."""
    await start()
    clock.advance(days=8)
    ended = await start()
    await sessions.end(ended.id, SYSTEM)
    live = []
    for _ in range(4):
        clock.advance(seconds=1)
        live.append((await start()).session)
    await start("bob")

    assert await sessions.list_for_user("ann") == live[::-1]


async def test_one_session_is_ended(sessions: Sessions, start: Start) -> None:
    """The end of one session of a user ends no other session."""
    first, second = await start(), await start()
    await sessions.end(first.id, SYSTEM, user_id="ann")

    assert await sessions.list_for_user("ann") == [second.session]


async def test_another_users_session_is_not_found(sessions: Sessions, start: Start) -> None:
    """The end of another user's session raises NotFound, and the session stays live."""
    started = await start("bob")
    with pytest.raises(NotFound):
        await sessions.end(started.id, SYSTEM, user_id="ann")

    assert await sessions.authenticate(started.token) == started.session


async def test_a_session_that_is_over_is_not_found(sessions: Sessions, start: Start, clock: Clock) -> None:
    """The end of an unknown, ended or expired session raises NotFound, with the same text each time."""
    expired = await start()
    clock.advance(days=7)
    ended = await start()
    await sessions.end(ended.id, SYSTEM)
    details = set()
    for session_id in (expired.id, ended.id, "0" * 32):
        with pytest.raises(NotFound) as refused:
            await sessions.end(session_id, SYSTEM)
        details.add(refused.value.detail)

    assert len(details) == 1


async def test_a_failed_end_changes_no_reason(sessions: Sessions, start: Start, clock: Clock) -> None:
    """A failed end of an expired session does not change its reason: it still raises SessionExpired."""
    started = await start()
    clock.advance(days=7)
    with pytest.raises(NotFound):
        await sessions.end(started.id, SYSTEM)
    with pytest.raises(SessionExpired):
        await sessions.authenticate(started.token)


async def test_a_session_of_another_app_is_not_found_nor_used(sessions: Sessions, start: Start, clock: Clock) -> None:
    """When only some apps are allowed, a session of another app raises TokenInvalid. Its idle time is not renewed."""
    mine, foreign = await start(appid=APP), await start(appid=OTHER_APP)
    clock.advance(days=6)

    assert (await sessions.authenticate(mine.token, {APP})).id == mine.id
    with pytest.raises(TokenInvalid):
        await sessions.authenticate(foreign.token, {APP})
    clock.advance(days=1)
    with pytest.raises(SessionExpired):
        await sessions.authenticate(foreign.token)


async def test_a_session_of_another_app_cannot_be_revoked(sessions: Sessions, start: Start) -> None:
    """A revocation returns the ended session, or nothing when the token belongs to another app."""
    mine, foreign = await start(appid=APP), await start(appid=OTHER_APP)

    assert await sessions.revoke(foreign.session.id, SYSTEM, {APP}) is None
    assert await sessions.revoke(mine.session.id, SYSTEM, {APP}) == mine.session
    assert await sessions.authenticate(foreign.token) == foreign.session
