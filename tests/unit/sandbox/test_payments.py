"""The unionid of a user who has paid."""

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


async def test_a_payment_is_found_by_either_id(control: Ask, call: Ask, alice: dict[str, str]) -> None:
    """A payment is found by its transaction_id, and by the merchant's id and order number."""
    merchant = {"mch_id": "1900000109", "out_trade_no": "order-1"}
    paid = await control("/payments", **alice, **merchant)

    assert re.fullmatch(r"4200\d{24}", paid["transaction_id"])
    for numbers in (paid, merchant):
        answer = await call(PATH, openid="o-alice", **numbers)

        assert answer == {"errcode": 0, "errmsg": "ok", "unionid": "u-alice"}


async def test_a_payment_can_have_a_given_id(control: Ask, call: Ask, alice: dict[str, str]) -> None:
    """A payment can have a given transaction_id."""
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
    """An unknown user is 40003, and an unknown payment or one of another user is 89300."""
    await control("/payments", **alice, transaction_id="t-1")
    await control("/codes", appid=APPID, openid="o-bob")

    assert (await call(PATH, **{"openid": "o-alice", "transaction_id": "t-1"} | query))["errcode"] == errcode


async def test_a_payment_is_unknown_after_five_minutes(control: Ask, call: Ask, alice: dict[str, str]) -> None:
    """A payment is unknown after five minutes."""
    paid = await control("/payments", **alice)
    await control("/clock", advance_seconds=300)

    assert (await call(PATH, openid="o-alice", **paid))["errcode"] == 89300


async def test_a_user_without_a_unionid_is_refused(control: Ask, call: Ask) -> None:
    """A user without a unionid is 89002."""
    paid = await control("/payments", appid=APPID, openid="o-alice")

    answer = await call(PATH, openid="o-alice", **paid)

    assert answer["errcode"] == 89002
    assert answer["errmsg"].startswith("open not exists rid: ")


@pytest.mark.parametrize("half", [{"mch_id": "1900000109"}, {"out_trade_no": "order-1"}])
async def test_an_incomplete_merchant_id_is_refused(
    client: httpx2.AsyncClient, alice: dict[str, str], half: dict[str, str]
) -> None:
    """A merchant's id without an order number, or the reverse, is refused."""
    answer = await client.post("/sandbox/payments", json=alice | half)

    assert answer.status_code == 400
    assert "go together" in answer.json()["detail"]
