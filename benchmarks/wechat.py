"""The cheapest WeChat there can be: any code is a login, `u17-…` always of the same user 17.

The sandbox of the product checks what WeChat checks. This one only must never be what is measured.
"""

import argparse
import asyncio
import base64
import hashlib
import re
from functools import cache

from benchmarks.loop import serve

CODE = re.compile(rb"^GET /sns/jscode2session\?(?:\S*&)?js_code=u(\d+)-")
END = b"\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@cache
def answer(user: int) -> bytes:
    """What WeChat says of this user, the same at every login; `text/plain`, as WeChat does."""
    openid = openid_of(user)
    session_key = base64.b64encode(hashlib.md5(openid.encode()).digest()).decode()
    body = f'{{"session_key":"{session_key}","openid":"{openid}"}}'
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def openid_of(user: int) -> str:
    """28 characters, as WeChat's are."""
    return f"oBench{user:022d}"


class WeChat(asyncio.Protocol):
    """One keep-alive connection. Requests are GETs without a body, so a blank line ends each."""

    def __init__(self, delay_seconds: float) -> None:
        self.delay_seconds = delay_seconds
        self.unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self.unread = (self.unread + data).split(END)
        for request in requests:
            code = CODE.match(request)
            self.send(answer(int(code[1])) if code else NOT_FOUND)

    def send(self, data: bytes) -> None:
        if self.delay_seconds:
            asyncio.get_running_loop().call_later(self.delay_seconds, self.transport.write, data)
        else:
            self.transport.write(data)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--delay-ms", type=float, default=0)
    chosen = options.parse_args()
    serve(lambda: WeChat(chosen.delay_ms / 1000), chosen.port)


if __name__ == "__main__":
    main()
