"""The headers of refusals, and of rate limits."""

from datetime import timedelta

import pytest

from domain.errors import (
    IdentityProviderBadResponse,
    IdentityProviderUnavailable,
    RateLimited,
    Retry,
    StoreUnavailable,
    TokenMissing,
    Unauthenticated,
    WxLoginError,
)
from domain.rate_limit import Allowance, RateLimit
from entrypoints.http.dependencies import rate_limit_headers
from entrypoints.http.errors import headers_of
from entrypoints.problems import (
    OUTCOMES,
)

every_kind = pytest.mark.parametrize("kind", OUTCOMES, ids=lambda kind: kind.__name__)


@every_kind
def test_a_401_challenges(kind: type[WxLoginError]) -> None:
    """RFC 6750: a 401 has WWW-Authenticate, with the code unless no token was sent, and nothing else has it."""
    challenge = headers_of(kind()).get("www-authenticate")

    if not issubclass(kind, Unauthenticated):
        assert challenge is None
    elif kind is TokenMissing:
        assert challenge == "Bearer"
    else:
        assert challenge == f'Bearer error="invalid_token", error_description="{kind.code}"'


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        (RateLimited, "60"),
        (IdentityProviderUnavailable, "1"),
        (IdentityProviderBadResponse, "1"),
        (StoreUnavailable, "1"),
    ],
)
def test_later_has_a_time(kind: type[WxLoginError], seconds: str) -> None:
    """Whoever is told to try later is told when, in whole seconds."""
    assert headers_of(kind())["retry-after"] == seconds


@every_kind
def test_only_later_has_a_time(kind: type[WxLoginError]) -> None:
    """Retry-After stands exactly where `retry` is `later`."""
    assert ("retry-after" in headers_of(kind())) is (kind.retry is Retry.LATER)


LIMIT = RateLimit("login", 600, timedelta(minutes=1))


@pytest.mark.parametrize(("wait", "seconds"), [(0.001, "1"), (1.0, "1"), (1.001, "2"), (12.5, "13"), (3600.0, "3600")])
def test_a_quota_that_is_used_up_tells_when_there_is_more(wait: float, seconds: str) -> None:
    """Retry-After and the RateLimit fields name the same time, in whole seconds that are never too few."""
    debt = LIMIT.capacity - LIMIT.interval + timedelta(seconds=wait)
    headers = headers_of(RateLimited(allowance=Allowance(LIMIT, False, debt)))

    assert headers["retry-after"] == seconds
    assert headers["ratelimit-policy"] == '"login";q=600;w=60'
    assert headers["ratelimit"] == f'"login";r=0;t={seconds}'


def test_headers_state_what_is_left_of_a_quota() -> None:
    """While some are left there is nothing to wait for."""
    assert rate_limit_headers(LIMIT.take(timedelta(0))) == {
        "ratelimit-policy": '"login";q=600;w=60',
        "ratelimit": '"login";r=599',
    }


def test_a_quota_of_wechats_is_not_told() -> None:
    """Of WeChat's quota nothing is known but that it renews by the minute, and of no limit nothing at all."""
    assert set(headers_of(RateLimited("slower", errcode=45011))) == {"cache-control", "retry-after"}
    assert rate_limit_headers(None) == {}
