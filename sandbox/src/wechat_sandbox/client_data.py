"""Encrypted data of clients.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-info/basic-info/checkEncryptedData.html
"""

from collections.abc import Callable, Mapping
from hashlib import sha256

import msgspec

from wechat_sandbox.accounts import Accounts
from wechat_sandbox.crypto import data_signature, encrypt
from wechat_sandbox.errors import WeChatError, require
from wechat_sandbox.lru import LruDict

MEMORY_SECONDS = 3 * 24 * 3600
HASHES_REMEMBERED = 100_000


class ClientData:
    """The data that was encrypted in the last three days of `now` (Unix seconds), the last 100,000 pieces, by hash.

    The hash is hex SHA-256 of encryptedData's base64 text, as in the sample of WeChat's page.
    """

    def __init__(self, now: Callable[[], float], accounts: Accounts) -> None:
        self._now = now
        self._accounts = accounts
        self._made: LruDict[tuple[str, str], float] = LruDict(HASHES_REMEMBERED)

    def encrypt(self, appid: str, openid: str, data: Mapping[str, object]) -> dict[str, str]:
        """Encrypt `data` under the account's current session_key, as wx.getUserInfo() does.

        The plaintext is `data` with a watermark, unless it has one. rawData is the JSON of `data` alone.
        """
        key = self._accounts.key(appid, openid)
        watermark = {"watermark": {"timestamp": int(self._now()), "appid": appid}}
        encrypted, iv = encrypt(msgspec.json.encode({**watermark, **data}), key)
        self._made[appid, sha256(encrypted.encode()).hexdigest()] = self._now()
        raw = msgspec.json.encode(data).decode()
        return {"encryptedData": encrypted, "iv": iv, "rawData": raw, "signature": data_signature(raw, key)}

    def check(self, appid: str, encrypted_msg_hash: str) -> dict[str, object]:
        """Return when data with this hash was encrypted for this app, in Unix seconds.

        Raises WeChatError: 40097 (no hash), 1 (no such data in the last three days).
        """
        require(encrypted_msg_hash, 40097)
        made = self._made.get((appid, encrypted_msg_hash.lower()))
        if made is None or self._now() >= made + MEMORY_SECONDS:
            raise WeChatError(1)
        return {"vaild": True, "create_time": int(made)}  # sic: vaild
