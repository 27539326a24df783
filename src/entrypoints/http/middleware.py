"""Middleware in front of the framework: limits of requests, request ids, security headers, counts.

The server (`entrypoints.http.engine`) splits connections into requests. `with_request_limits` limits heads and bodies,
reads the body, and closes connections when the process is about to stop. app.py has the order of all.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import NamedTuple

from litestar.types import ASGIApp, HTTPRequestEvent, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from entrypoints.http.dependencies import Lifecycle, route_of, runtime_of
from entrypoints.http.raw import RawHeaders

MAX_HEAD_BYTES = 64 * 1024
MAX_HEAD_FIELDS = 100
MAX_HEAD_SECONDS = 15.0
"""How long a head may take to arrive, and how long a connection may stay idle between two requests."""

MAX_BODY_BYTES = 64 * 1024
"""Real requests are below one KiB."""
MAX_BODY_SECONDS = 30.0

DISCARD_BYTES = 4 * 1024 * 1024
DISCARD_SECONDS = 2.0
"""How much of a refused body is read and dropped, and for how long: a client that is still sending when the connection
closes loses the response (RFC 9112 section 9.6)."""

CLOSE = [(b"connection", b"close")]

REQUEST_ID_HEADER = b"x-request-id"

REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
"""The request ids that are accepted from a client or gateway: safe in a header and in a log, and bounded in length."""

TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
"""Version, trace id, parent id and flags: https://www.w3.org/TR/trace-context/#traceparent-header."""

SECURITY_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
"""They stop browsers from guessing the content type, and from sending a Referer."""


class Head(NamedTuple):
    """The size in bytes, the number of fields and the Host values of a request's head, and whether a body follows."""

    size: int
    fields: int
    hosts: list[bytes]
    has_body: bool


class LimitExceeded(Exception):
    """The request exceeds a limit. `status` and the text say which."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


Refuse = Callable[[LimitExceeded], ASGIApp]
"""Returns an application that answers a request that exceeds a limit."""


def with_request_limits(app: ASGIApp, refuse: Refuse, lifecycle: Lifecycle) -> ASGIApp:
    """Return `app` with limits: it receives only requests within the limits, each with its whole body.

    Other requests get the response of `refuse`, and their connections close. When the server process stops, each
    response closes its connection, so that the client's next request goes to another process.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if lifecycle.worker_stopping:
            send = with_headers(send, CLOSE)
        try:
            receive = await _checked(scope, receive)
        except LimitExceeded as error:
            await refuse(error)(scope, receive, send if lifecycle.worker_stopping else with_headers(send, CLOSE))
            if error.status == 413:
                await _discard(scope, receive)
            return
        await app(scope, receive, send)

    return application


def by_prefix(prefix: str, app: ASGIApp, otherwise: ASGIApp) -> ASGIApp:
    """Return an application that passes requests for `prefix`, and for paths below it, to `app`."""
    below = f"{prefix}/"

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        await (app if path == prefix or path.startswith(below) else otherwise)(scope, receive, send)

    return application


async def _checked(scope: Scope, receive: Receive) -> Receive:
    """Return a `receive` that gives the whole body in one message. Raises LimitExceeded."""
    head = _head_of(scope["headers"])
    if head.size + len(scope["raw_path"]) + len(scope["query_string"]) > MAX_HEAD_BYTES:
        raise LimitExceeded(431, f"The request's head is larger than {MAX_HEAD_BYTES} bytes")
    if head.fields > MAX_HEAD_FIELDS:
        raise LimitExceeded(431, f"The request has more than {MAX_HEAD_FIELDS} header fields")
    if len(head.hosts) != 1 or not head.hosts[0]:
        _require_http_1_0(scope, head.hosts)
    return await _body(scope, receive) if head.has_body else NO_BODY


def _head_of(headers: RawHeaders) -> Head:
    size, fields, hosts, has_body = 0, 0, [], False
    for name, value in headers:
        fields += 1
        size += len(name) + len(value) + 4  # a colon, a blank and the end of the line
        if name == b"host":
            hosts.append(value)
        elif name in (b"content-length", b"transfer-encoding"):
            has_body = True
    return Head(size, fields, hosts, has_body)


def _require_http_1_0(scope: Scope, hosts: list[bytes]) -> None:
    """Raise LimitExceeded unless the request is of HTTP/1.0, where Host may be missing (RFC 9112 section 3.2)."""
    if len(hosts) > 1 or scope["http_version"] not in ("1", "1.0"):
        raise LimitExceeded(400, "The request must have one Host header field")


async def _body(scope: Scope, receive: Receive) -> Receive:
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if len(declared.lstrip(b"0")) > 9 or int(declared) > MAX_BODY_BYTES:
        raise LimitExceeded(413, f"The request's body is larger than {MAX_BODY_BYTES} bytes")
    try:
        async with asyncio.timeout(MAX_BODY_SECONDS):
            return _given(await _read(receive))
    except TimeoutError:
        raise LimitExceeded(408, f"The request's body did not arrive within {MAX_BODY_SECONDS:.0f} seconds") from None


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise LimitExceeded(400, "The client closed the connection before the end of the request")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise LimitExceeded(413, f"The request's body is larger than {MAX_BODY_BYTES} bytes")
    return body


def _given(body: bytes) -> Receive:
    async def receive() -> HTTPRequestEvent:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


NO_BODY = _given(b"")


def with_headers(send: Send, headers: RawHeaders) -> Send:
    """Return a `send` that adds these headers to the response."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return sending


async def _discard(scope: Scope, receive: Receive) -> None:
    """Read and drop the rest of a refused body, within the limits above, unless the client waits for `100 Continue`."""
    if any(name == b"expect" for name, _ in scope["headers"]):
        return
    dropped = 0
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            while dropped < DISCARD_BYTES and (message := await receive())["type"] == "http.request":
                dropped += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


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
