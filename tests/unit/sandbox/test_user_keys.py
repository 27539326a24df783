"""Keys that a client and its server share."""

from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from wechat_sandbox.crypto import key_signature

pytestmark = pytest.mark.anyio

Ask = Callable[..., Awaitable[dict[str, Any]]]
APPID = "wx0123456789abcdef"
PATH = "/wxa/business/getuserencryptkey"


@pytest.fixture
async def signed(client: httpx2.AsyncClient) -> dict[str, str]:
    """The parameters that prove a user's session_key."""
    code = (await client.post("/sandbox/codes", json={"appid": APPID, "openid": "o-alice"})).json()["code"]
    query = {"appid": APPID, "secret": "0" * 32, "js_code": code, "grant_type": "authorization_code"}
    key = (await client.get("/sns/jscode2session", params=query)).json()["session_key"]
    return {"openid": "o-alice", "signature": key_signature(key), "sig_method": "hmac_sha256"}


async def test_client_and_server_get_the_same_key(control: Ask, call: Ask, signed: dict[str, str]) -> None:
    """The server's newest key is that of the client: 16 bytes, an iv of 16 characters, and a lifetime of one hour."""
    client = await control("/user-keys", appid=APPID, openid="o-alice")
    answer = await call(PATH, **signed)
    (server,) = answer["key_info_list"]

    assert answer["errcode"] == 0
    assert client.keys() == {"encryptKey", "iv", "version", "expireTime"}
    assert server.keys() == {"encrypt_key", "version", "expire_in", "iv", "create_time"}
    assert (client["encryptKey"], client["iv"], client["version"]) == (server["encrypt_key"], server["iv"], 1)
    assert len(b64decode(server["encrypt_key"])) == len(server["iv"]) == 16
    assert client["expireTime"] == server["create_time"] + 3600
    assert 3590 < server["expire_in"] <= 3600


async def test_the_last_three_versions_are_returned(control: Ask, call: Ask, signed: dict[str, str]) -> None:
    """A key is replaced by the next version after one hour, and the last three are returned, newest first."""
    for _ in range(5):
        await control("/user-keys", appid=APPID, openid="o-alice")
        await control("/clock", advance_seconds=3600)

    keys = (await call(PATH, **signed))["key_info_list"]

    assert [key["version"] for key in keys] == [6, 5, 4]
    assert [key["expire_in"] > 0 for key in keys] == [True, False, False]
    assert [key["expire_in"] for key in keys[1:]] == [0, 0]


@pytest.mark.parametrize(
    ("more", "errcode"), [({"openid": "o-bob"}, 40003), ({"sig_method": ""}, 87008), ({"signature": "0" * 64}, 87009)]
)
async def test_a_refusal_has_an_empty_list(
    call: Ask, signed: dict[str, str], more: dict[str, str], errcode: int
) -> None:
    """A refused call has an empty list of keys."""
    answer = await call(PATH, **signed | more)

    assert answer["errcode"] == errcode
    assert answer["key_info_list"] == []


async def test_an_expired_session_key_is_refused(control: Ask, call: Ask, signed: dict[str, str]) -> None:
    """An expired session_key is 87007."""
    await control("/clock", advance_seconds=4 * 86400)

    assert (await call(PATH, **signed))["errcode"] == 87007


async def test_a_post_must_have_no_body(client: httpx2.AsyncClient, call: Ask, signed: dict[str, str]) -> None:
    """A POST without a body is accepted as a GET is, and a POST with parameters in its body is refused."""
    order = {"grant_type": "client_credential", "appid": APPID, "secret": "0" * 32}
    token = (await client.post("/cgi-bin/stable_token", json=order)).json()

    empty = await client.post(PATH, params=signed | {"access_token": token["access_token"]})

    assert empty.json()["errcode"] == 0
    assert (await call(PATH, {}, **signed))["errcode"] == 87009
    assert (await call(PATH, signed))["errcode"] == 40003
