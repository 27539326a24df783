"""The routes of the console, and its sessions."""

from typing import Any

from litestar import Response
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.types import ExceptionHandlersMap

from domain.errors import NotFound, ScopeMissing, StoreUnavailable, WxLoginError
from entrypoints.admin.console import changes, entry, merges, own_data, users, watching
from entrypoints.admin.console.access import AnyRequest, console_router
from entrypoints.admin.console.page import render
from entrypoints.admin.console.session import ConsoleSessions
from entrypoints.container import Container
from entrypoints.http.dependencies import address_of, route_of
from entrypoints.log import log, log_error
from entrypoints.problems import outcome_of

ERROR_TEXTS = {ScopeMissing: "error_scope", NotFound: "error_missing", StoreUnavailable: "error_store"}
"""The text for each error. Any other error is shown as an invalid request, with its detail."""


def open_console(container: Container) -> ConsoleSessions:
    """Return the sessions of the console, which live as long as the application."""
    settings = container.settings()
    keys = [key.get_secret_value() for key in settings.encryption_keys]
    return ConsoleSessions(keys, container.admin_access(), container.clock())


def error_page(request: AnyRequest, error: WxLoginError) -> Response[Any]:
    """Return the page for an error of the domain."""
    log_error(error, route_of(request.scope), ip=address_of(request.scope))
    said = next((ERROR_TEXTS[kind] for kind in type(error).__mro__ if kind in ERROR_TEXTS), "error_request")
    detail = error.detail if said == "error_request" else None
    return render(request, "error.html", outcome_of(error).http, said=said, detail=detail)


def refused_page(request: AnyRequest, error: HTTPException) -> Response[Any]:
    """Return the page for an error of the framework: a forged form, a wrong method, a malformed parameter."""
    forged = isinstance(error, PermissionDeniedException)
    said = "error_forged" if forged else "error_missing" if error.status_code == 404 else "error_request"
    if forged:
        log.warning("console_form_refused", where=route_of(request.scope), detail=error.detail)
    return render(request, "error.html", error.status_code, said=said, detail=None)


def defect_page(request: AnyRequest, error: Exception) -> Response[Any]:
    """Return the page for a defect. The log has its traceback."""
    log.error("defect", where=route_of(request.scope), exc_info=error)
    return render(request, "error.html", 500, said="error_defect", detail=None)


ERRORS: ExceptionHandlersMap = {WxLoginError: error_page, HTTPException: refused_page, Exception: defect_page}

console = console_router(
    [
        *(*entry.HANDLERS, *users.HANDLERS, *changes.HANDLERS),
        *(*merges.HANDLERS, *own_data.HANDLERS, *watching.HANDLERS),
    ],
    ERRORS,
)
