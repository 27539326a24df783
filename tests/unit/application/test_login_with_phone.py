"""A login that binds a phone number in the same call."""

import asyncio
from datetime import timedelta

import pytest

from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.memory.platform import MemoryPlatform
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.login import LoginUseCase
from application.login_with_phone import LoginWithPhone, LoginWithPhoneRequest
from application.users import Users
from domain.errors import CodeInvalid, Retry
from domain.identity import AppId, Identity, PhoneCode
from domain.session import Session, SessionPolicy
from domain.user import PhoneNumber
from support.clock import Clock

pytestmark = pytest.mark.anyio

ANN = Identity(AppId("wx0000000000000001"), "oAnn")
NUMBER = PhoneNumber("+8613800000000")


class SlowPlatform(MemoryPlatform):
    """A platform that does not answer."""

    async def phone_number(self, code: PhoneCode, identity: Identity) -> PhoneNumber:
        """See Platform."""
        await asyncio.Event().wait()
        return await super().phone_number(code, identity)


class Service:
    """The use case on stores in memory."""

    def __init__(self, clock: Clock, platform: MemoryPlatform, limit: timedelta = timedelta(seconds=5)) -> None:
        self.wechat, self.platform = MemoryIdentityProvider(), platform
        self.users, self.store = MemoryUserRepository(), MemorySessionStore()
        login = LoginUseCase(
            self.wechat, self.users, self.store, apps=frozenset({ANN.appid}), policy=SessionPolicy(), clock=clock
        )
        self.log_in = LoginWithPhone(login, Users(self.users, platform, clock=clock), limit=limit)

    def request(self, phone_code: str | None) -> LoginWithPhoneRequest:
        """Return the request of a login with this phone code."""
        return LoginWithPhoneRequest(self.wechat.issue(ANN).value, phone_code=phone_code)


async def test_a_number_is_bound(clock: Clock, platform: MemoryPlatform) -> None:
    """The user of the login has the number."""
    service = Service(clock, platform)
    logged_in = await service.log_in(service.request(platform.issue_phone_code(NUMBER, ANN.appid).value))

    assert (logged_in.user.phone, logged_in.phone_error) == (NUMBER.value, None)
    assert await service.users.get(logged_in.user.id) == logged_in.user


async def test_without_a_phone_code_nothing_is_bound(clock: Clock, platform: MemoryPlatform) -> None:
    """A login without a phone code has no number and no error."""
    service = Service(clock, platform)
    logged_in = await service.log_in(service.request(None))

    assert (logged_in.user.phone, logged_in.phone_error) == (None, None)


async def test_a_wrong_phone_code_is_an_error_beside_the_login(clock: Clock, platform: MemoryPlatform) -> None:
    """The session is live, and the error says what is wrong with the phone code."""
    service = Service(clock, platform)
    logged_in = await service.log_in(service.request("unknown"))

    assert isinstance(logged_in.phone_error, CodeInvalid)
    assert isinstance(await service.store.find(logged_in.session.id), Session)


async def test_a_refused_login_spends_no_phone_code(clock: Clock, platform: MemoryPlatform) -> None:
    """After a refused login, the phone code still works."""
    service = Service(clock, platform)
    code = platform.issue_phone_code(NUMBER, ANN.appid).value
    with pytest.raises(CodeInvalid):
        await service.log_in(LoginWithPhoneRequest("unknown", phone_code=code))
    logged_in = await service.log_in(service.request(code))

    assert logged_in.user.phone == NUMBER.value


async def test_a_platform_that_does_not_answer_delays_a_login_no_longer_than_the_limit(clock: Clock) -> None:
    """After the limit the login succeeds, and the error asks for a new phone code."""
    service = Service(clock, SlowPlatform(), limit=timedelta(0))
    logged_in = await service.log_in(service.request("a-code"))

    assert logged_in.phone_error is not None
    assert (logged_in.phone_error.code, logged_in.phone_error.retry) == ("wechat_unavailable", Retry.NEW_CODE)


def test_a_request_shows_no_code() -> None:
    """Neither code is in the repr of a request."""
    assert "secret" not in repr(LoginWithPhoneRequest("secret", phone_code="secret"))
