"""Send webhooks: bounded in time and size, without redirects, proxies and cookies, to checked addresses.

The transport is httpx2's interface on aiohttp's connections: docs/decisions/0003-wechat-transport.md.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache

import httpx2
from aiohttp import (
    ClientError,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver
from httpx_aiohttp.httpx2 import AiohttpTransport
from standardwebhooks import Webhook

from adapters.http.addresses import AddressRefused, checked_sockets
from adapters.http.webhook_message import encode_body, signed_headers
from application.ports.webhook_sender import WebhookSender
from domain.event import Event
from domain.webhook import WebhookEndpoint, WebhookReply

CALL_SECONDS = 10.0
"""The time limit of one call, from the lookup of the name to the end of the response."""

READ_SECONDS = 1.0
"""How long the body of a response is read, in seconds. The status says all."""

MAX_RESPONSE_BYTES = 64 * 1024
"""How much of a response is read, to use its connection again. A longer one closes its connection."""

MAX_CONNECTIONS = 100
KEEPALIVE_SECONDS = 4.0

CreateResolver = Callable[[], AbstractResolver | None]


class HttpWebhookSender(WebhookSender):
    """A WebhookSender over HTTP. Each endpoint has connections of its own, so a slow one takes none from others."""

    def __init__(self, endpoints: list[WebhookEndpoint], *, create_resolver: CreateResolver = lambda: None) -> None:
        self._signers = {each.id: [Webhook(secret) for secret in each.secrets] for each in endpoints}
        self._transports = {each.id: create_transport(each, create_resolver) for each in endpoints}

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()

    async def send(self, endpoint: WebhookEndpoint, event: Event, now: datetime) -> WebhookReply:
        """See WebhookSender."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                response = await self._transports[endpoint.id].handle_async_request(self._request(endpoint, event, now))
                return WebhookReply(response.status_code, await _read(response, now))
        except TimeoutError:
            return WebhookReply(None, cause="timeout")
        except Exception as error:  # noqa: BLE001  # of any library: an event that is not counted is sent forever
            return WebhookReply(None, cause=_cause(error))

    def _request(self, endpoint: WebhookEndpoint, event: Event, now: datetime) -> httpx2.Request:
        body = encode_body(event)
        headers = signed_headers(event.id, body, self._signers[endpoint.id], now)
        return httpx2.Request("POST", _parsed(endpoint.url), headers=headers, content=body)


@cache
def _parsed(url: str) -> httpx2.URL:
    """Return the URL of an endpoint, parsed once: it takes a tenth of a call."""
    return httpx2.URL(url)


async def _read(response: httpx2.Response, now: datetime) -> timedelta | None:
    """Read the whole response, so that its connection is free, and return its Retry-After."""
    try:
        size = 0
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in response.stream:  # type: ignore[union-attr]  # of an asynchronous transport
                size += len(chunk)
                if size > MAX_RESPONSE_BYTES:
                    break
    except (httpx2.HTTPError, ClientError, TimeoutError):  # the status has arrived, and it says all
        pass
    finally:
        await response.aclose()
    return retry_after(response.headers, now)


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return the time to wait by Retry-After (RFC 9110 section 10.2.3): seconds or a date. None if it is neither."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), 10**8))
    try:
        moment = parsedate_to_datetime(text)
        return max(moment.astimezone(UTC) - now if moment.tzinfo else moment.replace(tzinfo=UTC) - now, timedelta(0))
    except (ValueError, OverflowError):
        return None


def _cause(error: Exception) -> str:
    """Return the kind of an error. Its text may hold the URL, which may contain a secret."""
    while error.__cause__ and not isinstance(error, AddressRefused):
        error = error.__cause__  # type: ignore[assignment]  # of exceptions
    return type(error).__name__


def create_transport(endpoint: WebhookEndpoint, create_resolver: CreateResolver) -> httpx2.AsyncBaseTransport:
    """Return a pool of connections to the addresses that the endpoint may have. None is open yet."""
    encrypted = endpoint.url.startswith("https://")
    sockets = checked_sockets(private=endpoint.private, encrypted=encrypted)

    def open_session() -> ClientSession:
        connector = TCPConnector(
            resolver=create_resolver(),
            socket_factory=sockets,
            limit=MAX_CONNECTIONS,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ssl=_tls() if encrypted else False,
        )
        return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), middlewares=[drop_reason])

    return AiohttpTransport(verify=_no_certificates(), client=open_session)


async def drop_reason(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Send a request. The response has no reason phrase: the transport refuses one that is not UTF-8."""
    response = await handler(request)
    response.reason = None
    return response


@cache
def _tls() -> ssl.SSLContext:
    """Return the system's certificates, read once: it takes 30 ms."""
    return ssl.create_default_context()


@cache
def _no_certificates() -> ssl.SSLContext:
    """Return a context for the transport's own pool, which is never opened."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
