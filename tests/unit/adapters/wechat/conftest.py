"""A platform, and random credentials, which a traceback shows only when they leak."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from domain.identity import AppId, LoginCode
from support.clock import Clock
from unit.adapters.wechat.platform_world import World


@dataclass(frozen=True)
class Credentials:
    """The random credentials of one login."""

    appid: AppId
    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    code: LoginCode = field(default_factory=lambda: LoginCode(secrets.token_hex(16)))
    session_key: str = field(default_factory=lambda: secrets.token_hex(12))

    @property
    def hidden(self) -> list[str]:
        """Return the values that must stay secret."""
        return [self.secret, self.code.value, self.session_key]


@pytest.fixture(scope="module")
def login() -> Credentials:
    """The credentials of one login, for all tests of a module."""
    return Credentials(AppId("wx0123456789abcdef"))


@pytest.fixture
async def world(clock: Clock) -> AsyncIterator[World]:
    """A platform without signing."""
    world = World(clock)
    yield world
    await world.tokens.aclose()
