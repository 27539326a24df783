"""A minimal WeChat: any code is a login.

`u17-…` is always user 17, and `s17-…` is the same with a slow answer. The sandbox of the product checks what WeChat
checks. This one must only be so fast that it does not affect the measurement.
"""

import asyncio
import base64
import hashlib
import re
import sys

from benchmarks.loop import serve

SLOW_SECONDS = 0.05
CODE = re.compile(rb"^GET /sns/jscode2session\?(?:\S*&)?js_code=([us])(\d+)-")
END = b"\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def code_of(user: int, unique: int, *, slow: bool = False) -> str:
    """Return 32 characters, as WeChat's codes have."""
    return f"{'s' if slow else 'u'}{user}-{unique}".ljust(32, "0")


def answer(user: int) -> bytes:
    """Return WeChat's answer for this user, the same at every login. It is `text/plain`, as WeChat's is."""
    openid = openid_of(user)
    session_key = base64.b64encode(hashlib.md5(openid.encode()).digest()).decode()
    body = f'{{"session_key":"{session_key}","openid":"{openid}"}}'
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def openid_of(user: int) -> str:
    """Return 28 characters, as WeChat's openids have."""
    return f"oBench{user:022d}"


class WeChat(asyncio.Protocol):
    """One connection that stays open. Requests are GETs without a body, so that a blank line ends each."""

    def __init__(self) -> None:
        self.unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.WriteTransport = transport  # type: ignore[assignment]  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        *requests, self.unread = (self.unread + data).split(END)
        for request in requests:
            code = CODE.match(request)
            self.send(answer(int(code[2])) if code else NOT_FOUND, slowly=bool(code and code[1] == b"s"))

    def send(self, data: bytes, *, slowly: bool) -> None:
        if slowly:
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self.transport.write, data)
        else:
            self.transport.write(data)


if __name__ == "__main__":
    serve(WeChat, int(sys.argv[1]))
