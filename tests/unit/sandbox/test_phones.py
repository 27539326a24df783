"""Phone codes and their phone numbers."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from wechat_sandbox.errors import ControlRefused
from wechat_sandbox.phones import Phone, parse

pytestmark = pytest.mark.anyio

Ask = Callable[..., Awaitable[dict[str, Any]]]
APPID, OTHER = "wx0123456789abcdef", "wxfedcba9876543210"
PATH = "/wxa/business/getuserphonenumber"


async def test_a_phone_code_returns_a_number(control: Ask, call: Ask) -> None:
    """A phone code has 64 hex digits, and returns the number with a watermark. A mainland number has no +86."""
    code = (await control("/phone-codes", appid=APPID, phone="13800138000"))["code"]

    answer = await call(PATH, {"code": code})
    watermark = answer["phone_info"].pop("watermark")

    assert re.fullmatch("[0-9a-f]{64}", code)
    assert answer == {
        "errcode": 0,
        "errmsg": "ok",
        "phone_info": {"phoneNumber": "13800138000", "purePhoneNumber": "13800138000", "countryCode": "86"},
    }
    assert watermark["appid"] == APPID
    assert isinstance(watermark["timestamp"], int)


@pytest.mark.parametrize(
    ("phone", "country_code", "pure_number"),
    [
        ("13800138000", "86", "13800138000"),
        ("+8613800138000", "86", "13800138000"),
        ("+85212345678", "852", "12345678"),
        ("+12125550123", "1", "2125550123"),
        ("+79161234567", "7", "9161234567"),
        ("+442079460000", "44", "2079460000"),
        ("+351212345678", "351", "212345678"),
    ],
)
def test_a_number_is_split_after_its_country_code(phone: str, country_code: str, pure_number: str) -> None:
    """A number is split after its country code, which has one, two or three digits (ITU-T E.164)."""
    assert parse(phone) == Phone(country_code, pure_number)


@pytest.mark.parametrize(
    "phone", ["", "1380013800", "23800138000", "+0123456789", "+86", "+86 13800138000", "１３８００１３８０００"]
)
def test_a_malformed_phone_number_is_refused(phone: str) -> None:
    """A number without a + must be a mainland number, and a number may have only digits."""
    with pytest.raises(ControlRefused, match="13800138000"):
        parse(phone)


async def test_a_generated_number_is_constant_for_a_user(control: Ask, call: Ask) -> None:
    """A generated number is a mainland number, and always the same for one openid."""
    users = ["o-alice", "o-alice", "o-bob"]
    codes = [(await control("/phone-codes", appid=APPID, openid=openid))["code"] for openid in users]

    first, again, other = [(await call(PATH, {"code": code}))["phone_info"]["phoneNumber"] for code in codes]

    assert re.fullmatch(r"13\d{9}", first)
    assert first == again != other


async def test_invalid_codes_are_refused(control: Ask, call: Ask) -> None:
    """A used, unknown or empty phone code, and a login code, are 40029 with a hint and a rid."""
    used = (await control("/phone-codes", appid=APPID))["code"]
    login = (await control("/codes", appid=APPID))["code"]
    await call(PATH, {"code": used})

    for code in (used, login, "0" * 64, ""):
        answer = await call(PATH, {"code": code})

        assert answer["errcode"] == 40029
        assert re.fullmatch(r"invalid code hint: \[[\w-]{16}\] rid: [0-9a-f]{8}(-[0-9a-f]{8}){2}", answer["errmsg"])


async def test_a_phone_code_expires(control: Ask, call: Ask) -> None:
    """A phone code is 40029 after five minutes."""
    code = (await control("/phone-codes", appid=APPID))["code"]
    await control("/clock", advance_seconds=300)

    assert (await call(PATH, {"code": code}))["errcode"] == 40029


async def test_a_phone_code_belongs_to_one_app(control: Ask, call: Ask) -> None:
    """The access token of another app gets 40013, and the code still works for its own app."""
    code = (await control("/phone-codes", appid=APPID))["code"]

    assert (await call(PATH, {"code": code}, appid=OTHER))["errcode"] == 40013
    assert (await call(PATH, {"code": code}))["errcode"] == 0


async def test_a_phone_code_belongs_to_one_user(control: Ask, call: Ask) -> None:
    """The openid of another user is 40003, and the code still works for its own user."""
    code = (await control("/phone-codes", appid=APPID, openid="o-alice"))["code"]

    assert (await call(PATH, {"code": code, "openid": "o-bob"}))["errcode"] == 40003
    assert (await call(PATH, {"code": code, "openid": "o-alice"}))["errcode"] == 0


async def test_a_phone_code_is_not_a_login_code(client: httpx2.AsyncClient, control: Ask) -> None:
    """A phone code at the login is 40029."""
    code = (await control("/phone-codes", appid=APPID))["code"]
    query = {"appid": APPID, "secret": "0" * 32, "js_code": code, "grant_type": "authorization_code"}

    assert (await client.get("/sns/jscode2session", params=query)).json()["errcode"] == 40029


@pytest.mark.parametrize(("body", "errcode"), [([], 47001), ({"code": 1}, 47001)])
async def test_a_malformed_body_is_refused(call: Ask, body: object, errcode: int) -> None:
    """A body that is not an object, or a code that is not text, is 47001."""
    assert (await call(PATH, body))["errcode"] == errcode
