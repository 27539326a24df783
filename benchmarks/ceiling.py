"""A server that parses nothing and answers at once. It shows the maximum rate of the load generator."""

import asyncio
import sys

from benchmarks.loop import serve
from benchmarks.wechat import openid_of

BODY = b'{"status":0,"msg":"ok","data":{"token":"0123456789abcdef0123456789abcdef"}}'
LOGIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)
AUTH = b"HTTP/1.1 204 No Content\r\nX-WX-OPENID: %s\r\n\r\n" % openid_of(0).encode()


class Ceiling(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.WriteTransport = transport  # type: ignore[assignment]  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        # The generator sends each request in one piece and waits for its answer.
        self.transport.write(AUTH if data.startswith(b"GET") else LOGIN)


if __name__ == "__main__":
    serve(Ceiling, int(sys.argv[1]))
