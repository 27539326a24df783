"""The check and the reset of a session_key."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from wechat_sandbox.accounts import SESSION_KEY_LIFE_SECONDS
from wechat_sandbox.crypto import data_signature, key_signature

pytestmark = pytest.mark.anyio

Ask = Callable[..., Awaitable[dict[str, Any]]]
APPID, OTHER = "wx0123456789abcdef", "wxfedcba9876543210"
CHECK, RESET = "/wxa/checksession", "/wxa/resetusersessionkey"


async def log_in(client: httpx2.AsyncClient, openid: str = "o-alice") -> str:
    """Log a user in, and return the session_key."""
    code = (await client.post("/sandbox/codes", json={"appid": APPID, "openid": openid})).json()["code"]
    query = {"appid": APPID, "secret": "0" * 32, "js_code": code, "grant_type": "authorization_code"}
    return str((await client.get("/sns/jscode2session", params=query)).json()["session_key"])


def signed(key: str, openid: str = "o-alice", **more: str) -> dict[str, str]:
    """Return the parameters that prove a key."""
    signature = hmac.new(key.encode(), b"", "sha256").hexdigest()
    return {"openid": openid, "signature": signature, "sig_method": "hmac_sha256"} | more


def test_signatures_equal_published_samples() -> None:
    """The signatures of a key equal the published samples of other SDKs."""
    key = "o0q0otL8aEzpcZL/FT9WsQ=="

    assert key_signature(key).startswith("46e043c5525c2d81")
    assert key_signature(key, b'{"foo":"bar"}').startswith("654571f79995b2ce")


def test_raw_data_is_signed_as_in_wechats_sample() -> None:
    """The signature of rawData is SHA-1 of the data and the key's text, as in the sample of WeChat's documentation."""
    raw = (
        '{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN",'
        '"avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7bQxKARol6503Iuswjjn6nIGBiaycAjAtpuj'
        'xyzYsrztuuICqIM5ibXQ/0"}'
    )

    assert data_signature(raw, "HyVFkGl5F5OQWJZZaNzBBg==") == "75e81ceda165f4ffa64f4068af58c64b8f54b88c"


async def test_the_current_key_is_accepted(client: httpx2.AsyncClient, call: Ask) -> None:
    """A signature with the current key is accepted, in lower and upper case."""
    query = signed(await log_in(client))

    assert await call(CHECK, **query) == {"errcode": 0, "errmsg": "ok"}
    assert await call(CHECK, **query | {"signature": query["signature"].upper()}) == {"errcode": 0, "errmsg": "ok"}


async def test_wx_login_ends_the_previous_key(client: httpx2.AsyncClient, control: Ask, call: Ask) -> None:
    """The next wx.login() makes a key 87009, even before its code is exchanged."""
    key = await log_in(client)
    await control("/codes", appid=APPID, openid="o-alice")

    assert (await call(CHECK, **signed(key)))["errcode"] == 87009


@pytest.mark.parametrize(
    ("more", "errcode"),
    [
        ({"openid": "o-nobody"}, 40003),
        ({"openid": ""}, 40003),
        ({"sig_method": "sha1"}, 87008),
        ({"sig_method": ""}, 87008),
        ({"signature": "0" * 64}, 87009),
        ({"signature": ""}, 87009),
        ({"signature": "é"}, 87009),
    ],
)
@pytest.mark.parametrize("path", [CHECK, RESET])
async def test_a_wrong_parameter_is_refused(
    client: httpx2.AsyncClient, call: Ask, path: str, more: dict[str, str], errcode: int
) -> None:
    """Both calls refuse a wrong user, method and signature with the same errcodes."""
    key = await log_in(client)

    assert (await call(path, **signed(key, **more)))["errcode"] == errcode


async def test_a_user_belongs_to_one_app(client: httpx2.AsyncClient, call: Ask) -> None:
    """With the access token of another app the user is unknown, with any signature."""
    key = await log_in(client)

    assert (await call(CHECK, appid=OTHER, **signed(key)))["errcode"] == 40003


@pytest.mark.parametrize(("path", "errcode"), [(CHECK, 87009), (RESET, 87007)])
async def test_an_expired_key_is_refused(
    client: httpx2.AsyncClient, control: Ask, call: Ask, path: str, errcode: int
) -> None:
    """An expired key is 87009 for the check and 87007 for the reset."""
    key = await log_in(client)
    await control("/clock", advance_seconds=SESSION_KEY_LIFE_SECONDS)

    assert (await call(path, **signed(key)))["errcode"] == errcode


async def test_a_user_without_a_key_is_refused(control: Ask, call: Ask) -> None:
    """A user who has not logged in has no key to prove."""
    await control("/payments", appid=APPID, openid="o-alice")

    assert (await call(CHECK, **signed("key")))["errcode"] == 87009
    assert (await call(RESET, **signed("key")))["errcode"] == 87007


async def test_a_reset_returns_another_key(client: httpx2.AsyncClient, call: Ask) -> None:
    """A reset replaces the key, and needs proof of the old key."""
    old = await log_in(client)

    answer = await call(RESET, **signed(old))
    new = answer.pop("session_key")

    assert answer == {"errcode": 0, "errmsg": "ok", "openid": "o-alice"}
    assert (await call(CHECK, **signed(new)))["errcode"] == 0
    assert (await call(RESET, **signed(old)))["errcode"] == 87009


async def test_a_reset_does_not_extend_the_life_of_a_key(client: httpx2.AsyncClient, control: Ask, call: Ask) -> None:
    """The new key expires when the old key would have expired."""
    old = await log_in(client)
    await control("/clock", advance_seconds=SESSION_KEY_LIFE_SECONDS - 10)
    new = (await call(RESET, **signed(old)))["session_key"]

    assert (await call(CHECK, **signed(new)))["errcode"] == 0
    await control("/clock", advance_seconds=10)
    assert (await call(CHECK, **signed(new)))["errcode"] == 87009
