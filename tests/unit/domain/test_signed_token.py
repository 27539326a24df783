"""The claims of a signed token."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.device import UNKNOWN_DEVICE
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from domain.signed_token import IdentityClaim, SignedTokenPolicy, claims_of
from support.clock import Clock

ANN = Identity(AppId("wx1"), "oAnn", "uAnn")
POLICY = SignedTokenPolicy("https://id.example.com", frozenset({"orders"}))
STANDARD = {"iss", "sub", "aud", "client_id", "sid", "iat", "exp", "jti"}


@pytest.fixture
def session(clock: Clock) -> Session:
    """Ann's session."""
    return Session.start(SessionToken.generate(), "ann", ANN, UNKNOWN_DEVICE, SessionPolicy(), clock.now)


def test_a_token_says_whose_session_it_is(session: Session, clock: Clock) -> None:
    """A token has the claims of RFC 9068 and the id of the session, and nothing else."""
    claims = claims_of(session, "orders", POLICY, clock.now)
    issued = int(clock.now.timestamp())

    assert set(claims) == STANDARD
    assert claims | {"jti": ""} == {
        "iss": "https://id.example.com",
        "sub": "ann",
        "aud": "orders",
        "client_id": "wx1",
        "sid": session.id,
        "iat": issued,
        "exp": issued + 300,
        "jti": "",
    }


def test_no_two_tokens_have_the_same_id(session: Session, clock: Clock) -> None:
    """Each token has a `jti` of its own, of at least 128 bits."""
    ids = {str(claims_of(session, "orders", POLICY, clock.now)["jti"]) for _ in range(100)}

    assert len(ids) == 100
    assert min(map(len, ids)) >= 22


@pytest.mark.parametrize(
    ("allowed", "told"),
    [
        ([], {}),
        (["openid"], {"openid": "oAnn"}),
        (["unionid"], {"unionid": "uAnn"}),
        (["openid", "unionid"], {"openid": "oAnn", "unionid": "uAnn"}),
    ],
    ids=str,
)
def test_an_operator_allows_identity_claims(
    session: Session, clock: Clock, allowed: list[str], told: dict[str, str]
) -> None:
    """A token has the identity claims that the policy allows, and no other."""
    policy = replace(POLICY, identity_claims=frozenset(map(IdentityClaim, allowed)))
    claims = claims_of(session, "orders", policy, clock.now)

    assert {name: claims[name] for name in claims.keys() - STANDARD} == told


def test_an_unknown_unionid_is_absent(session: Session, clock: Clock) -> None:
    """A token of a user whose unionid is unknown has no such claim."""
    policy = replace(POLICY, identity_claims=frozenset(IdentityClaim))
    claims = claims_of(replace(session, identity=replace(ANN, unionid=None)), "orders", policy, clock.now)

    assert claims.keys() - STANDARD == {"openid"}


def test_a_token_expires_with_its_session(session: Session, clock: Clock) -> None:
    """The life of a token is cut to what is left of the session's."""
    ends = clock.now + timedelta(seconds=60)
    claims = claims_of(replace(session, idle_expires_at=ends), "orders", POLICY, clock.now)

    assert claims["exp"] == int(ends.timestamp())
