"""Authorization of the console: cookies, scopes, and protection from forged requests."""

import hmac
from typing import Any

from litestar import Request, Response, Router
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, State
from litestar.di import Provide
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.response import Redirect
from litestar.types import ExceptionHandlersMap, Scope

from entrypoints.admin.access import DEPENDENCIES, NEEDS
from entrypoints.admin.console.session import LIFETIME, ConsoleSessions, SignedIn
from entrypoints.http.dependencies import CallerRequest, header_of

PREFIX = "/admin"

HOME = f"{PREFIX}/"

SIGN_IN = f"{PREFIX}/sign-in"

CSRF_FIELD = "csrf"

AnyRequest = Request[Any, Any, Any]


class SignedOut(Exception):
    """The request has no live session of the console."""


def is_secure(scope: Scope) -> bool:
    """Return whether the browser uses TLS, as far as a trusted proxy says so by X-Forwarded-Proto."""
    return scope["scheme"] == "https"


def cookie_name(scope: Scope) -> str:
    """Return the name of the cookie. Over TLS, no other host or unencrypted page can set one of that name."""
    return "__Host-wxlogin-console" if is_secure(scope) else "wxlogin-console"


def session_cookie(scope: Scope, value: str, max_age: int = int(LIFETIME.total_seconds())) -> Cookie:
    """Return the cookie of a session."""
    return Cookie(
        cookie_name(scope),
        value=value,
        max_age=max_age,
        path="/",
        secure=is_secure(scope),
        httponly=True,
        samesite="strict",
    )


def sessions_of(state: State) -> ConsoleSessions:
    """Return the sessions of the console."""
    return state.console  # type: ignore[no-any-return]  # app.state is untyped


def signed_in_of(connection: ASGIConnection[Any, Any, Any, Any]) -> SignedIn | None:
    """Return the session of the request's cookie, or None."""
    cookie = connection.cookies.get(cookie_name(connection.scope), "")
    return sessions_of(connection.app.state).find(cookie)


async def authorize(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let the request pass if its session may use the handler, and if a form of that session sent it.

    Raises SignedOut, ScopeMissing, and PermissionDeniedException for a form of another website or session.
    """
    changes = connection.scope["method"] == "POST"  # type: ignore[typeddict-item]  # only HTTP is routed here
    if changes:
        require_own_origin(connection.scope)
    if NEEDS not in handler.opt:
        return
    if not (signed_in := signed_in_of(connection)):
        raise SignedOut
    connection.state.signed_in, connection.state.admin = signed_in, signed_in.admin
    signed_in.admin.require(handler.opt[NEEDS])
    if changes:
        form = await CallerRequest(connection.scope, connection.receive).form()
        if not hmac.compare_digest(str(form.get(CSRF_FIELD, "")).encode(), signed_in.csrf.encode()):
            raise PermissionDeniedException("The form is not one of this session")


def require_own_origin(scope: Scope) -> None:
    """Raise PermissionDeniedException if a page of another origin sends the request.

    Browsers say so in Sec-Fetch-Site, but without TLS only to loopback; else in Origin, which has to name this host.
    """
    site, origin = header_of(scope, b"sec-fetch-site"), header_of(scope, b"origin")
    own = site in {"same-origin", "none"} if site else origin.partition("://")[2] == header_of(scope, b"host")
    if (site or origin) and not own:
        raise PermissionDeniedException("Another website sent this request")


def signed_out_response(request: AnyRequest, _error: SignedOut) -> Response[Any]:
    """Return the response to a request without a live session: the sign-in page, and then the page that was asked."""
    scope = request.scope
    asked = scope["path"] if scope["method"] == "GET" else HOME
    query = scope["query_string"].decode("latin-1")
    target = f"{asked}?{query}" if query else asked
    response = Redirect(SIGN_IN, status_code=303, query_params=None if target == HOME else {"next": target})
    if request.cookies.get(cookie_name(scope)):
        response.set_cookie(session_cookie(scope, "", 0))
    return response


def provide_signed_in(request: CallerRequest) -> SignedIn:
    """Return the session of the request."""
    signed_in: SignedIn = request.state.signed_in
    return signed_in


def console_router(handlers: list[HTTPRouteHandler], exception_handlers: ExceptionHandlersMap) -> Router:
    """Return the router of the console."""
    return Router(
        PREFIX,
        route_handlers=handlers,
        guards=[authorize],
        dependencies=DEPENDENCIES | {"signed_in": Provide(provide_signed_in, sync_to_thread=False)},
        exception_handlers={**exception_handlers, SignedOut: signed_out_response},
        include_in_schema=False,
    )
