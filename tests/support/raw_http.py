"""HTTP as bytes: requests that an HTTP client does not send, and their answers."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from io import BytesIO
from typing import Any, NamedTuple

import httpx2

SECONDS = 45.0
"""The time limit for an answer."""


class Response(NamedTuple):
    """One response. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class RawConnection:
    """A connection to a server."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, *segments: bytes) -> None:
        """Send each segment separately. A closed connection is not an error, because the server may have answered."""
        for segment in segments:
            with suppress(BrokenPipeError, ConnectionResetError):
                self._connection.sendall(segment)

    def fill(self, data: bytes, most: int, seconds: float = 1.0) -> int:
        """Send the data repeatedly until the server accepts no more for so many seconds. Return the number of bytes."""
        sent = 0
        self._connection.settimeout(seconds)
        with suppress(TimeoutError, ConnectionError):
            while sent < most:
                sent += self._connection.send(data)
        self._connection.settimeout(SECONDS)
        return sent

    def close_sending(self) -> None:
        """Close the sending side of the connection."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def receive(self, size: int = 65536) -> bytes:
        """Return the next bytes, or nothing when the server has closed the connection."""
        with suppress(ConnectionResetError):
            return self._connection.recv(size)
        return b""

    def receive_or(self, otherwise: Callable[[], None], seconds: float = 1.0) -> bytes:
        """Return the next bytes. While none arrive for so many seconds, call `otherwise` repeatedly."""
        self._connection.settimeout(seconds)
        for _ in range(int(SECONDS * 3)):
            with suppress(TimeoutError):
                return self.receive()
            otherwise()
        raise TimeoutError("the server neither answers nor closes the connection")

    def rest(self) -> bytes:
        """Return everything up to the end of the connection. Raises TimeoutError when the server does not close it."""
        return b"".join(iter(self.receive, b""))

    def responses(self) -> list[Response]:
        """Return all responses up to the end of the connection."""
        return parse(self.rest())


@contextmanager
def connect(url: str | httpx2.URL, source: str = "") -> Iterator[RawConnection]:
    """Open a connection to the server of this URL, from the address `source`."""
    host, port = httpx2.URL(str(url)).host, httpx2.URL(str(url)).port or 80
    with socket.create_connection((host, port), timeout=SECONDS, source_address=(source, 0) if source else None) as it:
        it.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield RawConnection(it)


def exchange(url: str | httpx2.URL, *segments: bytes) -> bytes:
    """Return the answer to these bytes, until the server closes the connection as the last request asks."""
    with connect(url) as raw:
        raw.send(*segments)
        return raw.rest()


def request(target: str, *lines: str, method: str = "GET", body: bytes | None = None, version: str = "1.1") -> bytes:
    """Return a request with a Host and these header lines, and with the body's length when it has one."""
    length = [f"Content-Length: {len(body)}"] if body is not None else []
    head = "\r\n".join([f"{method} {target} HTTP/{version}", "Host: wxlogin", *lines, *length, "", ""])
    return head.encode("latin-1") + (body or b"")


def statuses(answers: bytes) -> list[int]:
    """Return the status of each response, in their order."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answers)]


class _Received:
    """A substitute for the socket of http.client."""

    def __init__(self, answers: BytesIO) -> None:
        self._answers = answers

    def makefile(self, _mode: str) -> BytesIO:
        return self._answers


class _Stream(BytesIO):
    """A stream of responses that stays open after each of them."""

    def close(self) -> None:
        """Stay open for the next response."""


def parse(answers: bytes) -> list[Response]:
    """Return the responses in these bytes, each with its stated length. Raises http.client.HTTPException."""
    stream, found = _Stream(answers), []
    while stream.tell() < len(answers):
        response = HTTPResponse(_Received(stream))  # type: ignore[arg-type]  # it uses nothing else of its socket
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        found.append(Response(response.status, headers, response.read()))
    return found


def authorization(login: dict[str, Any]) -> str:
    """Return the Authorization header line of a user."""
    return f"Authorization: Bearer {login['token']}"
