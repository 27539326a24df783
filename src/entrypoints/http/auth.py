"""/auth: forward authentication for gateways.

It is plain ASGI in front of the framework, because every request of every backend passes here.
"""

from litestar.types import Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from domain.errors import WxLoginError
from domain.session import Session
from entrypoints.http.contract import PROBLEM_JSON
from entrypoints.http.dependencies import Runtime, runtime_of, token_of
from entrypoints.http.errors import headers_of
from entrypoints.http.middleware import request_id_of
from entrypoints.http.raw import NO_STORE, RawHeaders, RawResponse
from entrypoints.log import log, log_error
from entrypoints.problems import DEFECT, Problem, outcome_of

PREFIX = "/auth"
PATHS = (PREFIX, f"{PREFIX}/")
"""Paths below are for Envoy, which appends the path of the client's request, and accepts no success but 200."""


async def forward_auth(scope: Scope, _receive: Receive, send: Send) -> None:
    """Respond with the caller's identity in headers that a gateway copies, or with a problem."""
    response = await check(scope["headers"], runtime_of(scope["litestar_app"].state))
    if response.status == 204 and scope["path"] not in PATHS:
        response = RawResponse(200, [*response.headers, (b"content-length", b"0")])
    await response.send(send)


async def check(headers: RawHeaders, runtime: Runtime) -> RawResponse:
    """Return 204 with the caller's identity, or the problem."""
    try:
        session = await runtime.checks.authenticate(token_of(headers))
        identity = _identity(session)
        if runtime.assertions:
            identity.append((b"x-user-assertion", runtime.assertions.get(session).encode()))
        return RawResponse(204, identity)
    except Exception as error:  # noqa: BLE001  # nothing behind this answers for a defect
        with bound_contextvars(request_id=request_id_of(headers)):
            return _refused(error)


def _refused(error: Exception) -> RawResponse:
    if isinstance(error, WxLoginError):
        log_error(error, "/auth")
        return RawResponse.json(outcome_of(error).http, Problem.of(error), headers_of(error), PROBLEM_JSON)
    log.error("defect", where="/auth", exc_info=error)
    return RawResponse.json(500, DEFECT, NO_STORE, PROBLEM_JSON)


def _identity(session: Session) -> list[tuple[bytes, bytes]]:
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
