"""Problems (RFC 9457) of the controls."""

from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, NotFoundException
from litestar.types import ExceptionHandlersMap

from wechat_sandbox.errors import ControlRefused

PROBLEM_JSON = "application/problem+json"


def problem(status: int, detail: str) -> dict[str, object]:
    """Return the body of a problem (RFC 9457 section 3)."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def _misuse(_: Request[Any, Any, Any], error: ControlRefused) -> Response[dict[str, object]]:
    return _response(400, str(error))


def _not_found(request: Request[Any, Any, Any], _: NotFoundException) -> Response[dict[str, object]]:
    return _response(404, f"the sandbox has no {request.scope['path']}")


def _refused_by_litestar(_: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, object]]:
    reasons = [_reason(**extra) for extra in error.extra or [] if isinstance(extra, dict)]
    detail = f"{error.detail}: {'; '.join(reasons)}" if reasons else error.detail
    return _response(error.status_code, detail, error.headers)


def _defect(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, object]]:
    return _response(500, f"a defect of the sandbox: {error!r}")


PROBLEMS: ExceptionHandlersMap = {
    ControlRefused: _misuse,
    NotFoundException: _not_found,
    HTTPException: _refused_by_litestar,
    Exception: _defect,
}


def _response(status: int, detail: str, headers: dict[str, str] | None = None) -> Response[dict[str, object]]:
    return Response(problem(status, detail), status_code=status, headers=headers, media_type=PROBLEM_JSON)


def _reason(message: str, key: str = "data", **_: str) -> str:
    if message == "'data'":  # Litestar's words for a request without a body
        return "the body is empty, and should be a JSON object"
    return message if key == "data" else f"{key}: {message}"
