"""A technology that a contributor adds by the recipes in CONTRIBUTING.md: the memory adapters with other names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from support.stores import StoreEnvironment, nothing_at_rest


class TwinIdentityProvider(MemoryIdentityProvider):
    """An IdentityProvider of another platform."""


class TwinKeyVault(MemoryKeyVault):
    """A KeyVault in another technology."""


class TwinSessionStore(MemorySessionStore):
    """A SessionStore in another technology."""


@asynccontextmanager
async def twin_environment(_place: str) -> AsyncIterator[StoreEnvironment]:
    """Open an environment of sessions in another technology."""
    vault = TwinKeyVault()
    store = TwinSessionStore(vault)
    yield StoreEnvironment(lambda _: (store, vault), MemoryUserRepository(), nothing_at_rest)
