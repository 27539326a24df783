"""Decrypt client data."""

from abc import abstractmethod
from typing import Any, Protocol

from domain.client_data import EncryptedData
from domain.session_key import SessionKey


class Decryptor(Protocol):
    """Decrypts data that the platform encrypted for the server."""

    @abstractmethod
    def decrypt(self, data: EncryptedData, key: SessionKey) -> dict[str, Any]:
        """Return the JSON object in `data`. Raises DataUndecryptable for everything that is wrong with it."""
