"""One connection to WeChat: HTTP/1.1 by httptools, over what asyncio opened."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

LARGEST_ANSWER = 64 * 1024
"""The body, in bytes. Real answers are below one KiB."""

LARGEST_MESSAGE = 3 * LARGEST_ANSWER
"""The head, the body and what is around its chunks, in bytes."""

INTERIM = (100, 102, 103)
"""The statuses of answers that another one follows (RFC 9110 section 15.2)."""


class Reply(NamedTuple):
    """What came back. The names of its headers are in lower case; of a body that is too large, only so much is here."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class BrokenConnection(ConnectionError):
    """It ended within an answer, or what came over it is no HTTP."""


class Connection(asyncio.Protocol):
    """Asks, and takes in the answer; one at a time."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[Reply] | None = None
        self._ends_with_connection = False

    def ask(self, request: bytes) -> asyncio.Future[Reply]:
        """Send a request; its answer, or BrokenConnection."""
        self._parser = HttpResponseParser(self)
        self._received = 0
        self._body = b""
        self._answer = answer = asyncio.get_running_loop().create_future()
        if self.is_open:
            self._transport.write(request)
        else:
            self._fail("closed the connection")
        return answer

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent."""
        return not self._transport.is_closing()

    def abort(self) -> None:
        """Hang up, whatever is on its way."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of a stream it is one
        """It is open."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        self._received += len(data)
        if self._answer is None:
            self._fail("sent what nobody asked for")
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fail("does not speak HTTP/1.1")
        if len(self._body) > LARGEST_ANSWER:
            self._end(keep_alive=False)
        elif self._received > LARGEST_MESSAGE:
            self._fail("sends no end of an answer")

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer that has no length ends here (RFC 9112 section 6.3)."""
        if exc is None and self._ends_with_connection:
            self._end(keep_alive=False)
        else:
            self._fail("closed the connection")

    def on_message_begin(self) -> None:
        """See httptools."""
        self._headers: dict[str, str] = {}
        self._ends_with_connection = False
        if self._answer is None:
            self._fail("sent what nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._ends_with_connection = not {"content-length", "transfer-encoding"} & self._headers.keys()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._body += body

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._parser.get_status_code() not in INTERIM:
            self._end(keep_alive=self._parser.should_keep_alive())

    def _end(self, *, keep_alive: bool) -> None:
        answer, self._answer = self._answer, None
        if answer and not answer.done():
            answer.set_result(Reply(self._parser.get_status_code(), self._headers, self._body))
        if not keep_alive:
            self._transport.abort()

    def _fail(self, what: str) -> None:
        answer, self._answer = self._answer, None
        if answer and not answer.done():
            answer.set_exception(BrokenConnection(f"WeChat {what}"))
        self._transport.abort()
