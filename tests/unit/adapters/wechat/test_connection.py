"""A connection to WeChat that its server disturbs before or between answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from adapters.wechat.connection import BrokenConnection, Connection

pytestmark = pytest.mark.anyio

REQUEST = b"GET / HTTP/1.1\r\nHost: wechat\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: mine\r\n\r\n{}"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Connect = Callable[[Serve], Awaitable[Connection]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens a connection to a server that does so; nothing goes wrong unseen meanwhile."""
    loop, unseen, servers = asyncio.get_running_loop(), list[dict[str, Any]](), list[asyncio.Server]()
    loop.set_exception_handler(lambda _loop, context: unseen.append(context))

    async def connect(serve: Serve) -> Connection:
        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        _, connection = await loop.create_connection(Connection, *servers[0].sockets[0].getsockname())
        return connection

    yield connect
    servers[0].close()
    loop.set_exception_handler(None)
    assert unseen == []


async def test_a_connection_that_is_closed_at_once_is_broken(connect: Connect) -> None:
    """Who is hung up on before the first request is told so, and not kept waiting."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    connection = await connect(hang_up)
    while connection.is_open:  # noqa: ASYNC110  # it tells nobody
        await asyncio.sleep(0.01)

    with pytest.raises(BrokenConnection):
        await connection.ask(REQUEST)


@pytest.mark.parametrize("more", [ANSWER.replace(b"mine", b"other"), b"HTTP/1.1 200 OK\r\nX: other\r\nY: "])
async def test_what_comes_behind_an_answer_does_not_change_it(connect: Connect, more: bytes) -> None:
    """One answer to one request: another that comes with it, whole or in part, ends the connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER + more)
        await reader.read()
        writer.close()

    connection = await connect(answer)
    reply = await connection.ask(REQUEST)

    assert (reply.headers["x"], reply.body) == ("mine", b"{}")
    assert not connection.is_open
