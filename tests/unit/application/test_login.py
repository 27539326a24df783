"""The login use case: each rule of its docstring."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

import pytest

from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.block import BlockUsers
from application.login import LoggedIn, LoginContext, LoginRequest, LoginUseCase
from application.merge import MergeUsers
from application.ports.identity_provider import IdentityProvider
from application.ports.session_store import SessionStore
from application.ports.user_repository import UserRepository
from application.user_sessions import UserSessions
from domain.device import Device
from domain.errors import (
    AppMisconfigured,
    AppUnknown,
    CodeInvalid,
    CodeMissing,
    CodeUsed,
    IdentityProviderBadResponse,
    IdentityProviderUnavailable,
    RateLimited,
    RequestInvalid,
    Retry,
    StoreUnavailable,
    UserBlocked,
    UserBlockedByProvider,
    WxLoginError,
)
from domain.event import SYSTEM
from domain.identity import AppId, Identity, LoginCode
from domain.session import EndedSession, EndReason, Session, SessionPolicy
from domain.session_key import SessionKey
from domain.user import User
from support.clock import Clock

pytestmark = pytest.mark.anyio

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
ANN, BOB = Identity(APP, "oAnn"), Identity(APP, "oBob")
POLICY = SessionPolicy(per_user=3)


class Refusing(IdentityProvider):
    """A WeChat that answers every code with one error, and records the codes."""

    def __init__(self, error: WxLoginError) -> None:
        self.error = error
        self.seen: list[LoginCode] = []

    async def exchange(self, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """See IdentityProvider."""
        self.seen.append(code)
        raise self.error


class DeadUserRepository(MemoryUserRepository):
    """A user repository that fails at every login."""

    async def find_or_create(self, identity: Identity, now: datetime) -> tuple[User, bool]:
        """See UserRepository."""
        raise StoreUnavailable


class DeadSessionStore(MemorySessionStore):
    """A session store that fails at every start of a session."""

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore."""
        raise StoreUnavailable


class UnreadableSessionStore(MemorySessionStore):
    """A session store that cannot read sessions, because a newer release wrote them or it is too slow."""

    async def find(self, session_id: str) -> Session | EndedSession | None:
        """See SessionStore."""
        raise StoreUnavailable


class InterruptedSessionStore(MemorySessionStore):
    """A session store that runs a callback just before a session starts."""

    interrupt: Callable[[], Awaitable[object]] | None = None

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore."""
        if self.interrupt:
            interrupt, self.interrupt = self.interrupt, None
            await interrupt()
        return await super().start(session, key, limit, previous)


class KeyRecordingStore(MemorySessionStore):
    """A session store that records the key of the last login."""

    last_key: SessionKey | None = None

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore."""
        self.last_key = key
        return await super().start(session, key, limit, previous)


class Service:
    """The use case, with adapters that a test chooses."""

    def __init__(
        self,
        clock: Clock,
        identities: IdentityProvider | None = None,
        users: UserRepository | None = None,
        store: SessionStore | None = None,
        apps: frozenset[AppId] = frozenset({APP, OTHER_APP}),
        policy: SessionPolicy = POLICY,
    ) -> None:
        self.wechat = MemoryIdentityProvider()
        self.store = store or MemorySessionStore()
        self.users = users or MemoryUserRepository()
        self.log_in = LoginUseCase(
            identities or self.wechat, self.users, self.store, apps=apps, policy=policy, clock=clock
        )

    def request(self, identity: Identity = ANN) -> LoginRequest:
        """Return the request that the client of `identity` sends after wx.login()."""
        return LoginRequest(self.wechat.issue(identity).value, identity.appid.value)


@pytest.fixture
def service(clock: Clock) -> Service:
    """A service on memory, with two apps."""
    return Service(clock)


async def test_the_app_is_the_one_the_request_names(service: Service) -> None:
    """The appid in the request takes precedence over the appid in the Referer."""
    logged_in = await service.log_in(service.request(), LoginContext(referer_appid=OTHER_APP.value))

    assert logged_in.session.identity == ANN


async def test_without_an_appid_the_referer_names_the_app(service: Service) -> None:
    """Without an appid in the request, the appid in the Referer selects the app."""
    in_other_app = replace(ANN, appid=OTHER_APP)
    request = replace(service.request(in_other_app), appid=None)

    logged_in = await service.log_in(request, LoginContext(referer_appid=OTHER_APP.value))

    assert logged_in.session.identity == in_other_app


async def test_without_appid_and_referer_the_only_app_is_used(clock: Clock) -> None:
    """With one configured app, a login needs no appid."""
    service = Service(clock, apps=frozenset({APP}))

    logged_in = await service.log_in(replace(service.request(), appid=None))

    assert logged_in.session.identity == ANN


async def test_an_unknown_app_does_not_use_the_code(service: Service) -> None:
    """A login without a known app raises AppUnknown, and its code still works."""
    request = service.request()
    with pytest.raises(AppUnknown):
        await service.log_in(replace(request, appid=None))

    assert (await service.log_in(request)).is_new


@pytest.mark.parametrize(
    ("code", "error"), [(None, CodeMissing), ("", CodeMissing), (" ", RequestInvalid), ("x" * 513, RequestInvalid)]
)
async def test_a_malformed_code_is_not_sent(clock: Clock, code: str | None, error: type[WxLoginError]) -> None:
    """A missing or malformed code raises an error, and is not sent to WeChat."""
    wechat = Refusing(CodeInvalid())
    with pytest.raises(error):
        await Service(clock, wechat).log_in(LoginRequest(code, APP.value))

    assert wechat.seen == []


async def test_wechat_returns_the_identity_of_the_user(service: Service) -> None:
    """The session and the user belong to the identity that WeChat returns for the code."""
    logged_in = await service.log_in(service.request(BOB))
    user = await service.users.get(logged_in.user.id)

    assert logged_in.session.user_id == user.id
    assert logged_in.session.identity == BOB
    assert user.accounts == (BOB,)


async def test_a_code_works_once(service: Service) -> None:
    """The second login with a code raises CodeUsed and starts no session."""
    request = service.request()
    first = await service.log_in(request)
    with pytest.raises(CodeUsed):
        await service.log_in(request)

    assert await service.store.list_for_user(first.user.id) == [first.session]


@pytest.mark.parametrize("error", [IdentityProviderUnavailable, IdentityProviderBadResponse, RateLimited, CodeInvalid])
async def test_a_code_is_sent_once(clock: Clock, error: type[WxLoginError]) -> None:
    """The code is sent to WeChat once, even after an error."""
    wechat = Refusing(error())
    with pytest.raises(error):
        await Service(clock, wechat).log_in(LoginRequest("0code", APP.value))

    assert wechat.seen == [LoginCode("0code")]


async def test_an_account_always_has_the_same_user(service: Service, clock: Clock) -> None:
    """A later login of the same account, even a year later, returns the same user, not as new."""
    first = await service.log_in(service.request())
    clock.advance(days=365)
    again = await service.log_in(service.request())

    assert first.is_new
    assert not again.is_new
    assert again.user.id == first.user.id


async def test_two_accounts_are_two_users(service: Service) -> None:
    """Another openid is another user, and so is the same openid in another app."""
    identities = [ANN, BOB, replace(ANN, appid=OTHER_APP)]

    logged_in = [await service.log_in(service.request(identity)) for identity in identities]

    assert len({login.user.id for login in logged_in}) == 3


async def test_a_unionid_is_one_user_across_apps(service: Service) -> None:
    """Accounts of two apps with the same unionid are one user, who is new only once."""
    first = await service.log_in(service.request(Identity(APP, "oHere", "uAnn")))
    second = await service.log_in(service.request(Identity(OTHER_APP, "oThere", "uAnn")))

    assert second.user.id == first.user.id
    assert (first.is_new, second.is_new) == (True, False)


async def test_a_session_has_the_known_unionid(service: Service) -> None:
    """After WeChat has returned a unionid once, all later sessions have it, even if WeChat does not return it again."""
    before, at, after = [
        await service.log_in(service.request(replace(ANN, unionid=unionid))) for unionid in (None, "uAnn", None)
    ]

    assert [login.session.identity.unionid for login in (before, at, after)] == [None, "uAnn", "uAnn"]


async def test_every_login_starts_its_own_session(service: Service) -> None:
    """Two logins of a user have different tokens and sessions, and both sessions are stored."""
    first = await service.log_in(service.request())
    second = await service.log_in(service.request())

    assert first.token != second.token
    assert await service.store.find(first.token.session_id) == first.session
    assert await service.store.find(second.token.session_id) == second.session


async def test_a_session_starts_at_the_login(service: Service, clock: Clock) -> None:
    """A session starts at the time of its login, has the lifetimes of the policy, and stores the device."""
    phone = Device("MicroMessenger/8.0", "203.0.113.7")

    session = (await service.log_in(service.request(), LoginContext(phone))).session

    assert session.device == phone
    assert (session.created_at, session.last_seen_at) == (clock.now, clock.now)
    assert session.idle_expires_at == clock.now + POLICY.idle
    assert session.expires_at == clock.now + POLICY.max_age


async def test_the_session_key_is_stored_for_its_account(clock: Clock) -> None:
    """The session_key that WeChat returns for the code is the current key of the account."""
    vault = MemoryKeyVault()
    store = KeyRecordingStore(vault)
    service = Service(clock, store=store)

    logged_in = await service.log_in(service.request())

    assert store.last_key
    assert (await vault.get(logged_in.session)).current == store.last_key


async def test_the_oldest_session_is_replaced(service: Service, clock: Clock) -> None:
    """A login beyond the limit replaces the oldest session, and only that one."""
    sessions = []
    for _ in range(POLICY.per_user + 1):
        sessions.append((await service.log_in(service.request())).session)
        clock.advance(seconds=1)
    first, *others = [await service.store.find(session.id) for session in sessions]

    assert isinstance(first, EndedSession)
    assert first.reason is EndReason.REPLACED
    assert others == sessions[1:]


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param(lambda clock: Service(clock, Refusing(IdentityProviderUnavailable())), id="WeChat is unavailable"),
        pytest.param(
            lambda clock: Service(clock, Refusing(IdentityProviderBadResponse())), id="WeChat answers nonsense"
        ),
        pytest.param(lambda clock: Service(clock, users=DeadUserRepository()), id="the database is down"),
        pytest.param(lambda clock: Service(clock, store=DeadSessionStore()), id="the session store is down"),
    ],
)
async def test_after_a_failure_only_a_new_code_helps(clock: Clock, failing: Callable[[Clock], Service]) -> None:
    """An error after the code was sent has the hint `new_code`, because the code may be used."""
    service = failing(clock)
    with pytest.raises(WxLoginError) as failed:
        await service.log_in(service.request())

    assert failed.value.retry is Retry.NEW_CODE
    assert type(failed.value).retry is Retry.LATER


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (RateLimited, Retry.LATER),
        (CodeInvalid, Retry.NEW_CODE),
        (CodeUsed, Retry.NEW_CODE),
        (UserBlockedByProvider, Retry.NEVER),
        (AppMisconfigured, Retry.NEVER),
    ],
)
async def test_a_refusal_of_wechat_is_raised_unchanged(clock: Clock, error: type[WxLoginError], retry: Retry) -> None:
    """An error from WeChat keeps its class and its hint. The hint of a rate limit is `later`."""
    refusal = error("WeChat said so", errcode=1, rid="a rid")
    with pytest.raises(error) as failed:
        await Service(clock, Refusing(refusal)).log_in(LoginRequest("0code", APP.value))

    assert failed.value is refusal
    assert failed.value.retry is retry


async def test_a_login_that_a_store_fails_leaves_no_session(clock: Clock) -> None:
    """When the session cannot be stored, the user exists but has no session."""
    service = Service(clock, store=DeadSessionStore())
    with pytest.raises(StoreUnavailable):
        await service.log_in(service.request())
    user, is_new = await service.users.find_or_create(ANN, clock.now)

    assert not is_new
    assert await service.store.list_for_user(user.id) == []


async def test_no_secret_is_shown(clock: Clock) -> None:
    """The repr of a request does not contain the code. The repr of a login contains neither token nor session_key."""
    store = KeyRecordingStore()
    service = Service(clock, store=store)
    request = service.request()
    logged_in = await service.log_in(request)

    assert request.code
    assert store.last_key
    assert not {s for s in (request.code, logged_in.token.value, store.last_key.value) if s in f"{request} {logged_in}"}


async def test_a_blocked_user_gets_no_session(service: Service, clock: Clock) -> None:
    """A login of a blocked user is refused and starts no session. After an unblock the user logs in as before."""
    user = (await service.log_in(service.request())).user
    await service.users.block(user.id, clock.now, SYSTEM)
    before = await service.store.list_for_user(user.id)
    with pytest.raises(UserBlocked):
        await service.log_in(service.request())

    assert await service.store.list_for_user(user.id) == before
    await service.users.unblock(user.id, clock.now, SYSTEM)
    assert (await service.log_in(service.request())).user.id == user.id


async def end_of(service: Service, login: LoggedIn) -> EndReason | None:
    """Return why the login's session is over, or None while it is not."""
    found = await service.store.find(login.session.id)
    return found.reason if isinstance(found, EndedSession) else None


async def test_a_login_ends_the_previous_session_of_the_client(service: Service) -> None:
    """A login with a live token replaces the session of that token."""
    first = await service.log_in(service.request())
    second = await service.log_in(service.request(), LoginContext(previous_token=first.token.value))

    assert second.replaced == 1
    assert await end_of(service, first) is EndReason.REPLACED
    assert await end_of(service, second) is None


async def test_at_the_limit_only_the_previous_session_is_replaced(service: Service) -> None:
    """At the limit, a login from one device replaces only that device's session. The other sessions stay live."""
    logins = [await service.log_in(service.request()) for _ in range(POLICY.per_user)]
    again = await service.log_in(service.request(), LoginContext(previous_token=logins[-1].token.value))

    assert again.replaced == 1
    assert [await end_of(service, login) for login in logins] == [None, None, EndReason.REPLACED]


async def test_a_lower_limit_holds_when_the_previous_session_is_the_oldest(clock: Clock) -> None:
    """After the limit is lowered, a login from the oldest device keeps the limit. It counts each ended session once."""
    before = Service(clock, policy=replace(POLICY, per_user=0))
    logins = []
    for _ in range(5):
        logins.append(await before.log_in(before.request()))
        clock.advance(seconds=1)
    after = Service(clock, before.wechat, before.users, before.store)
    again = await after.log_in(before.request(), LoginContext(previous_token=logins[0].token.value))

    left = {session.id for session in await after.store.list_for_user(again.user.id)}
    assert left == {again.session.id, logins[3].session.id, logins[4].session.id}
    assert again.replaced == 3


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "令牌", "x" * 8000], ids=lambda token: token[:5])
async def test_an_unknown_previous_token_changes_nothing(service: Service, token: str) -> None:
    """A malformed or unknown previous token does not cause an error and changes nothing."""
    first = await service.log_in(service.request())
    second = await service.log_in(service.request(), LoginContext(previous_token=token))

    assert (second.replaced, await end_of(service, first)) == (0, None)


async def test_a_login_does_not_end_the_session_of_another_user(service: Service) -> None:
    """A login of one user does not end the session of another user on the same device."""
    bob = await service.log_in(service.request(BOB))
    ann = await service.log_in(service.request(), LoginContext(previous_token=bob.token.value))

    assert (ann.replaced, await end_of(service, bob)) == (0, None)


async def test_an_ended_previous_session_retains_its_end_reason(service: Service, clock: Clock) -> None:
    """A previous token whose session was logged out has no effect."""
    first = await service.log_in(service.request())
    await service.store.end([first.session], EndReason.ENDED, clock(), SYSTEM)
    second = await service.log_in(service.request(), LoginContext(previous_token=first.token.value))

    assert (second.replaced, await end_of(service, first)) == (0, EndReason.ENDED)


async def test_a_login_succeeds_when_the_previous_session_cannot_be_read(clock: Clock) -> None:
    """A login succeeds even when the store cannot read the session of the previous token."""
    service = Service(clock, store=UnreadableSessionStore())
    first = await service.log_in(service.request())
    second = await service.log_in(service.request(), LoginContext(previous_token=first.token.value))

    assert len(await service.store.list_for_user(second.user.id)) == 2


async def test_a_block_during_a_login_ends_its_session(clock: Clock) -> None:
    """A login during a block of its user is refused, and leaves no live session."""
    store = InterruptedSessionStore()
    service = Service(clock, store=store)
    user = (await service.log_in(service.request())).user
    block = BlockUsers(service.users, UserSessions(store, service.users, clock=clock), clock=clock)
    store.interrupt = lambda: block.block(user.id, SYSTEM)
    with pytest.raises(UserBlocked):
        await service.log_in(service.request())

    assert await store.list_for_user(user.id) == []


async def test_a_merge_during_a_login_moves_its_session(clock: Clock) -> None:
    """A login during a merge of its user becomes a session of the remaining user."""
    store = InterruptedSessionStore()
    service = Service(clock, store=store)
    ann, bob = [(await service.log_in(service.request(identity))).user for identity in (ANN, BOB)]
    merge = MergeUsers(service.users, store, UserSessions(store, service.users, clock=clock), clock=clock)
    store.interrupt = lambda: merge(ann.id, bob.id, SYSTEM)
    late = await service.log_in(service.request())

    assert (late.user.id, late.session.user_id) == (bob.id, bob.id)
    assert await store.list_for_user(ann.id) == []
    assert late.session in await store.list_for_user(bob.id)


class FailingUserRepository(MemoryUserRepository):
    """A database that fails from the second call of a login on."""

    calls = 0

    async def find_or_create(self, identity: Identity, now: datetime) -> tuple[User, bool]:
        """See UserRepository."""
        self.calls += 1
        if self.calls > 1:
            raise StoreUnavailable
        return await super().find_or_create(identity, now)


async def test_a_login_whose_user_cannot_be_found_again_leaves_no_live_session(clock: Clock) -> None:
    """When the database fails after the session is stored, the login asks for a new code, and the session ends."""
    users = FailingUserRepository()
    service = Service(clock, users=users)
    with pytest.raises(StoreUnavailable) as error:
        await service.log_in(service.request())
    user, _ = await MemoryUserRepository.find_or_create(users, ANN, clock.now)

    assert error.value.retry is Retry.NEW_CODE
    assert await service.store.list_for_user(user.id) == []


async def test_a_login_without_a_unionid_records_no_conflict(clock: Clock) -> None:
    """When an operator discards the unionid during a login, wxlogin does not report the old one as WeChat's."""
    store = InterruptedSessionStore()
    service = Service(clock, store=store)
    ann = replace(ANN, unionid="uOld")
    one, two = [(await service.log_in(service.request(each))).user for each in (ann, replace(BOB, unionid="uNew"))]
    merge = MergeUsers(service.users, store, UserSessions(store, service.users, clock=clock), clock=clock)
    store.interrupt = lambda: merge(one.id, two.id, SYSTEM, frozenset({"unionid"}))
    late = await service.log_in(service.request(replace(ANN, unionid=None)))

    assert late.user.id == two.id
    assert await service.users.conflicts() == []
