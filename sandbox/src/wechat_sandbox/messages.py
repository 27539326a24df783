"""Read and write ASGI messages."""

from litestar.types import HTTPScope, Receive, Send

from wechat_sandbox.errors import BodyTooLarge
from wechat_sandbox.requests import MAX_BODY_BYTES, Answer, Request, parse_query


async def read_body(receive: Receive) -> bytes:
    """Return the whole body, or what arrived before the client disconnected. Raises BodyTooLarge beyond 1 MiB."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
        body += message.get("body", b"") if message["type"] == "http.request" else b""
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
    return bytes(body)


def read(scope: HTTPScope, body: bytes) -> Request:
    """Return the request of an ASGI scope, with the last one of repeated headers."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = parse_query(scope["query_string"].decode("latin-1"))
    return Request(scope["method"], scope["path"], query, body, headers)


async def reply(send: Send, answer: Answer) -> None:
    """Send the response."""
    headers = {"content-type": answer.media_type, "content-length": str(len(answer.body)), **answer.headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def close_connection(send: Send) -> None:
    """Close the connection without a response; without a server, raise ConnectionResetError.

    ASGI has no message for this. uvicorn closes a connection whose response has started and cannot continue, so this
    starts a response with a header that uvicorn refuses to write.
    """
    try:
        await send({"type": "http.response.start", "status": 444, "headers": [(b"\n", b"")]})
    except Exception:  # noqa: BLE001 - each of uvicorn's parsers refuses the header with its own exception
        return
    raise ConnectionResetError("the sandbox dropped this call, because of a fault")
