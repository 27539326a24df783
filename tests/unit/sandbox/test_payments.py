"""The unionid of who paid."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

pytestmark = pytest.mark.anyio

Ask = Callable[..., Awaitable[dict[str, Any]]]
APPID, OTHER = "wx0123456789abcdef", "wxfedcba9876543210"
PATH = "/wxa/getpaidunionid"


@pytest.fixture
async def alice(control: Ask) -> dict[str, str]:
    """A user with a unionid."""
    await control("/codes", appid=APPID, openid="o-alice", unionid="u-alice")
    return {"appid": APPID, "openid": "o-alice"}


async def test_by_either_number(control: Ask, call: Ask, alice: dict[str, str]) -> None:
    """A payment is found by WeChat's number, and by the merchant's together with the merchant."""
    merchant = {"mch_id": "1900000109", "out_trade_no": "order-1"}
    paid = await control("/payments", **alice, **merchant)

    assert re.fullmatch(r"4200\d{24}", paid["transaction_id"])
    for numbers in (paid, merchant):
        answer = await call(PATH, openid="o-alice", **numbers)

        assert answer == {"errcode": 0, "errmsg": "ok", "unionid": "u-alice"}


async def test_a_number_of_the_testers_own(control: Ask, call: Ask, alice: dict[str, str]) -> None:
    """A payment may be given its transaction_id."""
    assert await control("/payments", **alice, transaction_id="t-1") == {"transaction_id": "t-1"}
    assert (await call(PATH, openid="o-alice", transaction_id="t-1"))["unionid"] == "u-alice"


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({"openid": ""}, 40003),
        ({"openid": "o-nobody"}, 40003),
        ({"openid": "o-bob"}, 89300),
        ({"transaction_id": "t-2"}, 89300),
        ({"transaction_id": ""}, 89300),
        ({"transaction_id": "", "mch_id": "t-1"}, 89300),
        ({"appid": OTHER}, 40003),
    ],
)
async def test_a_payment_of_another_user_or_app_is_refused(
    control: Ask, call: Ask, alice: dict[str, str], query: dict[str, str], errcode: int
) -> None:
    """A user of no app or of another is 40003, a payment of nobody or of another user 89300."""
    await control("/payments", **alice, transaction_id="t-1")
    await control("/codes", appid=APPID, openid="o-bob")

    assert (await call(PATH, **{"openid": "o-alice", "transaction_id": "t-1"} | query))["errcode"] == errcode


async def test_five_minutes_after(control: Ask, call: Ask, alice: dict[str, str]) -> None:
    """A payment of five minutes is no trade any more."""
    paid = await control("/payments", **alice)
    await control("/clock", advance_seconds=300)

    assert (await call(PATH, openid="o-alice", **paid))["errcode"] == 89300


async def test_a_user_without_a_unionid(control: Ask, call: Ask) -> None:
    """An app in no Open Platform account has no unionid to give."""
    paid = await control("/payments", appid=APPID, openid="o-alice")

    answer = await call(PATH, openid="o-alice", **paid)

    assert answer["errcode"] == 89002
    assert answer["errmsg"].startswith("open not exists rid: ")


@pytest.mark.parametrize("half", [{"mch_id": "1900000109"}, {"out_trade_no": "order-1"}])
async def test_half_a_number(client: httpx2.AsyncClient, alice: dict[str, str], half: dict[str, str]) -> None:
    """A merchant without an order, or an order without a merchant, is refused."""
    answer = await client.post("/sandbox/payments", json=alice | half)

    assert answer.status_code == 400
    assert "go together" in answer.json()["detail"]
