"""Signed tokens: JWTs that a backend verifies by itself, their claims and their lifetime (RFC 9068)."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from domain.session import Session

TOKEN_TYPE = "at+jwt"  # noqa: S105  # RFC 9068's word
"""The `typ` of the header: an access token, so that no other JWT is taken for one."""

Claims = dict[str, str | int]
"""The claims of a token, by their registered names. Times are seconds since 1970."""


class IdentityClaim(StrEnum):
    """A claim that a token has only if an operator allows it. There is none for the phone number."""

    OPENID = "openid"
    UNIONID = "unionid"


@dataclass(frozen=True, slots=True)
class SignedTokenPolicy:
    """The issuer, the audiences, the lifetime and the identity claims of signed tokens."""

    issuer: str
    audiences: frozenset[str]
    life: timedelta = timedelta(minutes=5)
    identity_claims: frozenset[IdentityClaim] = frozenset()


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A signed token. `expires_in` counts from its issue."""

    value: str = field(repr=False)
    expires_in: timedelta


def are_current(claims: Mapping[str, Any], issuer: str, now: datetime) -> bool:
    """Return whether the claims of a verified token are those of a token of this issuer that has not expired.

    Another program with the same key may have signed anything.
    """
    expiry = claims.get("exp")
    return (
        claims.get("iss") == issuer
        and isinstance(expiry, int)
        and now.timestamp() < expiry
        and all(isinstance(claims.get(name), str) for name in ("aud", "jti", "sid", "sub"))
        and isinstance(claims.get("iat"), int)
    )


def claims_of(session: Session, audience: str, policy: SignedTokenPolicy, now: datetime) -> Claims:
    """Return the claims of a new token of a live session. It expires with the session at the latest."""
    claims: Claims = {
        "iss": policy.issuer,
        "sub": session.user_id,
        "aud": audience,
        "client_id": session.identity.appid.value,
        "sid": session.id,
        "iat": int(now.timestamp()),
        "exp": int(min(now + policy.life, session.idle_expires_at).timestamp()),
        "jti": secrets.token_urlsafe(16),
    }
    if IdentityClaim.OPENID in policy.identity_claims:
        claims["openid"] = session.identity.openid
    if IdentityClaim.UNIONID in policy.identity_claims and session.identity.unionid:
        claims["unionid"] = session.identity.unionid
    return claims
