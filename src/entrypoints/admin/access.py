"""Authorization of the admin API: each handler names the scope that it needs."""

from dataclasses import replace
from typing import Any

from litestar import Router
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from application.administration import Administration
from domain.admin import Admin, Scope
from domain.errors import AdminKeyInvalid
from domain.event import Cause
from entrypoints.http.dependencies import CallerRequest, address_of, network_of, runtime_of, token_of
from entrypoints.log import log

PREFIX = "/admin/v1"

NEEDS = "scope"
"""The option of a handler that names its scope."""


def needs(scope: Scope) -> dict[str, Any]:
    """Return the options of a handler that needs an admin key with this scope."""
    return {"opt": {NEEDS: scope}, "status_code": 200}


async def authorize(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let the request pass if its admin key has the handler's scope. This runs before the body is read.

    Of a refused key, only the address of its sender is logged. Raises AdminKeyInvalid, ScopeMissing, RateLimited,
    StoreUnavailable, and RequestInvalid for several Authorization headers.
    """
    scope = connection.scope
    access = runtime_of(connection.app.state).container.admin_access()
    try:
        admin = await access.authenticate(token_of(scope["headers"]), network_of(scope))
    except AdminKeyInvalid:
        log.warning("admin_refused", ip=address_of(scope))
        raise
    admin.require(handler.opt[NEEDS])
    connection.state.admin = admin


def provide_admin(request: CallerRequest) -> Admin:
    """Return the admin of the request."""
    admin: Admin = request.state.admin
    return admin


def provide_cause(request: CallerRequest, admin: NamedDependency[Admin]) -> Cause:
    """Return the admin as the cause of a change, without a reason."""
    return Cause.admin(admin.name, address_of(request.scope))


def with_reason(cause: Cause, reason: str | None) -> Cause:
    """Return the cause with the reason that the admin gives."""
    return replace(cause, reason=reason)


def log_change(event: str, cause: Cause, **known: object) -> None:
    """Log what an admin changed."""
    log.info(event, by=cause.actor, ip=cause.ip, reason=cause.reason, **known)


def provide_administration(state: State) -> Administration:
    """Return the use cases of operators."""
    return runtime_of(state).container.administration()


DEPENDENCIES = {
    "admin": Provide(provide_admin, sync_to_thread=False),
    "cause": Provide(provide_cause, sync_to_thread=False),
    "administration": Provide(provide_administration, sync_to_thread=False),
}
"""By the name of a handler's parameter, for the API and the console. A guard sets `request.state.admin` before."""


def admin_router(*handlers: HTTPRouteHandler) -> Router:
    """Return the router of the admin API, each of whose handlers needs an admin key."""
    return Router(PREFIX, route_handlers=handlers, guards=[authorize], dependencies=DEPENDENCIES)
