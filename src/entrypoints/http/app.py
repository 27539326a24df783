"""The HTTP application: routes, dependencies and middleware.

A request passes, from the outside inwards:

1. `with_request_limits`: refuses a request that is too large or too slow
2. `tracing.requests`: starts the span of the request, if tracing is on
3. `by_prefix`: /auth goes to its handler at once, because every request of every backend comes through it
   `with_known_polls`: so do repeated polls of scans, which come every two seconds
4. `with_request_ids`: gives the request an id, which logs and the response have
5. `ProxyHeadersMiddleware`: takes the client's address from trusted proxies
6. `with_security_headers`, `with_response_metrics`: adds headers, counts and times
7. Litestar: routes, reads the body, and calls the handler with its dependencies
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar, Response
from litestar.datastructures import ResponseHeader
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from application.polls import WATCH_SECONDS
from application.push import RETRY_SECONDS
from domain.errors import RequestInvalid
from entrypoints.buffered_counter import flushing_counts
from entrypoints.container import OpenContainer
from entrypoints.deliver import delivering
from entrypoints.failure_counter import flushing_failures
from entrypoints.http import (
    auth,
    device,
    docs,
    login,
    me,
    oauth,
    oauth_token,
    operations,
    polls,
    push,
    scans,
    sessions,
    wechat,
    well_known,
)
from entrypoints.http.contract import PROBLEM_JSON
from entrypoints.http.dependencies import DEPENDENCIES, CallerRequest, Lifecycle, Runtime, device_of
from entrypoints.http.errors import EXCEPTION_HANDLERS, AnyRequest, refused_response
from entrypoints.http.known_polls import KnownPolls
from entrypoints.http.middleware import (
    REQUEST_ID_HEADER,
    LimitExceeded,
    by_prefix,
    request_id_of,
    with_request_ids,
    with_request_limits,
    with_response_metrics,
    with_security_headers,
)
from entrypoints.http.oauth_errors import PREFIX as OAUTH_PREFIX
from entrypoints.http.oauth_errors import OAuthError, invalid_response
from entrypoints.http.raw import NO_STORE, RawResponse
from entrypoints.log import log
from entrypoints.periodic import repeating
from entrypoints.problems import Problem
from entrypoints.purge import purging
from entrypoints.relay import relaying
from entrypoints.tracing import Tracing


def create_app(
    open_container: OpenContainer,
    lifecycle: Lifecycle | None = None,
    trusted_proxies: Sequence[str] = (),
    tracing: Tracing | None = None,
    *,
    with_docs: bool = True,
    with_metrics: bool = True,
) -> Litestar:
    """Return the application on the container that `open_container` opens: on start, until it stops.

    `lifecycle` says when the process is about to stop. The `X-Forwarded-For` of `trusted_proxies` (addresses and
    networks) names the client. `tracing` traces each request. Unless `with_docs` and `with_metrics`, /docs and
    /metrics answer 404.
    """
    lifecycle = lifecycle or Lifecycle()
    optional = [*([docs.show_asset] if with_docs else []), *([operations.show_metrics] if with_metrics else [])]

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_container() as container:
            assertions = container.assertions() if container.settings().assertion_audience else None
            checks = container.session_checks()
            app.state.runtime = Runtime(container, lifecycle, checks, KnownPolls(), assertions)
            async with (
                purging(container),
                relaying(container),
                delivering(container),
                repeating(container.scans().watch, lambda: WATCH_SECONDS, "scans"),
                repeating(push.applying_postponed(container), lambda: RETRY_SECONDS, "pushes"),
                flushing_counts(container.metrics().session_checks),
                flushing_failures(container.failure_counter()),
            ):
                yield

    app = Litestar(
        [
            *(login.log_in, sessions.router, me.router, wechat.router, scans.router, push.router),
            *(oauth.router, oauth_token.router, device.router, device.public_router, well_known.router),
            operations.router,
            *optional,
        ],
        lifespan=[lifespan],
        dependencies=DEPENDENCIES,
        exception_handlers={**EXCEPTION_HANDLERS, HTTPException: unrouted_response},
        openapi_config=docs.openapi_config() if with_docs else None,
        request_class=CallerRequest,
        response_headers=[ResponseHeader(name="cache-control", value="no-store")],
        logging_config=None,
    )
    if with_docs:
        docs.document(app)

    routes = with_client_address(with_security_headers(with_response_metrics(app.asgi_handler)), trusted_proxies)
    routes = with_request_ids(routes)
    routes = by_prefix(polls.PATH, polls.with_known_polls(routes), routes)
    routes = by_prefix(auth.PREFIX, auth.forward_auth, routes)
    app.asgi_handler = with_limits_and_traces(routes, lifecycle, trusted_proxies, tracing)
    return app


def with_client_address(app: ASGIApp, trusted_proxies: Sequence[str]) -> ASGIApp:
    """Return the application with the client's address in the scope, as `X-Forwarded-For` of trusted proxies says."""
    return ProxyHeadersMiddleware(app, list(trusted_proxies)) if trusted_proxies else app  # type: ignore[arg-type, return-value]  # ASGI, typed twice


def with_limits_and_traces(
    app: ASGIApp, lifecycle: Lifecycle, trusted_proxies: Sequence[str], tracing: Tracing | None
) -> ASGIApp:
    """Return the application with limits of requests, and with traces if there is `tracing`."""
    traced = tracing.requests(app) if tracing else app
    return with_request_limits(traced, lambda error: with_client_address(refuse(error), trusted_proxies), lifecycle)


def unrouted_response(request: AnyRequest, error: HTTPException) -> Response[Any]:
    """Return the response to a wrong path or method, which no router handles, in the format of its path."""
    respond = invalid_response if request.scope["path"].startswith(OAUTH_PREFIX) else refused_response
    return respond(request, error)


def refuse(error: LimitExceeded) -> ASGIApp:
    """Return an application that answers a request that exceeds a limit, in the format of its route."""

    async def application(scope: Scope, _receive: Receive, send: Send) -> None:
        request_id = request_id_of(scope["headers"])
        headers = NO_STORE | {REQUEST_ID_HEADER.decode(): request_id}
        detail = str(error)
        log.info("request_refused", status=error.status, detail=detail, ip=device_of(scope).ip, request_id=request_id)
        if scope["path"] in login.PATHS:
            response = RawResponse.json(error.status, login.LIMIT_EXCEEDED, headers)
        elif scope["path"].startswith(OAUTH_PREFIX):
            response = RawResponse.json(error.status, OAuthError.of("invalid_request", detail), headers)
        else:
            problem = msgspec.structs.replace(Problem.of(RequestInvalid(detail)), status=error.status)
            response = RawResponse.json(error.status, problem, headers, PROBLEM_JSON)
        await response.send(send)

    return application
