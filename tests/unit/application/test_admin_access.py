"""The authentication of admins, and its limit."""

import pytest

from adapters.memory.rate_limiter import MemoryRateLimiter
from application.admin_access import AdminAccess
from application.rate_limits import ADMIN_FAILURES, Quota
from domain.admin import Admin, AdminKeys, Scope, digest_of
from domain.errors import AdminKeyInvalid, RateLimited
from support.clock import Clock

pytestmark = pytest.mark.anyio

ANN = Admin("ann", frozenset({Scope.READ}))


@pytest.fixture
def access(clock: Clock) -> AdminAccess:
    """The authentication of one admin."""
    failures = Quota(MemoryRateLimiter(clock), ADMIN_FAILURES, "too many")
    return AdminAccess(AdminKeys({digest_of("key"): ANN}), failures)


async def fail(access: AdminAccess, network: str | None, times: int) -> None:
    """Fail that many times."""
    for _ in range(times):
        with pytest.raises(AdminKeyInvalid):
            await access.authenticate("wrong", network)


async def test_failures_of_a_network_are_limited(access: AdminAccess, clock: Clock) -> None:
    """After the quota, a wrong key is RateLimited, until time has passed. Other networks are not affected."""
    await fail(access, "192.0.2.1", ADMIN_FAILURES.quota)
    with pytest.raises(RateLimited):
        await access.authenticate("wrong", "192.0.2.1")
    await fail(access, "192.0.2.2", 1)
    clock.advance(minutes=1)

    await fail(access, "192.0.2.1", 1)


async def test_a_valid_key_is_never_limited(access: AdminAccess) -> None:
    """A valid key is accepted from a network that failed too often, and costs nothing of the quota."""
    for _ in range(100):
        assert await access.authenticate("key", "192.0.2.1") is ANN
    await fail(access, "192.0.2.1", ADMIN_FAILURES.quota)

    assert await access.authenticate("key", "192.0.2.1") is ANN


async def test_without_a_network_nothing_is_limited(access: AdminAccess) -> None:
    """Failures that come through a UNIX socket are not limited."""
    await fail(access, None, 100)
