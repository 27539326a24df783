"""Limits on logins, for an address and for an app."""

from datetime import timedelta

import pytest

from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.memory.rate_limiter import MemoryRateLimiter
from adapters.redis.client import create_client
from adapters.redis.rate_limiter import RedisRateLimiter
from application.rate_limits import LimitedIdentityProvider, LoginQuota, Quota
from domain.errors import RateLimited, Retry, StoreUnavailable
from domain.identity import AppId, Identity, LoginCode
from domain.rate_limit import RateLimit
from support.clock import Clock
from support.servers import free_port

pytestmark = pytest.mark.anyio

TWO_A_MINUTE = RateLimit("login", 2, timedelta(minutes=1))
APP, OTHER_APP = AppId("wx0123456789abcdef"), AppId("wxfedcba9876543210")


@pytest.fixture
def limiter(clock: Clock) -> MemoryRateLimiter:
    """A limiter without any calls."""
    return MemoryRateLimiter(clock)


@pytest.fixture
def limited(identities: MemoryIdentityProvider, limiter: MemoryRateLimiter) -> LimitedIdentityProvider:
    """WeChat in memory, limited to two logins a minute for each app."""
    return LimitedIdentityProvider({APP: identities, OTHER_APP: identities}, LoginQuota(limiter, TWO_A_MINUTE))


def code_of(identities: MemoryIdentityProvider, appid: AppId) -> LoginCode:
    """Return a new login code of a user."""
    return identities.issue(Identity(appid, "oABC"))


async def test_an_admitted_login_has_its_remaining_quota(limiter: MemoryRateLimiter) -> None:
    """Each admitted login reduces the remaining quota of its address by one."""
    quota = LoginQuota(limiter, TWO_A_MINUTE)
    left = [await quota.take("192.0.2.1"), await quota.take("192.0.2.1"), await quota.take("192.0.2.2")]

    assert [allowance and allowance.remaining for allowance in left] == [1, 0, 1]


async def test_a_refusal_says_how_long_to_wait(limiter: MemoryRateLimiter, clock: Clock) -> None:
    """A refusal says to try the same again later, and gives the exact time to wait."""
    quota = LoginQuota(limiter, TWO_A_MINUTE)
    await quota.take("192.0.2.1")
    await quota.take("192.0.2.1")
    clock.advance(seconds=12)

    with pytest.raises(RateLimited) as refused:
        await quota.take("192.0.2.1")
    assert refused.value.retry is Retry.LATER
    assert refused.value.retry_after == timedelta(seconds=18)
    assert refused.value.allowance is not None
    clock.advance(seconds=18)
    await quota.take("192.0.2.1")


async def test_without_a_limit_there_is_no_allowance(limiter: MemoryRateLimiter) -> None:
    """Without a limit, logins are not counted and have no allowance."""
    quota = LoginQuota(limiter, None)

    assert [await quota.take("192.0.2.1") for _ in range(1000)] == [None] * 1000


async def test_without_its_store_a_quota_refuses_every_login() -> None:
    """When the store of the counters does not answer, a login is refused with the advice to get a new code."""
    async with create_client(f"redis://127.0.0.1:{free_port()}/0") as redis:
        with pytest.raises(StoreUnavailable) as failed:
            await LoginQuota(RedisRateLimiter(redis), TWO_A_MINUTE).take("192.0.2.1")

    assert failed.value.retry is Retry.NEW_CODE


async def test_a_quota_without_a_code_has_the_advice_later(limiter: MemoryRateLimiter) -> None:
    """A quota that no code depends on has its own text. Without its store it says to try the same again later."""
    quota = Quota(limiter, RateLimit("client", 1, timedelta(minutes=1)), "Too many of them")
    await quota.take("192.0.2.1")

    with pytest.raises(RateLimited, match="Too many of them"):
        await quota.take("192.0.2.1")
    async with create_client(f"redis://127.0.0.1:{free_port()}/0") as redis:
        with pytest.raises(StoreUnavailable) as failed:
            await Quota(RedisRateLimiter(redis), TWO_A_MINUTE, "").take("192.0.2.1")
    assert failed.value.retry is Retry.LATER


async def test_a_code_beyond_an_apps_quota_stays_usable(
    limited: LimitedIdentityProvider, identities: MemoryIdentityProvider, clock: Clock
) -> None:
    """A login beyond the quota is not sent to WeChat, so its code works when there is quota again."""
    for _ in range(2):
        await limited.exchange(code_of(identities, APP), APP)
    code = code_of(identities, APP)
    with pytest.raises(RateLimited):
        await limited.exchange(code, APP)
    clock.advance(seconds=30)

    assert (await limited.exchange(code, APP))[0].openid == "oABC"


async def test_each_app_has_its_own_quota(limited: LimitedIdentityProvider, identities: MemoryIdentityProvider) -> None:
    """The logins of one app do not reduce the quota of another app."""
    for _ in range(2):
        await limited.exchange(code_of(identities, APP), APP)

    assert (await limited.exchange(code_of(identities, OTHER_APP), OTHER_APP))[0].appid == OTHER_APP
