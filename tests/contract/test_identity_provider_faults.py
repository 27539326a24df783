"""The promises of IdentityProvider while its platform fails, on every adapter that has one.

Each promise also runs on providers with a planted bug, and has to catch it: a test that cannot fail promises nothing.
"""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx2
import pytest

from adapters.wechat.api import WeChatApi, create_transport
from adapters.wechat.identity_provider import WeChatIdentityProvider
from application.ports.identity_provider import IdentityProvider
from domain.errors import IdentityProviderBadResponse, IdentityProviderUnavailable, WxLoginError
from domain.identity import AppId, Identity, LoginCode
from domain.session_key import SessionKey
from support.processes import Sandbox
from support.processes import sandbox as own_sandbox
from support.proxy import How, proxy

pytestmark = pytest.mark.anyio

APP = AppId("wx0123456789abcdef")
SECRET = "5ecf3ed9a5ecf3ed9a5ecf3ed9a5ecf3"
TIMEOUT_SECONDS = 0.5

FAULTS = [How.REFUSING, How.RESETTING, How.SILENT, How.CUT]


@dataclass
class Failing:
    """A provider whose platform fails, a code, and the number of times that the platform received it."""

    provider: IdentityProvider
    code: LoginCode
    count_received: Callable[[], int]


Build = Callable[[httpx2.AsyncBaseTransport, str], IdentityProvider]
"""Returns a provider on the platform at a URL."""


def build_wechat(transport: httpx2.AsyncBaseTransport, url: str, timeout: float = TIMEOUT_SECONDS) -> IdentityProvider:
    """Return the provider on WeChat."""
    return WeChatIdentityProvider(WeChatApi(transport, url, timeout), {APP: SECRET})


PROVIDERS: dict[str, Build] = {"wechat": build_wechat}


@pytest.fixture(scope="module")
def platform() -> Iterator[Sandbox]:
    """A platform that no other module calls."""
    with own_sandbox() as started:
        yield started


@asynccontextmanager
async def failing(build: Build, platform: Sandbox, how: How) -> AsyncIterator[Failing]:
    """Open a provider whose platform fails."""
    code = LoginCode(platform.code(APP.value))
    received = platform.call_count()
    port = httpx2.URL(platform.url).port or 80
    with proxy(("127.0.0.1", port)) as broken:
        broken.become(how)
        async with create_transport() as transport:
            provider = build(transport, f"http://127.0.0.1:{broken.port}")
            yield Failing(provider, code, lambda: platform.call_count() - received)


async def raises_an_error_of_the_domain(failing: Failing) -> None:
    """An outage is an error that every entrypoint knows, and no exception of a library."""
    with pytest.raises((IdentityProviderUnavailable, IdentityProviderBadResponse)):
        await failing.provider.exchange(failing.code, APP)


async def sends_the_code_once(failing: Failing) -> None:
    """A code reaches the platform once at most: the second time it would be refused as used."""
    with suppress(WxLoginError):
        await failing.provider.exchange(failing.code, APP)

    assert failing.count_received() <= 1


async def ends_in_time(failing: Failing) -> None:
    """A platform that does not answer keeps no one waiting for more than the time limit."""
    async with asyncio.timeout(4 * TIMEOUT_SECONDS):
        with suppress(WxLoginError):
            await failing.provider.exchange(failing.code, APP)


async def shows_no_secret(failing: Failing) -> None:
    """Neither the error nor its causes contain the AppSecret or the code."""
    with pytest.raises(WxLoginError) as raised:
        await failing.provider.exchange(failing.code, APP)
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value)

    assert SECRET not in shown
    assert failing.code.value not in shown


Promise = Callable[[Failing], Awaitable[None]]

PROMISES: list[Promise] = [raises_an_error_of_the_domain, sends_the_code_once, ends_in_time, shows_no_secret]


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("build", PROVIDERS.values(), ids=PROVIDERS)
async def test_a_promise_holds_while_the_platform_fails(
    build: Build, promise: Promise, how: How, platform: Sandbox
) -> None:
    """Whatever the fault is, the provider keeps each promise."""
    async with failing(build, platform, how) as each:
        await promise(each)


class Planted(IdentityProvider):
    """The provider on WeChat with a bug."""

    def __init__(self, transport: httpx2.AsyncBaseTransport, url: str) -> None:
        self.provider = build_wechat(transport, url)

    async def exchange(self, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """See IdentityProvider."""
        try:
            return await self.provider.exchange(code, appid)
        except WxLoginError as error:
            return await self.after(error, code, appid)

    async def after(self, error: WxLoginError, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Do the wrong thing."""
        raise NotImplementedError


class SendsTwice(Planted):
    """Tries again after an outage."""

    async def after(self, error: WxLoginError, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Send the code once more."""
        return await self.provider.exchange(code, appid)


class LetsALibraryEscape(Planted):
    """Does not translate the exceptions of its HTTP client."""

    async def after(self, error: WxLoginError, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Raise what the library raised."""
        raise error.__cause__ or httpx2.ReadError("broken")


class TellsTheSecret(Planted):
    """Puts the URL of the call into its error."""

    async def after(self, error: WxLoginError, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Raise an error with the AppSecret."""
        raise IdentityProviderUnavailable(f"GET /sns/jscode2session?secret={SECRET}") from error


class TellsTheCodeInACause(Planted):
    """Leaves the URL of the call in the cause of its error."""

    async def after(self, error: WxLoginError, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Raise an error whose cause has the code."""
        raise IdentityProviderUnavailable from ValueError(f"js_code={code.value}")


def waits_for_ever(transport: httpx2.AsyncBaseTransport, url: str) -> IdentityProvider:
    """Return a provider without a time limit."""
    return build_wechat(transport, url, 3600)


PLANTED: list[tuple[Build, Promise, How]] = [
    (SendsTwice, sends_the_code_once, How.CUT),
    (LetsALibraryEscape, raises_an_error_of_the_domain, How.RESETTING),
    (TellsTheSecret, shows_no_secret, How.REFUSING),
    (TellsTheCodeInACause, shows_no_secret, How.REFUSING),
    (waits_for_ever, ends_in_time, How.SILENT),
]


@pytest.mark.parametrize(("build", "promise", "how"), PLANTED)
async def test_a_planted_bug_is_caught(build: Build, promise: Promise, how: How, platform: Sandbox) -> None:
    """A provider with the bug that a promise is about does not pass it."""
    async with failing(build, platform, how) as each:
        with pytest.raises((AssertionError, TimeoutError, httpx2.TransportError, OSError)):
            await promise(each)
