"""Check and renew the session_key of a session's user."""

from application.ports.clock import Clock
from application.ports.events import Events
from application.ports.key_vault import KeyVault
from application.ports.platform import Platform
from application.ports.user_repository import UserRepository
from domain.errors import DataUndecryptable, NotFound
from domain.event import Cause, Event, EventType
from domain.session import Session
from domain.session_key import EncryptKey, Reencrypted


class SessionKeys:
    """Checks and renews session_keys. Every method may raise StoreUnavailable; those that call WeChat, as Platform."""

    def __init__(
        self, vault: KeyVault, platform: Platform, users: UserRepository, events: Events, *, clock: Clock
    ) -> None:
        self._vault = vault
        self._users = users
        self._events = events
        self._platform = platform
        self._clock = clock

    async def is_current(self, session: Session) -> bool:
        """Return whether the stored key is still valid at WeChat; False if there is none."""
        try:
            ring = await self._vault.get(session)
        except DataUndecryptable:
            return False
        return await self._platform.is_current(session.identity, ring.current)

    async def reset(self, session: Session) -> None:
        """Let WeChat replace the key, and store the new one.

        Raises DataUndecryptable if the old one is not valid, and NotFound if the user was erased meanwhile.
        """
        ring = await self._vault.get(session)
        key = await self._platform.renew(session.identity, ring.current)
        await self._vault.replace(session, key, self._clock())
        try:
            await self._users.get(session.user_id)
        except NotFound:  # the erasure did not see the new key
            await self._vault.erase(session.user_id, [session.identity])
            raise

    async def encrypt_keys(self, session: Session) -> list[EncryptKey]:
        """Return the keys of wx.getUserCryptoManager(), newest first. Raises DataUndecryptable as `reset`."""
        ring = await self._vault.get(session)
        return await self._platform.encrypt_keys(session.identity, ring.current)

    async def reencrypt(self, cause: Cause) -> Reencrypted:
        """Encrypt all stored keys with the newest encryption key. See KeyVault.

        The event of the whole run is added at its end. When that fails, the run can be repeated.
        """
        reencrypted = await self._vault.reencrypt()
        reason = f"{reencrypted.done} encrypted, {reencrypted.lost} lost"
        await self._events.add([Event.of(EventType.KEY_REENCRYPTED, cause, self._clock(), reason=reason)])
        return reencrypted
