"""Keep logins, decryptions and failed authentications of OAuth clients within their limits."""

from datetime import timedelta

from application.ports import IdentityProvider, RateLimiter
from domain.errors import RateLimited, code_may_be_spent
from domain.identity import AppId, Identity, LoginCode
from domain.rate_limit import Allowance, RateLimit
from domain.session_key import SessionKey

CLIENT_FAILURES = RateLimit("client-authentication", 10, timedelta(minutes=1))
"""How often a client address may fail to authenticate as an OAuth client."""


DECRYPTIONS = RateLimit("decrypt", 120, timedelta(minutes=1))
"""How often a session may have data decrypted: no client needs more, and no one should try ciphertexts."""


class Quota:
    """A limit, or none. `refusal` is the text for those who are beyond it."""

    def __init__(self, limiter: RateLimiter, limit: RateLimit | None, refusal: str) -> None:
        self._limiter = limiter
        self._limit = limit
        self._refusal = refusal

    async def take(self, who: str) -> Allowance | None:
        """Take one of what `who` has left, and return the rest; None without a limit.

        Raises RateLimited and StoreUnavailable.
        """
        if self._limit is None:
            return None
        allowance = await self._limiter.take(self._limit, who)
        if not allowance.admitted:
            raise RateLimited(self._refusal, allowance=allowance)
        return allowance


class LoginQuota(Quota):
    """A limit on logins, or none. What it refuses goes no further: the code is as good as before."""

    def __init__(self, limiter: RateLimiter, limit: RateLimit | None) -> None:
        super().__init__(limiter, limit, "Too many logins. The code is not spent: send it again after a while")

    async def take(self, who: str) -> Allowance | None:
        """See Quota. Without the store it advises a new code, as any login does."""
        with code_may_be_spent():
            return await super().take(who)


class LimitedIdentityProvider(IdentityProvider):
    """Another IdentityProvider, asked no more often than each app's quota allows."""

    def __init__(self, identities: IdentityProvider, quota: LoginQuota) -> None:
        self._identities = identities
        self._quota = quota

    async def exchange(self, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """See IdentityProvider."""
        await self._quota.take(appid.value)
        return await self._identities.exchange(code, appid)
