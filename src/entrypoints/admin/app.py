"""The application of the admin API. Its limits and traces are those of the public service: see entrypoints.http.app."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext

from litestar import Litestar
from litestar.datastructures import ResponseHeader

from entrypoints.admin import audit, failures, sessions, users
from entrypoints.admin.access import admin_router
from entrypoints.admin.console.router import console, open_console
from entrypoints.container import OpenContainer
from entrypoints.http import operations
from entrypoints.http.app import with_client_address, with_limits_and_traces
from entrypoints.http.dependencies import DEPENDENCIES, CallerRequest, Lifecycle, Runtime
from entrypoints.http.errors import EXCEPTION_HANDLERS
from entrypoints.http.known_polls import KnownPolls
from entrypoints.http.middleware import with_request_ids, with_response_metrics, with_security_headers
from entrypoints.metrics_port import serving_metrics
from entrypoints.tracing import Tracing


def create_app(
    open_container: OpenContainer,
    lifecycle: Lifecycle | None = None,
    trusted_proxies: Sequence[str] = (),
    tracing: Tracing | None = None,
    metrics_listener: socket.socket | None = None,
) -> Litestar:
    """Return the application on the container that `open_container` opens: on start, until it stops.

    The parameters are those of `entrypoints.http.app.create_app`, and `metrics_listener`, the socket of the
    metrics.
    """
    lifecycle = lifecycle or Lifecycle()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_container() as container:
            app.state.runtime = Runtime(container, lifecycle, container.session_checks(), KnownPolls())
            app.state.console = open_console(container)
            with serving_metrics(container.metrics(), metrics_listener) if metrics_listener else nullcontext():
                yield

    app = Litestar(
        [
            admin_router(*users.HANDLERS, *sessions.HANDLERS, *audit.HANDLERS, *failures.HANDLERS),
            console,
            operations.router,
        ],
        lifespan=[lifespan],
        dependencies={"readiness": DEPENDENCIES["readiness"]},
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
        request_class=CallerRequest,
        response_headers=[ResponseHeader(name="cache-control", value="no-store")],
        logging_config=None,
    )

    routes = with_client_address(with_security_headers(with_response_metrics(app.asgi_handler)), trusted_proxies)
    routes = with_request_ids(routes)
    app.asgi_handler = with_limits_and_traces(routes, lifecycle, trusted_proxies, tracing)
    return app
