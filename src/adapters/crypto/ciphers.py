"""Encryption of stored secrets."""

from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.fernet import InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.errors import DataUndecryptable
from domain.session_key import KeyRing, Reencrypted, SessionKey

S = TypeVar("S")

KEY_IS_GONE = "What is stored was encrypted with a key that is no longer in WXLOGIN_ENCRYPTION_KEYS; log in again"


class FernetCipher:
    """Encrypts text with the first encryption key by Fernet, and decrypts with all of them."""

    def __init__(self, cipher: MultiFernet) -> None:
        self._cipher = cipher

    def encrypt(self, secret: str) -> str:
        """Return the encrypted text: ASCII, and different each time."""
        return self._cipher.encrypt(secret.encode()).decode()

    def decrypt(self, encrypted: str | bytes) -> str:
        """Return the secret. Raises DataUndecryptable if its encryption key is not configured any more."""
        try:
            return self._cipher.decrypt(encrypted).decode()
        except InvalidToken:
            raise DataUndecryptable(KEY_IS_GONE) from None

    def reencrypt(self, *encrypted: str) -> tuple[list[str], Reencrypted]:
        """Encrypt the secrets with the first key. Returns those that no key decrypts unchanged, and counts both."""
        reencrypted, lost = [], 0
        for each in encrypted:
            try:
                reencrypted.append(self.encrypt(self.decrypt(each)))
            except DataUndecryptable:
                reencrypted.append(each)
                lost += 1
        return reencrypted, Reencrypted(len(encrypted) - lost, lost)


def open_ring(
    open_key: Callable[[S], SessionKey], current: S, previous: S | None, replaced_at: datetime | None
) -> KeyRing:
    """Return the keys of an account. Raises DataUndecryptable for the current key, and omits a lost previous one."""
    ring = KeyRing(open_key(current))
    if previous is not None:
        with suppress(DataUndecryptable):
            return replace(ring, previous=open_key(previous), replaced_at=replaced_at)
    return ring


KEY_BYTES = 16
"""The size of a session_key, which WeChat sends as 24 characters of base64."""


class SivCipher:
    """Encrypts session_keys to 32 bytes: with AES-SIV (RFC 5297), under keys that are derived from the encryption keys.

    The same key of an account always gives the same bytes, so that keys can be compared without decryption. What is
    encrypted for one account cannot be decrypted for another. See docs/decisions/0017-bytes-in-redis.md.
    """

    def __init__(self, encryption_keys: Sequence[str]) -> None:
        self._ciphers = [AESSIV(_derive(key)) for key in encryption_keys]

    def encrypt(self, account: bytes, key: SessionKey) -> bytes:
        """Return the encrypted key."""
        return self._ciphers[0].encrypt(_pack(key.value), [account])

    def decrypt(self, account: bytes, encrypted: bytes) -> SessionKey:
        """Return the key. Raises DataUndecryptable if its encryption key is not configured any more."""
        for cipher in self._ciphers:
            with suppress(InvalidTag):
                return SessionKey(_unpack(cipher.decrypt(encrypted, [account])))
        raise DataUndecryptable(KEY_IS_GONE)

    def reencrypt(self, account: bytes, encrypted: bytes) -> tuple[bytes, Reencrypted]:
        """Encrypt the key with the first encryption key, and count it. A key that none decrypts is unchanged."""
        try:
            return self.encrypt(account, self.decrypt(account, encrypted)), Reencrypted(done=1)
        except DataUndecryptable:
            return encrypted, Reencrypted(lost=1)


def _derive(encryption_key: str) -> bytes:
    derivation = HKDF(SHA256(), length=64, salt=None, info=b"wxlogin: session_keys, AES-SIV")
    return derivation.derive(urlsafe_b64decode(encryption_key))


def _pack(key: str) -> bytes:
    with suppress(ValueError):
        raw = b64decode(key)
        if len(raw) == KEY_BYTES and b64encode(raw).decode() == key:
            return raw
    text = key.encode()
    return text + b"\0" if len(text) == KEY_BYTES else text


def _unpack(packed: bytes) -> str:
    return b64encode(packed).decode() if len(packed) == KEY_BYTES else packed.rstrip(b"\0").decode()
