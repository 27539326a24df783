"""getStableAccessToken: the request, and the parsing of the answer."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from adapters.wechat.access_token_issuer import WeChatAccessTokenIssuer
from adapters.wechat.api import WeChatApi
from domain.access_token import AccessToken
from domain.errors import (
    AppMisconfigured,
    AppUnknown,
    IdentityProviderBadResponse,
    IdentityProviderUnavailable,
    RateLimited,
    WxLoginError,
)
from domain.identity import AppId

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
APP, OTHER_APP = AppId("wx0123456789abcdef"), AppId("wxfedcba9876543210")
SECRETS = {APP: "5ecf3ed9a5ecf3ed9a5ecf3ed9a5ecf3", OTHER_APP: "0123456789abcdef0123456789abcdef"}
ANSWER = {"access_token": "74_" + "t" * 133, "expires_in": 7200}
A_RID = "6374a1b2-0c3d4e5f-12ab34cd"


def issuer(handler: Callable[[httpx2.Request], httpx2.Response]) -> WeChatAccessTokenIssuer:
    """Return an issuer whose WeChat is `handler`."""
    return WeChatAccessTokenIssuer(WeChatApi(httpx2.MockTransport(handler), "https://api.weixin.qq.com", 3.0), SECRETS)


def answering(body: Any) -> WeChatAccessTokenIssuer:
    """Return an issuer whose WeChat always gives this JSON."""
    return issuer(lambda _request: reply(body))


def reply(body: Any) -> httpx2.Response:
    """Return a response that is not read yet, as a transport does."""
    return httpx2.Response(200, stream=httpx2.ByteStream(json.dumps(body).encode()))


async def test_the_request_is_that_of_a_stable_token() -> None:
    """The request is a POST to the documented path with the AppSecret in its body, and forces no refresh."""
    seen: list[httpx2.Request] = []

    def wechat(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return reply(ANSWER)

    await issuer(wechat).issue_token(APP, NOW)

    (request,) = seen
    assert (request.method, request.url.path, request.url.query) == ("POST", "/cgi-bin/stable_token", b"")
    assert json.loads(request.content) == {
        "grant_type": "client_credential",
        "appid": APP.value,
        "secret": SECRETS[APP],
        "force_refresh": False,
    }


async def test_every_app_has_its_own_secret() -> None:
    """The request has the AppSecret of its app."""
    seen: list[dict[str, str]] = []

    def wechat(request: httpx2.Request) -> httpx2.Response:
        seen.append(json.loads(request.content))
        return reply(ANSWER)

    for appid in (OTHER_APP, APP):
        await issuer(wechat).issue_token(appid, NOW)

    assert [(each["appid"], each["secret"]) for each in seen] == [(app.value, SECRETS[app]) for app in (OTHER_APP, APP)]


@pytest.mark.parametrize("length", [1, 136, 512, 2048])
@pytest.mark.parametrize(("expires_in", "seconds"), [(7200, 7200), (345, 345), (0, 0), (86400, 86400), (10**9, 86400)])
async def test_a_token_expires_after_its_lifetime(length: int, expires_in: int, seconds: int) -> None:
    """A token of up to 2048 characters is accepted. Its lifetime is that of WeChat, but at most one day."""
    token = await answering({"access_token": "t" * length, "expires_in": expires_in}).issue_token(APP, NOW)

    assert token == AccessToken("t" * length, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("expires_in", [None, -1, "7200", 7200.0, True, [], {}, 10**30, float("1e300")], ids=repr)
async def test_a_malformed_lifetime_is_a_bad_answer(expires_in: object) -> None:
    """A token with a malformed lifetime raises IdentityProviderBadResponse."""
    with pytest.raises(IdentityProviderBadResponse, match="expires_in"):
        await answering(ANSWER | {"expires_in": expires_in}).issue_token(APP, NOW)


@pytest.mark.parametrize(
    "token", [None, "", " ", 5, True, [], {}, "a b", "t\n", "微信", "t" * 2049], ids=lambda t: repr(t)[:12]
)
async def test_a_malformed_token_is_a_bad_answer(token: object) -> None:
    """A token that does not fit into a URL or the store raises IdentityProviderBadResponse.

    The error does not repeat it.
    """
    with pytest.raises(IdentityProviderBadResponse, match=r"no usable access_token$"):
        await answering(ANSWER | {"access_token": token}).issue_token(APP, NOW)


@pytest.mark.parametrize("missing", ["access_token", "expires_in"])
async def test_an_answer_with_a_missing_field_is_a_bad_answer(missing: str) -> None:
    """An answer without a token or its lifetime raises IdentityProviderBadResponse."""
    with pytest.raises(IdentityProviderBadResponse, match=missing):
        await answering({name: value for name, value in ANSWER.items() if name != missing}).issue_token(APP, NOW)


@pytest.mark.parametrize(
    ("errcode", "error"),
    [
        (-1, IdentityProviderUnavailable),
        (40002, AppMisconfigured),
        (40013, AppMisconfigured),
        (40125, AppMisconfigured),
        (40164, AppMisconfigured),
        (40243, AppMisconfigured),
        (41002, AppMisconfigured),
        (41004, AppMisconfigured),
        (43002, AppMisconfigured),
        (45009, RateLimited),
        (45011, RateLimited),
        (50004, AppMisconfigured),
        (50007, AppMisconfigured),
        (89501, AppMisconfigured),
        (89503, AppMisconfigured),
        (89506, AppMisconfigured),
        (89507, AppMisconfigured),
        (40001, IdentityProviderUnavailable),
        (12345, IdentityProviderUnavailable),
    ],
)
async def test_an_errcode_raises_its_error(errcode: int, error: type[WxLoginError]) -> None:
    """Each errcode that WeChat documents for this call raises its error, with the errcode and the rid."""
    with pytest.raises(error) as raised:
        await answering({"errcode": errcode, "errmsg": f"what it says rid: {A_RID}"}).issue_token(APP, NOW)

    assert (raised.value.errcode, raised.value.rid) == (errcode, A_RID)


async def test_an_app_without_a_secret_is_unknown() -> None:
    """For an app that is not configured, AppUnknown is raised without a call to WeChat."""
    with pytest.raises(AppUnknown):
        await issuer(lambda _request: pytest.fail("WeChat was asked")).issue_token(AppId("wxunknown"), NOW)


@pytest.mark.parametrize(
    "body",
    [{"errcode": 40125, "errmsg": f"bad {SECRETS[APP]}"}, {"access_token": "t0ken t0ken", "expires_in": 1}, [], ANSWER],
    ids=["refused", "bad token", "no object", "good"],
)
async def test_no_secret_is_revealed(body: Any) -> None:
    """Neither errors nor reprs show the AppSecret or the token."""
    under_test = answering(body)
    told = repr(under_test)
    try:
        told += repr(await under_test.issue_token(APP, NOW))
    except WxLoginError as error:
        told += f"{error!r} {error} {vars(error)!r}"

    assert not [secret for secret in (*SECRETS.values(), "t0ken", str(ANSWER["access_token"])) if secret in told]
