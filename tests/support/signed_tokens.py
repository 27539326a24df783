"""Signed tokens in tests of one process: a real signer, sessions, and the claims of a token."""

from typing import Any

from adapters.jose.token_signer import JoseTokenSigner
from adapters.memory.rate_limiter import MemoryRateLimiter
from application.rate_limits import TOKEN_EXCHANGES, Quota
from application.signed_tokens import SignedTokens
from domain.device import UNKNOWN_DEVICE
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from domain.signed_token import SignedTokenPolicy
from support.clock import Clock
from support.jwts import decoded, signing_key

POLICY = SignedTokenPolicy("https://id.example.com", frozenset({"orders", "payments"}))
KEY = signing_key()


def signed_tokens(clock: Clock, policy: SignedTokenPolicy = POLICY) -> SignedTokens:
    """Return the use case, with a real signer."""
    quota = Quota(MemoryRateLimiter(clock), TOKEN_EXCHANGES, "too many")
    return SignedTokens(JoseTokenSigner([KEY]), quota, policy=policy, clock=clock)


def session_of(user_id: str, clock: Clock, policy: SessionPolicy | None = None) -> Session:
    """Return a new session."""
    identity = Identity(AppId("wx1"), f"o-{user_id}")
    return Session.start(
        SessionToken.generate(), user_id, identity, UNKNOWN_DEVICE, policy or SessionPolicy(), clock.now
    )


def claims(token: str) -> dict[str, Any]:
    """Return the claims of a token."""
    read: dict[str, Any] = decoded(token.split(".")[1])
    return read
