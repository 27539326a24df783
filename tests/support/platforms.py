"""The platforms whose identity providers are tested. Every suite runs each platform that is registered here."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import httpx2

from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.wechat.api import WeChatApi
from adapters.wechat.identity_provider import WeChatIdentityProvider
from application.ports.identity_provider import IdentityProvider
from domain.identity import AppId, Identity, LoginCode
from support.plain_http import transport_to
from support.processes import sandbox
from support.twin import TwinIdentityProvider
from wechat_sandbox.app import create_sandbox

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
SECRET = "5ecf3ed9a5ecf3ed9a5ecf3ed9a5ecf3"
SECRETS = {APP: SECRET, OTHER_APP: "0123456789abcdef0123456789abcdef"}


class Phone:
    """A provider, with the function that issues its codes."""

    def __init__(self, identities: IdentityProvider, wx_login: Callable[[Identity], Awaitable[LoginCode]]) -> None:
        self.identities = identities
        self.wx_login = wx_login


class Server(Protocol):
    """A stand-in for a platform, in a process of its own."""

    url: str

    def code(self, appid: str) -> str:
        """Return a new code of some user."""

    def call_count(self) -> int:
        """Return how many codes the server has received."""


Build = Callable[[httpx2.AsyncBaseTransport, str, float], IdentityProvider]
"""A function that returns a provider of SECRETS on the server at a URL, with a time limit in seconds."""


@dataclass(frozen=True)
class Platform:
    """A platform: how a test opens its phone, and how it runs its server and builds a provider on it.

    One without a server has no faults to test.
    """

    open_phone: Callable[[], AbstractAsyncContextManager[Phone]]
    run: Callable[[], AbstractContextManager[Server]] | None = None
    build: Build | None = None


@asynccontextmanager
async def memory(kind: type[MemoryIdentityProvider] = MemoryIdentityProvider) -> AsyncIterator[Phone]:
    """Open a provider that issues its codes in this process."""
    identities = kind()

    async def wx_login(identity: Identity) -> LoginCode:
        return identities.issue(identity)

    yield Phone(identities, wx_login)


@asynccontextmanager
async def wechat() -> AsyncIterator[Phone]:
    """Open a provider on the sandbox, with the correct AppSecrets."""
    application = create_sandbox({appid.value: secret for appid, secret in SECRETS.items()})
    transport = transport_to(application)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

        async def wx_login(identity: Identity) -> LoginCode:
            whose = {"appid": identity.appid.value, "openid": identity.openid, "unionid": identity.unionid}
            answer = await client.post("/sandbox/codes", json=whose)
            return LoginCode(answer.raise_for_status().json()["code"])

        yield Phone(build_wechat(transport, "https://api.weixin.qq.com", 3.0), wx_login)


def build_wechat(transport: httpx2.AsyncBaseTransport, url: str, timeout: float) -> IdentityProvider:
    """Return the provider on WeChat."""
    return WeChatIdentityProvider(WeChatApi(transport, url, timeout), SECRETS)


PLATFORMS: Mapping[str, Platform] = {
    "memory": Platform(memory),
    "twin": Platform(partial(memory, TwinIdentityProvider)),
    "wechat": Platform(wechat, sandbox, build_wechat),
}
"""The platforms, by name."""
