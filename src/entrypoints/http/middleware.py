"""Middleware in front of the framework: request ids, security headers, counts."""

import re
import time
import uuid
from collections.abc import Mapping

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from entrypoints.http.dependencies import route_of, runtime_of
from entrypoints.http.edge import with_headers
from entrypoints.http.raw import RawHeaders

REQUEST_ID_HEADER = b"x-request-id"

REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
"""The request ids that are accepted from a client or gateway: safe in a header and in a log, and bounded in length."""

TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
"""Version, trace id, parent id and flags: https://www.w3.org/TR/trace-context/#traceparent-header."""

SECURITY_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
"""They stop browsers from guessing the content type, and from sending a Referer."""


def with_request_ids(app: ASGIApp) -> ASGIApp:
    """Return `app` with an id for each request, in its log lines and in its response."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        request_id = request_id_of(scope["headers"])
        with bound_contextvars(request_id=request_id):
            await app(scope, receive, with_headers(send, [(REQUEST_ID_HEADER, request_id.encode())]))

    return application


def request_id_of(headers: RawHeaders) -> str:
    """Return the request's X-Request-Id, else the trace id of its traceparent, else a new random id."""
    fields: Mapping[bytes, bytes] = dict(headers)
    given = fields.get(REQUEST_ID_HEADER, b"").decode("latin-1")
    if REQUEST_ID.fullmatch(given):
        return given
    traced = TRACEPARENT.fullmatch(fields.get(b"traceparent", b"").decode("latin-1"))
    return traced[1] if traced else uuid.uuid4().hex


def with_security_headers(app: ASGIApp) -> ASGIApp:
    """Return `app` with SECURITY_HEADERS in each response."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, with_headers(send, SECURITY_HEADERS))

    return application


def with_response_metrics(app: ASGIApp) -> ASGIApp:
    """Return `app` with metrics: each response is counted and timed at its start, when the route is known."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                metrics = runtime_of(scope["litestar_app"].state).container.metrics()
                method = scope["method"]  # type: ignore[typeddict-item]  # nothing else answers in HTTP
                metrics.answered(method, route_of(scope), message["status"], time.perf_counter() - began)
            await send(message)

        await app(scope, receive, counting)

    return application
