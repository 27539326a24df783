"""/auth: forward authentication, for a gateway that asks before it lets a request through.

The hottest path there is: plain ASGI, in front of the framework, whose routing costs a third of a check.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send

from application.sessions import Sessions
from domain.errors import TokenInvalid, WxLoginError
from domain.session import Session
from entrypoints.http.caller import bearer_token
from entrypoints.http.contract import PROBLEM_JSON
from entrypoints.http.plain import PlainAnswer, RawHeaders
from entrypoints.log import log, log_error
from entrypoints.problems import DEFECT, NO_STORE, Problem, headers_of, outcome_of

PATHS = ("/auth", "/auth/")

Answer = Callable[[PlainAnswer], None]
"""Takes what is to be told to the one who asked."""


def answered_before(app: ASGIApp) -> ASGIApp:
    """`app`, with /auth answered before its router and middleware see the request."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PATHS:
            answer = await scope["litestar_app"].state.checks.judge(scope["headers"])
            await answer.send(send)
        else:
            await app(scope, receive, send)

    return application


class Checks:
    """Who is calling: the judge of all requests to /auth."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._waiting: list[tuple[RawHeaders, Answer]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def judge(self, headers: RawHeaders) -> PlainAnswer:
        """204 with the caller's identity in headers that a gateway copies, or the problem."""
        try:
            return _admitted(await self._sessions.authenticate(_token(headers)))
        except Exception as error:  # noqa: BLE001  # there is nobody behind this to answer for a defect
            return _refused(error)

    def add(self, headers: RawHeaders, answer: Answer) -> None:
        """Have `answer` called with what `judge` says.

        Those who come at once, and whose sessions are at hand, are answered together, at two thirds of the cost. The
        others have a task each, so that nobody waits for another.
        """
        self._waiting.append((headers, answer))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._start)  # after all requests that are here already

    def _start(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._run(self._judge_together(waiting))

    async def _judge_together(self, waiting: Sequence[tuple[RawHeaders, Answer]]) -> None:
        try:
            sessions = await self._sessions.authenticate_together([_only_token(headers) for headers, _ in waiting])
        except Exception as error:  # noqa: BLE001  # as above
            for _, answer in waiting:
                answer(_refused(error))
            return
        for (headers, answer), session in zip(waiting, sessions, strict=True):
            if session:
                answer(_admitted(session))
            else:
                self._run(self._judge_alone(headers, answer))

    async def _judge_alone(self, headers: RawHeaders, answer: Answer) -> None:
        answer(await self.judge(headers))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself holds none
        task.add_done_callback(self._tasks.discard)


def _token(headers: RawHeaders) -> str:
    return bearer_token([value.decode("latin-1") for name, value in headers if name == b"authorization"])


def _only_token(headers: RawHeaders) -> str:
    try:
        return _token(headers)
    except TokenInvalid:  # opens nothing, as ""; `judge` says why
        return ""


def _admitted(session: Session) -> PlainAnswer:
    return PlainAnswer(204, _identity(session))


def _refused(error: Exception) -> PlainAnswer:
    if isinstance(error, WxLoginError):
        log_error(error, "/auth")
        return PlainAnswer.json(outcome_of(error).http, Problem.of(error), headers_of(error), PROBLEM_JSON)
    log.error("defect", where="/auth", exc_info=error)
    return PlainAnswer.json(500, DEFECT, NO_STORE, PROBLEM_JSON)


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
