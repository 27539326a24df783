"""The promises of IdentityProvider while its platform fails, on every adapter that has a platform.

Each promise also runs on providers with a planted bug and must catch the bug.
"""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import httpx2
import pytest

from adapters.wechat.api import create_transport
from application.ports.identity_provider import IdentityProvider
from domain.errors import IdentityProviderBadResponse, IdentityProviderUnavailable, WxLoginError
from domain.identity import AppId, Identity, LoginCode
from domain.session_key import SessionKey
from support.platforms import APP, PLATFORMS, SECRET, Build, Server
from support.proxy import How, proxy

pytestmark = pytest.mark.anyio

TIMEOUT_SECONDS = 0.5

FAULTS = [How.REFUSING, How.RESETTING, How.SILENT, How.CUT]


@dataclass(frozen=True)
class Running:
    """The running server of a platform, and the function that builds a provider on it."""

    server: Server
    build: Build


@dataclass
class Failing:
    """A provider whose platform fails, a code, and the number of times that the platform received it."""

    provider: IdentityProvider
    code: LoginCode
    count_received: Callable[[], int]


@pytest.fixture(scope="module", params=[name for name, each in PLATFORMS.items() if each.run])
def platform(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A platform whose server no other module calls."""
    known = PLATFORMS[request.param]
    assert known.run
    assert known.build
    with known.run() as server:
        yield Running(server, known.build)


@asynccontextmanager
async def failing(platform: Running, how: How) -> AsyncIterator[Failing]:
    """Open a provider whose platform fails."""
    server = platform.server
    code = LoginCode(server.code(APP.value))
    received = server.call_count()
    port = httpx2.URL(server.url).port or 80
    with proxy(("127.0.0.1", port)) as broken:
        broken.become(how)
        async with create_transport() as transport:
            provider = platform.build(transport, f"http://127.0.0.1:{broken.port}", TIMEOUT_SECONDS)
            yield Failing(provider, code, lambda: server.call_count() - received)


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
async def test_the_provider_satisfies_each_promise_during_a_fault(
    promise: Promise, how: How, platform: Running
) -> None:
    """The provider satisfies each promise during each fault."""
    async with failing(platform, how) as each:
        await promise(each)


class Planted(IdentityProvider):
    """A provider with a bug."""

    def __init__(self, provider: IdentityProvider) -> None:
        self.provider = provider

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
        raise IdentityProviderUnavailable(f"GET /login?secret={SECRET}") from error


class TellsTheCodeInACause(Planted):
    """A provider that leaves the URL of the call in the cause of its error."""

    async def after(self, error: WxLoginError, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Raise an error whose cause has the code."""
        raise IdentityProviderUnavailable from ValueError(f"code={code.value}")


Plant = Callable[[Build], Build]
"""A function that plants a bug in the providers that are built."""


def wrapped_by(kind: type[Planted]) -> Plant:
    """Return the function that wraps providers."""
    return lambda build: lambda *arguments: kind(build(*arguments))


def waits_for_ever(build: Build) -> Build:
    """Build providers without a time limit."""
    return lambda transport, url, _timeout: build(transport, url, 3600)


PLANTED: dict[str, tuple[Plant, Promise, How]] = {
    "SendsTwice": (wrapped_by(SendsTwice), sends_the_code_once, How.CUT),
    "LetsALibraryEscape": (wrapped_by(LetsALibraryEscape), raises_an_error_of_the_domain, How.RESETTING),
    "TellsTheSecret": (wrapped_by(TellsTheSecret), shows_no_secret, How.REFUSING),
    "TellsTheCodeInACause": (wrapped_by(TellsTheCodeInACause), shows_no_secret, How.REFUSING),
    "waits_for_ever": (waits_for_ever, ends_in_time, How.SILENT),
}


@pytest.mark.parametrize(("plant", "promise", "how"), PLANTED.values(), ids=PLANTED)
async def test_a_planted_bug_is_caught(plant: Plant, promise: Promise, how: How, platform: Running) -> None:
    """A provider with a planted bug fails the promise that the bug breaks."""
    async with failing(replace(platform, build=plant(platform.build)), how) as each:
        with pytest.raises((AssertionError, TimeoutError, httpx2.TransportError, OSError)):
            await promise(each)
