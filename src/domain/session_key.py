"""WeChat's key of one user in one app: what client data is encrypted and signed with."""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

PREVIOUS_KEPT = timedelta(minutes=5)
"""How long a replaced key may still be tried: as long as a login code lives, client data may be under way with it."""


@dataclass(frozen=True, slots=True)
class SessionKey:
    """A session_key, as the base64 text WeChat sent. It never leaves the server."""

    value: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Tells two keys apart and gives neither away: 16 hex digits of its SHA-256."""
        return hashlib.sha256(self.value.encode()).hexdigest()[:16]

    def has_signed(self, raw_data: str, signature: str) -> bool:
        """Whether `signature` is WeChat's of `raw_data` under this key; takes the same time for every wrong one.

        Hex SHA-1 of the data followed by the key's text:
        https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html
        """
        expected = hashlib.sha1((raw_data + self.value).encode()).hexdigest()  # noqa: S324  # WeChat's choice
        return hmac.compare_digest(expected.encode(), signature.encode())


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one user in one app: the newest, and the one it replaced at `replaced_at` (UTC)."""

    current: SessionKey
    previous: SessionKey | None = None
    replaced_at: datetime | None = None

    def usable(self, now: datetime) -> Iterator[tuple[str, SessionKey]]:
        """What to try on client data, by name. After a fresh wx.login() it may be encrypted under either key."""
        yield "current", self.current
        if self.previous and self.replaced_at and now < self.replaced_at + PREVIOUS_KEPT:
            yield "previous", self.previous


@dataclass(frozen=True, slots=True)
class EncryptKey:
    """A key that WeChat shares between one user's client and the server: AES-128, for data of their own.

    https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/user-encryptkey.html
    """

    version: int
    key: str = field(repr=False)
    iv: str = field(repr=False)
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Reencrypted:
    """How many secrets are under the newest encryption key now, and how many no key opens any more."""

    done: int = 0
    lost: int = 0

    def __add__(self, other: Self) -> Self:
        return replace(self, done=self.done + other.done, lost=self.lost + other.lost)
