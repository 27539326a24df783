"""Encryption keys that WeChat shares with a client and its server.

https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/user-encryptkey.html
"""

import secrets
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from wechat_sandbox.accounts import new_key
from wechat_sandbox.lru import LruDict

KEY_LIFE_SECONDS = 3600
KEYS_SHOWN = 3
ACCOUNTS_REMEMBERED = 10_000


class UserKey(NamedTuple):
    """A version of an account's encryption key: base64 of 16 bytes, an iv of 16 characters, times in Unix seconds."""

    version: int
    encrypt_key: str
    iv: str
    created_at: float


class UserKeys:
    """The last three keys of each account. A key is replaced at its first use after 3600 seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._keys: LruDict[tuple[str, str], deque[UserKey]] = LruDict(ACCOUNTS_REMEMBERED)

    def latest(self, appid: str, openid: str) -> dict[str, object]:
        """Return the key of UserCryptoManager.getLatestUserKey(). expireTime is in Unix seconds."""
        key = self._current(appid, openid)[0]
        expires = int(key.created_at) + KEY_LIFE_SECONDS
        return {"encryptKey": key.encrypt_key, "iv": key.iv, "version": key.version, "expireTime": expires}

    def shown(self, appid: str, openid: str) -> list[dict[str, object]]:
        """Return the keys of getUserEncryptKey, newest first. `expire_in` is 0 for an old key."""
        return [self._shown(key) for key in self._current(appid, openid)]

    def _current(self, appid: str, openid: str) -> deque[UserKey]:
        keys = self._keys.get_or_add((appid, openid), lambda: deque(maxlen=KEYS_SHOWN))
        if not keys or self._now() >= keys[0].created_at + KEY_LIFE_SECONDS:
            version = keys[0].version + 1 if keys else 1
            keys.appendleft(UserKey(version, new_key(), secrets.token_hex(8), self._now()))
        return keys

    def _shown(self, key: UserKey) -> dict[str, object]:
        return {
            "encrypt_key": key.encrypt_key,
            "version": key.version,
            "expire_in": max(0, int(key.created_at + KEY_LIFE_SECONDS - self._now())),
            "iv": key.iv,
            "create_time": int(key.created_at),
        }
