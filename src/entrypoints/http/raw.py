"""Responses of plain ASGI, for code in front of the framework."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from litestar.types import Send

RawHeaders = Iterable[tuple[bytes, bytes]]

NO_STORE = {"cache-control": "no-store"}


class RawResponse(NamedTuple):
    """A response of plain ASGI."""

    status: int
    headers: RawHeaders
    body: bytes = b""

    @classmethod
    def json(
        cls, status: int, content: object, headers: Mapping[str, str], media_type: str = "application/json"
    ) -> "RawResponse":
        """Return one with a JSON body, and with these headers beside those of the body."""
        body = msgspec.json.encode(content)
        headers = {"content-type": media_type, "content-length": str(len(body)), **headers}
        return cls(status, [(name.encode(), value.encode()) for name, value in headers.items()], body)

    async def send(self, send: Send) -> None:
        """Send the response over ASGI."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})
