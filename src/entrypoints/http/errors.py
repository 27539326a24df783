"""Map errors to HTTP responses."""

from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from domain.errors import NotFound, RateLimited, RequestInvalid, Retry, TokenMissing, WxLoginError
from entrypoints.http.contract import PROBLEM_JSON
from entrypoints.http.dependencies import device_of, rate_limit_headers, route_of, seconds
from entrypoints.http.raw import NO_STORE
from entrypoints.log import log, log_error, log_failed_login
from entrypoints.problems import DEFECT, Problem, outcome_of

AnyRequest = Request[Any, Any, Any]


def problem_response(request: AnyRequest, error: WxLoginError) -> Response[Problem]:
    """Return the response to an error of the domain."""
    log_error(error, route_of(request.scope), ip=device_of(request.scope).ip)
    return _respond(error)


def login_problem_response(request: AnyRequest, error: WxLoginError) -> Response[Problem]:
    """Return the response to a login that failed."""
    log_failed_login(error, route_of(request.scope), device_of(request.scope).ip)
    return _respond(error)


def login_refused_response(request: AnyRequest, error: HTTPException) -> Response[Problem]:
    """Return the response to a login that the framework refuses: its body cannot be read."""
    log_failed_login(as_error(error), route_of(request.scope), device_of(request.scope).ip)
    return refused_response(request, error)


def _respond(error: WxLoginError) -> Response[Problem]:
    problem = Problem.of(error)
    return Response(problem, status_code=problem.status, media_type=PROBLEM_JSON, headers=headers_of(error))


def refused_response(_request: AnyRequest, error: HTTPException) -> Response[Problem]:
    """Return the response to an error of the framework: unknown route, wrong method, malformed body."""
    problem = Problem.of(as_error(error))
    if error.status_code == 405:
        problem = msgspec.structs.replace(problem, status=405, title="The method is not allowed here")
    headers = {**(error.headers or {}), **NO_STORE}
    return Response(problem, status_code=problem.status, media_type=PROBLEM_JSON, headers=headers)


def defect_response(request: AnyRequest, error: Exception) -> Response[Problem]:
    """Return the response to a defect. The log has its traceback."""
    log.error("defect", where=route_of(request.scope), exc_info=error)
    return Response(DEFECT, status_code=500, media_type=PROBLEM_JSON, headers=NO_STORE)


def headers_of(error: WxLoginError) -> dict[str, str]:
    """Return the headers of a problem response: RFC 6750 section 3, RFC 9110 section 10.2.3."""
    headers = dict(NO_STORE)
    if outcome_of(error).http == 401:
        reason = "" if isinstance(error, TokenMissing) else f' error="invalid_token", error_description="{error.code}"'
        headers["www-authenticate"] = f"Bearer{reason}"
    if error.retry is Retry.LATER:
        headers["retry-after"] = seconds(error.retry_after)
    if isinstance(error, RateLimited):
        headers |= rate_limit_headers(error.allowance)
    return headers


def as_error(error: HTTPException) -> WxLoginError:
    """Return the domain error for an error of the framework."""
    if error.status_code == 404:
        return NotFound("There is no such path")
    if error.status_code == 413:
        return RequestInvalid("The request's body is too large")
    complaints = [_complaint(**item) for item in error.extra or [] if isinstance(item, dict)]
    return RequestInvalid("; ".join(complaints) or error.detail)


def _complaint(message: str, key: str = "data", **_more: Any) -> str:
    if key != "data":
        return f"{key}: {message}"
    return "The request has no body" if message == "'data'" else f"body: {message}"


LOGIN_EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    WxLoginError: login_problem_response,
    HTTPException: login_refused_response,
}

EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    WxLoginError: problem_response,
    HTTPException: refused_response,
    Exception: defect_response,
}
