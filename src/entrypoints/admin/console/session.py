"""Sessions of the console: who is signed in, in an encrypted cookie.

No store has them. A cookie is bound to the time at which it was issued and to its admin key, whose entry in the
settings is looked up with each request. See docs/decisions/0031-console.md.
"""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from cachetools import TTLCache
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from application.admin_access import AdminAccess
from application.ports.clock import Clock
from domain.admin import Admin, digest_of

LIFETIME = timedelta(hours=8)
"""How long a session lasts, used or not."""

MAX_ENDED = 10_000
"""How many ended sessions are remembered."""


class CookieContent(msgspec.Struct, frozen=True):
    """The content of the cookie. `key` is the SHA-256 of the admin key."""

    id: str
    key: str
    csrf: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An admin who is signed in. `csrf` is the token that each form of this session has."""

    admin: Admin
    id: str
    csrf: str


class ConsoleSessions:
    """Starts, finds and ends sessions. This process remembers which ones it ended until they would have expired."""

    def __init__(self, encryption_keys: Iterable[str], access: AdminAccess, clock: Clock) -> None:
        self._cipher = MultiFernet([Fernet(_derive(key)) for key in encryption_keys])
        self._access = access
        self._clock = clock
        self._ended = TTLCache[str, bool](MAX_ENDED, LIFETIME.total_seconds(), timer=self._now)

    async def start(self, key: str, network: str | None) -> tuple[str, SignedIn]:
        """Return the cookie of a new session, and the session. Raises as `AdminAccess.authenticate`."""
        admin = await self._access.authenticate(key, network)
        content = CookieContent(secrets.token_urlsafe(16), digest_of(key), secrets.token_urlsafe(32))
        cookie = self._cipher.encrypt_at_time(msgspec.json.encode(content), self._now())
        return cookie.decode(), SignedIn(admin, content.id, content.csrf)

    def find(self, cookie: str) -> SignedIn | None:
        """Return the session of a cookie. None: forged, expired, ended, or its key is not configured any more."""
        try:
            text = self._cipher.decrypt_at_time(cookie, int(LIFETIME.total_seconds()), self._now())
            content = msgspec.json.decode(text, type=CookieContent)
        except (InvalidToken, msgspec.MsgspecError):
            return None
        admin = self._access.owner_of(content.key)
        return SignedIn(admin, content.id, content.csrf) if admin and content.id not in self._ended else None

    def end(self, signed_in: SignedIn) -> None:
        """End the session, so that copies of its cookie are worth nothing in this process."""
        self._ended[signed_in.id] = True

    def _now(self) -> int:
        return int(self._clock().timestamp())


def _derive(encryption_key: str) -> bytes:
    """Return a key for cookies alone: nothing else that the encryption key protects can pass as a cookie."""
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"wxlogin console")
    return urlsafe_b64encode(derived.derive(urlsafe_b64decode(encryption_key)))
