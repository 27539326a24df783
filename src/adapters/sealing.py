"""Secrets at rest: what every store writes of them, and how it reads them back."""

from dataclasses import replace
from datetime import datetime

from cryptography.fernet import InvalidToken, MultiFernet

from domain.errors import DataUndecryptable
from domain.session_key import KeyRing, Reencrypted, SessionKey


class Sealer:
    """Encrypts with the first of the encryption keys, decrypts with all of them."""

    def __init__(self, cipher: MultiFernet) -> None:
        self._cipher = cipher

    def seal(self, secret: str) -> str:
        """The secret as it may rest: ASCII, and different every time."""
        return self._cipher.encrypt(secret.encode()).decode()

    def open(self, sealed: str | bytes) -> str:
        """The secret. Raises DataUndecryptable when the key that sealed it is gone."""
        try:
            return self._cipher.decrypt(sealed).decode()
        except InvalidToken:
            raise DataUndecryptable(
                "What is stored was encrypted with a key that is no longer in WXLOGIN_ENCRYPTION_KEYS; log in again"
            ) from None

    def open_ring(self, current: str | bytes, previous: str | bytes | None, replaced_at: datetime | None) -> KeyRing:
        """The keys of an account. Raises DataUndecryptable for the newest one; the one before it may be lost."""
        ring = KeyRing(SessionKey(self.open(current)))
        if previous is None:
            return ring
        try:
            return replace(ring, previous=SessionKey(self.open(previous)), replaced_at=replaced_at)
        except DataUndecryptable:
            return ring

    def reseal(self, *sealed: str) -> tuple[list[str], Reencrypted]:
        """The same secrets under the first key, those that no key opens as they were, and how many are which."""
        resealed, lost = [], 0
        for each in sealed:
            try:
                resealed.append(self.seal(self.open(each)))
            except DataUndecryptable:
                resealed.append(each)
                lost += 1
        return resealed, Reencrypted(len(sealed) - lost, lost)
