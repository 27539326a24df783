"""Issue and read signed tokens, which backends verify without a call."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from application.ports.clock import Clock
from application.ports.token_signer import TokenSigner
from application.rate_limits import Quota
from domain.errors import RequestInvalid
from domain.session import Session
from domain.signed_token import SignedToken, SignedTokenPolicy, are_current, claims_of


class SignedTokens:
    """Exchanges live sessions for signed tokens, and reads them.

    - A token is for one audience, and only for a configured one.
    - It has only the identity claims that the operator allows, and never a phone number.
    - It expires with its session at the latest. Until then backends accept it, even if the session has ended.
    """

    def __init__(self, signer: TokenSigner, quota: Quota, *, policy: SignedTokenPolicy, clock: Clock) -> None:
        self._signer = signer
        self._quota = quota
        self._policy = policy
        self._clock = clock

    async def exchange(self, session: Session, audience: str) -> SignedToken:
        """Return a new token of a live session.

        Raises RequestInvalid for an unknown audience, RateLimited beyond the session's quota, and StoreUnavailable.
        """
        self.require_audience(audience)
        await self._quota.take(session.id)
        return self.issue(session, audience)

    def require_audience(self, audience: str) -> None:
        """Raise RequestInvalid for an audience that is not configured."""
        if audience not in self._policy.audiences:
            raise RequestInvalid("No tokens are issued for this audience")

    def issue(self, session: Session, audience: str) -> SignedToken:
        """Return a new token of a live session for a configured audience."""
        claims = claims_of(session, audience, self._policy, self._clock())
        return SignedToken(self._signer.sign(claims), timedelta(seconds=int(claims["exp"]) - int(claims["iat"])))

    def read(self, token: str) -> Mapping[str, Any] | None:
        """Return the claims of a token that was issued here and has not expired, else None.

        Does not check the session: ask Sessions about the claim `sid`.
        """
        claims = self._signer.verify(token)
        return claims if claims and are_current(claims, self._policy.issuer, self._clock()) else None
