"""One call to WeChat: its limits, its errors, and its secrets."""

import gzip
import logging
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio
import httpx2
import msgspec
import pytest

from adapters.wechat.api import WeChatApi
from domain.errors import CodeInvalid, IdentityProviderBadResponse, IdentityProviderUnavailable, WxLoginError
from entrypoints.problems import Problem

pytestmark = pytest.mark.anyio

URL = "https://api.weixin.qq.com"
GOOD = b'{"openid":"o1"}'
LIMIT = 64 * 1024
CHUNK = 1024


class Body(httpx2.AsyncByteStream):
    """A response body of `size` bytes, which records how much of it is read and whether it is closed."""

    def __init__(self, size: int, byte: bytes = b" ") -> None:
        self.chunks = size // CHUNK
        self.byte = byte
        self.read = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self.chunks):
            self.read += CHUNK
            yield self.byte * CHUNK

    async def aclose(self) -> None:
        """Close the body, as its reader must do in the end."""
        self.closed = True


def wechat(response: httpx2.Response) -> WeChatApi:
    """Return an API whose WeChat gives this response."""
    return WeChatApi(httpx2.MockTransport(lambda _request: response), URL, 3.0)


def reply(body: bytes, status: int = 200, **headers: str) -> httpx2.Response:
    """Return a response that is not read yet, as a transport does."""
    return httpx2.Response(status, stream=httpx2.ByteStream(body), headers=headers)


async def get(api: WeChatApi) -> dict[str, Any]:
    """Make one call."""
    return await api.get("/sns/jscode2session", {"js_code": "c"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
        b'{"openid":"o1","session_k',
        b'{"openid":"o1"}{"openid":"o2"}',
        b"[]",
        b'[{"openid":"o1"}]',
        b"null",
        b"true",
        b"5",
        b'"openid"',
        b'{"openid":"\xff\xfe"}',
        b'{"openid":"\\ud800"}',
        b"\xff\xfe\x00\x01",
        b'{"openid":NaN}',
        b"[" * 60_000,
        b'{"a":' * 12_000,
        b"[" * 30_000 + b"]" * 30_000,
        b"[" * 100_000,
        b'{"errcode":""}',
        b'{"errcode":"4e4"}',
        b'{"errcode":"40029 "}',
        b'{"errcode":1.5}',
        b'{"errcode":true}',
        b'{"errcode":false}',
        b'{"errcode":[]}',
        b'{"errcode":{}}',
        b'{"errcode":' + b"9" * 5_000 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_an_unexpected_response_is_a_bad_response(body: bytes) -> None:
    """A response that is not an object with a numeric errcode raises IdentityProviderBadResponse."""
    with pytest.raises(IdentityProviderBadResponse):
        await get(wechat(reply(body)))


@pytest.mark.parametrize("errcode", [b"40029", b'"40029"'])
async def test_an_errcode_may_be_text(errcode: bytes) -> None:
    """An errcode as text has the same meaning as a number, because WeChat's samples have both."""
    with pytest.raises(CodeInvalid) as raised:
        await get(wechat(reply(b'{"errcode":' + errcode + b"}")))

    assert raised.value.errcode == 40029


@pytest.mark.parametrize("errcode", [b"0", b'"0"', b"null"])
async def test_an_errcode_of_zero_or_null_is_success(errcode: bytes) -> None:
    """An errcode of 0, as a number or as text, and null are no error."""
    answer = await get(wechat(reply(b'{"openid":"o1","errcode":' + errcode + b"}")))

    assert answer["openid"] == "o1"


async def test_a_proxy_that_sends_chunks_is_named() -> None:
    """A status of 412 raises an error that names a proxy, because WeChat answers a chunked body with it."""
    with pytest.raises(IdentityProviderBadResponse, match=r"412.*proxy.*Content-Length"):
        await get(wechat(reply(b"", 412)))


async def test_a_very_large_errcode_becomes_a_problem() -> None:
    """A very large errcode still becomes a problem that can be sent."""
    with pytest.raises(WxLoginError) as raised:
        await get(wechat(reply(b'{"errcode":' + b"9" * 30 + b"}")))

    assert b'"status":50' in msgspec.json.encode(Problem.of(raised.value))


async def test_a_compressed_answer_is_a_bad_answer() -> None:
    """A compressed body is not decompressed, and raises IdentityProviderBadResponse."""
    headers: dict[str, Any] = {"content-encoding": "gzip"}
    bomb = reply(gzip.compress(GOOD), **headers)

    with pytest.raises(IdentityProviderBadResponse):
        await get(wechat(bomb))


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_a_server_error_is_unavailable(status: int) -> None:
    """A 5xx status raises IdentityProviderUnavailable, with any body."""
    with pytest.raises(IdentityProviderUnavailable, match=str(status)):
        await get(wechat(reply(GOOD, status)))


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 400, 401, 403, 404, 405, 429])
async def test_another_status_is_a_bad_answer(status: int) -> None:
    """Any other status than 200 raises IdentityProviderBadResponse, and the body is ignored."""
    with pytest.raises(IdentityProviderBadResponse, match=str(status)):
        await get(wechat(reply(GOOD, status, location="https://elsewhere.example/")))


@pytest.mark.parametrize("size", [LIMIT + CHUNK, 50_000_000])
async def test_a_large_answer_is_not_read_completely(size: int) -> None:
    """A body of more than 64 KiB raises IdentityProviderBadResponse, and the rest is not read."""
    body = Body(size)

    with pytest.raises(IdentityProviderBadResponse, match="64 KiB"):
        await get(wechat(httpx2.Response(200, stream=body)))
    assert body.read == LIMIT + CHUNK
    assert body.closed


async def test_an_answer_of_64_kib_is_read() -> None:
    """A body of exactly 64 KiB is accepted."""
    assert await get(wechat(reply(GOOD.rjust(LIMIT)))) == {"openid": "o1"}


@pytest.mark.parametrize("status", [200, 302, 500])
async def test_the_response_is_closed_after_any_error(status: int) -> None:
    """A response is closed after an error of any kind."""
    body = Body(2 * CHUNK, b"x")

    with pytest.raises(WxLoginError):
        await get(wechat(httpx2.Response(status, stream=body)))
    assert body.closed


@pytest.mark.parametrize("base_url", [URL, f"{URL}/", "http://127.0.0.1:8001/proxy", "http://127.0.0.1:8001/proxy/"])
async def test_the_base_url_may_have_a_path(base_url: str) -> None:
    """A base URL may have a path, which precedes the path of the call."""
    seen: list[httpx2.URL] = []

    def proxy(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url)
        return reply(GOOD)

    await get(WeChatApi(httpx2.MockTransport(proxy), base_url, 3.0))

    assert str(seen[0]) == f"{base_url.rstrip('/')}/sns/jscode2session?js_code=c"


@pytest.mark.parametrize(
    "failure",
    [
        httpx2.ConnectError,
        httpx2.ConnectTimeout,
        httpx2.ReadError,
        httpx2.ReadTimeout,
        httpx2.PoolTimeout,
        httpx2.RemoteProtocolError,
        httpx2.LocalProtocolError,
        httpx2.ProxyError,
        httpx2.UnsupportedProtocol,
        httpx2.DecodingError,
    ],
)
async def test_a_transport_error_reveals_only_its_type(
    failure: type[httpx2.RequestError], login: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """When the text of a transport's exception has the URL, the error does not reveal the AppSecret."""
    caplog.set_level(logging.DEBUG)

    def fail(request: httpx2.Request) -> httpx2.Response:
        raise failure(f"cannot GET {request.url}")

    params = {"secret": login.secret, "js_code": login.code.value}
    with pytest.raises(IdentityProviderUnavailable, match=failure.__name__) as raised:
        await WeChatApi(httpx2.MockTransport(fail), URL, 3.0).get("/sns/jscode2session", params)
    told = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + caplog.text
    assert not [secret for secret in login.hidden if secret in told]


async def test_a_call_to_a_silent_transport_times_out() -> None:
    """The time limit applies to the whole call, with any transport."""

    async def silent(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    began = time.monotonic()
    with pytest.raises(IdentityProviderUnavailable, match=r"0\.05 seconds"):
        await get(WeChatApi(httpx2.MockTransport(silent), URL, 0.05))

    assert time.monotonic() - began < 2


def recording_api(seen: list[httpx2.Request], response: httpx2.Response | None = None) -> WeChatApi:
    """Return an API that records the requests."""

    def wechat(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return response or reply(GOOD)

    return WeChatApi(httpx2.MockTransport(wechat), URL, 3.0)


async def test_a_post_is_json() -> None:
    """The body of a POST is a JSON object in UTF-8 with its content type, and the parameters are in the URL."""
    seen: list[httpx2.Request] = []
    await recording_api(seen).post("/wxa/call", {"access_token": "t&=微"}, {"code": "李雷"})
    (request,) = seen

    assert (request.method, request.url.path) == ("POST", "/wxa/call")
    assert request.url.params["access_token"] == "t&=微"
    assert msgspec.json.decode(request.content) == {"code": "李雷"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(request.content))


async def test_a_post_without_data_has_no_body() -> None:
    """A POST without data has an empty body, because WeChat signs the body."""
    seen: list[httpx2.Request] = []
    await recording_api(seen).post("/wxa/call", {"access_token": "t"}, {})

    assert seen[0].content == b""
    assert seen[0].headers["content-length"] == "0"


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (reply(b"<html>"), IdentityProviderBadResponse),
        (reply(b"[]"), IdentityProviderBadResponse),
        (reply(GOOD, 500), IdentityProviderUnavailable),
        (reply(GOOD, 302, location="https://elsewhere.example/"), IdentityProviderBadResponse),
        (reply(b'{"errcode":-1}'), IdentityProviderUnavailable),
        (reply(b" " * (LIMIT + 1)), IdentityProviderBadResponse),
    ],
    ids=["HTML", "a list", "500", "a redirect", "busy", "too large"],
)
async def test_a_post_has_the_limits_of_a_get(response: httpx2.Response, error: type[WxLoginError]) -> None:
    """A POST has the same limits as a GET, and is sent once."""
    seen: list[httpx2.Request] = []
    with pytest.raises(error):
        await recording_api(seen, response).post("/wxa/call", {}, {"code": "c"})

    assert len(seen) == 1


async def test_a_post_to_a_silent_transport_times_out() -> None:
    """The time limit also applies to a POST."""

    async def silent(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    with pytest.raises(IdentityProviderUnavailable, match=r"0\.05 seconds"):
        await WeChatApi(httpx2.MockTransport(silent), URL, 0.05).post("/wxa/call", {}, {"code": "c"})


@pytest.mark.parametrize(
    ("body", "status", "outcome"),
    [
        (GOOD, 200, "0"),
        (b'{"errcode":0}', 200, "0"),
        (b'{"errcode":40029}', 200, "40029"),
        (b'{"errcode":-1}', 200, "-1"),
        (b'{"errcode":99999}', 200, "wechat_unavailable"),
        (b"<html>", 200, "wechat_bad_answer"),
        (GOOD, 500, "wechat_unavailable"),
    ],
)
async def test_the_observer_receives_the_outcome_of_each_call(body: bytes, status: int, outcome: str) -> None:
    """The observer gets the path and the outcome: 0, a known errcode, or an error code.

    An unknown errcode is not a label.
    """
    seen: list[tuple[str, str, float]] = []
    transport = httpx2.MockTransport(lambda _request: reply(body, status))
    api = WeChatApi(transport, URL, 3.0, lambda *call: seen.append(call))
    for call in (get(api), api.post("/wxa/call", {}, {"code": "c"})):
        with suppress(WxLoginError):
            await call

    assert [each[:2] for each in seen] == [("/sns/jscode2session", outcome), ("/wxa/call", outcome)]
    assert all(0 < each[2] < 3 for each in seen)
