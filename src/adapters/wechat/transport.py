"""How requests get to WeChat: over connections of our own, or to one in the same process by any transport of httpx.

Why so: docs/decisions/0003-wechat-transport.md.
"""

import asyncio
import socket
import ssl
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, Protocol, Self
from urllib.parse import urlsplit

import httpx
from aiohappyeyeballs import start_connection

from adapters.wechat.connection import LARGEST_ANSWER, Connection, Reply

CONNECTIONS = 200
"""A login holds one for as long as WeChat takes, 50 to 100 ms: enough for two thousand logins a second."""

KEEPALIVE_SECONDS = 15.0
"""Shorter than servers keep an idle connection, so that a code is not sent on one that is just being closed."""

OTHER_ADDRESS_SECONDS = 0.25
"""How long one of WeChat's addresses may take before the next one is tried beside it (RFC 8305)."""


class Transport(Protocol):
    """Sends requests, each once, follows no redirect, keeps no cookie and logs nothing. It has to be closed."""

    @abstractmethod
    async def send(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> Reply:
        """Send a request. Raises httpx.HTTPError and OSError, whose texts may hold the URL."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()


class Idle(NamedTuple):
    """A connection that was given back, and when."""

    connection: Connection
    since: float


class PooledTransport(Transport):
    """A pool of connections. Opens none before the first request.

    Processor time of a call, 32 at once: 270 us by aiohttp, 50 us so.
    """

    def __init__(self) -> None:
        self._context = ssl.create_default_context()
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._idle: dict[str, deque[Idle]] = {}

    async def send(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> Reply:
        """See Transport."""
        origin, target = _split(url)
        async with self._slots:
            connection = self._take(origin) or await self._connect(origin)
            try:
                reply = await connection.ask(_request(method, origin, target, headers, content))
            except BaseException:
                connection.abort()
                raise
            self._give_back(origin, connection)
        return reply

    def _take(self, origin: str) -> Connection | None:
        idle, now = self._idle.setdefault(origin, deque()), asyncio.get_running_loop().time()
        while idle and (now - idle[0].since > KEEPALIVE_SECONDS or not idle[0].connection.is_open):
            idle.popleft().connection.abort()
        while idle:
            if (connection := idle.pop().connection).is_open:
                return connection
        return None

    def _give_back(self, origin: str, connection: Connection) -> None:
        if connection.is_open:
            self._idle[origin].append(Idle(connection, asyncio.get_running_loop().time()))

    async def _connect(self, origin: str) -> Connection:
        loop, url = asyncio.get_running_loop(), urlsplit(origin)
        is_https, host = url.scheme == "https", url.hostname or ""
        addresses = await loop.getaddrinfo(host, url.port or (443 if is_https else 80), type=socket.SOCK_STREAM)
        opened = await start_connection(addresses, happy_eyeballs_delay=OTHER_ADDRESS_SECONDS, interleave=1)
        try:
            _, connection = await loop.create_connection(
                Connection,
                sock=opened,
                ssl=self._context if is_https else None,
                server_hostname=host if is_https else None,
            )
        except BaseException:
            opened.close()
            raise
        return connection

    async def aclose(self) -> None:
        """See Transport."""
        for idle in self._idle.values():
            for connection, _ in idle:
                connection.abort()
        self._idle.clear()


class HttpxTransport(Transport):
    """Any transport of httpx: to a WeChat in the same process, or to a script of answers."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def send(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> Reply:
        """See Transport."""
        request = httpx.Request(method, url, headers=headers, content=content)
        response = await self._transport.handle_async_request(request)
        body = b""
        try:
            async for chunk in response.stream:  # type: ignore[union-attr]  # of an asynchronous transport
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    break
        finally:
            await response.aclose()
        return Reply(response.status_code, response.headers, body)

    async def aclose(self) -> None:
        """See Transport."""
        await self._transport.aclose()


def _split(url: str) -> tuple[str, str]:
    """The origin, and the target that is asked of it. urlsplit would remember the URL, and so the AppSecret."""
    scheme, _, rest = url.partition("://")
    authority, _, target = rest.partition("/")
    return f"{scheme}://{authority}", f"/{target}"


def _request(method: str, origin: str, target: str, headers: Mapping[str, str], content: bytes) -> bytes:
    fields = {"host": origin.partition("://")[2], **headers}
    if method != "GET":
        fields["content-length"] = str(len(content))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + content
