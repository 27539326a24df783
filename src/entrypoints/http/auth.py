"""/auth: forward authentication, for a gateway that asks before it lets a request through.

The hottest path there is: plain ASGI, in front of the framework, whose routing costs a third of a check.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from domain.errors import WxLoginError
from domain.session import Session
from entrypoints.counted import CountedSessions
from entrypoints.http.caller import token_of
from entrypoints.http.contract import PROBLEM_JSON
from entrypoints.http.raw import RawHeaders, RawResponse
from entrypoints.http.request_ids import request_id_of
from entrypoints.log import log, log_error
from entrypoints.problems import DEFECT, NO_STORE, Problem, headers_of, outcome_of

PATHS = ("/auth", "/auth/")


def answered_before(app: ASGIApp) -> ASGIApp:
    """Return `app`, with /auth answered before its router and middleware see the request."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PATHS:
            checks: Checks = scope["litestar_app"].state.checks
            answer = await checks.check(scope["headers"])
            await answer.send(send)
        else:
            await app(scope, receive, send)

    return application


class Checks:
    """Answers requests to /auth; those that arrive together are checked together."""

    def __init__(self, sessions: CountedSessions) -> None:
        self._sessions = sessions
        self._waiting: list[tuple[RawHeaders, asyncio.Future[RawResponse]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def check(self, headers: RawHeaders) -> RawResponse:
        """Return 204 with the caller's identity in headers that a gateway copies, or the problem.

        Requests of one turn of the event loop share a read of their sessions. A session that this read does not find
        is read by itself, so that no request waits for the store of another.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[RawResponse] = loop.create_future()
        self._waiting.append((headers, future))
        if len(self._waiting) == 1:
            loop.call_soon(self._start)  # after all requests that are here already
        return await future

    def _start(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._run(self._check_batch(waiting))

    async def _check_batch(self, waiting: Sequence[tuple[RawHeaders, asyncio.Future[RawResponse]]]) -> None:
        try:
            sessions = await self._sessions.authenticate_together([_only_token(headers) for headers, _ in waiting])
        except Exception as error:  # noqa: BLE001  # nothing behind this answers for a defect
            for headers, future in waiting:
                _settle(future, _refused(error, headers))
            return
        for (headers, future), session in zip(waiting, sessions, strict=True):
            if session:
                _settle(future, _admitted(session))
            else:
                self._run(self._check_one(headers, future))

    async def _check_one(self, headers: RawHeaders, future: asyncio.Future[RawResponse]) -> None:
        try:
            answer = _admitted(await self._sessions.authenticate(token_of(headers)))
        except Exception as error:  # noqa: BLE001  # as above
            answer = _refused(error, headers)
        _settle(future, answer)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself holds none
        task.add_done_callback(self._tasks.discard)


def _settle(future: asyncio.Future[RawResponse], answer: RawResponse) -> None:
    if not future.done():  # its request was cancelled
        future.set_result(answer)


def _only_token(headers: RawHeaders) -> str:
    try:
        return token_of(headers)
    except WxLoginError:  # opens nothing, as ""; `_check_one` says why
        return ""


def _admitted(session: Session) -> RawResponse:
    return RawResponse(204, _identity(session))


def _refused(error: Exception, headers: RawHeaders) -> RawResponse:
    with bound_contextvars(request_id=request_id_of(headers)):
        return _logged(error)


def _logged(error: Exception) -> RawResponse:
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
