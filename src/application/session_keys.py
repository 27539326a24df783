"""The session_key of a session's user: whether it is still WeChat's, and a new one."""

from application.ports import Clock, KeyVault, Platform
from domain.errors import DataUndecryptable
from domain.session import Session
from domain.session_key import EncryptKey, Reencrypted


class SessionKeys:
    """Every method raises StoreUnavailable, and what Platform raises where it is asked."""

    def __init__(self, vault: KeyVault, platform: Platform, *, clock: Clock) -> None:
        self._vault = vault
        self._platform = platform
        self._clock = clock

    async def is_current(self, session: Session) -> bool:
        """Whether the key at hand is still WeChat's. One that is lost is not."""
        try:
            ring = await self._vault.find(session)
        except DataUndecryptable:
            return False
        return await self._platform.is_current(session.identity, ring.current)

    async def reset(self, session: Session) -> None:
        """Let WeChat make a new key, and keep it. Raises DataUndecryptable when the old one is void."""
        ring = await self._vault.find(session)
        key = await self._platform.renew(session.identity, ring.current)
        await self._vault.replace(session, key, self._clock())

    async def encrypt_keys(self, session: Session) -> list[EncryptKey]:
        """The keys of wx.getUserCryptoManager(), newest first. Raises DataUndecryptable as `reset`."""
        ring = await self._vault.find(session)
        return await self._platform.encrypt_keys(session.identity, ring.current)

    async def reencrypt(self) -> Reencrypted:
        """Encrypt all stored keys with the newest encryption key."""
        return await self._vault.reencrypt()
