"""The users of each app, and their session_keys."""

import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from typing import NamedTuple

from wechat_sandbox.crypto import key_signature
from wechat_sandbox.errors import WeChatError, require
from wechat_sandbox.lru import LruDict

ACCOUNTS_REMEMBERED = 100_000
SESSION_KEY_LIFE_SECONDS = 3 * 24 * 3600
"""WeChat documents no lifetime, only that a key of a user who comes often lives longer."""


@dataclass(slots=True)
class SessionKey:
    """A session_key (base64 of 16 bytes), valid until `expires_at` (Unix seconds)."""

    value: str = field(repr=False)
    expires_at: float


class Proof(NamedTuple):
    """The proof of a server that it has the session_key of a user."""

    openid: str
    signature: str
    sig_method: str


@dataclass(slots=True)
class Account:
    """A user of an app."""

    unionid: str | None = None
    session_key: SessionKey | None = None


class Accounts:
    """The 100,000 accounts that were used last, by appid and openid.

    An account has one session_key. wx.login() replaces it. A signature proves that a server has it.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._accounts: LruDict[tuple[str, str], Account] = LruDict(ACCOUNTS_REMEMBERED)

    def get(self, appid: str, openid: str) -> Account:
        """Return the account, after creating it if it does not exist."""
        return self._accounts.get_or_add((appid, openid), Account)

    def find(self, appid: str, openid: str) -> Account:
        """Return the account of a user of this app. Raises WeChatError, 40003 for another openid."""
        account = self._accounts.get((appid, openid))
        if account is None:
            raise WeChatError(40003)
        return account

    def replace_key(self, appid: str, openid: str) -> str:
        """Replace the session_key, and return the new one."""
        key = SessionKey(new_key(), self._now() + SESSION_KEY_LIFE_SECONDS)
        self.get(appid, openid).session_key = key
        return key.value

    def key(self, appid: str, openid: str) -> str:
        """Return the session_key; a new one if there is none, or it expired."""
        key = self.get(appid, openid).session_key
        return key.value if key and self._now() < key.expires_at else self.replace_key(appid, openid)

    def check_key(self, appid: str, proof: Proof, *, absent: int = 87009, message: bytes = b"") -> SessionKey:
        """Return the session_key after checking the proof: hex HMAC-SHA256 of `message` under the key's text.

        Raises WeChatError, in this order: 40003 (no user of this app), 87008 (sig_method), `absent` (there is no
        key, or it expired), 87009 (signed with another key).
        """
        key = self.find(appid, proof.openid).session_key
        require(proof.sig_method == "hmac_sha256", 87008)
        if key is None or self._now() >= key.expires_at:
            raise WeChatError(absent)
        expected = key_signature(key.value, message)
        require(compare_digest(expected.encode(), proof.signature.lower().encode()), 87009)
        return key

    def reset_key(self, appid: str, proof: Proof) -> str:
        """Replace the session_key by one with the same expiry, and return it. Raises as `check_key`, with 87007."""
        key = self.check_key(appid, proof, absent=87007)
        key.value = new_key()
        return key.value


def new_key() -> str:
    """Return 16 random bytes as base64."""
    return b64encode(secrets.token_bytes(16)).decode()


def openid_of(appid: str, person: str) -> str:
    """Return the openid of `person` in an app: `o` and 27 URL-safe characters. Deterministic."""
    return "o" + urlsafe_b64encode(sha256(f"{appid} {person}".encode()).digest()).decode()[:27]
