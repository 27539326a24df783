"""The session_key of a user in an app, with which WeChat encrypts and signs data of the client."""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

PREVIOUS_KEY_LIFETIME = timedelta(minutes=5)
"""How long a replaced key is still tried: as long as a login code is valid, data may arrive that it encrypted."""


@dataclass(frozen=True, slots=True)
class SessionKey:
    """A session_key, as the base64 text WeChat sent. It never leaves the server."""

    value: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Return 16 hex digits of its SHA-256, to compare keys without revealing them."""
        return hashlib.sha256(self.value.encode()).hexdigest()[:16]

    def has_signed(self, raw_data: str, signature: str) -> bool:
        """Return whether `signature` is that of `raw_data` under this key. Compares in constant time.

        Hex SHA-1 of the data followed by the key's text:
        https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html
        """
        expected = hashlib.sha1((raw_data + self.value).encode()).hexdigest()  # noqa: S324  # WeChat's choice
        return hmac.compare_digest(expected.encode(), signature.encode())


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one user in one app: the current one, and the previous one until `replaced_at` (UTC)."""

    current: SessionKey
    previous: SessionKey | None = None
    replaced_at: datetime | None = None

    def usable(self, now: datetime) -> Iterator[tuple[str, SessionKey]]:
        """Yield the keys to try on client data, with their names. After a wx.login() either may have encrypted it."""
        yield "current", self.current
        if self.previous and self.replaced_at and now < self.replaced_at + PREVIOUS_KEY_LIFETIME:
            yield "previous", self.previous


@dataclass(frozen=True, slots=True)
class EncryptKey:
    """An AES-128 key that WeChat gives to a user's client and to the server, for their own data.

    https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/user-encryptkey.html
    """

    version: int
    key: str = field(repr=False)
    iv: str = field(repr=False)
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Reencrypted:
    """The number of values encrypted with the newest encryption key, and of those that no key could decrypt."""

    done: int = 0
    lost: int = 0

    def __add__(self, other: Self) -> Self:
        return replace(self, done=self.done + other.done, lost=self.lost + other.lost)
