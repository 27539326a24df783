"""The calls of WeChat beyond login, in this process."""

import base64
import secrets
from datetime import UTC, datetime, timedelta

from application.ports.platform import Platform
from domain.errors import CodeInvalid, DataUndecryptable, NotFound
from domain.identity import AppId, Identity, PhoneCode
from domain.session_key import EncryptKey, SessionKey
from domain.user import Payment, PhoneNumber

Account = tuple[AppId, str]


class MemoryPlatform(Platform):
    """A Platform with the codes, keys and payments that a test gives it."""

    def __init__(self) -> None:
        self.keys: dict[Account, SessionKey] = {}
        self.encrypted: dict[tuple[AppId, str], datetime] = {}
        self.drawn: list[str] = []
        self.payments: dict[tuple[Account, Payment], str] = {}
        self._phones: dict[tuple[AppId, str], PhoneNumber] = {}

    def issue_phone_code(self, number: PhoneNumber, appid: AppId) -> PhoneCode:
        """Return a code as the phone button does."""
        code = PhoneCode(secrets.token_hex(32))
        self._phones[appid, code.value] = number
        return code

    async def phone_number(self, code: PhoneCode, identity: Identity) -> PhoneNumber:
        """See Platform. Its codes are of no user."""
        try:
            return self._phones.pop((identity.appid, code.value))
        except KeyError:
            raise CodeInvalid from None

    async def is_current(self, identity: Identity, key: SessionKey) -> bool:
        """See Platform."""
        return self.keys.get((identity.appid, identity.openid)) == key

    async def renew(self, identity: Identity, key: SessionKey) -> SessionKey:
        """See Platform."""
        await self._require_current(identity, key)
        new = SessionKey(base64.b64encode(secrets.token_bytes(16)).decode())
        self.keys[identity.appid, identity.openid] = new
        return new

    async def encrypt_keys(self, identity: Identity, key: SessionKey) -> list[EncryptKey]:
        """See Platform."""
        await self._require_current(identity, key)
        now = datetime(2026, 1, 1, tzinfo=UTC)
        return [EncryptKey(1, key.value, "0" * 16, now, now + timedelta(hours=1))]

    async def encrypted_at(self, encrypted_data: str, appid: AppId) -> datetime | None:
        """See Platform."""
        return self.encrypted.get((appid, encrypted_data))

    async def unionid_of(self, identity: Identity, payment: Payment) -> str:
        """See Platform."""
        try:
            return self.payments[(identity.appid, identity.openid), payment]
        except KeyError:
            raise NotFound from None

    async def draw_code(self, appid: AppId, scene: str, page: str, env_version: str) -> bytes:
        """See Platform. The picture is no picture, but says what one would open."""
        self.drawn.append(scene)
        return f"\xff\xd8\xff{appid} {env_version} {page}?scene={scene}".encode("latin-1")

    async def _require_current(self, identity: Identity, key: SessionKey) -> None:
        if not await self.is_current(identity, key):
            raise DataUndecryptable
