"""A platform for tests, with a WeChat in memory."""

import base64
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest

from adapters.memory.access_token_issuer import MemoryAccessTokenIssuer
from adapters.memory.access_token_store import MemoryAccessTokenStore
from adapters.wechat.api import WeChatApi
from adapters.wechat.platform import WeChatPlatform
from application.access_tokens import AccessTokens
from domain.access_token import AccessToken
from domain.errors import WxLoginError
from domain.identity import AppId, Identity, PhoneCode
from domain.session_key import SessionKey
from domain.user import Payment
from support.clock import Clock
from unit.adapters.wechat import official_signing_vectors as official

URL = "https://api.weixin.qq.com"
APP = AppId(official.APPID)
ANN = Identity(APP, "oGZUI0egBJY1zhBYw2KhdUfwVJJE", "uAnn")
KEY = SessionKey("o0q0otL8aEzpcZL/FT9WsQ==")
SIGNATURE = "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128"
"""HMAC-SHA256 of the empty message under the text of KEY."""
CODE = PhoneCode("e31968a7f94cc5ee25fafc2aef2773f0bb8c3937b22520eb8ee345274d00c144")
A_RID = "6374a1b2-0c3d4e5f-12ab34cd"
SCENE = "8nX0c-_2QhWcT1vK3yLmPA"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"
"""How a real picture begins."""
OK = {"errcode": 0, "errmsg": "ok"}
PHONE_INFO = {
    "phoneNumber": "13800000000",
    "purePhoneNumber": "13800000000",
    "countryCode": 86,
    "watermark": {"timestamp": 1637744274, "appid": APP.value},
}


class WeChat:
    """A WeChat that returns its answers in turn, repeats the last one, and records the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.answers: list[Any] = [OK]

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Return the next answer."""
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(request) if callable(answer) else reply(answer)

    @property
    def request(self) -> httpx2.Request:
        """Return the only request."""
        (request,) = self.requests
        return request


def reply(body: Any, **headers: str) -> httpx2.Response:
    """Return a response that is not read yet, as a transport does."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx2.Response(200, stream=httpx2.ByteStream(content), headers=headers)


class Changing(MemoryAccessTokenIssuer):
    """An issuer that always returns a new token, as after a forced refresh."""

    error: WxLoginError | None = None

    async def issue_token(self, appid: AppId, now: datetime) -> AccessToken:
        """See AccessTokenIssuer."""
        if self.error:
            raise self.error
        self._newest.clear()
        return await super().issue_token(appid, now)


class World:
    """A platform with its WeChat."""

    def __init__(self, clock: Clock) -> None:
        self.wechat, self.issuer, self.clock = WeChat(), Changing(), clock
        self.api = WeChatApi(httpx2.MockTransport(self.wechat), URL, 3.0)
        self.tokens = AccessTokens(self.issuer, MemoryAccessTokenStore(), lease=timedelta(seconds=7), clock=clock)
        self.platform = WeChatPlatform(self.api, self.tokens, {}, clock)

    def answer(self, *answers: Any) -> None:
        """Set the answers of WeChat."""
        self.wechat.answers = list(answers)


Call = Callable[[WeChatPlatform], Awaitable[object]]

CALLS: dict[str, tuple[Call, dict[str, Any]]] = {
    "phone_number": (lambda platform: platform.phone_number(CODE, ANN), OK | {"phone_info": PHONE_INFO}),
    "is_current": (lambda platform: platform.is_current(ANN, KEY), OK),
    "renew": (lambda platform: platform.renew(ANN, KEY), OK | {"openid": ANN.openid, "session_key": "bmV3"}),
    "encrypt_keys": (lambda platform: platform.encrypt_keys(ANN, KEY), OK | {"key_info_list": []}),
    "encrypted_at": (lambda platform: platform.encrypted_at("AAAA", APP), OK | {"vaild": True, "create_time": 1}),
    "draw_code": (
        lambda platform: platform.draw_code(APP, SCENE, "pages/scan/scan", "release"),
        OK | {"buffer": base64.b64encode(JPEG).decode()},
    ),
    "unionid_of": (lambda platform: platform.unionid_of(ANN, Payment("t")), OK | {"unionid": "uAnn"}),
}
every_call = pytest.mark.parametrize(("call", "good"), [pytest.param(*case, id=name) for name, case in CALLS.items()])


def query(request: httpx2.Request) -> dict[str, str]:
    """Return the parameters in the URL."""
    return dict(request.url.params.multi_items())


refusals = pytest.mark.parametrize("errcode", [40001, 40014, 42001])
"""The errcodes with which WeChat refuses an access token."""
