"""Keys that a client and its server share through WeChat.

https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/user-encryptkey.html
"""

import secrets
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from entrypoints.sandbox.accounts import new_key
from entrypoints.sandbox.lru import LruDict

KEY_LIFE_SECONDS = 3600
KEYS_SHOWN = 3
ACCOUNTS_REMEMBERED = 10_000


class UserKey(NamedTuple):
    """One version of an account's encryption key: base64 of 16 bytes, an iv of 16 characters, Unix seconds."""

    version: int
    encrypt_key: str
    iv: str
    created_at: float


class UserKeys:
    """The last three keys of each account; a new version is made when one is asked for and the last is 3600 s old."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._keys: LruDict[tuple[str, str], deque[UserKey]] = LruDict(ACCOUNTS_REMEMBERED)

    def latest(self, appid: str, openid: str) -> dict[str, object]:
        """What UserCryptoManager.getLatestUserKey() gives the client; expireTime is in Unix seconds."""
        key = self._current(appid, openid)[0]
        expires = int(key.created_at) + KEY_LIFE_SECONDS
        return {"encryptKey": key.encrypt_key, "iv": key.iv, "version": key.version, "expireTime": expires}

    def shown(self, appid: str, openid: str) -> list[dict[str, object]]:
        """What getUserEncryptKey gives the server, the newest first; `expire_in` is 0 for an old key."""
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
