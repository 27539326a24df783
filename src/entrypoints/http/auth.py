"""/auth: forward authentication for gateways.

It is plain ASGI in front of the framework, because every request of every backend passes here.
"""

from litestar.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from domain.errors import WxLoginError
from domain.session import Session
from entrypoints.http.caller import token_of
from entrypoints.http.contract import PROBLEM_JSON
from entrypoints.http.raw import RawHeaders, RawResponse
from entrypoints.http.request_ids import request_id_of
from entrypoints.instrumented import InstrumentedSessions
from entrypoints.log import log, log_error
from entrypoints.problems import DEFECT, NO_STORE, Problem, headers_of, outcome_of

PATHS = ("/auth", "/auth/")


def forward_auth(app: ASGIApp) -> ASGIApp:
    """Return `app`, with /auth answered before its router and middleware see the request."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PATHS:
            sessions: InstrumentedSessions = scope["litestar_app"].state.sessions
            answer = await check(scope["headers"], sessions)
            await answer.send(send)
        else:
            await app(scope, receive, send)

    return application


async def check(headers: RawHeaders, sessions: InstrumentedSessions) -> RawResponse:
    """Return 204 with the caller's identity in headers that a gateway copies, or the problem."""
    try:
        return RawResponse(204, _identity(await sessions.authenticate(token_of(headers))))
    except Exception as error:  # noqa: BLE001  # nothing behind this answers for a defect
        with bound_contextvars(request_id=request_id_of(headers)):
            return _refused(error)


def _refused(error: Exception) -> RawResponse:
    if isinstance(error, WxLoginError):
        log_error(error, "/auth")
        return RawResponse.json(outcome_of(error).http, Problem.of(error), headers_of(error), PROBLEM_JSON)
    log.error("defect", where="/auth", exc_info=error)
    return RawResponse.json(500, DEFECT, NO_STORE, PROBLEM_JSON)


def _identity(session: Session) -> RawHeaders:
    """Return the caller's identity. The X-WX names are WeChat Cloud Run's, so that its code works unchanged."""
    headers = [
        (b"cache-control", b"no-store"),
        (b"x-user-id", session.user_id.encode()),
        (b"x-session-id", session.id.encode()),
        (b"x-wx-openid", session.identity.openid.encode()),
        (b"x-wx-appid", session.identity.appid.value.encode()),
    ]
    if session.identity.unionid:
        headers.append((b"x-wx-unionid", session.identity.unionid.encode()))
    return headers
