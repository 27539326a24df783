"""Keep logins within what an address, or an app, may."""

from application.ports import IdentityProvider, RateLimiter
from domain.errors import RateLimited, code_may_be_spent
from domain.identity import AppId, Identity, LoginCode
from domain.rate_limit import Allowance, RateLimit
from domain.session_key import SessionKey


class LoginQuota:
    """A limit on logins, or none. What it refuses goes no further: the code is as good as before."""

    def __init__(self, limiter: RateLimiter, limit: RateLimit | None) -> None:
        self._limiter = limiter
        self._limit = limit

    async def take(self, who: str) -> Allowance | None:
        """Take one of `who`'s logins, and say what is left; None where there is no limit.

        Raises RateLimited, and StoreUnavailable as any login does: with the advice to get a new code.
        """
        if self._limit is None:
            return None
        with code_may_be_spent():
            allowance = await self._limiter.take(self._limit, who)
        if not allowance.admitted:
            raise RateLimited(
                "Too many logins. The code is not spent: send it again after a while", allowance=allowance
            )
        return allowance


class LimitedIdentityProvider(IdentityProvider):
    """Another IdentityProvider, asked no more often than each app's quota allows."""

    def __init__(self, identities: IdentityProvider, quota: LoginQuota) -> None:
        self._identities = identities
        self._quota = quota

    async def exchange(self, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """See IdentityProvider."""
        await self._quota.take(appid.value)
        return await self._identities.exchange(code, appid)
