"""WeChat's calls for an app and its users: what is asked, what is understood."""

import asyncio
import base64
import json
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.memory.token_issuer import MemoryTokenIssuer
from adapters.memory.token_store import MemoryTokenStore
from adapters.wechat.api import WeChatApi
from adapters.wechat.platform import WeChatPlatform
from adapters.wechat.signing import Signer, SigningKeys
from adapters.wechat.transport import HttpxTransport
from application.access_tokens import AccessTokens
from domain.access_token import AccessToken
from domain.errors import (
    AppMisconfigured,
    CodeInvalid,
    DataUndecryptable,
    NotFound,
    RateLimited,
    StoreUnavailable,
    WatermarkMismatch,
    WeChatBadAnswer,
    WeChatUnavailable,
    WxLoginError,
)
from domain.identity import AppId, Identity, PhoneCode
from domain.session_key import EncryptKey, SessionKey
from domain.user import Payment, PhoneNumber
from support.clock import Clock
from unit.adapters.wechat import official_signing_vectors as official

pytestmark = pytest.mark.anyio

URL = "https://api.weixin.qq.com"
APP = AppId(official.APPID)
ANN = Identity(APP, "oGZUI0egBJY1zhBYw2KhdUfwVJJE", "uAnn")
KEY = SessionKey("o0q0otL8aEzpcZL/FT9WsQ==")
SIGNATURE = "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128"
"""HMAC-SHA256 of the empty message under the text of KEY."""
CODE = PhoneCode("e31968a7f94cc5ee25fafc2aef2773f0bb8c3937b22520eb8ee345274d00c144")
A_RID = "6374a1b2-0c3d4e5f-12ab34cd"
OK = {"errcode": 0, "errmsg": "ok"}
PHONE_INFO = {
    "phoneNumber": "13800000000",
    "purePhoneNumber": "13800000000",
    "countryCode": 86,
    "watermark": {"timestamp": 1637744274, "appid": APP.value},
}


class WeChat:
    """A WeChat that gives its answers in turn, the last one again and again, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[Any] = [OK]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(request) if callable(answer) else reply(answer)

    @property
    def request(self) -> httpx.Request:
        """The only one."""
        (request,) = self.requests
        return request


def reply(body: Any, **headers: str) -> httpx.Response:
    """A response as it comes from a wire: not read yet."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(200, stream=httpx.ByteStream(content), headers=headers)


class Changing(MemoryTokenIssuer):
    """An issuer whose every token is another one, as when somebody forces new ones."""

    error: WxLoginError | None = None

    async def issue_token(self, appid: AppId, now: datetime) -> AccessToken:
        """See TokenIssuer."""
        if self.error:
            raise self.error
        self._newest.clear()
        return await super().issue_token(appid, now)


class World:
    """A platform, and the WeChat behind it."""

    def __init__(self, clock: Clock) -> None:
        self.wechat, self.issuer, self.clock = WeChat(), Changing(), clock
        self.api = WeChatApi(HttpxTransport(httpx.MockTransport(self.wechat)), URL, 3.0)
        self.tokens = AccessTokens(self.issuer, MemoryTokenStore(), lease=timedelta(seconds=7), clock=clock)
        self.platform = WeChatPlatform(self.api, self.tokens, {}, clock)

    def answer(self, *answers: Any) -> None:
        """What WeChat says from now on."""
        self.wechat.answers = list(answers)


@pytest.fixture
async def world(clock: Clock) -> AsyncIterator[World]:
    """A platform without signing."""
    world = World(clock)
    yield world
    await world.tokens.aclose()


Call = Callable[[WeChatPlatform], Awaitable[object]]

CALLS: dict[str, tuple[Call, dict[str, Any]]] = {
    "phone_number": (lambda platform: platform.phone_number(CODE, APP), OK | {"phone_info": PHONE_INFO}),
    "is_current": (lambda platform: platform.is_current(ANN, KEY), OK),
    "renew": (lambda platform: platform.renew(ANN, KEY), OK | {"openid": ANN.openid, "session_key": "bmV3"}),
    "encrypt_keys": (lambda platform: platform.encrypt_keys(ANN, KEY), OK | {"key_info_list": []}),
    "encrypted_at": (lambda platform: platform.encrypted_at("AAAA", APP), OK | {"vaild": True, "create_time": 1}),
    "unionid_of": (lambda platform: platform.unionid_of(ANN, Payment("t")), OK | {"unionid": "uAnn"}),
}
every_call = pytest.mark.parametrize(("call", "good"), [pytest.param(*case, id=name) for name, case in CALLS.items()])


def query(request: httpx.Request) -> dict[str, str]:
    """The parameters in the URL."""
    return dict(request.url.params.multi_items())


async def test_a_phone_code_is_worth_its_number(world: World) -> None:
    """WeChat is asked with the code in a JSON body and the access token in the URL, and its number is in E.164."""
    world.answer(OK | {"phone_info": PHONE_INFO})
    number = await world.platform.phone_number(CODE, APP)
    request = world.wechat.request

    assert number == PhoneNumber("+8613800000000")
    assert (request.method, request.url.path) == ("POST", "/wxa/business/getuserphonenumber")
    assert query(request) == {"access_token": world.issuer.issued[0].value}
    assert json.loads(request.content) == {"code": CODE.value}
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("told", "understood"),
    [
        ({"countryCode": 86, "purePhoneNumber": "13800000000"}, "+8613800000000"),
        ({"countryCode": "86", "purePhoneNumber": "13800000000"}, "+8613800000000"),
        ({"countryCode": "86", "phoneNumber": "+8613800000000", "purePhoneNumber": "13800000000"}, "+8613800000000"),
        ({"countryCode": 1, "phoneNumber": "+12025550123", "purePhoneNumber": "2025550123"}, "+12025550123"),
        ({"countryCode": "852", "phoneNumber": "51234567", "purePhoneNumber": "51234567"}, "+85251234567"),
    ],
    ids=str,
)
async def test_a_country_code_may_be_a_number_or_text(world: World, told: dict[str, Any], understood: str) -> None:
    """However WeChat writes the country code, and whether or not it repeats it, the number is the same."""
    world.answer(OK | {"phone_info": PHONE_INFO | told})

    assert await world.platform.phone_number(CODE, APP) == PhoneNumber(understood)


@pytest.mark.parametrize(
    "changes",
    [
        {"countryCode": None},
        {"countryCode": "+86"},
        {"countryCode": True},
        {"countryCode": ""},
        {"countryCode": 86.5},
        {"purePhoneNumber": None},
        {"purePhoneNumber": ""},
        {"purePhoneNumber": "138 0000 0000"},
        {"purePhoneNumber": "+8613800000000"},
        {"purePhoneNumber": "1" * 20},
        {"purePhoneNumber": {}},
    ],
    ids=str,
)
async def test_a_number_that_is_none_is_a_bad_answer(world: World, changes: dict[str, Any]) -> None:
    """Nothing is bound that could not be called, and the error does not repeat it."""
    world.answer(OK | {"phone_info": PHONE_INFO | changes})
    with pytest.raises(WeChatBadAnswer, match="phone number") as raised:
        await world.platform.phone_number(CODE, APP)

    assert "138" not in raised.value.detail


@pytest.mark.parametrize("info", [None, [], "13800000000", [PHONE_INFO]], ids=lambda info: type(info).__name__)
async def test_an_answer_without_phone_info_is_a_bad_answer(world: World, info: object) -> None:
    """An answer that has no number in it is WeChat's fault."""
    world.answer(OK | {"phone_info": info})
    with pytest.raises(WeChatBadAnswer, match="phone_info"):
        await world.platform.phone_number(CODE, APP)


@pytest.mark.parametrize("watermark", [None, {}, {"appid": "wx0123456789abcdef"}, APP.value], ids=str)
async def test_a_number_for_another_app_is_refused(world: World, watermark: object) -> None:
    """A number whose watermark is missing or another app's is WatermarkMismatch."""
    world.answer(OK | {"phone_info": PHONE_INFO | {"watermark": watermark}})
    with pytest.raises(WatermarkMismatch):
        await world.platform.phone_number(CODE, APP)


@pytest.mark.parametrize(
    ("code", "hint"),
    [(CODE, "press again"), (PhoneCode("0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d"), r"wx\.login\(\)")],
    ids=["a phone code", "a login code"],
)
async def test_an_invalid_code_says_which_kind_it_looks_like(world: World, code: PhoneCode, hint: str) -> None:
    """40029 is CodeInvalid with errcode and rid; a code as long as wx.login()'s is told to be one."""
    world.answer({"errcode": 40029, "errmsg": f"invalid code hint: [xxx] rid: {A_RID}"})
    with pytest.raises(CodeInvalid, match=hint) as raised:
        await world.platform.phone_number(code, APP)

    assert (raised.value.errcode, raised.value.rid) == (40029, A_RID)
    assert code.value not in raised.value.detail


async def test_a_code_of_another_app_is_invalid(world: World) -> None:
    """40013 to a phone code means that another mini-program gave it: the client's mistake, not the operator's."""
    world.answer({"errcode": 40013, "errmsg": f"invalid appid hint: [xxx] rid: {A_RID}"})
    with pytest.raises(CodeInvalid, match="another mini-program") as raised:
        await world.platform.phone_number(CODE, APP)

    assert (raised.value.errcode, raised.value.rid) == (40013, A_RID)


async def test_an_app_that_wechat_does_not_know_is_misconfigured(world: World) -> None:
    """40013 to the request for an access token is the operator's mistake, whatever the token is for."""
    world.issuer.error = AppMisconfigured("WeChat does not know the appid", errcode=40013)
    with pytest.raises(AppMisconfigured):
        await world.platform.phone_number(CODE, APP)

    assert world.wechat.requests == []


async def test_the_signature_of_a_session_key_is_wechats(world: World) -> None:
    """checkSessionKey is a GET with the HMAC of nothing, whose key is the text of the session_key."""
    assert await world.platform.is_current(ANN, KEY)

    request = world.wechat.request
    assert (request.method, request.url.path, request.content) == ("GET", "/wxa/checksession", b"")
    assert query(request) == {
        "access_token": world.issuer.issued[0].value,
        "openid": ANN.openid,
        "signature": SIGNATURE,
        "sig_method": "hmac_sha256",
    }


async def test_a_key_that_wechat_does_not_take_is_not_current(world: World) -> None:
    """87009 is the answer no, and no error."""
    world.answer({"errcode": 87009, "errmsg": f"invalid signature rid: {A_RID}"})

    assert not await world.platform.is_current(ANN, KEY)


@pytest.mark.parametrize(
    ("errcode", "error"), [(40003, AppMisconfigured), (48001, AppMisconfigured), (-1, WeChatUnavailable)]
)
async def test_another_error_says_nothing_of_the_key(world: World, errcode: int, error: type[WxLoginError]) -> None:
    """Whatever else WeChat refuses is raised: nobody is told that a key is void because WeChat is busy."""
    world.answer({"errcode": errcode, "errmsg": "no"})
    with pytest.raises(error):
        await world.platform.is_current(ANN, KEY)


async def test_a_reset_gives_the_new_key(world: World) -> None:
    """resetUserSessionKey proves the old key and answers with the new one."""
    world.answer(OK | {"openid": ANN.openid, "session_key": "bmV3"})
    new = await world.platform.renew(ANN, KEY)

    assert new == SessionKey("bmV3")
    assert (world.wechat.request.method, world.wechat.request.url.path) == ("GET", "/wxa/resetusersessionkey")
    assert query(world.wechat.request)["signature"] == SIGNATURE


@pytest.mark.parametrize(
    "answer",
    [
        {"openid": "oSomebodyElse", "session_key": "bmV3"},
        {"openid": None, "session_key": "bmV3"},
        {"session_key": "bmV3"},
        {"openid": ANN.openid},
        {"openid": ANN.openid, "session_key": ""},
        {"openid": ANN.openid, "session_key": 5},
    ],
    ids=str,
)
async def test_a_reset_of_another_user_is_a_bad_answer(world: World, answer: dict[str, Any]) -> None:
    """A key that is not certainly this user's is not kept."""
    world.answer(OK | answer)
    with pytest.raises(WeChatBadAnswer):
        await world.platform.renew(ANN, KEY)


@pytest.mark.parametrize("errcode", [87007, 87009])
@pytest.mark.parametrize("call", ["renew", "encrypt_keys"])
async def test_a_void_key_cannot_be_used(world: World, call: str, errcode: int) -> None:
    """Without the user's key there is neither a new one nor one for their own data: DataUndecryptable."""
    world.answer({"errcode": errcode, "errmsg": "no", "key_info_list": []})
    with pytest.raises(DataUndecryptable) as raised:
        await CALLS[call][0](world.platform)

    assert raised.value.errcode == errcode


HASHED = (
    "hsSuSUsePBqSQw2rYMtf9Nvha603xX8f2BMQBcYRoJiMNwOqt/UEhrqekebG5ar0LFNAm5MD4Uz6zorRwiXJwbySJ/FEJHav4NsobBIU1PwdjbJWVQLFy7+Y"
    "FkHB32OnQXWMh6ugW7Dyk2KS5BXp1f5lniKPp1KNLyNLlFlNZ2mgJCJmWvHj5AI7BLpWwoRvqRyZvVXo+9FsWqvBdxmAPA=="
)
HASH = "657edd868c9715a9bebe42b833269a557a48498785397a796f1568c29a200b2c"
"""Data and hash of WeChat's own example."""


@pytest.mark.parametrize("spelling", ["vaild", "valid"])
async def test_wechat_says_when_it_made_the_data(world: World, spelling: str) -> None:
    """The hash that is sent is of the base64 text, as in WeChat's example; `vaild` is understood, spelled right too."""
    world.answer(OK | {spelling: True, "create_time": 1629121902})
    made_at = await world.platform.encrypted_at(HASHED, APP)
    request = world.wechat.request

    assert made_at == datetime(2021, 8, 16, 13, 51, 42, tzinfo=UTC)
    assert (request.method, request.url.path) == ("POST", "/wxa/business/checkencryptedmsg")
    assert json.loads(request.content) == {"encrypted_msg_hash": HASH}


@pytest.mark.parametrize(
    "answer",
    [
        {"errcode": 1, "errmsg": f"data not exit rid: {A_RID}"},
        OK | {"vaild": False, "create_time": 1629121902},
        OK | {"vaild": False},
        OK | {"vaild": "true", "create_time": 1629121902},
        OK | {"vaild": 1, "create_time": 1629121902},
        OK,
    ],
    ids=str,
)
async def test_data_that_wechat_did_not_make(world: World, answer: dict[str, Any]) -> None:
    """errcode 1, or anything but a clear yes, means that WeChat does not vouch for the data."""
    world.answer(answer)

    assert await world.platform.encrypted_at(HASHED, APP) is None


@pytest.mark.parametrize("errcode", [-1, 12345])
async def test_nobody_is_taken_for_a_forger_because_wechat_is_busy(world: World, errcode: int) -> None:
    """Only errcode 1 says that the data is unknown."""
    world.answer({"errcode": errcode, "errmsg": "system error"})
    with pytest.raises(WeChatUnavailable):
        await world.platform.encrypted_at(HASHED, APP)


@pytest.mark.parametrize("create_time", [None, "1629121902", -1, 1.5, True, 10**12, 10**18, 10**30], ids=repr)
async def test_a_time_that_is_none_is_a_bad_answer(world: World, create_time: object) -> None:
    """A time that no calendar has is WeChatBadAnswer, and no defect of ours."""
    world.answer(OK | {"vaild": True, "create_time": create_time})
    with pytest.raises(WeChatBadAnswer, match="create_time"):
        await world.platform.encrypted_at(HASHED, APP)


@pytest.mark.parametrize(
    ("payment", "params"),
    [
        (Payment("42000"), {"transaction_id": "42000"}),
        (Payment(None, "19000", "order-1"), {"mch_id": "19000", "out_trade_no": "order-1"}),
    ],
    ids=["WeChat's number", "the merchant's"],
)
async def test_a_payment_is_worth_a_unionid(world: World, payment: Payment, params: dict[str, str]) -> None:
    """getPaidUnionid is a GET with the user and the payment, by whichever name it has."""
    world.answer({"unionid": "oTmHYjg-tElZ68xxxxxxxxhy1Rgk", **OK})
    unionid = await world.platform.unionid_of(ANN, payment)
    request = world.wechat.request

    assert unionid == "oTmHYjg-tElZ68xxxxxxxxhy1Rgk"
    assert (request.method, request.url.path) == ("GET", "/wxa/getpaidunionid")
    assert query(request) == {"access_token": world.issuer.issued[0].value, "openid": ANN.openid, **params}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"errcode": 89300, "errmsg": f"invalid trade rid: {A_RID}"}, NotFound),
        ({"errcode": 89002, "errmsg": f"open not exists rid: {A_RID}"}, AppMisconfigured),
        (OK, WeChatBadAnswer),
        (OK | {"unionid": ""}, WeChatBadAnswer),
        (OK | {"unionid": None}, WeChatBadAnswer),
        (OK | {"unionid": "u Ann"}, WeChatBadAnswer),
    ],
    ids=str,
)
async def test_a_payment_that_is_worth_nothing(world: World, answer: Any, error: type[WxLoginError]) -> None:
    """An unknown payment is NotFound, and an answer without a unionid is WeChat's fault."""
    world.answer(answer)
    with pytest.raises(error):
        await world.platform.unionid_of(ANN, Payment("42000"))


KEY_INFO_LIST: list[dict[str, Any]] = [
    {"version": 10, "encrypt_key": "VI6BpyrK9XH4i4AIGe86tg==", "iv": "6003f73ec441c386"}
    | {"expire_in": 3597, "create_time": 1616572301},
    {"version": 9, "encrypt_key": "aoUGAHltcliiL9f23oTKHA==", "iv": "7996656384218dbb"}
    | {"expire_in": 0, "create_time": 1616504886},
    {"version": 8, "encrypt_key": "MlZNQNnRQz3zXHHcr6A3mA==", "iv": "58a1814f88883024"}
    | {"expire_in": 0, "create_time": 1616488061},
]
"""The example of WeChat's page."""


async def test_the_keys_for_the_users_own_data(world: World) -> None:
    """getUserEncryptKey is a POST with all in the URL and nothing at all in the body, and tells keys as they come."""
    world.answer(OK | {"key_info_list": KEY_INFO_LIST})
    keys = await world.platform.encrypt_keys(ANN, KEY)
    request, now = world.wechat.request, world.clock.now

    assert (request.method, request.url.path) == ("POST", "/wxa/business/getuserencryptkey")
    assert request.content == b""
    assert query(request)["signature"] == SIGNATURE
    assert keys[0] == EncryptKey(
        10,
        "VI6BpyrK9XH4i4AIGe86tg==",
        "6003f73ec441c386",
        created_at=datetime(2021, 3, 24, 7, 51, 41, tzinfo=UTC),
        expires_at=now + timedelta(seconds=3597),
    )
    assert [(key.version, key.expires_at) for key in keys[1:]] == [(9, now), (8, now)]


@pytest.mark.parametrize("listed", [None, {}, "keys", [5], [None], [[]], [KEY_INFO_LIST[0], "key"]], ids=repr)
async def test_a_list_of_keys_that_is_none_is_a_bad_answer(world: World, listed: object) -> None:
    """What is no list of objects has no keys in it."""
    world.answer(OK | {"key_info_list": listed})
    with pytest.raises(WeChatBadAnswer, match="key_info_list"):
        await world.platform.encrypt_keys(ANN, KEY)


@pytest.mark.parametrize(
    "changes",
    [{name: value} for name in ("version", "expire_in", "create_time") for value in (None, "1", -1, 10**30)]
    + [{name: value} for name in ("encrypt_key", "iv") for value in (None, "", 5, "a b")],
    ids=str,
)
async def test_a_key_that_is_none_is_a_bad_answer(world: World, changes: dict[str, object]) -> None:
    """One field that cannot be what it should, and no key of the answer is told."""
    world.answer(OK | {"key_info_list": [*KEY_INFO_LIST, KEY_INFO_LIST[0] | changes]})
    with pytest.raises(WeChatBadAnswer, match=next(iter(changes))):
        await world.platform.encrypt_keys(ANN, KEY)


refusals = pytest.mark.parametrize("errcode", [40001, 40014, 42001])


@refusals
@every_call
async def test_a_refused_token_is_replaced_once(world: World, call: Call, good: dict[str, Any], errcode: int) -> None:
    """When WeChat refuses the access token, the same call is tried once more, with another token."""
    world.answer({"errcode": errcode, "errmsg": f"invalid credential rid: {A_RID}"}, good)
    await call(world.platform)
    first, second = world.wechat.requests

    assert [query(each)["access_token"] for each in (first, second)] == [each.value for each in world.issuer.issued]
    assert len(world.issuer.issued) == 2
    assert (first.method, first.url.path, first.content) == (second.method, second.url.path, second.content)


@refusals
@every_call
async def test_a_token_is_replaced_only_once(world: World, call: Call, good: dict[str, Any], errcode: int) -> None:
    """When WeChat refuses the second token too, that is the end: WeChatUnavailable, after exactly two calls."""
    world.answer({"errcode": errcode, "errmsg": f"invalid credential rid: {A_RID}"})
    with pytest.raises(WeChatUnavailable) as raised:
        await call(world.platform)

    assert (raised.value.errcode, raised.value.rid) == (errcode, A_RID)
    assert len(world.wechat.requests) == 2


@every_call
@pytest.mark.parametrize(
    ("errcode", "error"),
    [(-1, WeChatUnavailable), (45011, RateLimited), (45009, RateLimited), (48001, AppMisconfigured)],
)
async def test_other_errors_are_believed_at_once(
    world: World, call: Call, good: dict[str, Any], errcode: int, error: type[WxLoginError]
) -> None:
    """Whatever else WeChat says is asked for once, and is the error that it means."""
    world.answer({"errcode": errcode, "errmsg": f"no rid: {A_RID}"}, good)
    with pytest.raises(error) as raised:
        await call(world.platform)

    assert (raised.value.errcode, raised.value.rid) == (errcode, A_RID)
    assert len(world.wechat.requests) == 1


@every_call
@pytest.mark.parametrize(
    "error", [RateLimited("slower"), StoreUnavailable("gone"), WeChatUnavailable("busy")], ids=repr
)
async def test_without_a_token_nothing_is_asked(
    world: World, call: Call, good: dict[str, Any], error: WxLoginError
) -> None:
    """When there is no access token to be had, its error is the call's, and no code is spent."""
    world.issuer.error = error
    with pytest.raises(type(error)):
        await call(world.platform)

    assert world.wechat.requests == []


@every_call
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"errcode":"0"}', b" " * 70_000], ids=lambda body: repr(body[:9])
)
async def test_what_is_not_wechats_is_a_bad_answer(world: World, call: Call, good: Any, body: bytes) -> None:
    """An answer that is no object, or too large, is WeChatBadAnswer for every call."""
    world.answer(lambda _request: reply(body))
    with pytest.raises(WeChatBadAnswer):
        await call(world.platform)


async def test_calls_of_many_users_at_once_share_a_token(world: World) -> None:
    """Twenty calls at once fetch one access token."""
    await asyncio.gather(*(world.platform.is_current(ANN, KEY) for _ in range(20)))

    assert len(world.issuer.issued) == 1
    assert {query(each)["access_token"] for each in world.wechat.requests} == {world.issuer.issued[0].value}


@every_call
@pytest.mark.parametrize("errcode", [40001, 40029, 40013, 87009, 99999])
async def test_no_secret_is_told(
    world: World, call: Call, good: Any, errcode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """No token, code or session_key is in any error, traceback, log or repr, though WeChat repeats the request."""
    world.answer(lambda request: reply({"errcode": errcode, "errmsg": f"{request.url} {request.content!r}"}))
    with caplog.at_level(0):
        try:
            told = repr(await call(world.platform))
        except WxLoginError as error:
            told = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    told += caplog.text + repr(world.platform)
    hidden = [KEY.value, CODE.value, SIGNATURE, *(token.value for token in world.issuer.issued)]

    assert not [secret for secret in hidden if secret in told]


async def test_a_transport_that_fails_tells_no_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A failure whose text has the URL does not get the access token told."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"cannot reach {request.url}")

    world.answer(fail)
    with caplog.at_level(0), pytest.raises(WeChatUnavailable) as raised:
        await world.platform.is_current(ANN, KEY)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text

    assert not [secret for secret in (world.issuer.issued[0].value, SIGNATURE) if secret in told]


PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
SIGNED_PATH = "/wxa/business/getuserphonenumber"


class SigningWeChat:
    """A WeChat with API security on: reads sealed requests, and seals its answers with a key of its own."""

    def __init__(self, clock: Clock) -> None:
        self.read: list[dict[str, Any]] = []
        self._clock = clock
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._cipher = AESGCM(base64.b64decode(official.SYM_KEY))

    def signer(self) -> Signer:
        """What the app has of it."""
        public = self._key.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        keys = SigningKeys(official.SYM_KEY, official.SYM_KEY_SN, official.PRIVATE_KEY, pem.decode(), "ours")
        return Signer(APP, keys, self._clock)

    def seal(self, answer: dict[str, Any]) -> Callable[[httpx.Request], httpx.Response]:
        """A signed answer."""

        def respond(request: httpx.Request) -> httpx.Response:
            url, timestamp = f"{URL}{request.url.path}", request.headers["wechatmp-timestamp"]
            aad = f"{url}|{APP}|{timestamp}|{official.SYM_KEY_SN}".encode()
            sent = {name: base64.b64decode(part) for name, part in json.loads(request.content).items()}
            self.read.append(json.loads(self._cipher.decrypt(sent["iv"], sent["data"] + sent["authtag"], aad)))
            plain = {"_n": "n", "_appid": APP.value, "_timestamp": int(timestamp), **answer}
            sealed = self._cipher.encrypt(bytes(12), json.dumps(plain).encode(), aad)
            parts = {"iv": bytes(12), "data": sealed[:-16], "authtag": sealed[-16:]}
            body = json.dumps({name: base64.b64encode(part).decode() for name, part in parts.items()}).encode()
            signature = self._key.sign(f"{url}\n{APP}\n{timestamp}\n".encode() + body, PSS, hashes.SHA256())
            headers = {"timestamp": timestamp, "serial": "ours", "signature": base64.b64encode(signature).decode()}
            return reply(body, **{f"wechatmp-{name}": value for name, value in headers.items()})

        return respond


@pytest.fixture
def signing(world: World) -> SigningWeChat:
    """A WeChat with API security on, and a platform that knows."""
    wechat = SigningWeChat(world.clock)
    world.platform = replace(world.platform, signers={APP: wechat.signer()})
    return wechat


async def test_a_signed_call_is_sealed_both_ways(world: World, signing: SigningWeChat) -> None:
    """An app with signing keys sends the code sealed, with the access token alone in the URL, and reads the answer."""
    world.answer(signing.seal(OK | {"phone_info": PHONE_INFO}))
    number = await world.platform.phone_number(CODE, APP)
    request = world.wechat.request

    assert number == PhoneNumber("+8613800000000")
    assert query(request) == {"access_token": world.issuer.issued[0].value}
    assert signing.read[0]["code"] == CODE.value
    assert CODE.value.encode() not in request.content
    assert request.headers["content-type"] == "application/json"


async def test_a_signed_refusal_is_the_error_that_it_means(world: World, signing: SigningWeChat) -> None:
    """An errcode in a sealed answer is understood as one in the clear."""
    world.answer(signing.seal({"errcode": 40029, "errmsg": f"invalid code rid: {A_RID}"}))
    with pytest.raises(CodeInvalid) as raised:
        await world.platform.phone_number(CODE, APP)

    assert raised.value.rid == A_RID


@pytest.mark.parametrize("errcode", [40230, 40231, 40232, 40233, 40234, 40235, 40236, 40237, 40238, 40239, 40240])
async def test_a_request_that_wechat_cannot_verify_is_misconfigured(
    world: World, signing: SigningWeChat, errcode: int
) -> None:
    """What WeChat says in the clear of a signature or a key is the operator's to mend."""
    world.answer({"errcode": errcode, "errmsg": f"invalid signature rid: {A_RID}"})
    with pytest.raises(AppMisconfigured) as raised:
        await world.platform.phone_number(CODE, APP)

    assert (raised.value.errcode, raised.value.rid) == (errcode, A_RID)


@refusals
async def test_a_signed_call_replaces_a_refused_token_too(world: World, signing: SigningWeChat, errcode: int) -> None:
    """A refused token is answered in the clear, and the call is sealed anew with another one."""
    world.answer({"errcode": errcode, "errmsg": "invalid credential"}, signing.seal(OK | {"phone_info": PHONE_INFO}))

    assert await world.platform.phone_number(CODE, APP) == PhoneNumber("+8613800000000")
    assert len(world.wechat.requests) == 2
    assert world.wechat.requests[0].content != world.wechat.requests[1].content


async def test_an_answer_in_the_clear_is_not_believed(world: World, signing: SigningWeChat) -> None:
    """An app with signing keys takes no number that anybody on the way could have written."""
    world.answer(OK | {"phone_info": PHONE_INFO})
    with pytest.raises(WeChatBadAnswer, match="not signed"):
        await world.platform.phone_number(CODE, APP)


async def test_the_proof_of_a_session_key_is_sealed_with_the_rest(world: World, signing: SigningWeChat) -> None:
    """A signed call that has parameters in its URL sends them sealed, all but the access token."""
    world.answer(signing.seal(OK | {"key_info_list": []}))
    await world.platform.encrypt_keys(ANN, KEY)

    assert set(query(world.wechat.request)) == {"access_token"}
    assert signing.read[0]["signature"] == SIGNATURE
    assert signing.read[0]["openid"] == ANN.openid


async def test_other_apps_are_not_signed(world: World, signing: SigningWeChat) -> None:
    """Signing is one app's: another app's calls go in the clear, and answers in the clear are taken."""
    other = AppId("wx0123456789abcdef")
    world.answer(OK | {"phone_info": PHONE_INFO | {"watermark": {"appid": other.value}}})

    assert await world.platform.phone_number(CODE, other) == PhoneNumber("+8613800000000")
    assert json.loads(world.wechat.request.content) == {"code": CODE.value}
