"""Check and renew the session_key of a session's user."""

from application.ports.clock import Clock
from application.ports.key_vault import KeyVault
from application.ports.platform import Platform
from domain.errors import DataUndecryptable
from domain.session import Session
from domain.session_key import EncryptKey, Reencrypted


class SessionKeys:
    """Checks and renews session_keys. Every method may raise StoreUnavailable; those that call WeChat, as Platform."""

    def __init__(self, vault: KeyVault, platform: Platform, *, clock: Clock) -> None:
        self._vault = vault
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
        """Let WeChat replace the key, and store the new one. Raises DataUndecryptable if the old one is not valid."""
        ring = await self._vault.get(session)
        key = await self._platform.renew(session.identity, ring.current)
        await self._vault.replace(session, key, self._clock())

    async def encrypt_keys(self, session: Session) -> list[EncryptKey]:
        """Return the keys of wx.getUserCryptoManager(), newest first. Raises DataUndecryptable as `reset`."""
        ring = await self._vault.get(session)
        return await self._platform.encrypt_keys(session.identity, ring.current)

    async def reencrypt(self) -> Reencrypted:
        """Encrypt all stored keys with the newest encryption key. See KeyVault."""
        return await self._vault.reencrypt()
