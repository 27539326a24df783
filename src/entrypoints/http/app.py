"""The HTTP application: routes, dependencies and middleware."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from litestar import Litestar
from litestar.datastructures import ResponseHeader, State
from litestar.di import Provide
from litestar.types import Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from application.client_data import ClientData
from application.readiness import Readiness
from application.session_keys import SessionKeys
from application.users import Users
from domain.errors import RequestInvalid
from entrypoints.buffered_counter import flushing
from entrypoints.container import OpenContainer
from entrypoints.http import auth, docs, login, me, oauth, operations, sessions, wechat
from entrypoints.http.caller import CallerRequest, client_of, provide_session
from entrypoints.http.contract import PROBLEM_JSON
from entrypoints.http.edge import Lifecycle, bounded
from entrypoints.http.errors import EXCEPTION_HANDLERS
from entrypoints.http.raw import RawResponse
from entrypoints.http.request_ids import HEADER, identified, request_id_of
from entrypoints.http.security_headers import with_security_headers
from entrypoints.http.traffic import counted
from entrypoints.instrumented import InstrumentedLogin, InstrumentedSessions
from entrypoints.log import log
from entrypoints.problems import NO_STORE, Problem
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
    networks) names the client. `tracing` traces each request. Without them, /docs and /metrics are paths like any that
    are not there.
    """
    lifecycle = lifecycle or Lifecycle()
    optional = [*([docs.show_asset] if with_docs else []), *([operations.show_metrics] if with_metrics else [])]

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_container() as container:
            app.state.container = container
            app.state.lifecycle = lifecycle
            app.state.sessions = container.instrumented_sessions()
            async with purging(container.database_sessions()), flushing(container.metrics().session_checks):
                yield

    app = Litestar(
        [login.log_in, sessions.router, me.router, wechat.router, oauth.router, operations.router, *optional],
        lifespan=[lifespan],
        dependencies={
            "login": Provide(provide_login, sync_to_thread=False),
            "sessions": Provide(provide_sessions, sync_to_thread=False),
            "users": Provide(provide_users, sync_to_thread=False),
            "client_data": Provide(provide_client_data, sync_to_thread=False),
            "session_keys": Provide(provide_session_keys, sync_to_thread=False),
            "readiness": Provide(provide_readiness, sync_to_thread=False),
            "session": Provide(provide_session),
        },
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
    routes = auth.forward_auth(identified(routes))
    app.asgi_handler = bounded(tracing.requests(routes) if tracing else routes, out_of_bounds, lifecycle)
    return app


def out_of_bounds(scope: Scope, status: int, detail: str) -> RawResponse:
    """Return the answer to a request that does not keep to the bounds of the edge, in the words of its route."""
    request_id = request_id_of(scope["headers"])
    headers = NO_STORE | {HEADER.decode(): request_id}
    log.info("request_refused", status=status, detail=detail, ip=client_of(scope).ip, request_id=request_id)
    if scope["path"] in login.PATHS:
        return RawResponse.json(status, login.MALFORMED, headers)
    problem = msgspec.structs.replace(Problem.of(RequestInvalid(detail)), status=status)
    return RawResponse.json(status, problem, headers, PROBLEM_JSON)


def provide_login(state: State) -> InstrumentedLogin:
    """Return the login use case."""
    return state.container.instrumented_login()  # type: ignore[no-any-return]  # app.state is untyped


def provide_sessions(state: State) -> InstrumentedSessions:
    """Return the use cases of sessions."""
    return state.container.instrumented_sessions()  # type: ignore[no-any-return]  # app.state is untyped


def provide_users(state: State) -> Users:
    """Return the use cases of users."""
    return state.container.users()  # type: ignore[no-any-return]  # app.state is untyped


def provide_client_data(state: State) -> ClientData:
    """Return the use cases of client data."""
    return state.container.client_data()  # type: ignore[no-any-return]  # app.state is untyped


def provide_session_keys(state: State) -> SessionKeys:
    """Return the use cases of session_keys."""
    return state.container.session_keys()  # type: ignore[no-any-return]  # app.state is untyped


def provide_readiness(state: State) -> Readiness:
    """Return the readiness check."""
    return state.container.readiness()  # type: ignore[no-any-return]  # app.state is untyped
