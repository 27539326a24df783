"""Limit the rate of logins, scans, decryptions, token exchanges, and failed authentications of clients and admins."""

from collections.abc import Mapping
from datetime import timedelta

from application.ports.identity_provider import IdentityProvider
from application.ports.rate_limiter import RateLimiter
from domain.errors import RateLimited
from domain.identity import AppId, Identity, LoginCode, code_may_be_spent
from domain.rate_limit import Allowance, RateLimit
from domain.session_key import SessionKey

CLIENT_FAILURES = RateLimit("client-authentication", 10, timedelta(minutes=1))
"""How often a client address may fail to authenticate as an OAuth client."""

ADMIN_FAILURES = RateLimit("admin-authentication", 10, timedelta(minutes=1))
"""How often a client address may fail to authenticate as an admin."""


DECRYPTIONS = RateLimit("decrypt", 120, timedelta(minutes=1))
"""How often a session may decrypt data: enough for a client, and too little to try out ciphertexts."""

SCANS_OF_CLIENT = RateLimit("scans-of-client", 2000, timedelta(minutes=2))
"""The open scans of an OAuth client. A burst can reach twice as many."""

SCANS_OF_ADDRESS = RateLimit("scans-of-address", 60, timedelta(minutes=2))
"""Likewise for the network of a browser. Many people may share it."""

LOOKS_OF_USER = RateLimit("scan-looks-of-user", 30, timedelta(minutes=1))
"""The looks and answers of a user. One login takes two."""

LOOKS_OF_ADDRESS = RateLimit("scan-looks-of-address", 600, timedelta(minutes=1))
"""Likewise for the network of a phone. Many phones share a carrier's."""


TOKEN_EXCHANGES = RateLimit("token-exchange", 60, timedelta(minutes=1))
"""The token exchanges of a session. Each costs a signature, and its token lives for minutes."""


class Quota:
    """A rate limit, or none. `refusal` is the text of RateLimited."""

    def __init__(self, limiter: RateLimiter, limit: RateLimit | None, refusal: str) -> None:
        self._limiter = limiter
        self._limit = limit
        self._refusal = refusal

    async def take(self, subject: str) -> Allowance | None:
        """Take one request from the quota of `subject`, and return the allowance; None if there is no limit.

        Raises RateLimited and StoreUnavailable.
        """
        if self._limit is None:
            return None
        allowance = await self._limiter.take(self._limit, subject)
        if not allowance.admitted:
            raise RateLimited(self._refusal, allowance=allowance)
        return allowance


class LoginQuota(Quota):
    """A rate limit on logins, or none. A refused login does not reach WeChat, so its code stays valid."""

    def __init__(self, limiter: RateLimiter, limit: RateLimit | None) -> None:
        super().__init__(limiter, limit, "Too many logins. The code is not spent: send it again after a while")

    async def take(self, subject: str) -> Allowance | None:
        """See Quota. StoreUnavailable asks for a new code, as in every login."""
        with code_may_be_spent():
            return await super().take(subject)


class LimitedIdentityProvider(IdentityProvider):
    """An IdentityProvider in front of those of the platforms, by app, which limits the logins of each app."""

    def __init__(self, identities: Mapping[AppId, IdentityProvider], quota: LoginQuota) -> None:
        self._identities = identities
        self._quota = quota

    async def exchange(self, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """See IdentityProvider."""
        await self._quota.take(appid.value)
        return await self._identities[appid].exchange(code, appid)


class ScanQuotas:
    """The rate limits of scans. A network that is None is not limited: it came through a UNIX socket."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._starts_of_client = Quota(limiter, SCANS_OF_CLIENT, "Too many open scans of this client")
        self._starts_of_address = Quota(limiter, SCANS_OF_ADDRESS, "Too many open scans of this address")
        self._looks_of_user = Quota(limiter, LOOKS_OF_USER, "Too many scans by this user")
        self._looks_of_address = Quota(limiter, LOOKS_OF_ADDRESS, "Too many scans from this address")

    async def take_start(self, client_id: str, network: str | None) -> None:
        """Take one start of a scan. Raises RateLimited and StoreUnavailable.

        A start that the network's quota refuses takes nothing from the client's, which other visitors need.
        """
        if network:
            await self._starts_of_address.take(network)
        await self._starts_of_client.take(client_id)

    async def take_look(self, user_id: str, network: str | None) -> None:
        """Take one look at a scan, or one answer. Raises RateLimited and StoreUnavailable.

        A look that the user's quota refuses takes nothing from the network's, which other phones of a carrier need.
        """
        await self._looks_of_user.take(user_id)
        if network:
            await self._looks_of_address.take(network)
