"""One call to WeChat: bounded, understood or an error of ours, and nothing told."""

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
    """An answer's body of `size` bytes that knows how much of it was read, and whether it was closed."""

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
        """What whoever reads it has to do in the end."""
        self.closed = True


def wechat(response: httpx2.Response) -> WeChatApi:
    """A WeChat that gives this response."""
    return WeChatApi(httpx2.MockTransport(lambda _request: response), URL, 3.0)


def reply(body: bytes, status: int = 200, **headers: str) -> httpx2.Response:
    """A response as it comes from a wire: not read yet."""
    return httpx2.Response(status, stream=httpx2.ByteStream(body), headers=headers)


async def get(api: WeChatApi) -> dict[str, Any]:
    """One call."""
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
    """Whatever else than an object with a numeric errcode comes back is wechat_bad_answer, and no defect of ours."""
    with pytest.raises(IdentityProviderBadResponse):
        await get(wechat(reply(body)))


@pytest.mark.parametrize("errcode", [b"40029", b'"40029"'])
async def test_an_errcode_may_be_text(errcode: bytes) -> None:
    """WeChat's own samples have errcodes as text: they mean the same."""
    with pytest.raises(CodeInvalid) as raised:
        await get(wechat(reply(b'{"errcode":' + errcode + b"}")))

    assert raised.value.errcode == 40029


@pytest.mark.parametrize("errcode", [b"0", b'"0"', b"null"])
async def test_an_errcode_of_nothing_is_success(errcode: bytes) -> None:
    """Zero in either form, and null, are no error."""
    answer = await get(wechat(reply(b'{"openid":"o1","errcode":' + errcode + b"}")))

    assert answer["openid"] == "o1"


async def test_a_proxy_that_sends_chunks_is_named() -> None:
    """WeChat answers a chunked body with 412: the error says that a proxy on the way does that."""
    with pytest.raises(IdentityProviderBadResponse, match=r"412.*proxy.*Content-Length"):
        await get(wechat(reply(b"", 412)))


async def test_an_errcode_of_any_size_can_be_told() -> None:
    """An errcode too great for a computer's integer ends as a problem that can be sent."""
    with pytest.raises(WxLoginError) as raised:
        await get(wechat(reply(b'{"errcode":' + b"9" * 30 + b"}")))

    assert b'"status":50' in msgspec.json.encode(Problem.of(raised.value))


async def test_a_compressed_answer_is_a_bad_answer() -> None:
    """A body that somebody compressed against our request is not unpacked, however small it looks."""
    headers: dict[str, Any] = {"content-encoding": "gzip"}
    bomb = reply(gzip.compress(GOOD), **headers)

    with pytest.raises(IdentityProviderBadResponse):
        await get(wechat(bomb))


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_a_server_error_is_wechat_being_unavailable(status: int) -> None:
    """5xx is unavailable, whatever its body says."""
    with pytest.raises(IdentityProviderUnavailable, match=str(status)):
        await get(wechat(reply(GOOD, status)))


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 400, 401, 403, 404, 405, 429])
async def test_another_status_is_a_bad_answer(status: int) -> None:
    """WeChat answers 200 or is not WeChat, so its body is not believed."""
    with pytest.raises(IdentityProviderBadResponse, match=str(status)):
        await get(wechat(reply(GOOD, status, location="https://elsewhere.example/")))


@pytest.mark.parametrize("size", [LIMIT + CHUNK, 50_000_000])
async def test_a_large_answer_is_not_read_to_its_end(size: int) -> None:
    """After 64 KiB the answer is bad, and the rest of it stays where it is."""
    body = Body(size)

    with pytest.raises(IdentityProviderBadResponse, match="64 KiB"):
        await get(wechat(httpx2.Response(200, stream=body)))
    assert body.read == LIMIT + CHUNK
    assert body.closed


async def test_an_answer_of_64_kib_is_read() -> None:
    """The greatest answer that is allowed is understood."""
    assert await get(wechat(reply(GOOD.rjust(LIMIT)))) == {"openid": "o1"}


@pytest.mark.parametrize("status", [200, 302, 500])
async def test_the_connection_is_given_back_whatever_happens(status: int) -> None:
    """A response is closed after success and after failure."""
    body = Body(2 * CHUNK, b"x")

    with pytest.raises(WxLoginError):
        await get(wechat(httpx2.Response(status, stream=body)))
    assert body.closed


@pytest.mark.parametrize("base_url", [URL, f"{URL}/", "http://127.0.0.1:8001/proxy", "http://127.0.0.1:8001/proxy/"])
async def test_the_base_url_may_have_a_path(base_url: str) -> None:
    """A proxy below a path of its own is asked below that path."""
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
async def test_a_transports_failure_tells_only_its_kind(
    failure: type[httpx2.RequestError], login: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A transport that puts the URL into its exception's text does not get the AppSecret told."""
    caplog.set_level(logging.DEBUG)

    def fail(request: httpx2.Request) -> httpx2.Response:
        raise failure(f"cannot GET {request.url}")

    params = {"secret": login.secret, "js_code": login.code.value}
    with pytest.raises(IdentityProviderUnavailable, match=failure.__name__) as raised:
        await WeChatApi(httpx2.MockTransport(fail), URL, 3.0).get("/sns/jscode2session", params)
    told = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + caplog.text
    assert not [secret for secret in login.hidden if secret in told]


async def test_a_transport_that_never_answers_is_left_in_time() -> None:
    """The time limit holds for the whole call, whatever the transport's own limits are."""

    async def silent(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    began = time.monotonic()
    with pytest.raises(IdentityProviderUnavailable, match=r"0\.05 seconds"):
        await get(WeChatApi(httpx2.MockTransport(silent), URL, 0.05))

    assert time.monotonic() - began < 2


def remembering(seen: list[httpx2.Request], response: httpx2.Response | None = None) -> WeChatApi:
    """A WeChat that keeps what it is asked."""

    def wechat(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return response or reply(GOOD)

    return WeChatApi(httpx2.MockTransport(wechat), URL, 3.0)


async def test_a_post_is_json() -> None:
    """The body is a JSON object in UTF-8 and says so, and the parameters are in the URL."""
    seen: list[httpx2.Request] = []
    await remembering(seen).post("/wxa/call", {"access_token": "t&=微"}, {"code": "李雷"})
    (request,) = seen

    assert (request.method, request.url.path) == ("POST", "/wxa/call")
    assert request.url.params["access_token"] == "t&=微"
    assert msgspec.json.decode(request.content) == {"code": "李雷"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(request.content))


async def test_a_post_of_nothing_has_no_body() -> None:
    """WeChat signs over the body: where there is nothing to send, there is not a byte in it."""
    seen: list[httpx2.Request] = []
    await remembering(seen).post("/wxa/call", {"access_token": "t"}, {})

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
async def test_a_post_is_bounded_as_a_get_is(response: httpx2.Response, error: type[WxLoginError]) -> None:
    """What a GET would not take, a POST does not take either, and it is sent once."""
    seen: list[httpx2.Request] = []
    with pytest.raises(error):
        await remembering(seen, response).post("/wxa/call", {}, {"code": "c"})

    assert len(seen) == 1


async def test_a_post_that_is_never_answered_is_left_in_time() -> None:
    """The time limit holds for a POST too."""

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
    """By path: an errcode that is known, 0 for success, or our code; a number that nobody knows is no new label."""
    seen: list[tuple[str, str, float]] = []
    transport = httpx2.MockTransport(lambda _request: reply(body, status))
    api = WeChatApi(transport, URL, 3.0, lambda *call: seen.append(call))
    for call in (get(api), api.post("/wxa/call", {}, {"code": "c"})):
        with suppress(WxLoginError):
            await call

    assert [each[:2] for each in seen] == [("/sns/jscode2session", outcome), ("/wxa/call", outcome)]
    assert all(0 < each[2] < 3 for each in seen)
