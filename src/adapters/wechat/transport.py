"""Connections to WeChat: httpx's interface, aiohttp's speed.

A call over httpx's own transport costs the processor several times as much (docs/decisions/0003-wechat-transport.md).
"""

import httpx
from aiohttp import ClientSession, DummyCookieJar, TCPConnector
from httpx_aiohttp import AiohttpTransport

CONNECTIONS = 100
"""A login holds one for as long as WeChat takes, 50 to 100 ms: enough for a thousand logins a second."""

KEEPALIVE_SECONDS = 15.0
"""Shorter than servers keep an idle connection, so that a code is not sent on one that is just being closed."""


def create_transport() -> httpx.AsyncBaseTransport:
    """A pool of connections. Opens none before the first request."""
    context = httpx.create_ssl_context()

    def open_session() -> ClientSession:
        connector = TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS, ssl=context)
        session = ClientSession(connector=connector, cookie_jar=DummyCookieJar())
        # aiohttp sends a GET again when its connection breaks, and has no public way to forbid it. A code works once.
        session._retry_connection = False  # noqa: SLF001
        return session

    return AiohttpTransport(verify=context, client=open_session)
