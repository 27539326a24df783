"""/v1/sessions: log in, list devices, log out."""

from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from application.login_with_phone import LoginWithPhone, LoginWithPhoneRequest
from application.sessions import Sessions
from application.user_sessions import UserSessions
from domain.errors import RequestInvalid
from domain.session import Session
from entrypoints.http.contract import LOGIN_ERRORS, RATE_LIMITED, problems, signed_in
from entrypoints.http.dependencies import (
    CallerRequest,
    cause_of,
    device_of,
    login_context_of,
    route_of,
    take_login_quota,
)
from entrypoints.http.errors import LOGIN_EXCEPTION_HANDLERS
from entrypoints.log import log_phone, log_session
from entrypoints.responses import LoginResponse, SessionList, SessionResponse


@post(responses=problems(*LOGIN_ERRORS), response_headers=RATE_LIMITED, exception_handlers=LOGIN_EXCEPTION_HANDLERS)
async def log_in(
    data: JSONBody[LoginWithPhoneRequest],
    request: CallerRequest,
    login_with_phone: NamedDependency[LoginWithPhone],
) -> Response[LoginResponse]:
    """Log in with the code of wx.login(). Store the token: it is returned once.

    With `phone_code`, the phone number is bound in the same call. If that fails, the login succeeds with `phone_error`.
    """
    context = login_context_of(request.scope)
    headers = await take_login_quota(request.scope)
    logged_in = await login_with_phone(data, context)
    log_phone(data, logged_in, route_of(request.scope))
    return Response(LoginResponse.of(logged_in, with_phone=data.phone_code is not None), headers=headers)


@get(**signed_in())
async def list_sessions(session: NamedDependency[Session], sessions: NamedDependency[Sessions]) -> SessionList:
    """List the sessions of the user on all devices, newest first."""
    return SessionList.of(await sessions.list_for_user(session.user_id), current=session.id)


@get("/current", sync_to_thread=False, **signed_in())
def show_current(session: NamedDependency[Session]) -> SessionResponse:
    """Return the session of the request."""
    return SessionResponse.of(session, current=True)


@delete("/current", **signed_in())
async def log_out(
    request: CallerRequest, session: NamedDependency[Session], sessions: NamedDependency[Sessions]
) -> None:
    """End the session of the request."""
    ended = await sessions.end(session.id, cause_of(request.scope))
    log_session("logout", ended, ip=device_of(request.scope).ip)


@delete("/{session_id:str}", **signed_in(RequestInvalid))
async def log_out_device(
    request: CallerRequest,
    session_id: FromPath[str],
    session: NamedDependency[Session],
    sessions: NamedDependency[Sessions],
) -> None:
    """End the session of one device."""
    ended = await sessions.end(session_id, cause_of(request.scope), user_id=session.user_id)
    log_session("logout", ended, ip=device_of(request.scope).ip, by=session.id)


@delete(**signed_in())
async def log_out_everywhere(
    request: CallerRequest, session: NamedDependency[Session], user_sessions: NamedDependency[UserSessions]
) -> None:
    """End the sessions of all devices."""
    ended = await user_sessions.end_all(session.user_id, cause_of(request.scope))
    log_session("logout_everywhere", session, ip=device_of(request.scope).ip, sessions=ended)


router = Router(
    "/v1/sessions",
    tags=["Sessions"],
    route_handlers=[log_in, list_sessions, show_current, log_out, log_out_device, log_out_everywhere],
)
