"""/auth: forward authentication, for a gateway that asks before it lets a request through.

The hottest path there is: plain ASGI, in front of the framework, whose routing costs a third of a check.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from application.sessions import Sessions
from domain.errors import WxLoginError
from domain.session import Session
from entrypoints.http.caller import bearer_token
from entrypoints.http.contract import PROBLEM_JSON
from entrypoints.log import log, log_error
from entrypoints.problems import DEFECT, NO_STORE, Problem, headers_of, outcome_of

RawHeaders = Iterable[tuple[bytes, bytes]]

PATHS = ("/auth", "/auth/")


class Verdict(NamedTuple):
    """What a gateway is told."""

    status: int
    headers: RawHeaders
    body: bytes = b""


def answered_before(app: ASGIApp) -> ASGIApp:
    """`app`, with /auth answered before its router and middleware see the request."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PATHS:
            await _send(await judge(scope["litestar_app"].state.sessions, scope["headers"]), send)
        else:
            await app(scope, receive, send)

    return application


async def judge(sessions: Sessions, headers: RawHeaders) -> Verdict:
    """204 with the caller's identity in headers that a gateway copies, or the problem."""
    authorizations = [value.decode("latin-1") for name, value in headers if name == b"authorization"]
    try:
        session = await sessions.authenticate(bearer_token(authorizations))
    except WxLoginError as error:
        log_error(error, "/auth")
        return _problem(outcome_of(error).http, Problem.of(error), headers_of(error))
    except Exception as error:  # noqa: BLE001  # there is nobody behind this to answer for a defect
        log.error("defect", where="/auth", exc_info=error)
        return _problem(500, DEFECT, NO_STORE)
    return Verdict(204, _identity(session))


def _identity(session: Session) -> RawHeaders:
    """Who is calling; the X-WX names are WeChat Cloud Run's, so that its code moves over unchanged."""
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


def _problem(status: int, problem: Problem, headers: dict[str, str]) -> Verdict:
    body = msgspec.json.encode(problem)
    headers = {"content-type": PROBLEM_JSON, "content-length": str(len(body)), **headers}
    return Verdict(status, [(name.encode(), value.encode()) for name, value in headers.items()], body)


async def _send(verdict: Verdict, send: Send) -> None:
    await send({"type": "http.response.start", "status": verdict.status, "headers": verdict.headers})
    await send({"type": "http.response.body", "body": verdict.body, "more_body": False})
