"""The HTTP application: routes, what is injected into them, and how errors leave."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.datastructures import ResponseHeader, State
from litestar.di import Provide

from application.client_data import ClientData
from application.login import LoginUseCase
from application.readiness import Readiness
from application.session_keys import SessionKeys
from application.sessions import Sessions
from application.users import Users
from entrypoints.container import OpenContainer
from entrypoints.http import auth, docs, login, me, oauth, operations, sessions, wechat
from entrypoints.http.auth import Checks
from entrypoints.http.caller import CallerRequest, provide_session
from entrypoints.http.errors import EXCEPTION_HANDLERS
from entrypoints.http.plain import LARGEST_BODY
from entrypoints.http.traffic import counted
from entrypoints.purge import purging


def create_app(open_container: OpenContainer) -> Litestar:
    """The application on the container that `open_container` opens: on start, until it stops."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_container() as container:
            app.state.container = container
            app.state.checks = Checks(container.sessions())
            async with purging(container.database_sessions()):
                yield

    app = Litestar(
        [login.log_in, sessions.router, me.router, wechat.router, oauth.router, operations.router, docs.show_asset],
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
        openapi_config=docs.OPENAPI,
        request_class=CallerRequest,
        request_max_body_size=LARGEST_BODY,
        response_headers=[ResponseHeader(name="cache-control", value="no-store")],
        logging_config=None,
    )
    docs.document_auth(app)
    app.asgi_handler = auth.answered_before(counted(login.answered_before(app.asgi_handler)))
    return app


def provide_login(state: State) -> LoginUseCase:
    """The login use case."""
    return state.container.login()  # type: ignore[no-any-return]  # app.state is untyped


def provide_sessions(state: State) -> Sessions:
    """The sessions' use cases."""
    return state.container.sessions()  # type: ignore[no-any-return]  # app.state is untyped


def provide_users(state: State) -> Users:
    """The users' use cases."""
    return state.container.users()  # type: ignore[no-any-return]  # app.state is untyped


def provide_client_data(state: State) -> ClientData:
    """What opens and verifies a client's data."""
    return state.container.client_data()  # type: ignore[no-any-return]  # app.state is untyped


def provide_session_keys(state: State) -> SessionKeys:
    """The session_keys' use cases."""
    return state.container.session_keys()  # type: ignore[no-any-return]  # app.state is untyped


def provide_readiness(state: State) -> Readiness:
    """The readiness check."""
    return state.container.readiness()  # type: ignore[no-any-return]  # app.state is untyped
