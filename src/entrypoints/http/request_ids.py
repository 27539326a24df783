"""Request ids: in each line of the log, and in X-Request-Id of the response."""

import re
import uuid
from collections.abc import Mapping

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from entrypoints.http.raw import RawHeaders

HEADER = b"x-request-id"

REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
"""The request ids that are accepted from a client or gateway: safe in a header and in a log, and bounded in length."""

TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
"""Version, trace id, parent id and flags: https://www.w3.org/TR/trace-context/#traceparent-header."""


def identified(app: ASGIApp) -> ASGIApp:
    """Return `app` with an id for each request. It logs and answers with it."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        request_id = request_id_of(scope["headers"])

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER, request_id.encode())]
            await send(message)

        with bound_contextvars(request_id=request_id):
            await app(scope, receive, sending)

    return application


def request_id_of(headers: RawHeaders) -> str:
    """Return the request's X-Request-Id, else the trace id of its traceparent, else a new random id."""
    fields: Mapping[bytes, bytes] = dict(headers)
    given = fields.get(HEADER, b"").decode("latin-1")
    if REQUEST_ID.fullmatch(given):
        return given
    traced = TRACEPARENT.fullmatch(fields.get(b"traceparent", b"").decode("latin-1"))
    return traced[1] if traced else uuid.uuid4().hex
