"""The HTTP transport to WeChat: httpx2's interface, on aiohttp's connections.

See docs/decisions/0003-wechat-transport.md.
"""

import ssl

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
from httpx_aiohttp.httpx2 import AiohttpTransport

CONNECTIONS = 200
"""A login holds one for as long as WeChat takes, 50 to 100 ms: enough for two thousand logins a second."""

KEEPALIVE_SECONDS = 4.0
"""How long an idle connection is kept: shorter than servers do, of which some close after five seconds. A code that is
sent while the server closes the connection is lost, because it is not sent again."""


def create_transport() -> httpx2.AsyncBaseTransport:
    """Return a pool of connections, of which none is open yet.

    It sends each request at most once, follows no redirect, keeps no cookie, reads no proxy from the environment and
    logs nothing. Its caller limits the time of a request and the size of an answer.
    """
    context = ssl.create_default_context()

    def open_session() -> ClientSession:
        connector = TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS, ssl=context)
        return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), middlewares=[send_once])

    return AiohttpTransport(verify=context, client=open_session)


async def send_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Send a request. Raises httpx2.NetworkError, whose cause is aiohttp's error.

    aiohttp sends a GET again when an error of its own says that the connection broke. A login code works once, and a
    lost answer would become "code been used".
    """
    try:
        return await handler(request)
    except ClientError as error:
        raise httpx2.NetworkError(type(error).__name__) from error
