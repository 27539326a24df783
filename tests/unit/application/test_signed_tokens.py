"""Signed tokens of sessions: their exchange, their use by forward authentication, and their reading."""

from dataclasses import replace
from datetime import timedelta

import pytest

from application.rate_limits import TOKEN_EXCHANGES
from application.signed_tokens import SignedTokens
from domain.errors import RateLimited, RequestInvalid
from support.clock import Clock
from support.jwts import sign
from support.signed_tokens import KEY, POLICY, claims, session_of, signed_tokens

pytestmark = pytest.mark.anyio


@pytest.fixture
def tokens(clock: Clock) -> SignedTokens:
    """The use case."""
    return signed_tokens(clock)


async def test_a_session_is_exchanged_for_a_token(tokens: SignedTokens, clock: Clock) -> None:
    """The token is of this session and for this audience, and `expires_in` is its life."""
    session = session_of("ann", clock)
    token = await tokens.exchange(session, "payments")

    assert tokens.read(token.value) == claims(token.value)
    assert (claims(token.value)["sid"], claims(token.value)["aud"]) == (session.id, "payments")
    assert token.expires_in == timedelta(minutes=5)


@pytest.mark.parametrize("audience", ["", "order", "orders,payments", "ORDERS"])
async def test_an_unknown_audience_gets_no_token(tokens: SignedTokens, clock: Clock, audience: str) -> None:
    """No token is issued for an audience that is not configured."""
    with pytest.raises(RequestInvalid):
        await tokens.exchange(session_of("ann", clock), audience)


async def test_the_exchanges_of_a_session_are_limited(tokens: SignedTokens, clock: Clock) -> None:
    """Beyond the quota a session gets no token, and other sessions do. A refused audience takes nothing."""
    session, other = session_of("ann", clock), session_of("bob", clock)
    with pytest.raises(RequestInvalid):
        await tokens.exchange(session, "unknown")
    for _ in range(TOKEN_EXCHANGES.quota):
        await tokens.exchange(session, "orders")

    with pytest.raises(RateLimited):
        await tokens.exchange(session, "orders")
    assert await tokens.exchange(other, "orders")


async def test_a_token_is_read_until_it_expires(tokens: SignedTokens, clock: Clock) -> None:
    """A token is read in the last second of its life, and not when it is over."""
    clock.now = clock.now.replace(microsecond=0)
    token = await tokens.exchange(session_of("ann", clock), "orders")
    clock.advance(seconds=299)
    before = tokens.read(token.value)
    clock.advance(seconds=1)

    assert before
    assert tokens.read(token.value) is None


async def test_a_token_of_another_issuer_is_not_read(tokens: SignedTokens, clock: Clock) -> None:
    """A token that the same key signed for another issuer is not read."""
    other = signed_tokens(clock, replace(POLICY, issuer="https://other.example.com"))
    token = await other.exchange(session_of("ann", clock), "orders")

    assert tokens.read(token.value) is None
    assert other.read(token.value)


@pytest.mark.parametrize("lost", ["iss", "exp", "iat", "sid", "jti"])
async def test_a_token_without_a_claim_is_not_read(tokens: SignedTokens, clock: Clock, lost: str) -> None:
    """A token that lacks a claim, and that another program signed with the same key, is not read."""
    token = await tokens.exchange(session_of("ann", clock), "orders")
    whole = claims(token.value)
    del whole[lost]

    assert tokens.read(sign(whole, KEY)) is None
