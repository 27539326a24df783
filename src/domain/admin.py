"""Admins: the owners of admin keys, and the scopes of each key."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import AdminKeyInvalid, ScopeMissing


class Scope(StrEnum):
    """A permission of an admin key."""

    READ = "read"
    WRITE = "write"
    ERASE = "erase"


@dataclass(frozen=True, slots=True)
class Admin:
    """The owner of an admin key, by the key's name in the settings."""

    name: str
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Raise ScopeMissing unless the key has the scope."""
        if scope not in self.scopes:
            raise ScopeMissing(f"The admin key {self.name} lacks the scope {scope}")


class AdminKeys:
    """The configured admin keys, by their SHA-256 in hex. The keys themselves are not known here."""

    def __init__(self, admins: Mapping[str, Admin]) -> None:
        self._admins = admins

    def find(self, key: str) -> Admin:
        """Return the admin with this key. Takes the same time wherever the key differs. Raises AdminKeyInvalid."""
        digest, found = digest_of(key), None
        for known, admin in self._admins.items():
            if hmac.compare_digest(known, digest):
                found = admin
        if found is None:
            raise AdminKeyInvalid
        return found

    def owner_of(self, digest: str) -> Admin | None:
        """Return the admin whose key has this SHA-256 in hex, or None."""
        return self._admins.get(digest)


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key in hex, as it is configured."""
    return hashlib.sha256(key.encode()).hexdigest()
