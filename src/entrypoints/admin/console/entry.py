"""Signing in and out, the language and the theme, and the files of the console."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import Cookie, State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from domain.admin import Scope
from domain.errors import AdminKeyInvalid, NotFound, RateLimited
from entrypoints.admin.access import needs
from entrypoints.admin.console.access import (
    HOME,
    SIGN_IN,
    AnyRequest,
    is_secure,
    session_cookie,
    sessions_of,
    signed_in_of,
)
from entrypoints.admin.console.page import (
    LANGUAGE_COOKIE,
    LANGUAGES,
    THEME_COOKIE,
    THEMES,
    YEAR_SECONDS,
    Done,
    local_path,
    redirect,
    render,
    static_file,
)
from entrypoints.admin.console.page import STATIC as MEDIA_TYPES
from entrypoints.admin.console.session import SignedIn
from entrypoints.http.dependencies import address_of, network_of, seconds
from entrypoints.log import log

PREFERENCES = {"language": (LANGUAGE_COOKIE, tuple(LANGUAGES)), "theme": (THEME_COOKIE, THEMES)}

STATIC_HEADERS = {"cache-control": "public, max-age=31536000, immutable"}


@get("/sign-in", sync_to_thread=False)
def show_sign_in(request: Request[Any, Any, State], next: FromQuery[str | None] = None) -> Response[Any]:  # noqa: A002  # the name of the parameter
    """Show the form for the admin key."""
    if signed_in_of(request):
        return redirect(request, local_path(next or HOME))
    return render(request, "sign_in.html", wrong=None, next=local_path(next or HOME))


@post("/sign-in", status_code=200)
async def sign_in(request: Request[Any, Any, State], state: State) -> Response[Any]:
    """Start a session with a new cookie, whatever cookie the browser had."""
    form = await request.form()
    target, address = local_path(str(form.get("next", HOME))), address_of(request.scope)
    try:
        cookie, signed_in = await sessions_of(state).start(str(form.get("key", "")).strip(), network_of(request.scope))
    except AdminKeyInvalid:
        log.warning("admin_refused", ip=address)
        return render(request, "sign_in.html", 401, wrong=("key_wrong", {}), next=target)
    except RateLimited as error:
        wait = {"n": int(seconds(error.retry_after))}
        return render(request, "sign_in.html", 429, wrong=("key_limited", wait), next=target)
    if Scope.READ not in signed_in.admin.scopes:
        return render(request, "sign_in.html", 403, wrong=("key_cannot_read", {}), next=target)
    log.info("console_signed_in", by=f"admin:{signed_in.admin.name}", ip=address)
    response = redirect(request, target)
    response.set_cookie(session_cookie(request.scope, cookie))
    return response


@post("/sign-out", **needs(Scope.READ), sync_to_thread=False)
def sign_out(request: AnyRequest, signed_in: NamedDependency[SignedIn], state: State) -> Response[Any]:
    """End the session."""
    sessions_of(state).end(signed_in)
    log.info("console_signed_out", by=f"admin:{signed_in.admin.name}", ip=address_of(request.scope))
    response = redirect(request, SIGN_IN, Done("done_signed_out"))
    response.set_cookie(session_cookie(request.scope, "", 0))
    return response


@post("/preferences", status_code=200)
async def prefer(request: AnyRequest) -> Response[Any]:
    """Remember the language or the theme in this browser."""
    form = await request.form()
    response = redirect(request, local_path(str(form.get("next", HOME))))
    for field, (name, allowed) in PREFERENCES.items():
        if (chosen := str(form.get(field, ""))) in allowed:
            secure = is_secure(request.scope)
            response.set_cookie(
                Cookie(
                    name,
                    value=chosen,
                    max_age=YEAR_SECONDS,
                    path=HOME,
                    secure=secure,
                    httponly=True,
                    samesite="strict",
                )
            )
    return response


@get("/static/{name:str}", sync_to_thread=True)
def show_static(name: FromPath[str]) -> Response[bytes]:
    """Return a file of the console. Its address has its version."""
    try:
        body, _ = static_file(name)
    except KeyError:
        raise NotFound from None
    return Response(body, media_type=MEDIA_TYPES[name], headers=STATIC_HEADERS)


HANDLERS = [show_sign_in, sign_in, sign_out, prefer, show_static]
