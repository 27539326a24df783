"""Sign tokens."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from domain.signed_token import Claims


class TokenSigner(Protocol):
    """Signs tokens with the first of its keys, and verifies tokens of all of them. It may have no key."""

    @abstractmethod
    def sign(self, claims: Claims) -> str:
        """Return a signed token with these claims. Must not be called without a key."""

    @abstractmethod
    def verify(self, token: str) -> Mapping[str, Any] | None:
        """Return the claims of a token that one of the keys signed, else None. Checks no claim."""

    @abstractmethod
    def public_keys(self) -> Sequence[Mapping[str, str]]:
        """Return the public halves of all keys, as JSON Web Keys (RFC 7517), in their order."""
