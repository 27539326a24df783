"""Signed tokens of sessions: their exchange, their use by forward authentication, and their reading."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.jose.token_signer import JoseTokenSigner
from adapters.memory.rate_limiter import MemoryRateLimiter
from application.rate_limits import TOKEN_EXCHANGES, Quota
from application.signed_tokens import Assertions, SignedTokens
from domain.device import UNKNOWN_DEVICE
from domain.errors import RateLimited, RequestInvalid
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from domain.signed_token import SignedTokenPolicy
from support.clock import Clock
from support.jwts import decoded, sign, signing_key

pytestmark = pytest.mark.anyio

POLICY = SignedTokenPolicy("https://id.example.com", frozenset({"orders", "payments"}))
KEY = signing_key()


def signed_tokens(clock: Clock, policy: SignedTokenPolicy = POLICY) -> SignedTokens:
    """Return the use case, with a real signer."""
    quota = Quota(MemoryRateLimiter(clock), TOKEN_EXCHANGES, "too many")
    return SignedTokens(JoseTokenSigner([KEY]), quota, policy=policy, clock=clock)


@pytest.fixture
def tokens(clock: Clock) -> SignedTokens:
    """The use case."""
    return signed_tokens(clock)


@pytest.fixture
def assertions(tokens: SignedTokens, clock: Clock) -> Assertions:
    """The assertions of one audience, of which three are kept."""
    return Assertions(tokens, "orders", clock=clock, limit=3)


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


def test_an_assertion_is_used_again(assertions: Assertions, clock: Clock) -> None:
    """A session gets the same assertion until half of its life is over, and then another one."""
    session = session_of("ann", clock)
    first = assertions.get(session)
    clock.advance(seconds=149)
    again = assertions.get(session)
    clock.advance(seconds=1)
    renewed = assertions.get(session)

    assert again == first
    assert claims(renewed)["exp"] == claims(first)["exp"] + 150


def test_each_session_has_its_assertion(assertions: Assertions, clock: Clock) -> None:
    """No session gets the assertion of another one, also of the same user."""
    sessions = [session_of("ann", clock), session_of("ann", clock), session_of("bob", clock)]
    for session in [*sessions, *sessions]:
        said = claims(assertions.get(session))

        assert (said["sub"], said["sid"], said["aud"]) == (session.user_id, session.id, "orders")


def test_few_assertions_are_kept(assertions: Assertions, clock: Clock) -> None:
    """Beyond the limit, the assertion that was unused for longest is dropped."""
    ann, bob, cem, dan = (session_of(name, clock) for name in ("ann", "bob", "cem", "dan"))
    kept = {session.user_id: assertions.get(session) for session in (ann, bob, cem)}
    assertions.get(ann)
    kept["dan"] = assertions.get(dan)

    assert [assertions.get(session) == kept[session.user_id] for session in (ann, cem, dan)] == [True] * 3
    assert assertions.get(bob) != kept["bob"]


def test_a_merged_session_gets_another_assertion(assertions: Assertions, clock: Clock) -> None:
    """A session that a merge gave to another user gets an assertion of that user."""
    session = session_of("ann", clock)
    assertions.get(session)

    assert claims(assertions.get(replace(session, user_id="bob")))["sub"] == "bob"


def test_the_assertion_of_a_short_session_is_renewed_sooner(assertions: Assertions, clock: Clock) -> None:
    """Half of a life that is cut to the session's is half of what is left."""
    policy = SessionPolicy(idle=timedelta(seconds=40))
    session = session_of("ann", clock, policy)
    first = assertions.get(session)
    clock.advance(seconds=21)

    assert claims(assertions.get(session.touch(policy, clock.now)))["exp"] == claims(first)["exp"] + 21
