"""Call api.weixin.qq.com: bounded in time and size, with errors of the domain.

WeChat wants the AppSecret in the URL, so no error's text or cause may contain a URL.

The transport is httpx2's interface on aiohttp's connections: docs/decisions/0003-wechat-transport.md.
"""

import asyncio
import re
import ssl
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx2
import msgspec
from aiohttp import (
    ClientError,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    DummyCookieJar,
    TCPConnector,
)
from httpx_aiohttp.httpx2 import AiohttpTransport

from adapters.wechat.errcodes import ERRCODES, WeChatBadResponse, WeChatUnavailable
from adapters.wechat.errors import Meanings, error_of
from adapters.wechat.signing import Signer
from domain.errors import WxLoginError

MAX_RESPONSE_BYTES = 64 * 1024
"""The maximum size of a response body, in bytes. Real ones are below one KiB."""

MAX_PICTURE_BYTES = 1024 * 1024
"""The maximum size of a picture. Real ones of 430 pixels have up to 195 KB."""

PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
"""How a JPEG and a PNG begin."""

MAX_CONNECTIONS = 200
"""A login holds one for as long as WeChat takes, 50 to 100 ms: enough for two thousand logins a second."""

KEEPALIVE_SECONDS = 4.0
"""How long an idle connection is kept: shorter than servers do, of which some close after five seconds. A code that is
sent while the server closes the connection is lost, because it is not sent again."""

HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "wxlogin"}

MAX_NUMBER = 2**33
"""The largest number accepted: as a time it is in the year 2242, and as a duration it fits into a timedelta."""


Observe = Callable[[str, str, float], None]
"""Called after each call with its path, its outcome and its duration in seconds.

The outcome is WeChat's errcode, 0 for success; without a known errcode, the `code` of the error.
"""


Params = Mapping[str, str]
JsonObject = dict[str, Any]
NONE: Meanings = MappingProxyType({})


class RawResponse(NamedTuple):
    """A response of WeChat: its HTTP status, headers and whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class WeChatApi:
    """WeChat's server API at `base_url`, where every call ends within `timeout` seconds.

    Every method returns the JSON object of the response, or its picture. An errcode in `meanings` means that error in
    this call. Raises IdentityProviderUnavailable, IdentityProviderBadResponse, and the error that the response's
    errcode means.
    """

    def __init__(
        self, transport: httpx2.AsyncBaseTransport, base_url: str, timeout: float, observe: Observe = lambda *_: None
    ) -> None:
        self._transport = transport
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._observe = observe

    async def get(self, path: str, params: Params, meanings: Meanings = NONE) -> JsonObject:
        """Send a GET request, with all parameters in the query."""
        with self._observed(path):
            reply = await self._exchange("GET", self._url(path, params), HEADERS)
            return _parse_response(reply.body, meanings)

    async def post(self, path: str, params: Params, body: Mapping[str, Any], meanings: Meanings = NONE) -> JsonObject:
        """Send a POST request with a JSON object; without a body if it is empty, because WeChat signs over the body."""
        content = msgspec.json.encode(body) if body else b""
        with self._observed(path):
            reply = await self._send(path, params, content, {})
            return _parse_response(reply.body, meanings)

    async def post_signed(
        self, path: str, params: Params, body: Mapping[str, Any], signer: Signer, meanings: Meanings = NONE
    ) -> JsonObject:
        """Send a POST request with an encrypted and signed object. Responses other than refusals are signed, too."""
        content, headers = signer.seal(path, body)
        with self._observed(path):
            reply = await self._send(path, params, content, headers)
            return _opened(reply, path, signer, meanings)

    async def post_for_picture(
        self, path: str, params: Params, body: Mapping[str, Any], signer: Signer | None, meanings: Meanings = NONE
    ) -> bytes:
        """Send a POST request, signed if there is a signer, and return the picture.

        WeChat does not document how it signs a picture. Accepted are a picture in the clear, and the base64 `buffer` of
        a signed object, as WeChat's cloud functions get it.
        """
        content, headers = signer.seal(path, body) if signer else (msgspec.json.encode(body), {})
        with self._observed(path):
            reply = await self._send(path, params, content, headers, MAX_PICTURE_BYTES)
            if reply.body.startswith(PICTURES):
                return reply.body
            answer = _opened(reply, path, signer, meanings) if signer else _parse_response(reply.body, meanings)
            return _picture_in(answer)

    @contextmanager
    def _observed(self, path: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        except WxLoginError as error:
            outcome = str(error.errcode) if error.errcode in ERRCODES else error.code
            self._observe(path, outcome, time.perf_counter() - began)
            raise
        self._observe(path, "0", time.perf_counter() - began)

    async def _send(
        self,
        path: str,
        params: Params,
        content: bytes,
        headers: Mapping[str, str],
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> RawResponse:
        headers = {**HEADERS, "content-type": "application/json", **headers}
        return await self._exchange("POST", self._url(path, params), headers, content, max_bytes)

    def _url(self, path: str, params: Params) -> str:
        return f"{self._base_url}{path}?{urlencode(params)}"

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes = b"",
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> RawResponse:
        request = httpx2.Request(method, url, headers=headers, content=content)
        try:
            async with asyncio.timeout(self._timeout):
                return await _read(await self._transport.handle_async_request(request), max_bytes)
        except TimeoutError:
            raise WeChatUnavailable(f"WeChat did not answer within {self._timeout:g} seconds") from None
        except (httpx2.HTTPError, OSError) as error:
            # Its text may hold the URL, and so the AppSecret: only its kind is shown.
            kind = type(error.__cause__ or error).__name__
            raise WeChatUnavailable(
                f"WeChat cannot be reached ({kind}); check WXLOGIN_WECHAT_URL, DNS, and the network route to WeChat"
            ) from None


def create_transport() -> httpx2.AsyncBaseTransport:
    """Return a pool of connections, of which none is open yet.

    It sends each request at most once, follows no redirect, keeps no cookie, reads no proxy from the environment and
    logs nothing. Its caller limits the time of a request and the size of a response.
    """
    context = ssl.create_default_context()

    def open_session() -> ClientSession:
        connector = TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS, ssl=context)
        return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), middlewares=[send_once])

    return AiohttpTransport(verify=context, client=open_session)


async def send_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Send a request. Raises httpx2.NetworkError, whose cause is aiohttp's error.

    aiohttp sends a GET again when an error of its own says that the connection broke. A login code works once, and a
    lost answer would become "code been used".

    The response has no reason phrase: the transport refuses one that is not UTF-8.
    """
    try:
        response = await handler(request)
    except ClientError as error:
        raise httpx2.NetworkError(type(error).__name__) from error
    response.reason = None
    return response


async def _read(response: httpx2.Response, max_bytes: int) -> RawResponse:
    """Read the whole response, so that its connection is free. Raises for a status or size that is not WeChat's."""
    try:
        if response.status_code >= 500:
            raise WeChatUnavailable(f"WeChat answers with HTTP status {response.status_code}")
        if response.status_code == 412:
            raise WeChatBadResponse(
                "WeChat answers with HTTP status 412: a proxy on the way sends request bodies in chunks, which WeChat"
                " refuses; let it send them with Content-Length"
            )
        if response.status_code != 200:
            raise WeChatBadResponse(f"WeChat answers with HTTP status {response.status_code}; check WXLOGIN_WECHAT_URL")
        body = b""
        async for chunk in response.stream:  # type: ignore[union-attr]  # of an asynchronous transport
            body += chunk
            if len(body) > max_bytes:
                raise WeChatBadResponse(f"WeChat's response is larger than {max_bytes // 1024} KiB")
        return RawResponse(response.status_code, response.headers, body)
    finally:
        await response.aclose()


def _parse_response(body: bytes, meanings: Meanings) -> JsonObject:
    try:
        answer = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise WeChatBadResponse("WeChat's response is not JSON; check WXLOGIN_WECHAT_URL") from None
    if not isinstance(answer, dict):
        raise WeChatBadResponse("WeChat's response is not a JSON object")
    if errcode := _errcode_in(answer):
        raise error_of(errcode, str(answer.get("errmsg", "")), meanings)
    return answer


def _opened(reply: RawResponse, path: str, signer: Signer, meanings: Meanings) -> JsonObject:
    """Return the JSON object of a signed response, or raise the error of a refusal, which WeChat does not sign."""
    if "wechatmp-signature" not in reply.headers:
        _parse_response(reply.body, meanings)
        raise WeChatBadResponse("WeChat's response is not signed")
    return _parse_response(signer.open(path, reply.headers, reply.body), meanings)


def _picture_in(answer: Mapping[str, Any]) -> bytes:
    """Return the picture in a JSON object. Raises IdentityProviderBadResponse."""
    try:
        picture = b64decode(answer["buffer"])
    except (LookupError, TypeError, ValueError):
        picture = b""
    if not picture.startswith(PICTURES):
        raise WeChatBadResponse("WeChat's response is no picture")
    return picture


def _errcode_in(answer: Mapping[str, Any]) -> int:
    """Return the errcode, 0 if it is missing or null. WeChat's own samples have it as text, too."""
    errcode = answer.get("errcode")
    if errcode is None:
        return 0
    if isinstance(errcode, str) and re.fullmatch(r"-?[0-9]{1,9}", errcode):
        return int(errcode)
    if type(errcode) is not int:
        raise WeChatBadResponse("WeChat's errcode is not a number")
    return errcode


def text_in(answer: Mapping[str, Any], field: str, pattern: str) -> str:
    """Return a text field of a response. Raises IdentityProviderBadResponse if it is missing or does not match."""
    value = answer.get(field)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise WeChatBadResponse(f"WeChat's response has no usable {field}")
    return value


def number_in(answer: Mapping[str, Any], field: str) -> int:
    """Return a whole number of a response: a version, a time, or a duration in seconds.

    Raises IdentityProviderBadResponse.
    """
    value = answer.get(field)
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise WeChatBadResponse(f"WeChat's response has no usable {field}")
    return value
