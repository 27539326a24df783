"""How requests get to WeChat: over aiohttp, or to one in the same process by any transport of httpx.

Why so: docs/decisions/0003-wechat-transport.md.
"""

import ssl
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple, Protocol, Self

import httpx
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

CONNECTIONS = 100
"""A login holds one for as long as WeChat takes, 50 to 100 ms: enough for a thousand logins a second."""

KEEPALIVE_SECONDS = 15.0
"""Shorter than servers keep an idle connection, so that a code is not sent on one that is just being closed."""


class Incoming(NamedTuple):
    """An answer, of which only the head is here so far."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Transport(Protocol):
    """Sends requests, each once, follows no redirect, keeps no cookie and logs nothing. It has to be closed."""

    @abstractmethod
    def request(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes
    ) -> AbstractAsyncContextManager[Incoming]:
        """Send a request; its answer may be read as long as the block lasts.

        Raises aiohttp.ClientError, httpx.HTTPError and OSError, whose texts may hold the URL.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()


class AiohttpTransport(Transport):
    """A pool of connections. Opens none before the first request."""

    def __init__(self) -> None:
        self._context = ssl.create_default_context()
        self._session: ClientSession | None = None

    @asynccontextmanager
    async def request(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes
    ) -> AsyncIterator[Incoming]:
        """See Transport."""
        session = self._session or self._open_session()
        sending = session.request(
            method, URL(url, encoded=True), headers=headers, data=content or None, allow_redirects=False
        )
        async with sending as answer:
            yield Incoming(answer.status, answer.headers, answer.content.iter_any())

    def _open_session(self) -> ClientSession:
        connector = TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS, ssl=self._context)
        session = self._session = ClientSession(
            connector=connector, cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=None), auto_decompress=False
        )
        # aiohttp sends a GET again when its connection breaks, and has no public way to forbid it. A code works once.
        session._retry_connection = False  # noqa: SLF001
        return session

    async def aclose(self) -> None:
        """See Transport."""
        if self._session:
            await self._session.close()


class HttpxTransport(Transport):
    """Any transport of httpx: to a WeChat in the same process, or to a script of answers."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    @asynccontextmanager
    async def request(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes
    ) -> AsyncIterator[Incoming]:
        """See Transport."""
        request = httpx.Request(method, url, headers=headers, content=content)
        response = await self._transport.handle_async_request(request)
        try:
            yield Incoming(response.status_code, response.headers, aiter(response.stream))  # type: ignore[arg-type]
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """See Transport."""
        await self._transport.aclose()
