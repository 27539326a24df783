"""Issue and read signed tokens, which backends verify without a call."""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from application.ports.clock import Clock
from application.ports.token_signer import TokenSigner
from application.rate_limits import Quota
from domain.errors import RequestInvalid
from domain.session import Session
from domain.signed_token import SignedToken, SignedTokenPolicy, are_current, claims_of

MAX_ASSERTIONS = 10_000
"""How many assertions a process keeps: about 12 MB. Beyond it, the one unused for longest is dropped."""


class SignedTokens:
    """Exchanges live sessions for signed tokens, and reads them.

    - A token is for one audience, and only for a configured one.
    - It says nothing about the user that the operator did not allow, and never the phone number.
    - It expires with its session at the latest. Until then, who verifies it accepts it, even if the session ends.
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

        Whether its session is live is another question: ask Sessions about the claim `sid`.
        """
        claims = self._signer.verify(token)
        return claims if claims and are_current(claims, self._policy.issuer, self._clock()) else None


class _Assertion(NamedTuple):
    token: SignedToken
    user_id: str
    renew_at: datetime


class Assertions:
    """Signed tokens of one audience for forward authentication, each used again until half of its life is over.

    A process keeps at most `limit` of them. The caller checks the session before each use.
    """

    def __init__(self, tokens: SignedTokens, audience: str, *, clock: Clock, limit: int = MAX_ASSERTIONS) -> None:
        self._tokens = tokens
        self._audience = audience
        self._clock = clock
        self._limit = limit
        self._kept: OrderedDict[str, _Assertion] = OrderedDict()

    def get(self, session: Session) -> str:
        """Return a token of a live session. A session that a merge gave to another user gets a new one."""
        now = self._clock()
        kept = self._kept.get(session.id)
        if kept and now < kept.renew_at and kept.user_id == session.user_id:
            self._kept.move_to_end(session.id)
            return kept.token.value
        token = self._tokens.issue(session, self._audience)
        self._kept[session.id] = _Assertion(token, session.user_id, now + token.expires_in / 2)
        self._kept.move_to_end(session.id)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return token.value
