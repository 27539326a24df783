"""The quotas of calls."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from wechat_sandbox.clock import Clock
from wechat_sandbox.errors import WeChatError
from wechat_sandbox.quotas import COUNTS_REMEMBERED, DAY, Limit

pytestmark = pytest.mark.anyio

Ask = Callable[..., Awaitable[dict[str, Any]]]
PATH = "/sns/jscode2session"


async def test_calls_beyond_a_quota_are_refused(client: httpx2.AsyncClient, control: Ask) -> None:
    """Calls of one path beyond its quota are 45011 until the next minute of the sandbox's clock."""
    quota = await control("/quota", path=PATH, per_minute=2)
    await control("/clock", advance_seconds=61 - float((await control("/clock", advance_seconds=0))["now"][17:-1]))

    errcodes = [(await client.get(PATH)).json()["errcode"] for _ in range(4)]

    assert quota == {"path": PATH, "per_minute": 2}
    assert errcodes == [41002, 41002, 45011, 45011]
    assert (await client.get("/cgi-bin/token")).json()["errcode"] == 41002
    await control("/clock", advance_seconds=60)
    assert (await client.get(PATH)).json()["errcode"] == 41002


async def test_a_quota_is_removed(client: httpx2.AsyncClient, control: Ask) -> None:
    """A quota of null removes the quota."""
    await control("/quota", path=PATH, per_minute=0)
    refused = await client.get(PATH)
    await control("/quota", path=PATH, per_minute=None)

    assert refused.json()["errcode"] == 45011
    assert (await client.get(PATH)).json()["errcode"] == 41002


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"path": "/nothing", "per_minute": 1}, PATH),
        ({"path": PATH}, "per_minute"),
        ({"path": PATH, "per_minute": -1}, "per_minute"),
    ],
)
async def test_an_invalid_quota_is_refused(client: httpx2.AsyncClient, order: dict[str, object], reason: str) -> None:
    """A quota of an unknown path, or with an invalid number, is refused with the reason."""
    answer = await client.post("/sandbox/quota", json=order)

    assert answer.status_code == 400
    assert reason in answer.json()["detail"]


def test_a_day_ends_at_midnight_in_beijing(clock: Clock) -> None:
    """A daily limit starts again at 16:00 UTC, which is midnight in Beijing. It counts each key separately."""
    limit = Limit(clock.now, 1, DAY, 45009)  # it is 08:38:10 in UTC
    limit.count("a")
    limit.count("b")

    clock.advance(26509)
    with pytest.raises(WeChatError):
        limit.count("a")
    clock.advance(1)
    limit.count("a")


def test_the_number_of_counts_is_limited(clock: Clock) -> None:
    """The number of counted keys is limited."""
    limit = Limit(clock.now, 1, DAY, 45009)
    for number in range(COUNTS_REMEMBERED + 1):
        limit.count(str(number))

    assert len(limit._counts) == COUNTS_REMEMBERED
