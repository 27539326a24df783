"""The ceiling of Granian: an application in wxlogin's server that answers /auth at once, without Redis."""

import asyncio
import sys

import uvloop
from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from benchmarks.loop import HOST
from benchmarks.sessions import APPID
from benchmarks.wechat import openid_of
from entrypoints.http.engine import Engine
from entrypoints.http.listener import Listener

START: HTTPResponseStartEvent = {
    "type": "http.response.start",
    "status": 204,
    "headers": [
        (b"cache-control", b"no-store"),
        (b"x-user-id", b"01a208f2-3505-7316-b29d-08b6c3983f66"),
        (b"x-session-id", b"0123456789abcdef0123456789abcdef"),
        (b"x-wx-openid", openid_of(0).encode()),
        (b"x-wx-appid", APPID.encode()),
    ],
}
BODY: HTTPResponseBodyEvent = {"type": "http.response.body", "body": b"", "more_body": False}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["method"] == "POST":  # type: ignore[typeddict-item]  # HTTP only
        await receive()
    await send(START)
    await send(BODY)


async def serve(port: int) -> None:
    listener = Listener.open(HOST, port)
    listener.listen()
    await Engine(application, listener, connections=2048).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
