"""Decrypt and verify data of the client that WeChat encrypted or signed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from application.ports.clock import Clock
from application.ports.decryptor import Decryptor
from application.ports.key_vault import KeyVault
from application.ports.platform import Platform
from application.rate_limits import Quota
from domain.client_data import EncryptedData, check_openid, check_watermark
from domain.errors import DataUndecryptable
from domain.session import Session


@dataclass(frozen=True, slots=True)
class Decrypted:
    """The data, and the name of the session_key that decrypted it: `current` or `previous`."""

    data: Mapping[str, Any]
    key: str


class ClientData:
    """Decrypts and verifies data of a client with the session_key of the session's user.

    - For five minutes after a new key the previous one is tried, too: a wx.login() may have come in between.
    - Data for another app or of another user is refused, even if it can be decrypted.
    - Every failure to decrypt is the same error, so that it reveals nothing about the key.

    Every method may raise StoreUnavailable, and DataUndecryptable if there is no key.
    """

    def __init__(
        self, vault: KeyVault, decryptor: Decryptor, platform: Platform, quota: Quota, *, clock: Clock
    ) -> None:
        self._vault = vault
        self._decryptor = decryptor
        self._platform = platform
        self._quota = quota
        self._clock = clock

    async def decrypt(self, session: Session, encrypted_data: str, iv: str) -> Decrypted:
        """Return the JSON object in the data.

        Raises RequestInvalid, DataUndecryptable, WatermarkMismatch and, beyond the session's quota, RateLimited.
        """
        encrypted = EncryptedData.parse(encrypted_data, iv)
        await self._quota.take(session.id)
        ring = await self._vault.get(session)
        for name, key in ring.usable(self._clock()):
            try:
                decrypted = Decrypted(self._decryptor.decrypt(encrypted, key), name)
            except DataUndecryptable:
                continue
            check_watermark(decrypted.data, session.identity.appid)
            check_openid(decrypted.data, session.identity)
            return decrypted
        raise DataUndecryptable("No session_key of this user opens the data; call wx.login() and ask the user again")

    async def verify(self, session: Session, raw_data: str, signature: str) -> bool:
        """Return whether WeChat signed `raw_data` for the session's user."""
        ring = await self._vault.get(session)
        return any(key.has_signed(raw_data, signature) for _, key in ring.usable(self._clock()))

    async def encrypted_at(self, session: Session, encrypted_data: str) -> datetime | None:
        """Return when WeChat made the data, or None. See Platform."""
        return await self._platform.encrypted_at(encrypted_data, session.identity.appid)
