"""Parts of a service without servers."""

import pytest

from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.platform import MemoryPlatform
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository


@pytest.fixture
def identities() -> MemoryIdentityProvider:
    """An identity provider in memory."""
    return MemoryIdentityProvider()


@pytest.fixture
def users() -> MemoryUserRepository:
    """A repository without users."""
    return MemoryUserRepository()


@pytest.fixture
def store() -> MemorySessionStore:
    """A store without sessions."""
    return MemorySessionStore()


@pytest.fixture
def vault() -> MemoryKeyVault:
    """A vault without keys."""
    return MemoryKeyVault()


@pytest.fixture
def platform() -> MemoryPlatform:
    """The functions of WeChat other than login, in memory."""
    return MemoryPlatform()
