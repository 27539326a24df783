"""uvicorn's ceiling: an application that answers /auth at once, and asks no Redis; in the server of wxlogin."""

import sys

import uvicorn

from benchmarks.loop import HOST
from benchmarks.sessions import APPID
from benchmarks.wechat import openid_of
from entrypoints.http.server import listen, server_config
from entrypoints.settings import load_settings

START = {
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
BODY = {"type": "http.response.body", "body": b"", "more_body": False}


async def application(scope, receive, send) -> None:  # noqa: ARG001  # ASGI's signature
    await send(START)
    await send(BODY)


if __name__ == "__main__":
    port = int(sys.argv[1])
    config = server_config(application, load_settings(), HOST, port)
    uvicorn.Server(config).run(sockets=[listen(HOST, port)])
