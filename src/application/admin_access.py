"""Authenticate admins."""

from application.rate_limits import Quota
from domain.admin import Admin, AdminKeys
from domain.errors import AdminKeyInvalid


class AdminAccess:
    """Authenticates admins by their keys, and limits failures by network.

    A network that failed too often is refused, but not with a valid key: it may be that of many people.
    """

    def __init__(self, keys: AdminKeys, failures: Quota) -> None:
        self._keys = keys
        self._failures = failures

    async def authenticate(self, key: str, network: str | None) -> Admin:
        """Return the admin with this key. Failures from a network that is None are not limited.

        Raises AdminKeyInvalid, RateLimited and StoreUnavailable.
        """
        try:
            return self._keys.find(key)
        except AdminKeyInvalid:
            if network:
                await self._failures.take(network)
            raise

    def owner_of(self, digest: str) -> Admin | None:
        """Return the admin whose key has this SHA-256 in hex; None if the key is not configured any more.

        For who has shown the key before: the SHA-256 proves nothing.
        """
        return self._keys.owner_of(digest)
