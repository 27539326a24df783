"""The jobs of the worker, as plain functions without a queue."""

from typing import Any, TypeVar

import msgspec

from application.login_with_phone import LoginWithPhoneRequest
from domain.errors import RequestInvalid, WxLoginError
from domain.event import SYSTEM
from domain.session import EndReason
from entrypoints.container import Container
from entrypoints.log import log, log_error, log_failed_login, log_phone
from entrypoints.problems import Problem
from entrypoints.responses import LoginResponse

Body = dict[str, Any]
T = TypeVar("T")


class Jobs:
    """The jobs. Each returns the body that HTTP would return, and raises for defects only."""

    def __init__(self, container: Container) -> None:
        self._container = container

    async def login(self, code: object, appid: object, phone_code: object = None) -> Body:
        """`wxlogin.login`: log in, as POST /v1/sessions."""
        try:
            request = _convert({"code": code, "appid": appid, "phone_code": phone_code}, LoginWithPhoneRequest)
            logged_in = await self._container.login_with_phone()(request)
        except WxLoginError as error:
            log_failed_login(error, "wxlogin.login")
            return _body(Problem.of(error))
        log_phone(request, logged_in, "wxlogin.login")
        return _body(LoginResponse.of(logged_in, with_phone=request.phone_code is not None))

    async def end_all_sessions(self, user_id: object, reason: object) -> Body:
        """`wxlogin.end_all_sessions`: log a user out everywhere, as `session_ended` or `session_replaced`."""
        try:
            user, why = _convert(user_id, str), _convert(reason, EndReason)
            ended = await self._container.user_sessions().end_all(user, SYSTEM, why)
        except WxLoginError as error:
            log_error(error, "wxlogin.end_all_sessions")
            return _body(Problem.of(error))
        log.info("logout_everywhere", user_id=user, sessions=ended, reason=why)
        return {"ended": ended}


def _convert(value: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise RequestInvalid(str(error)) from None


def _body(answer: msgspec.Struct) -> Body:
    body = msgspec.to_builtins(answer)
    assert isinstance(body, dict)  # noqa: S101  # a Struct is one
    return body
