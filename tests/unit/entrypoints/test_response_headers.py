"""The headers of refusals, and of rate limits."""

from datetime import timedelta

import pytest

from domain.errors import (
    AdminKeyInvalid,
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
def test_a_401_has_a_challenge(kind: type[WxLoginError]) -> None:
    """A 401 has WWW-Authenticate, with the error code unless the token is missing.

    Other errors do not have it (RFC 6750).
    """
    challenge = headers_of(kind()).get("www-authenticate")

    if not issubclass(kind, Unauthenticated | AdminKeyInvalid):
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
def test_later_has_a_retry_after(kind: type[WxLoginError], seconds: str) -> None:
    """An error with the retry advice `later` has Retry-After in whole seconds."""
    assert headers_of(kind())["retry-after"] == seconds


@every_kind
def test_only_later_has_a_retry_after(kind: type[WxLoginError]) -> None:
    """Only errors with the retry advice `later` have Retry-After."""
    assert ("retry-after" in headers_of(kind())) is (kind.retry is Retry.LATER)


LIMIT = RateLimit("login", 600, timedelta(minutes=1))


@pytest.mark.parametrize(("wait", "seconds"), [(0.001, "1"), (1.0, "1"), (1.001, "2"), (12.5, "13"), (3600.0, "3600")])
def test_a_used_up_quota_has_the_time_to_wait(wait: float, seconds: str) -> None:
    """Retry-After and the RateLimit headers have the same time, rounded up to whole seconds."""
    debt = LIMIT.capacity - LIMIT.interval + timedelta(seconds=wait)
    headers = headers_of(RateLimited(allowance=Allowance(LIMIT, False, debt)))

    assert headers["retry-after"] == seconds
    assert headers["ratelimit-policy"] == '"login";q=600;w=60'
    assert headers["ratelimit"] == f'"login";r=0;t={seconds}'


def test_the_headers_have_the_remaining_quota() -> None:
    """While quota remains, the headers have the remaining number and no time."""
    assert rate_limit_headers(LIMIT.take(timedelta(0))) == {
        "ratelimit-policy": '"login";q=600;w=60',
        "ratelimit": '"login";r=599',
    }


def test_a_quota_of_wechat_has_no_limit_headers() -> None:
    """A quota of WeChat has no RateLimit headers, and without a limit there are none."""
    assert set(headers_of(RateLimited("slower", errcode=45011))) == {"cache-control", "retry-after"}
    assert rate_limit_headers(None) == {}
