"""The promises of IdentityProvider while its platform fails, on every adapter that has a platform.

Each promise also runs on providers with a planted bug and must catch the bug.
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
"""A function that returns a provider on the platform at a URL."""


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
    """An outage raises an error of the domain, and no exception of a library."""
    with pytest.raises((IdentityProviderUnavailable, IdentityProviderBadResponse)):
        await failing.provider.exchange(failing.code, APP)


async def sends_the_code_once(failing: Failing) -> None:
    """The provider sends a code to the platform at most once: a second exchange would be refused as used."""
    with suppress(WxLoginError):
        await failing.provider.exchange(failing.code, APP)

    assert failing.count_received() <= 1


async def ends_in_time(failing: Failing) -> None:
    """An exchange with a platform that does not answer ends within the time limit."""
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
async def test_the_provider_satisfies_each_promise_during_a_fault(
    build: Build, promise: Promise, how: How, platform: Sandbox
) -> None:
    """The provider satisfies each promise during each fault."""
    async with failing(build, platform, how) as each:
        await promise(each)


class Planted(IdentityProvider):
    """The provider on WeChat, with a bug."""

    def __init__(self, transport: httpx2.AsyncBaseTransport, url: str) -> None:
        self.provider = build_wechat(transport, url)

    async def exchange(self, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """See IdentityProvider."""
        try:
            return await self.provider.exchange(code, appid)
        except WxLoginError as error:
            return await self.after(error, code, appid)

    async def after(self, error: WxLoginError, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Behave wrongly."""
        raise NotImplementedError


class SendsTwice(Planted):
    """A provider that tries again after an outage."""

    async def after(self, error: WxLoginError, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Send the code again."""
        return await self.provider.exchange(code, appid)


class LetsALibraryEscape(Planted):
    """A provider that does not translate the exceptions of its HTTP client."""

    async def after(self, error: WxLoginError, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Raise the exception of the library."""
        raise error.__cause__ or httpx2.ReadError("broken")


class TellsTheSecret(Planted):
    """A provider that puts the URL of the call into its error."""

    async def after(self, error: WxLoginError, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Raise an error with the AppSecret."""
        raise IdentityProviderUnavailable(f"GET /sns/jscode2session?secret={SECRET}") from error


class TellsTheCodeInACause(Planted):
    """A provider that leaves the URL of the call in the cause of its error."""

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
    """A provider with a planted bug fails the promise that the bug breaks."""
    async with failing(build, platform, how) as each:
        with pytest.raises((AssertionError, TimeoutError, httpx2.TransportError, OSError)):
            await promise(each)
