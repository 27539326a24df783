"""Erasures of users with sessions, on every SessionStore and its KeyVault."""

import asyncio
import secrets
from contextlib import suppress
from datetime import timedelta

import pytest

from adapters.memory.events import MemoryEvents
from adapters.memory.identity_provider import MemoryIdentityProvider
from application.login import LoggedIn, LoginRequest, LoginUseCase
from application.merge import MergeUsers
from application.own_data import OwnData
from application.sessions import Sessions
from application.user_sessions import UserSessions
from domain.errors import DataUndecryptable, NotFound, StoreUnavailable, Unauthenticated
from domain.event import CLI, DEFAULT_POLICY, Cause, EventPolicy, EventType
from domain.identity import Identity
from domain.session import EndReason, Session, SessionPolicy
from support.clock import Clock
from support.events import Kept
from support.places import WITHOUT_SENTINEL, each_place
from support.sessions import APP, KEYS, POLICY, Scenario, after

pytestmark = [pytest.mark.anyio, each_place(WITHOUT_SENTINEL)]

TURNS = range(0, 72, 4)
"""The numbers of event loop turns that an erasure waits, so that it meets the logins at every stage."""

USER = Cause.user("2001:db8::7")


class Service:
    """The use cases on the stores under test."""

    def __init__(self, scenario: Scenario, policy: EventPolicy = DEFAULT_POLICY) -> None:
        self.users, clock = scenario.environment.users, scenario.clock
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
    await service.merge(one, into, CLI, frozenset({"unionid"}))
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


class Failing(Exception):
    """The process is killed."""


@pytest.mark.parametrize("step", ["before the sessions", "in the sessions", "before the keys"])
async def test_an_interrupted_erasure_is_finished_by_a_repeat(
    service: Service, clock: Clock, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An erasure that is killed between two steps is finished by the next one, for every id of the user."""
    former, login = await service.log_in(new_identity()), await service.log_in(new_identity())
    await service.merge(former.user.id, login.user.id, CLI, frozenset({"unionid"}))
    with monkeypatch.context() as killed:

        async def kill(*_arguments: object) -> None:
            raise Failing

        target = {"before the sessions": "erase", "in the sessions": "list_for_user"}.get(step)
        if target:
            killed.setattr(service.store, target, kill)
        else:
            killed.setattr(service.vault, "erase", kill)
        with suppress(Failing):
            await service.own_data.erase(login.user.id, USER)
    again = await service.own_data.erase(former.user.id, USER)

    assert again is False
    for each in (former, login):
        assert not isinstance(await service.store.find(each.session.id), Session)
        assert not await service.has_key(each.session)


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
            await service.merge(one, into, CLI, frozenset({"unionid"}))

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
