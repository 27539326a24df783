"""The HTTP application: routes, dependencies and middleware."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from litestar import Litestar
from litestar.datastructures import ResponseHeader
from litestar.types import Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from domain.errors import RequestInvalid
from entrypoints.buffered_counter import flushing
from entrypoints.container import OpenContainer
from entrypoints.http import auth, docs, login, me, oauth, operations, sessions, wechat
from entrypoints.http.contract import PROBLEM_JSON
from entrypoints.http.dependencies import DEPENDENCIES, CallerRequest, Service, device_of
from entrypoints.http.edge import Lifecycle, bounded, by_path
from entrypoints.http.errors import EXCEPTION_HANDLERS
from entrypoints.http.middleware import REQUEST_ID_HEADER, counted, identified, request_id_of, with_security_headers
from entrypoints.http.raw import NO_STORE, RawResponse
from entrypoints.log import log
from entrypoints.problems import Problem
from entrypoints.purge import purging
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
            app.state.service = Service(container, lifecycle, container.instrumented_sessions())
            async with purging(container.database_sessions()), flushing(container.metrics().session_checks):
                yield

    app = Litestar(
        [login.log_in, sessions.router, me.router, wechat.router, oauth.router, operations.router, *optional],
        lifespan=[lifespan],
        dependencies=DEPENDENCIES,
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=docs.openapi_config() if with_docs else None,
        request_class=CallerRequest,
        response_headers=[ResponseHeader(name="cache-control", value="no-store")],
        logging_config=None,
    )
    if with_docs:
        docs.document_auth(app)
    routes = with_security_headers(counted(app.asgi_handler))
    if trusted_proxies:
        routes = ProxyHeadersMiddleware(routes, list(trusted_proxies))  # type: ignore[arg-type, assignment]  # ASGI, typed twice
    routes = by_path(dict.fromkeys(auth.PATHS, auth.forward_auth), identified(routes))
    app.asgi_handler = bounded(tracing.requests(routes) if tracing else routes, out_of_bounds, lifecycle)
    return app


def out_of_bounds(scope: Scope, status: int, detail: str) -> RawResponse:
    """Return the answer to a request that does not keep to the bounds of the edge, in the words of its route."""
    request_id = request_id_of(scope["headers"])
    headers = NO_STORE | {REQUEST_ID_HEADER.decode(): request_id}
    log.info("request_refused", status=status, detail=detail, ip=device_of(scope).ip, request_id=request_id)
    if scope["path"] in login.PATHS:
        return RawResponse.json(status, login.MALFORMED, headers)
    problem = msgspec.structs.replace(Problem.of(RequestInvalid(detail)), status=status)
    return RawResponse.json(status, problem, headers, PROBLEM_JSON)
