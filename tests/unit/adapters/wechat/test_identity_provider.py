"""code2Session: the request, and the parsing of the answer."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.wechat.api import WeChatApi
from adapters.wechat.errcodes import UserBlockedByWeChat, WeChatUnavailable
from adapters.wechat.identity_provider import WeChatIdentityProvider
from domain.errors import (
    AppMisconfigured,
    AppUnknown,
    CodeInvalid,
    CodeMissing,
    CodeUsed,
    IdentityProviderBadResponse,
    RateLimited,
    WxLoginError,
)
from domain.identity import AppId, Identity, LoginCode
from domain.session_key import SessionKey
from support.plain_http import transport_to
from wechat_sandbox.app import create_sandbox

pytestmark = pytest.mark.anyio

APPID = AppId("wx0123456789abcdef")
OTHER_APPID = AppId("wxfedcba9876543210")
SECRETS = {APPID: "5ecf3ed9a5ecf3ed9a5ecf3ed9a5ecf3", OTHER_APPID: "0123456789abcdef0123456789abcdef"}
CODE = LoginCode("0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d")
ANSWER = {"session_key": "nzoqhc3OnwHzeTxJs+inbQ==", "openid": "oVBkZ0aYgDMDIywRdgPW8-joxXc4"}
RID = "6374a1b2-0c3d4e5f-12ab34cd"

ERRORS: list[tuple[int, str, type[WxLoginError], str | None]] = [
    (-1, "system error", WeChatUnavailable, None),
    (40029, f"invalid code, rid: {RID}", CodeInvalid, RID),
    (40029, f"invalid code hint: [xxx] rid: {RID}", CodeInvalid, RID),
    (40163, f"code been used, rid: {RID}", CodeUsed, RID),
    (40226, "code blocked, hints: [ req_id: HJHhLkRef-1B4lBA ]", UserBlockedByWeChat, "HJHhLkRef-1B4lBA"),
    (45011, f"api minute-quota reach limit, must slower, retry next minute, rid: {RID}", RateLimited, RID),
    (45009, f"reach max api daily quota limit rid: {RID}", RateLimited, RID),
    (40013, f"invalid appid, rid: {RID}", AppMisconfigured, RID),
    (40125, f"invalid appsecret, rid: {RID}", AppMisconfigured, RID),
    (41002, f"appid missing, rid: {RID}", AppMisconfigured, RID),
    (41004, f"appsecret missing, rid: {RID}", AppMisconfigured, RID),
    (41008, f"missing code, rid: {RID}", CodeMissing, RID),
    (40164, f"invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist, rid: {RID}", AppMisconfigured, RID),
    (40243, f"appsecret frozen rid: {RID}", AppMisconfigured, RID),
    (12345, f"an unknown error, rid: {RID}", WeChatUnavailable, RID),
    (12345, "", WeChatUnavailable, None),
]


def provider(handler: Callable[[httpx2.Request], httpx2.Response]) -> WeChatIdentityProvider:
    """Return a provider whose WeChat is `handler`."""
    api = WeChatApi(httpx2.MockTransport(handler), "https://api.weixin.qq.com", 3.0)
    return WeChatIdentityProvider(api, SECRETS)


def answering(body: Any) -> WeChatIdentityProvider:
    """Return a provider whose WeChat always gives this JSON."""
    return provider(lambda _request: reply(body))


def short(value: object) -> str:
    """Return a test id."""
    return repr(value)[:12]


def reply(body: Any, **headers: str) -> httpx2.Response:
    """Return a response that is not read yet, as a transport does."""
    return httpx2.Response(200, stream=httpx2.ByteStream(json.dumps(body).encode()), headers=headers)


async def test_a_code_becomes_an_identity_and_its_key() -> None:
    """An exchange returns the openid and the session_key from WeChat unchanged."""
    assert await answering(ANSWER).exchange(CODE, APPID) == (
        Identity(APPID, ANSWER["openid"]),
        SessionKey(ANSWER["session_key"]),
    )


async def test_the_request_is_that_of_code2session() -> None:
    """One request is sent, to the documented path.

    It has exactly the four documented parameters and no access token.
    """
    seen: list[httpx2.Request] = []

    def wechat(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return reply(ANSWER)

    await provider(wechat).exchange(CODE, APPID)

    (request,) = seen
    assert (request.method, request.url.host, request.url.path) == ("GET", "api.weixin.qq.com", "/sns/jscode2session")
    assert list(request.url.params.multi_items()) == [
        ("appid", APPID.value),
        ("secret", SECRETS[APPID]),
        ("js_code", CODE.value),
        ("grant_type", "authorization_code"),
    ]


@settings(max_examples=100)
@given(
    code=st.from_regex(r"[!-~]{1,512}", fullmatch=True), secret=st.text("".join(map(chr, range(33, 127))), min_size=1)
)
def test_code_and_secret_arrive_unchanged(code: str, secret: str) -> None:
    """A code and an AppSecret with any characters reach WeChat unchanged."""
    seen: list[httpx2.Request] = []

    def wechat(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return reply(ANSWER)

    api = WeChatApi(httpx2.MockTransport(wechat), "https://api.weixin.qq.com", 3.0)
    asyncio.run(WeChatIdentityProvider(api, {APPID: secret}).exchange(LoginCode(code), APPID))

    assert seen[0].url.params["js_code"] == code
    assert seen[0].url.params["secret"] == secret


@pytest.mark.parametrize("success", [{}, {"errcode": 0}, {"errcode": 0, "errmsg": "ok"}], ids=str)
async def test_a_missing_errcode_and_zero_are_success(success: dict[str, Any]) -> None:
    """An answer without errcode, or with errcode 0, is a success."""
    identity, _ = await answering(ANSWER | success).exchange(CODE, APPID)

    assert identity.openid == ANSWER["openid"]


@pytest.mark.parametrize(
    ("told", "understood"),
    [
        ({}, None),
        ({"unionid": None}, None),
        ({"unionid": ""}, None),
        ({"unionid": "o6_bmasdasdsad6"}, "o6_bmasdasdsad6"),
    ],
    ids=str,
)
async def test_a_unionid_is_optional(told: dict[str, Any], understood: str | None) -> None:
    """An answer may have no unionid, in each form in which WeChat omits it."""
    identity, _ = await answering(ANSWER | told).exchange(CODE, APPID)

    assert identity.unionid == understood


async def test_unknown_fields_are_ignored() -> None:
    """Unknown fields in the answer are ignored."""
    identity, _ = await answering(ANSWER | {"is_limit": False, "extra": [{}]}).exchange(CODE, APPID)

    assert identity == Identity(APPID, ANSWER["openid"])


@pytest.mark.parametrize(("errcode", "errmsg", "error", "rid"), ERRORS)
async def test_an_errcode_raises_its_error(
    errcode: int, errmsg: str, error: type[WxLoginError], rid: str | None
) -> None:
    """Each errcode of WeChat raises its error, with the errcode and the rid."""
    with pytest.raises(error) as raised:
        await answering({"errcode": errcode, "errmsg": errmsg}).exchange(CODE, APPID)

    assert type(raised.value) is error
    assert (raised.value.errcode, raised.value.rid) == (errcode, rid)


@pytest.mark.parametrize(
    ("code", "is_phone_code"),
    [
        ("e31968a7f94cc5ee25fafc2aef2773f0bb8c3937b22520eb8ee345274d00c144", True),
        ("0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d", False),
        ("E31968A7F94CC5EE25FAFC2AEF2773F0BB8C3937B22520EB8EE345274D00C144", False),
        ("0" * 65, False),
    ],
    ids=["a phone code", "a login code", "another alphabet", "another length"],
)
async def test_a_phone_code_sent_to_login_is_recognised_by_its_form(code: str, is_phone_code: bool) -> None:
    """Only an invalid code in the form of a phone code gets the hint to send it to /v1/me/phone."""
    with pytest.raises(CodeInvalid) as raised:
        await answering({"errcode": 40029, "errmsg": f"invalid code, rid: {RID}"}).exchange(LoginCode(code), APPID)

    assert ("phone button; send it to PUT /v1/me/phone" in raised.value.detail) is is_phone_code
    assert (raised.value.errcode, raised.value.rid) == (40029, RID)
    assert code not in raised.value.detail


@pytest.mark.parametrize("errmsg", [None, 5, [], {"rid": RID}, f"rid: {RID.upper()}", "rid: 1-2-3"], ids=str)
async def test_an_error_without_a_rid_is_the_same_error(errmsg: object) -> None:
    """A malformed errmsg raises the same error, without a rid."""
    with pytest.raises(CodeUsed) as raised:
        await answering({"errcode": 40163, "errmsg": errmsg}).exchange(CODE, APPID)

    assert raised.value.errcode == 40163


@pytest.mark.parametrize("field", ["openid", "session_key"])
@pytest.mark.parametrize(
    "value",
    [None, "", " ", 5, 1.5, True, [], {}, ["o1"], "a b", "o1\n", "\r\nX: y", "\u0000", "微信", "o" * 600],
    ids=short,
)
async def test_a_malformed_field_is_a_bad_answer(field: str, value: object) -> None:
    """An openid or a session_key that is null, of a wrong type or not printable raises IdentityProviderBadResponse."""
    with pytest.raises(IdentityProviderBadResponse, match=field):
        await answering(ANSWER | {field: value}).exchange(CODE, APPID)


@pytest.mark.parametrize("field", ["openid", "session_key"])
async def test_a_missing_field_is_a_bad_answer(field: str) -> None:
    """An answer without an openid or a session_key raises IdentityProviderBadResponse."""
    with pytest.raises(IdentityProviderBadResponse, match=field):
        await answering({name: value for name, value in ANSWER.items() if name != field}).exchange(CODE, APPID)


@pytest.mark.parametrize("unionid", [5, True, ["u1"], {"id": "u1"}, "a b", "u1\n", "u" * 600], ids=short)
async def test_a_malformed_unionid_is_a_bad_answer(unionid: object) -> None:
    """A malformed unionid raises IdentityProviderBadResponse, so that it never connects two users."""
    with pytest.raises(IdentityProviderBadResponse, match="unionid"):
        await answering(ANSWER | {"unionid": unionid}).exchange(CODE, APPID)


async def test_an_app_without_a_secret_is_unknown() -> None:
    """For an app that is not configured, AppUnknown is raised without a call to WeChat."""
    calls: list[httpx2.Request] = []

    def wechat(request: httpx2.Request) -> httpx2.Response:
        calls.append(request)
        return reply(ANSWER)

    with pytest.raises(AppUnknown):
        await provider(wechat).exchange(CODE, AppId("wxunknown"))
    assert not calls


async def test_concurrent_logins_of_apps_are_separate() -> None:
    """Concurrent logins of two apps each use their own AppSecret and get their own user."""

    async def wechat(request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(0)
        params = request.url.params
        assert params["secret"] == SECRETS[AppId(params["appid"])]
        return reply(ANSWER | {"openid": f"{params['appid']}-{params['js_code']}"})

    api = WeChatApi(httpx2.MockTransport(wechat), "https://api.weixin.qq.com", 3.0)
    identities = WeChatIdentityProvider(api, SECRETS)
    asked = [(APPID if number % 2 else OTHER_APPID, f"code{number}") for number in range(50)]
    answers = await asyncio.gather(*(identities.exchange(LoginCode(code), appid) for appid, code in asked))

    assert [identity for identity, _ in answers] == [Identity(appid, f"{appid}-{code}") for appid, code in asked]


async def test_the_sandbox_logs_in_as_wechat_does() -> None:
    """A code of the sandbox works once, and returns the user that it was issued for."""
    transport = transport_to(create_sandbox())
    identities = WeChatIdentityProvider(WeChatApi(transport, "http://127.0.0.1", 3.0), SECRETS)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        body = {"appid": APPID.value, "unionid": "u1"}
        issued = (await client.post("/sandbox/codes", json=body)).raise_for_status().json()
    identity, _ = await identities.exchange(LoginCode(issued["code"]), APPID)

    assert identity == Identity(APPID, issued["openid"], "u1")
    with pytest.raises(CodeUsed) as raised:
        await identities.exchange(LoginCode(issued["code"]), APPID)
    assert raised.value.rid


@pytest.mark.parametrize(("errcode", "error"), list(dict.fromkeys((errcode, error) for errcode, _, error, _ in ERRORS)))
async def test_the_sandboxs_errors_raise_the_contracts_errors(errcode: int, error: type[WxLoginError]) -> None:
    """Every error that the sandbox can return raises the error of the contract."""
    transport = transport_to(create_sandbox())
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        fault = {"path": "/sns/jscode2session", "errcode": errcode}
        (await client.post("/sandbox/faults", json=fault)).raise_for_status()

    api = WeChatApi(transport, "http://127.0.0.1", 3.0)
    with pytest.raises(error) as raised:
        await WeChatIdentityProvider(api, SECRETS).exchange(CODE, APPID)
    assert raised.value.errcode == errcode


async def test_json_is_accepted_with_another_content_type() -> None:
    """A JSON answer with the content type text/plain is accepted."""
    headers = {"content-type": "text/plain"}
    identity, _ = await provider(lambda _request: reply(ANSWER, **headers)).exchange(CODE, APPID)

    assert identity.openid == ANSWER["openid"]
