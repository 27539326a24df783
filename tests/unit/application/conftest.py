"""A service without servers."""

import pytest

from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.platform import MemoryPlatform
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository


@pytest.fixture
def identities() -> MemoryIdentityProvider:
    """WeChat without WeChat."""
    return MemoryIdentityProvider()


@pytest.fixture
def users() -> MemoryUserRepository:
    """No user yet."""
    return MemoryUserRepository()


@pytest.fixture
def store() -> MemorySessionStore:
    """No session yet."""
    return MemorySessionStore()


@pytest.fixture
def vault() -> MemoryKeyVault:
    """No key yet."""
    return MemoryKeyVault()


@pytest.fixture
def platform() -> MemoryPlatform:
    """What WeChat does beyond login, without WeChat."""
    return MemoryPlatform()
