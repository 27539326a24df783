"""Third-party SDKs, unmodified, with the sandbox. docs/sdks.md has the results in a table."""

import hmac
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import pytest

from support import plain_http, processes
from support.processes import SECRET, Sandbox
from support.sdks import CO_WECHAT_API, EASYWECHAT, EASYWECHAT_STABLE, WECHATPY, open_sdk
from support.sdks.python import Wechatpy
from support.sdks.sdk import Answer, Sdk, SdkError

ALL = [WECHATPY, EASYWECHAT, EASYWECHAT_STABLE, CO_WECHAT_API]
DECRYPTING = [WECHATPY, EASYWECHAT]
RENEWING = [WECHATPY, CO_WECHAT_API]
"""The SDKs that fetch a new access token when WeChat refuses the old one."""

LOGIN, PHONE = "/sns/jscode2session", "/wxa/business/getuserphonenumber"
LEGACY, STABLE = "/cgi-bin/token", "/cgi-bin/stable_token"
TOKEN_OF = {WECHATPY: LEGACY, EASYWECHAT: LEGACY, EASYWECHAT_STABLE: STABLE, CO_WECHAT_API: LEGACY}

TOKEN_LIFE_SECONDS = 7200
OVERLAP_SECONDS = 300
PROFILE = {"nickName": '小明 "\\" 😀', "gender": 1, "language": "zh_CN"}
FOREIGN = {"watermark": {"appid": "wx0000000000000000", "timestamp": 1}}


@dataclass
class MiniProgram:
    """An app of the sandbox, and the SDK of its server."""

    appid: str
    sandbox: Sandbox
    name: str
    sdk: Sdk

    def order(self, what: str, **body: Any) -> Answer:
        """Call one of the sandbox's controls."""
        answer = plain_http.fetch(f"{self.sandbox.url}/sandbox/{what}", "POST", json={"appid": self.appid, **body})
        order: Answer = answer.raise_for_status().json()
        return order

    def code(self, **whose: str) -> str:
        """Return a code of wx.login()."""
        return self.sandbox.code(self.appid, **whose)

    def phone_code(self, phone: str = "13800138000") -> str:
        """Return a code of the phone button."""
        return str(self.order("phone-codes", phone=phone)["code"])

    def log_in(self, **whose: str) -> Answer:
        """Log in with a new code, and return the SDK's answer."""
        return self.sdk.login(self.code(**whose))

    def foreign_data(self) -> tuple[str, str, str]:
        """Return a user's session_key, and iv and encryptedData with another app's watermark."""
        session = self.log_in()
        data = self.order("encrypt", openid=session["openid"], data=FOREIGN)
        return session["session_key"], data["iv"], data["encryptedData"]

    @property
    def wechatpy(self) -> Wechatpy:
        """Return the SDK with the methods that only wechatpy has."""
        assert isinstance(self.sdk, Wechatpy)
        return self.sdk

    def paths(self) -> list[str]:
        """Return the paths of all calls to the sandbox."""
        return [call["path"] for call in self.sandbox.calls()]


@contextmanager
def opened(name: str, sandbox: Sandbox, appid: str | None = None) -> Iterator[MiniProgram]:
    """Open the SDK of that name, with an app whose tokens no other test uses."""
    appid = appid or f"wx{token_hex(8)}"
    with open_sdk(name, sandbox.url, appid, SECRET) as sdk:
        yield MiniProgram(appid, sandbox, name, sdk)


@pytest.fixture
def mini(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[MiniProgram]:
    """The SDK of the test's parameter, with the shared sandbox."""
    with opened(request.param, sandbox) as running:
        yield running


@pytest.fixture
def alone(request: pytest.FixtureRequest) -> Iterator[MiniProgram]:
    """The SDK of the test's parameter, with a sandbox of the test's own."""
    with processes.sandbox() as sandbox, opened(request.param, sandbox) as running:
        yield running


def of(fixture: str, *names: str) -> pytest.MarkDecorator:
    """Return a mark that runs the test with each of these SDKs in that fixture."""
    return pytest.mark.parametrize(fixture, names, indirect=True)


def proof(session_key: str) -> str:
    """Return the signature that proves a session_key."""
    return hmac.new(session_key.encode(), b"", "sha256").hexdigest()


@of("mini", *ALL)
def test_an_sdk_logs_a_user_in(mini: MiniProgram) -> None:
    """Each SDK exchanges a code for the openid, the unionid and a session_key of sixteen bytes."""
    session = mini.log_in(openid="oTest-user_1", unionid="union-1")

    assert (session["openid"], session["unionid"]) == ("oTest-user_1", "union-1")
    assert len(b64decode(session["session_key"])) == 16


@of("mini", *ALL)
def test_an_sdk_reports_a_used_code(mini: MiniProgram) -> None:
    """Each SDK raises its own error with 40163 for a code's second use."""
    code = mini.code()
    mini.sdk.login(code)

    with pytest.raises(SdkError) as refused:
        mini.sdk.login(code)

    assert "40163" in f"{refused.value.code} {refused.value}"


@of("mini", *ALL)
def test_an_sdk_reports_another_apps_code(mini: MiniProgram) -> None:
    """Each SDK raises its own error with 40029 for a code of another app."""
    code = mini.sandbox.code()

    with pytest.raises(SdkError) as refused:
        mini.sdk.login(code)

    assert "40029" in f"{refused.value.code} {refused.value}"


@of("alone", *ALL)
def test_only_wechatpy_fetches_a_token_to_log_in(alone: MiniProgram) -> None:
    """A login is one call, except with wechatpy, which first fetches an access token."""
    alone.log_in()

    assert alone.paths() == ([LEGACY, LOGIN] if alone.name == WECHATPY else [LOGIN])


@of("alone", WECHATPY)
def test_wechatpy_cannot_log_in_without_a_token(alone: MiniProgram) -> None:
    """When the token endpoint fails, a login with wechatpy fails, although code2Session needs no token."""
    alone.sandbox.fail(path=LEGACY, errcode=45009)

    with pytest.raises(SdkError) as refused:
        alone.log_in()

    assert refused.value.code == 45009
    assert alone.paths() == [LEGACY]


@of("alone", *ALL)
def test_an_sdk_reuses_its_token(alone: MiniProgram) -> None:
    """Each SDK fetches one token, from its default or configured endpoint, and uses it again."""
    tokens = {alone.sdk.access_token() for _ in range(3)}

    assert len(tokens) == 1
    assert alone.paths() == [TOKEN_OF[alone.name]]


@of("mini", *ALL)
def test_an_sdk_gets_a_phone_number(mini: MiniProgram) -> None:
    """Each SDK returns the phone number of a phone code, in three parts and with the app's watermark."""
    answer = mini.sdk.phone(mini.phone_code("+85261234567"))
    phone = answer["phone_info"]

    assert (phone["phoneNumber"], phone["purePhoneNumber"]) == ("+85261234567", "61234567")
    assert phone["countryCode"] == "852"
    assert phone["watermark"]["appid"] == mini.appid


@of("mini", *ALL)
def test_an_sdk_reports_a_used_phone_code(mini: MiniProgram) -> None:
    """Each SDK reports 40029 for a used phone code. node-easywechat returns it, and the others raise it."""
    code = mini.phone_code()
    mini.sdk.phone(code)

    assert errcode_of_phone(mini, code) == 40029


@of("mini", *ALL)
def test_an_sdk_checks_a_session_key(mini: MiniProgram) -> None:
    """checksession, which no SDK wraps, works through each SDK's own client and token."""
    session = mini.log_in()
    parameters = {"openid": session["openid"], "sig_method": "hmac_sha256"}

    answer = mini.sdk.get("wxa/checksession", {**parameters, "signature": proof(session["session_key"])})

    assert answer["errcode"] == 0


@of("mini", *DECRYPTING)
def test_an_sdk_decrypts_what_the_sandbox_encrypts(mini: MiniProgram) -> None:
    """The SDK's own decryptor decrypts the sandbox's encryptedData with the session_key of the login."""
    session = mini.log_in()
    data = mini.order("encrypt", openid=session["openid"], data=PROFILE)

    decrypted = mini.sdk.decrypt(session["session_key"], data["iv"], data["encryptedData"])

    assert decrypted.pop("watermark")["appid"] == mini.appid
    assert decrypted == PROFILE


@of("mini", *DECRYPTING)
def test_an_sdk_cannot_decrypt_with_an_old_key(mini: MiniProgram) -> None:
    """Data from after another login raises the SDK's error with the old session_key."""
    old = mini.log_in(openid="oTwice")
    mini.log_in(openid="oTwice")
    data = mini.order("encrypt", openid="oTwice", data=PROFILE)

    with pytest.raises(SdkError):
        mini.sdk.decrypt(old["session_key"], data["iv"], data["encryptedData"])


@of("mini", WECHATPY)
def test_wechatpy_refuses_another_apps_watermark(mini: MiniProgram) -> None:
    """wechatpy raises its own error for data whose watermark names another app."""
    given = mini.foreign_data()

    with pytest.raises(SdkError, match="Invalid AppId"):
        mini.sdk.decrypt(*given)


@of("mini", EASYWECHAT)
def test_easywechat_does_not_check_the_watermark(mini: MiniProgram) -> None:
    """node-easywechat does not check the watermark."""
    given = mini.foreign_data()

    assert mini.sdk.decrypt(*given) == FOREIGN


@of("mini", WECHATPY)
def test_wechatpy_accepts_the_sandboxs_signature(mini: MiniProgram) -> None:
    """wechatpy accepts the sandbox's signature of rawData, and refuses it for other rawData."""
    session = mini.log_in()
    data = mini.order("encrypt", openid=session["openid"], data=PROFILE)
    mini.wechatpy.verify(data["rawData"], data["signature"], session["session_key"])

    with pytest.raises(SdkError, match="Invalid signature"):
        mini.wechatpy.verify(data["rawData"] + " ", data["signature"], session["session_key"])


@of("mini", WECHATPY)
def test_wechatpy_gets_a_payers_unionid(mini: MiniProgram) -> None:
    """wechatpy gets the unionid of a user who has just paid."""
    session = mini.log_in(unionid="union-2")
    payment = mini.order("payments", openid=session["openid"])

    answer = mini.wechatpy.client.wxa.get_paid_unionid(session["openid"], **payment)

    assert answer == "union-2"


@of("alone", *RENEWING)
def test_an_sdk_replaces_an_expired_token(alone: MiniProgram) -> None:
    """After 42001, wechatpy and co-wechat-api fetch a new token and repeat the call, which succeeds."""
    alone.sdk.access_token()
    alone.sandbox.advance(TOKEN_LIFE_SECONDS)

    answer = alone.sdk.phone(alone.phone_code())

    assert answer["phone_info"]["purePhoneNumber"] == "13800138000"
    assert [call.get("errcode") for call in alone.sandbox.calls()] == [None, 42001, None, None]
    assert alone.paths() == [LEGACY, PHONE, LEGACY, PHONE]


@of("alone", EASYWECHAT, EASYWECHAT_STABLE)
def test_easywechat_works_again_after_its_caller_renews_the_token(alone: MiniProgram) -> None:
    """node-easywechat returns 42001 to its caller, and works again after the caller renews the token."""
    alone.sdk.access_token()
    alone.sandbox.advance(TOKEN_LIFE_SECONDS)

    before = alone.sdk.phone(alone.phone_code())
    alone.sdk.renew_token()
    after = alone.sdk.phone(alone.phone_code())

    assert (before["errcode"], after["errcode"]) == (42001, 0)


@of("alone", *RENEWING)
def test_servers_with_legacy_tokens_invalidate_each_others(alone: MiniProgram) -> None:
    """The token of a second server makes the first one's invalid after five minutes.

    The first server gets 40001 and fetches another.
    """
    first = alone.sdk.access_token()
    with opened(alone.name, alone.sandbox, alone.appid) as other:
        second = other.sdk.access_token()
    alone.sandbox.advance(OVERLAP_SECONDS)

    alone.sdk.phone(alone.phone_code())
    third = alone.sdk.access_token()

    assert len({first, second, third}) == 3
    assert [call.get("errcode") for call in alone.sandbox.calls()] == [None, None, 40001, None, None]


@of("alone", EASYWECHAT_STABLE)
def test_servers_with_stable_tokens_share_one(alone: MiniProgram) -> None:
    """Two servers of one app with stable tokens have the same token."""
    with opened(alone.name, alone.sandbox, alone.appid) as other:
        theirs = other.sdk.access_token()

    assert alone.sdk.access_token() == theirs


@of("alone", *RENEWING)
def test_only_wechatpy_renews_on_40014(alone: MiniProgram) -> None:
    """After 40014 wechatpy fetches a new token, and co-wechat-api raises an error."""
    alone.sandbox.fail(path=PHONE, errcode=40014)

    errcode = errcode_of_phone(alone, alone.phone_code())

    assert errcode == (0 if alone.name == WECHATPY else 40014)


@of("alone", *ALL)
def test_an_sdk_reports_that_wechat_is_busy(alone: MiniProgram) -> None:
    """Each SDK raises its own error with -1 when WeChat is busy."""
    alone.sandbox.fail(errcode=-1)

    with pytest.raises(SdkError) as refused:
        alone.log_in()

    assert "-1" in f"{refused.value.code} {refused.value}"


def errcode_of_phone(mini: MiniProgram, code: str) -> int | None:
    """Return the errcode for a phone code, which the SDK raises or returns."""
    try:
        errcode: int = mini.sdk.phone(code)["errcode"]
    except SdkError as error:
        return error.code
    return errcode
