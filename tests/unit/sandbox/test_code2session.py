"""`GET /sns/jscode2session`, from a client's view."""

import re

import httpx2
import pytest

from support.plain_http import transport_to
from wechat_sandbox.app import create_sandbox

pytestmark = pytest.mark.anyio

APPID = "wx0123456789abcdef"
SECRET = "0123456789abcdef0123456789abcdef"
PATH = "/sns/jscode2session"


async def new_code(client: httpx2.AsyncClient, **fields: str) -> str:
    """Return a new code, as wx.login() does."""
    answer = await client.post("/sandbox/codes", json={"appid": APPID, **fields})
    return str(answer.json()["code"])


async def code2session(client: httpx2.AsyncClient, code: str, **parameters: str) -> httpx2.Response:
    """Exchange a code as a server does."""
    query = {"appid": APPID, "secret": SECRET, "js_code": code, "grant_type": "authorization_code"}
    return await client.get(PATH, params=query | parameters)


async def test_a_login_returns_the_identity_and_the_key(client: httpx2.AsyncClient) -> None:
    """A login returns a session_key, the openid and the unionid, without an errcode and as text/plain."""
    code = await new_code(client, openid="o-alice", unionid="u-alice")

    answer = await code2session(client, code)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain"
    assert answer.json().keys() == {"session_key", "openid", "unionid"}
    assert answer.json()["openid"] == "o-alice"
    assert answer.json()["unionid"] == "u-alice"


@pytest.mark.parametrize(
    ("parameters", "errcode", "text"),
    [
        ({"appid": ""}, 41002, "appid missing"),
        ({"secret": ""}, 41004, "appsecret missing"),
        ({"js_code": ""}, 41008, "missing code"),
        ({"grant_type": "password"}, 40002, "invalid grant_type"),
        ({"secret": "short"}, 40125, "invalid appsecret"),
        ({"js_code": "made up"}, 40029, "invalid code"),
    ],
)
async def test_a_refusal_is_a_200_with_errcode_and_rid(
    client: httpx2.AsyncClient, parameters: dict[str, str], errcode: int, text: str
) -> None:
    """An error is HTTP 200 with WeChat's errcode, and its text has a rid after a comma."""
    answer = await code2session(client, await new_code(client), **parameters)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain"
    assert answer.json().keys() == {"errcode", "errmsg"}
    assert answer.json()["errcode"] == errcode
    assert re.fullmatch(rf"{text}, rid: [0-9a-f]{{8}}-[0-9a-f]{{8}}-[0-9a-f]{{8}}", answer.json()["errmsg"])


async def test_absent_parameters_are_missing(client: httpx2.AsyncClient) -> None:
    """A call without parameters is refused because of its appid."""
    assert (await client.get(PATH)).json()["errcode"] == 41002


async def test_the_second_use_of_a_code_is_refused(client: httpx2.AsyncClient) -> None:
    """The second use of a code is 40163."""
    code = await new_code(client)
    await code2session(client, code)

    assert (await code2session(client, code)).json()["errcode"] == 40163


async def test_a_code_expires_by_the_sandboxs_clock(client: httpx2.AsyncClient) -> None:
    """A code is 40029 after five minutes of the sandbox's clock."""
    code = await new_code(client)
    await client.post("/sandbox/clock", json={"advance_seconds": 300})

    assert (await code2session(client, code)).json()["errcode"] == 40029


async def test_a_form_may_be_posted(client: httpx2.AsyncClient) -> None:
    """The parameters may be in a form. A JSON body is not read, and other methods are refused."""
    code = await new_code(client, openid="o-alice")
    parameters = {"appid": APPID, "secret": SECRET, "js_code": code, "grant_type": "authorization_code"}
    as_json = await client.post(PATH, json=parameters)
    as_form = await client.post(PATH, data=parameters)

    assert as_json.json()["errcode"] == 41002
    assert as_form.json()["openid"] == "o-alice"
    assert (await client.put(PATH)).json()["errcode"] == 43001


async def test_an_unknown_path_is_refused(client: httpx2.AsyncClient) -> None:
    """An unknown call is refused with WeChat's errcode, and a header lists the known calls."""
    answer = await client.get("/cgi-bin/nothing")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; encoding=utf-8"
    assert answer.json()["errcode"] == 40066
    assert re.fullmatch(r"invalid url, rid: [0-9a-f-]{26}", answer.json()["errmsg"])
    assert PATH in answer.headers["x-sandbox-hint"]


async def test_two_sandboxes_share_nothing(client: httpx2.AsyncClient) -> None:
    """A code of one sandbox is unknown in another."""
    code = await new_code(client)
    transport = transport_to(create_sandbox({APPID: SECRET}))

    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as other:
        answer = await code2session(other, code)

    assert answer.json()["errcode"] == 40029


async def test_only_given_apps_are_known() -> None:
    """A sandbox with given apps knows no other app, for a login and for its controls."""
    transport = transport_to(create_sandbox({APPID: SECRET}))

    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        login = await code2session(client, "code", appid="wxother")
        user = {"appid": "wxother", "openid": "o-alice"}
        controls = [
            await client.post("/sandbox/codes", json=user),
            await client.post("/sandbox/phone-codes", json=user),
            await client.post("/sandbox/encrypt", json=user | {"data": {}}),
            await client.post("/sandbox/user-keys", json=user),
            await client.post("/sandbox/payments", json=user),
            await client.post("/sandbox/signing", json={"appid": "wxother", "public_key": ""}),
        ]

    assert login.json()["errcode"] == 40013
    for control in controls:
        assert control.status_code == 400
        assert APPID in control.json()["detail"]
