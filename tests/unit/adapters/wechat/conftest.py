"""Credentials that no source line has, so that a traceback that shows one has leaked it; and a platform."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from domain.identity import AppId, LoginCode
from support.clock import Clock
from unit.adapters.wechat.platform_world import World


@dataclass(frozen=True)
class Credentials:
    """What one login brings and gets, all of it made up anew."""

    appid: AppId
    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    code: LoginCode = field(default_factory=lambda: LoginCode(secrets.token_hex(16)))
    session_key: str = field(default_factory=lambda: secrets.token_hex(12))

    @property
    def hidden(self) -> list[str]:
        """What nobody may see."""
        return [self.secret, self.code.value, self.session_key]


@pytest.fixture(scope="module")
def login() -> Credentials:
    """One login's credentials, for all tests of a module."""
    return Credentials(AppId("wx0123456789abcdef"))


@pytest.fixture
async def world(clock: Clock) -> AsyncIterator[World]:
    """A platform without signing."""
    world = World(clock)
    yield world
    await world.tokens.aclose()
