"""Erasures of users with sessions, on every SessionStore and its KeyVault."""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.memory.events import MemoryEvents
from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.redis.session_store import RedisSessionStore
from application.login import LoggedIn, LoginRequest, LoginUseCase
from application.merge import MergeUsers
from application.own_data import OwnData
from application.sessions import Sessions
from application.user_sessions import UserSessions
from domain.errors import DataUndecryptable, NotFound, StoreUnavailable, Unauthenticated
from domain.event import CLI, DEFAULT_POLICY, WECHAT, Cause, EventPolicy, EventType
from domain.identity import Identity
from domain.session import EndReason, Session, SessionPolicy
from support.clock import Clock
from support.events import Kept
from support.interruptions import Killed, Process
from support.places import WITHOUT_SENTINEL, each_place
from support.sessions import APP, KEYS, POLICY, Scenario, after

pytestmark = [pytest.mark.anyio, each_place(WITHOUT_SENTINEL)]

TURNS = range(0, 72, 4)
"""The numbers of event loop turns that an erasure waits, so that it meets the logins at every stage."""

USER = Cause.user("2001:db8::7")
UNIONID = frozenset({"unionid"})


class Service:
    """The use cases on the stores under test."""

    def __init__(self, scenario: Scenario, policy: EventPolicy = DEFAULT_POLICY) -> None:
        self.users, self.clock = scenario.environment.users, scenario.clock
        clock = self.clock
        self.store, self.vault = scenario.environment.open(KEYS, policy)
        self.wechat = MemoryIdentityProvider()
        self.sessions = Sessions(self.store, policy=POLICY, clock=clock)
        self.login = LoginUseCase(
            self.wechat, self.users, self.store, apps=frozenset({APP}), policy=POLICY, clock=clock
        )
        self.merge = MergeUsers(self.users, self.store, UserSessions(self.store, self.users, clock=clock), clock=clock)
        self.own_data = OwnData(self.users, self.store, self.vault, MemoryEvents(policy), clock=clock)

    async def log_in(self, identity: Identity) -> LoggedIn:
        """Log in as a user of WeChat."""
        return await self.login(LoginRequest(self.wechat.issue(identity).value))

    async def has_key(self, session: Session) -> bool:
        """Return whether the session's user has a session_key."""
        try:
            await self.vault.get(session)
        except DataUndecryptable:
            return False
        return True


@pytest.fixture
def service(scenario: Scenario) -> Service:
    """The use cases."""
    return Service(scenario)


def new_identity() -> Identity:
    """Return a WeChat user who has not logged in before."""
    return Identity(APP, f"o{secrets.token_hex(13)}", f"u{secrets.token_hex(13)}")


async def test_an_erasure_ends_all_sessions_and_deletes_the_keys(service: Service) -> None:
    """The tokens of an erased user are those of ended sessions, and no key is left. Other users keep theirs."""
    identity = new_identity()
    logins = [await service.log_in(identity) for _ in range(3)]
    other = await service.log_in(new_identity())
    assert await service.own_data.erase(logins[0].user.id, USER)

    for each in logins:
        with pytest.raises(Unauthenticated) as refusal:
            await service.sessions.authenticate(each.token.value)
        assert refusal.value.code == "session_ended"
        assert not await service.has_key(each.session)
    assert await service.sessions.list_for_user(logins[0].user.id) == []
    assert await service.sessions.authenticate(other.token.value)
    assert await service.has_key(other.session)


async def test_a_session_that_was_replaced_keeps_its_reason(service: Service) -> None:
    """After an erasure, the token of a session that a login had replaced has the same answer as before."""
    identity = new_identity()
    login = await service.log_in(identity)
    await service.store.end([login.session], EndReason.REPLACED, login.session.created_at, USER)
    await service.own_data.erase(login.user.id, USER)
    with pytest.raises(Unauthenticated) as refusal:
        await service.sessions.authenticate(login.token.value)

    assert refusal.value.code == "session_replaced"


async def test_a_session_without_a_user_is_not_revived(service: Service, clock: Clock) -> None:
    """A request that authenticated before an erasure touches, lists and ends nothing after it."""
    login = await service.log_in(new_identity())
    await service.own_data.erase(login.user.id, USER)
    await service.store.touch(login.session.touch(POLICY, clock.advance(minutes=5)))
    await service.store.end([login.session], EndReason.ENDED, clock.now, USER)
    await service.store.move(login.user.id, login.user.id)

    assert await service.store.list_for_user(login.user.id) == []
    assert not isinstance(await service.store.find(login.session.id), Session)


async def test_expired_sessions_are_erased(scenario: Scenario, service: Service, clock: Clock) -> None:
    """An erasure deletes sessions that expired long ago, also after other logins of the user."""
    identity = new_identity()
    login = await service.log_in(identity)
    clock.advance(days=8)
    await service.log_in(identity)
    stored = await scenario.environment.at_rest(login.session)
    await service.own_data.erase(login.user.id, USER)
    left = await scenario.environment.at_rest(login.session)

    assert identity.openid.encode() in stored or stored == b""
    assert identity.openid.encode() not in left
    assert await service.store.find(login.session.id) is None


async def test_a_user_without_a_session_is_erased(scenario: Scenario, service: Service) -> None:
    """Erasing a user who has no session succeeds, and so does repeating it."""
    user_id = await scenario.user()

    assert await service.own_data.erase(user_id, USER)
    assert not await service.own_data.erase(user_id, USER)


async def test_sessions_of_before_a_merge_are_erased(service: Service) -> None:
    """An erasure after a merge ends the sessions of both users, and deletes the keys of both."""
    logins = [await service.log_in(new_identity()) for _ in range(2)]
    one, into = [each.user.id for each in logins]
    await service.merge(one, into, CLI, UNIONID)
    await service.own_data.erase(one, USER)

    for each in logins:
        with pytest.raises(Unauthenticated):
            await service.sessions.authenticate(each.token.value)
        assert not await service.has_key(each.session)
    assert await service.store.list_for_user(one) == await service.store.list_for_user(into) == []


async def test_the_events_of_an_erasure_say_which_sessions_ended(scenario: Scenario) -> None:
    """If events about sessions are kept, each live session of an erased user has the event of its end, once."""
    service = Service(scenario, EventPolicy(audit_sessions=True))
    logins = [await service.log_in(new_identity())]
    logins.append(await service.log_in(logins[0].session.identity))
    await service.own_data.erase(logins[0].user.id, USER)
    kept = Kept()
    await scenario.environment.events.relay(kept.add)
    ids = {each.session.id for each in logins}
    ended = [event for event in kept.events if event.session_id in ids and event.type is EventType.SESSION_ENDED]

    assert {event.ip for event in ended} <= {None}
    assert {event.session_id for event in ended} == ids or ended == []  # a database has them in its audit trail


async def erase_as_the_user(service: Service, caller: LoggedIn) -> None:
    """Erase the user, as long as the token works."""
    with suppress(Unauthenticated):
        session = await service.sessions.authenticate(caller.token.value)
        await service.own_data.erase(session.user_id, USER, session.id)


async def erase_as_wechat(service: Service, caller: LoggedIn) -> None:
    """Erase the user, as long as the account finds one."""
    if user := await service.users.find_account(caller.session.identity):
        await service.own_data.erase_found(user.id, WECHAT)


async def erase_as_an_operator(service: Service, caller: LoggedIn) -> None:
    """Erase the user by an id."""
    await service.own_data.erase(caller.user.id, CLI)


CALLERS = {"the user": erase_as_the_user, "WeChat": erase_as_wechat, "an operator": erase_as_an_operator}

MOST_CALLS = 300
"""More calls than an erasure makes."""


@pytest.mark.parametrize("merge", ["a merge", "an interrupted merge"])
@pytest.mark.parametrize(
    ("caller", "account"),
    [("the user", "merged"), ("the user", "remaining"), ("WeChat", "remaining"), ("an operator", "merged")],
)
async def test_an_interrupted_erasure_is_finished_by_a_repeat(
    scenario: Scenario, service: Service, caller: str, account: str, merge: str
) -> None:
    """An erasure that is killed at any step is finished by who repeats it, and else was finished.

    A user repeats it with the same token, WeChat by the same account, and an operator by any id of the user.
    """
    await check_interruptions(scenario, service, caller, account, merge)


async def check_interruptions(scenario: Scenario, service: Service, caller: str, account: str, merge: str) -> None:
    """Check the promise for one who erases."""
    erase = CALLERS[caller]
    for calls in range(MOST_CALLS):
        logins = await merged_logins(service, is_finished=merge == "a merge")
        login = logins[2 if account == "remaining" else 0]  # the older one of the two that are live
        process = Process(calls)
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            process.count(patch, service.users, "erase", "ids_of")
            process.count(patch, service.store, "erase")
            process.count(patch, service.vault, "erase")
            if isinstance(service.store, RedisSessionStore):
                process.count_commands(patch, service.store._redis)
            await erase(service, login)
        await erase(service, login)
        await check_gone(scenario, service, logins)
        if not process.is_killed:
            break

    assert calls > 2


async def merged_logins(service: Service, *, is_finished: bool) -> list[LoggedIn]:
    """Return two logins of a merged user, two of the remaining one, and one that has expired."""
    merged, remaining = new_identity(), new_identity()
    service.clock.advance(days=-8)
    expired = await service.log_in(remaining)
    service.clock.advance(days=8)
    logins = [await service.log_in(each) for each in (merged, merged, remaining, remaining)]
    ids = (logins[0].user.id, logins[2].user.id)
    if is_finished:
        await service.merge(*ids, CLI, UNIONID)
    else:
        await service.users.merge(*ids, UNIONID, service.clock.now, CLI)
    return [*logins, expired]


async def check_gone(scenario: Scenario, service: Service, logins: Sequence[LoggedIn]) -> None:
    """Check that no session, no key and no openid is left of these users."""
    ids = {each.user.id for each in logins}
    for each in logins:
        stored = await scenario.environment.at_rest(each.session)

        assert not isinstance(await service.store.find(each.session.id), Session)
        assert each.session.identity.openid.encode() not in stored
        for user_id in ids:
            assert not await service.has_key(replace(each.session, user_id=user_id))
    for user_id in ids:
        assert await service.store.list_for_user(user_id) == []


@pytest.mark.parametrize("turns", TURNS)
async def test_a_login_during_an_erasure_is_of_the_new_user_or_fails(service: Service, turns: int) -> None:
    """Each login that succeeds is a session of the erased user, and then over, or one of the new user."""
    identity = new_identity()
    user = (await service.log_in(identity)).user
    logins, _ = await _logins_during(service, identity, user.id, turns)

    assert await service.store.list_for_user(user.id) == []
    for each in logins:
        found = await service.store.find(each.session.id)
        if each.session.user_id == user.id:
            assert not isinstance(found, Session)
            if all(other.session.user_id == user.id for other in logins):  # else the key is the new user's
                assert not await service.has_key(each.session)
        else:
            assert isinstance(found, Session)
            assert (await service.users.get(each.session.user_id)).id == each.user.id
            assert await service.has_key(each.session)


async def _logins_during(
    service: Service, identity: Identity, user_id: str, turns: int
) -> tuple[list[LoggedIn], list[BaseException]]:
    async def erase() -> None:
        await service.own_data.erase(user_id, USER)

    calls = [*(service.log_in(identity) for _ in range(5)), after(turns, erase())]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    failed = [each for each in outcomes if isinstance(each, BaseException)]
    assert [each for each in failed if not isinstance(each, StoreUnavailable)] == []
    return [each for each in outcomes if isinstance(each, LoggedIn)], failed


@pytest.mark.parametrize("turns", TURNS)
async def test_a_merge_during_an_erasure_leaves_nothing_of_either(service: Service, turns: int) -> None:
    """A merge at the same time finds no user, or its result is erased. No session and no key is left of the erased."""
    logins = [await service.log_in(new_identity()) for _ in range(2)]
    one, into = [each.user.id for each in logins]

    async def merge() -> None:
        with suppress(NotFound):
            await service.merge(one, into, CLI, UNIONID)

    async def erase() -> None:
        await service.own_data.erase(into, USER)

    await asyncio.gather(merge(), after(turns, erase()))

    gone = [each for each in logins if not await _exists(service, each.user.id)]
    assert logins[1] in gone
    for each in gone:
        assert await service.store.list_for_user(each.user.id) == []
        assert not isinstance(await service.store.find(each.session.id), Session)
        assert not await service.has_key(each.session)


async def _exists(service: Service, user_id: str) -> bool:
    try:
        return bool(await service.users.get(user_id))
    except NotFound:
        return False


async def test_a_session_that_expired_is_found_until_its_record_is_gone(scenario: Scenario, clock: Clock) -> None:
    """A login leaves expired sessions in the user's list until the retention of their records ends."""
    policy = SessionPolicy(idle=timedelta(seconds=1), max_age=timedelta(days=30))
    clock.advance(days=-6)
    old = await scenario.start(policy=policy)
    clock.advance(days=6)
    await scenario.start(old.user_id)
    kept = await scenario.ids_of(old.user_id)

    assert old.id in kept
