"""Errors to HTTP answers."""

from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from domain.errors import NotFound, RequestInvalid, Retry, WxLoginError
from entrypoints.http.contract import PROBLEM_JSON
from entrypoints.log import log, log_error
from entrypoints.problems import Problem, headers_of

AnyRequest = Request[Any, Any, Any]


def problem_response(request: AnyRequest, error: WxLoginError) -> Response[Problem]:
    """The answer to an error of ours."""
    log_error(error, request.url.path)
    problem = Problem.of(error)
    return Response(problem, status_code=problem.status, media_type=PROBLEM_JSON, headers=headers_of(error))


def refused_response(_request: AnyRequest, error: HTTPException) -> Response[Problem]:
    """The answer to what the framework refuses: no such route, wrong method, a body that cannot be read."""
    ours = as_error(error)
    problem = Problem.of(ours)
    if error.status_code == 405:
        problem = msgspec.structs.replace(problem, status=405, title="The method is not allowed here")
    return Response(problem, status_code=problem.status, media_type=PROBLEM_JSON, headers=error.headers)


def defect_response(request: AnyRequest, error: Exception) -> Response[Problem]:
    """The answer to a defect of ours. The log has the rest."""
    log.error("defect", where=request.url.path, exc_info=error)
    problem = Problem("about:blank", "Internal Server Error", 500, "A defect of wxlogin", "internal_error", Retry.NEVER)
    return Response(problem, status_code=500, media_type=PROBLEM_JSON)


def as_error(error: HTTPException) -> WxLoginError:
    """What the framework refuses, in our words."""
    if error.status_code == 404:
        return NotFound("There is no such path")
    if error.status_code == 413:
        return RequestInvalid("The request's body is too large")
    return RequestInvalid(
        "; ".join(_complaints(error)) or ("The request has no JSON body" if error.extra else error.detail)
    )


def _complaints(error: HTTPException) -> list[str]:
    items = [item for item in error.extra or [] if isinstance(item, dict) and item.get("key") != "data"]
    return [f"{item.get('key')}: {item.get('message')}" for item in items]


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    WxLoginError: problem_response,
    HTTPException: refused_response,
    Exception: defect_response,
}
