"""The engine, and the parts of Granian that it uses although Granian does not promise them."""

import asyncio
import socket

import pytest
from granian.server.common import AbstractServer

from entrypoints.http.engine import Engine
from entrypoints.http.listener import Listener
from support.raw_http import exchange, request, statuses

pytestmark = pytest.mark.anyio


async def application(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    """Answer 204."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_granian_has_the_method_that_the_engine_overrides() -> None:
    """Granian has the method that the engine overrides."""
    assert "_init_shared_socket" in vars(AbstractServer)
    assert "_init_shared_socket" in vars(Engine)


async def test_the_given_socket_is_served() -> None:
    """The engine accepts connections on the given socket, and closes it at the end."""
    listener = Listener(socket.create_server(("127.0.0.1", 0)))
    url = listener.url
    engine = Engine(application, listener, connections=8)
    serving = asyncio.create_task(engine.serve())
    answer = await asyncio.to_thread(exchange, url, request("/", "Connection: close"))
    engine.stop()  # type: ignore[no-untyped-call]
    await serving

    assert statuses(answer) == [204]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.to_thread(exchange, url, b"")
