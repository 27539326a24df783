"""WeChat's calls for an app and its users: the requests, and the parsing of the answers."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import (
    AppMisconfigured,
    CodeInvalid,
    DataUndecryptable,
    IdentityProviderBadResponse,
    IdentityProviderUnavailable,
    NotFound,
    WatermarkMismatch,
    WxLoginError,
)
from domain.identity import PhoneCode
from domain.session_key import EncryptKey, SessionKey
from domain.user import Payment, PhoneNumber
from unit.adapters.wechat.platform_world import (
    A_RID,
    ANN,
    APP,
    CALLS,
    CODE,
    KEY,
    OK,
    PHONE_INFO,
    SIGNATURE,
    World,
    query,
)

pytestmark = pytest.mark.anyio


async def test_a_phone_code_returns_its_number(world: World) -> None:
    """The request has the code in a JSON body and the access token in the URL. The number is returned in E.164."""
    world.answer(OK | {"phone_info": PHONE_INFO})
    number = await world.platform.phone_number(CODE, ANN)
    request = world.wechat.request

    assert number == PhoneNumber("+8613800000000")
    assert (request.method, request.url.path) == ("POST", "/wxa/business/getuserphonenumber")
    assert query(request) == {"access_token": world.issuer.issued[0].value}
    assert json.loads(request.content) == {"code": CODE.value, "openid": ANN.openid}
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
    """The number is the same for each form of the country code in WeChat's answer."""
    world.answer(OK | {"phone_info": PHONE_INFO | told})

    assert await world.platform.phone_number(CODE, ANN) == PhoneNumber(understood)


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
async def test_a_malformed_number_is_a_bad_answer(world: World, changes: dict[str, Any]) -> None:
    """A malformed number raises IdentityProviderBadResponse, which does not repeat the number."""
    world.answer(OK | {"phone_info": PHONE_INFO | changes})
    with pytest.raises(IdentityProviderBadResponse, match="phone number") as raised:
        await world.platform.phone_number(CODE, ANN)

    assert "138" not in raised.value.detail


@pytest.mark.parametrize("info", [None, [], "13800000000", [PHONE_INFO]], ids=lambda info: type(info).__name__)
async def test_an_answer_without_phone_info_is_a_bad_answer(world: World, info: object) -> None:
    """An answer without phone_info raises IdentityProviderBadResponse."""
    world.answer(OK | {"phone_info": info})
    with pytest.raises(IdentityProviderBadResponse, match="phone_info"):
        await world.platform.phone_number(CODE, ANN)


@pytest.mark.parametrize("watermark", [None, {}, {"appid": "wx0123456789abcdef"}, APP.value], ids=str)
async def test_a_number_of_another_app_is_refused(world: World, watermark: object) -> None:
    """A number whose watermark is missing or names another app raises WatermarkMismatch."""
    world.answer(OK | {"phone_info": PHONE_INFO | {"watermark": watermark}})
    with pytest.raises(WatermarkMismatch):
        await world.platform.phone_number(CODE, ANN)


@pytest.mark.parametrize(
    ("code", "hint"),
    [(CODE, "press again"), (PhoneCode("0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d"), r"wx\.login\(\)")],
    ids=["a phone code", "a login code"],
)
async def test_an_invalid_code_has_a_hint_for_its_form(world: World, code: PhoneCode, hint: str) -> None:
    """40029 raises CodeInvalid with errcode and rid. A code in the form of a login code gets a hint to wx.login()."""
    world.answer({"errcode": 40029, "errmsg": f"invalid code hint: [xxx] rid: {A_RID}"})
    with pytest.raises(CodeInvalid, match=hint) as raised:
        await world.platform.phone_number(code, ANN)

    assert (raised.value.errcode, raised.value.rid) == (40029, A_RID)
    assert code.value not in raised.value.detail


async def test_a_code_of_another_app_is_invalid(world: World) -> None:
    """40013 for a phone code raises CodeInvalid, because the code is of another mini-program."""
    world.answer({"errcode": 40013, "errmsg": f"invalid appid hint: [xxx] rid: {A_RID}"})
    with pytest.raises(CodeInvalid, match="another mini-program") as raised:
        await world.platform.phone_number(CODE, ANN)

    assert (raised.value.errcode, raised.value.rid) == (40013, A_RID)


async def test_an_app_that_wechat_does_not_know_is_misconfigured(world: World) -> None:
    """40013 for an access token raises AppMisconfigured, for any call that needs the token."""
    world.issuer.error = AppMisconfigured("WeChat does not know the appid", errcode=40013)
    with pytest.raises(AppMisconfigured):
        await world.platform.phone_number(CODE, ANN)

    assert world.wechat.requests == []


async def test_a_session_key_is_checked_with_its_signature(world: World) -> None:
    """checkSessionKey is a GET with the HMAC of the empty message, whose key is the text of the session_key."""
    assert await world.platform.is_current(ANN, KEY)

    request = world.wechat.request
    assert (request.method, request.url.path, request.content) == ("GET", "/wxa/checksession", b"")
    assert query(request) == {
        "access_token": world.issuer.issued[0].value,
        "openid": ANN.openid,
        "signature": SIGNATURE,
        "sig_method": "hmac_sha256",
    }


async def test_a_key_that_wechat_refuses_is_not_current(world: World) -> None:
    """87009 means that the key is not current, and is not an error."""
    world.answer({"errcode": 87009, "errmsg": f"invalid signature rid: {A_RID}"})

    assert not await world.platform.is_current(ANN, KEY)


@pytest.mark.parametrize(
    ("errcode", "error"), [(40003, AppMisconfigured), (48001, AppMisconfigured), (-1, IdentityProviderUnavailable)]
)
async def test_another_errcode_is_raised(world: World, errcode: int, error: type[WxLoginError]) -> None:
    """Any other errcode is raised as an error, and not returned as a void key."""
    world.answer({"errcode": errcode, "errmsg": "no"})
    with pytest.raises(error):
        await world.platform.is_current(ANN, KEY)


async def test_a_reset_returns_the_new_key(world: World) -> None:
    """resetUserSessionKey proves the old key, and returns the new one."""
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
    """A reset whose answer has another openid or no key raises IdentityProviderBadResponse."""
    world.answer(OK | answer)
    with pytest.raises(IdentityProviderBadResponse):
        await world.platform.renew(ANN, KEY)


@pytest.mark.parametrize("errcode", [87007, 87009])
@pytest.mark.parametrize("call", ["renew", "encrypt_keys"])
async def test_a_void_key_is_undecryptable(world: World, call: str, errcode: int) -> None:
    """A void session_key raises DataUndecryptable for a reset and for the user's own keys."""
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
async def test_the_check_of_data_returns_its_time(world: World, spelling: str) -> None:
    """The request has the hash of the base64 text, as in WeChat's example.

    Both spellings, `vaild` and `valid`, are read.
    """
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
async def test_data_that_wechat_did_not_make_has_no_time(world: World, answer: dict[str, Any]) -> None:
    """errcode 1, or an answer other than a clear yes, means that WeChat did not make the data."""
    world.answer(answer)

    assert await world.platform.encrypted_at(HASHED, APP) is None


@pytest.mark.parametrize("errcode", [-1, 12345])
async def test_a_busy_wechat_does_not_mean_unknown_data(world: World, errcode: int) -> None:
    """An errcode other than 1 raises an error, and does not mean unknown data."""
    world.answer({"errcode": errcode, "errmsg": "system error"})
    with pytest.raises(IdentityProviderUnavailable):
        await world.platform.encrypted_at(HASHED, APP)


@pytest.mark.parametrize("create_time", [None, "1629121902", -1, 1.5, True, 10**12, 10**18, 10**30], ids=repr)
async def test_a_malformed_time_is_a_bad_answer(world: World, create_time: object) -> None:
    """A malformed create_time raises IdentityProviderBadResponse."""
    world.answer(OK | {"vaild": True, "create_time": create_time})
    with pytest.raises(IdentityProviderBadResponse, match="create_time"):
        await world.platform.encrypted_at(HASHED, APP)


@pytest.mark.parametrize(
    ("payment", "params"),
    [
        (Payment("42000"), {"transaction_id": "42000"}),
        (Payment(None, "19000", "order-1"), {"mch_id": "19000", "out_trade_no": "order-1"}),
    ],
    ids=["WeChat's number", "the merchant's"],
)
async def test_a_payment_returns_a_unionid(world: World, payment: Payment, params: dict[str, str]) -> None:
    """getPaidUnionid is a GET with the user and the payment, identified by either kind of id."""
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
        (OK, IdentityProviderBadResponse),
        (OK | {"unionid": ""}, IdentityProviderBadResponse),
        (OK | {"unionid": None}, IdentityProviderBadResponse),
        (OK | {"unionid": "u Ann"}, IdentityProviderBadResponse),
    ],
    ids=str,
)
async def test_a_payment_without_a_unionid_is_an_error(world: World, answer: Any, error: type[WxLoginError]) -> None:
    """An unknown payment raises NotFound, and an answer without a unionid raises IdentityProviderBadResponse."""
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


async def test_the_keys_for_the_users_own_data_are_returned(world: World) -> None:
    """getUserEncryptKey is a POST with all parameters in the URL and an empty body.

    The keys are returned in their order.
    """
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
async def test_a_malformed_list_of_keys_is_a_bad_answer(world: World, listed: object) -> None:
    """A key_info_list that is not a list of objects raises IdentityProviderBadResponse."""
    world.answer(OK | {"key_info_list": listed})
    with pytest.raises(IdentityProviderBadResponse, match="key_info_list"):
        await world.platform.encrypt_keys(ANN, KEY)


@pytest.mark.parametrize(
    "changes",
    [{name: value} for name in ("version", "expire_in", "create_time") for value in (None, "1", -1, 10**30)]
    + [{name: value} for name in ("encrypt_key", "iv") for value in (None, "", 5, "a b")],
    ids=str,
)
async def test_a_malformed_key_is_a_bad_answer(world: World, changes: dict[str, object]) -> None:
    """One malformed field of a key raises IdentityProviderBadResponse for the whole answer."""
    world.answer(OK | {"key_info_list": [*KEY_INFO_LIST, KEY_INFO_LIST[0] | changes]})
    with pytest.raises(IdentityProviderBadResponse, match=next(iter(changes))):
        await world.platform.encrypt_keys(ANN, KEY)
