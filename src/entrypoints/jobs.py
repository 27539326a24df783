"""The worker's jobs, as plain functions: what comes in from a queue, and what goes back into it."""

from typing import Any, TypeVar

import msgspec

from application.login import LoginRequest
from domain.errors import RequestInvalid, WxLoginError
from domain.session import EndReason
from entrypoints.answers import LoginAnswer
from entrypoints.container import Container
from entrypoints.log import log_error, log_login
from entrypoints.problems import Problem

Body = dict[str, Any]
T = TypeVar("T")


class Jobs:
    """Every job answers with the body that HTTP would give, and never raises for what a user can cause."""

    def __init__(self, container: Container) -> None:
        self._container = container

    async def login(self, code: object, appid: object) -> Body:
        """`wxlogin.login`: log in, as POST /v1/sessions."""
        try:
            logged_in = await self._container.login()(_convert({"code": code, "appid": appid}, LoginRequest))
        except WxLoginError as error:
            return _problem(error, "wxlogin.login")
        log_login(logged_in)
        return _body(LoginAnswer.of(logged_in))

    async def end_all_sessions(self, user_id: object, reason: object) -> Body:
        """`wxlogin.end_all_sessions`: log a user out everywhere, as `session_ended` or `session_replaced`."""
        try:
            ended = await self._container.sessions().end_all(_convert(user_id, str), _convert(reason, EndReason))
        except WxLoginError as error:
            return _problem(error, "wxlogin.end_all_sessions")
        return {"ended": ended}


def _convert(value: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise RequestInvalid(str(error)) from None


def _problem(error: WxLoginError, where: str) -> Body:
    log_error(error, where)
    return _body(Problem.of(error))


def _body(answer: msgspec.Struct) -> Body:
    body = msgspec.to_builtins(answer)
    assert isinstance(body, dict)  # noqa: S101  # a Struct is one
    return body
