"""Forward pushes by HTTP."""

import asyncio

import httpx2

from application.ports.push_forwarder import PushForwarder
from domain.push import PushNotForwarded, RawPush

FORWARD_SECONDS = 1.3
"""How long the receiver may take, in seconds: WeChat gets its answer within two."""


class WeChatPushForwarder(PushForwarder):
    """A PushForwarder that sends a push to one URL, with its query, body and Content-Type."""

    def __init__(self, transport: httpx2.AsyncBaseTransport, url: str) -> None:
        self._transport = transport
        self._url = url

    async def forward(self, raw: RawPush) -> None:
        """See PushForwarder. Follows no redirect."""
        headers = {"content-type": raw.content_type or "application/octet-stream", "user-agent": "wxlogin"}
        joined = f"{self._url}{'&' if '?' in self._url else '?'}{raw.query}"
        try:
            sent = httpx2.Request("POST", joined, headers=headers, content=raw.body)
            async with asyncio.timeout(FORWARD_SECONDS):
                response = await self._transport.handle_async_request(sent)
                await response.aclose()
        except TimeoutError:
            raise PushNotForwarded(f"no answer within {FORWARD_SECONDS:g} seconds") from None
        except Exception as error:  # noqa: BLE001  # of any library; its text may have the URL
            raise PushNotForwarded(type(error.__cause__ or error).__name__) from None
        if not 200 <= response.status_code < 300:
            raise PushNotForwarded(f"HTTP status {response.status_code}")
