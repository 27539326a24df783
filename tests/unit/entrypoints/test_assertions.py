"""The signed tokens of forward authentication: how long each is used, and how many are kept."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.session import SessionPolicy
from entrypoints.assertions import Assertions
from support.clock import Clock
from support.signed_tokens import claims, session_of, signed_tokens


@pytest.fixture
def assertions(clock: Clock) -> Assertions:
    """The assertions of one audience, of which three are kept."""
    return Assertions(signed_tokens(clock), "orders", clock=clock, limit=3)


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
