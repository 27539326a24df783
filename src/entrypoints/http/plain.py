"""Requests and answers without the framework, for the paths where it would be a quarter of the cost."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from litestar.types import Receive, Scope, Send

from domain.errors import RequestInvalid

LARGEST_BODY = 64 * 1024
"""In bytes. Real requests are below one KiB."""

RawHeaders = Iterable[tuple[bytes, bytes]]


class PlainAnswer(NamedTuple):
    """What a client is told."""

    status: int
    headers: RawHeaders
    body: bytes = b""

    @classmethod
    def json(
        cls, status: int, content: object, headers: Mapping[str, str], media_type: str = "application/json"
    ) -> "PlainAnswer":
        """One with a body, and these headers beside its own."""
        body = msgspec.json.encode(content)
        headers = {"content-type": media_type, "content-length": str(len(body)), **headers}
        return cls(status, [(name.encode(), value.encode()) for name, value in headers.items()], body)

    async def send(self, send: Send) -> None:
        """Over ASGI."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def header_of(scope: Scope, name: bytes) -> str:
    """The first header of that name, which is in lower case; "" when there is none."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


async def body_of(receive: Receive) -> bytes:
    """The whole body. Raises RequestInvalid when it is too large, or the client hangs up before its end."""
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise RequestInvalid("The client hung up before the end of the request")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LARGEST_BODY:
            raise RequestInvalid("The request's body is too large")
    return body
