"""One call to api.weixin.qq.com: bounded in time and size, and JSON or a domain error.

httpx's client logs every URL at INFO, and WeChat wants the AppSecret in the URL. So calls go to the transport below the
client, which logs nothing, and follows no redirect (docs/decisions/0003-wechat-transport.md).
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
import httpx
import msgspec

from adapters.wechat.errcodes import error_of
from domain.errors import WeChatBadAnswer, WeChatUnavailable

HEADERS = httpx.Headers({"accept": "application/json", "accept-encoding": "identity", "user-agent": "wxlogin"})

LARGEST_ANSWER = 64 * 1024
"""In bytes. Real answers are below one KiB."""

RID = re.compile(r"rid: ([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})")


class WeChatApi:
    """WeChat's server API at `base_url`, where every call ends within `timeout` seconds."""

    def __init__(self, transport: httpx.AsyncBaseTransport, base_url: str, timeout: float) -> None:
        self._transport = transport
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout

    async def get(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        """The answer of `path`, an object without an error in it.

        Raises WeChatUnavailable, WeChatBadAnswer, and what the errcode in the answer means.
        """
        url = f"{self._base_url}{path}?{urlencode(params)}"
        return _understand(await self._exchange(httpx.Request("GET", url, headers=HEADERS)))

    async def _exchange(self, request: httpx.Request) -> bytes:
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._transport.handle_async_request(request)
                try:
                    return await _read(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise WeChatUnavailable(f"WeChat did not answer within {self._timeout:g} seconds") from None
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:  # not all of aiohttp's are translated
            # Its text may hold the URL, and so the AppSecret: only its kind is told.
            raise WeChatUnavailable(f"WeChat cannot be reached ({type(error.__cause__ or error).__name__})") from None


async def _read(response: httpx.Response) -> bytes:
    if response.status_code >= 500:
        raise WeChatUnavailable(f"WeChat answers with HTTP status {response.status_code}")
    if response.status_code != 200:
        raise WeChatBadAnswer(f"WeChat answers with HTTP status {response.status_code}; check WXLOGIN_WECHAT_URL")
    body = bytearray()
    async for chunk in response.stream:  # type: ignore[union-attr]  # a transport's answer is an async stream
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise WeChatBadAnswer(f"WeChat's answer is larger than {LARGEST_ANSWER // 1024} KiB")
    return bytes(body)


def _understand(body: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise WeChatBadAnswer("WeChat's answer is not JSON; check WXLOGIN_WECHAT_URL") from None
    if not isinstance(answer, dict):
        raise WeChatBadAnswer("WeChat's answer is not a JSON object")
    errcode = answer.get("errcode", 0)
    if type(errcode) is not int:
        raise WeChatBadAnswer("WeChat's errcode is not a number")
    if errcode:
        rid = RID.search(str(answer.get("errmsg", "")))
        raise error_of(errcode, rid and rid[1])
    return answer
