"""A technology that a contributor adds by the recipes in CONTRIBUTING.md: the memory adapters with other names."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.session_events import MemorySessionEvents
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.ports.key_vault import KeyVault
from application.ports.session_store import SessionStore
from domain.event import DEFAULT_POLICY, EventPolicy
from support.stores import StoreEnvironment, nothing_at_rest


class TwinIdentityProvider(MemoryIdentityProvider):
    """An IdentityProvider of another platform."""


class TwinSessionStore(MemorySessionStore):
    """A SessionStore in another technology."""


class TwinSessionEvents(MemorySessionEvents):
    """The SessionEvents of another technology."""


@asynccontextmanager
async def twin_environment(_place: str) -> AsyncIterator[StoreEnvironment]:
    """Open an environment of sessions in another technology. Their session_keys are elsewhere."""
    vault, events = MemoryKeyVault(), TwinSessionEvents()
    store = TwinSessionStore(vault, events.publish)

    def open_again(
        encryption_keys: Sequence[str], policy: EventPolicy = DEFAULT_POLICY
    ) -> tuple[SessionStore, KeyVault]:
        return store, vault

    yield StoreEnvironment(open_again, MemoryUserRepository(), nothing_at_rest, events)
