"""The errors of everything under /oauth2, in the form of RFC 6749 section 5.2."""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec
from litestar.types import ExceptionHandlersMap

from application.rate_limits import CLIENT_FAILURES
from domain.errors import AppMisconfigured, RateLimited, Unauthenticated, Unavailable, WxLoginError
from entrypoints.http.dependencies import address_of, route_of
from entrypoints.http.errors import AnyRequest, as_error, headers_of
from entrypoints.http.raw import NO_STORE
from entrypoints.log import log, log_error
from entrypoints.problems import DEFECT, Problem

PREFIX = "/oauth2/"
FORM = "application/x-www-form-urlencoded"

ErrorCode = Literal[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "invalid_target",
    "unsupported_grant_type",
    "authorization_pending",
    "slow_down",
    "access_denied",
    "expired_token",
    "temporarily_unavailable",
    "server_error",
]
"""RFC 6749 sections 5.2 and 4.1.2.1, RFC 8628 section 3.5, and RFC 8693 section 2.2.2."""

CHALLENGE = {"www-authenticate": 'Basic realm="wxlogin", charset="UTF-8"'}

NOT_ALLOWED = re.compile(r"[^ !#-\[\]-~]")
"""The characters that a description must not contain: quotes, backslashes, and all except for printable ASCII."""


class OAuthError(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error of RFC 6749 section 5.2.

    `scanned` stands in authorization_pending alone: whether a user has scanned the code. RFC 6749 lets servers add
    members, and clients that do not know this one ignore it.
    """

    error: ErrorCode
    error_description: str
    scanned: bool | None = None

    @classmethod
    def of(cls, error: ErrorCode, description: str, *, scanned: bool | None = None) -> "OAuthError":
        """Return the error with the characters that a description may have."""
        return cls(error, NOT_ALLOWED.sub("'", description), scanned)


class OAuthRefusal(Exception):
    """A request that is refused with this error."""

    def __init__(
        self,
        error: ErrorCode,
        description: str,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
        *,
        scanned: bool | None = None,
    ) -> None:
        super().__init__(error)
        self.body = OAuthError.of(error, description, scanned=scanned)
        self.status = status
        self.headers = headers or {}


class ClientUnknown(OAuthRefusal):
    """The request has no credentials of a configured client. The response names the scheme to use."""

    def __init__(self) -> None:
        text = "Send the id and secret of one of WXLOGIN_CLIENTS by HTTP Basic"
        super().__init__("invalid_client", text, 401, CHALLENGE)


def refusal_response(_request: AnyRequest, error: OAuthRefusal) -> Response[OAuthError]:
    """Return the response to a refusal."""
    return Response(error.body, status_code=error.status, headers={**error.headers, **NO_STORE})


def error_response(request: AnyRequest, error: WxLoginError) -> Response[OAuthError]:
    """Return the response to an error of the domain.

    RFC 6749 section 5.2 has no code for a limit: where failed authentications are limited, they are the reason.
    """
    log_error(error, route_of(request.scope), ip=address_of(request.scope))
    headers, description = headers_of(error), Problem.of(error).detail
    match error:
        case Unauthenticated():
            return Response(OAuthError.of("invalid_grant", error.code), status_code=400, headers=NO_STORE)
        case RateLimited():
            failed = error.allowance is not None and error.allowance.limit.name == CLIENT_FAILURES.name
            code: ErrorCode = "invalid_client" if failed else "temporarily_unavailable"
            return Response(OAuthError.of(code, description), status_code=429, headers=headers)
        case Unavailable():
            return Response(OAuthError.of("temporarily_unavailable", description), status_code=503, headers=headers)
        case AppMisconfigured():
            return Response(OAuthError.of("server_error", description), status_code=500, headers=headers)
    return Response(OAuthError.of("invalid_request", description), status_code=400, headers=headers)


def invalid_response(_request: AnyRequest, error: HTTPException) -> Response[OAuthError]:
    """Return the response to an error of the framework: a wrong path or method, or a body that cannot be read."""
    status = error.status_code if error.status_code in (404, 405) else 400
    headers = {**(error.headers or {}), **NO_STORE}
    return Response(OAuthError.of("invalid_request", as_error(error).detail), status_code=status, headers=headers)


def defect_response(request: AnyRequest, error: Exception) -> Response[OAuthError]:
    """Return the response to a defect. The log has its traceback."""
    log.error("defect", where=route_of(request.scope), exc_info=error)
    return Response(OAuthError.of("server_error", DEFECT.detail), status_code=500, headers=NO_STORE)


async def require_form(request: AnyRequest) -> None:
    """Raise OAuthRefusal for a body that is no form (RFC 6749 section 3.2), whose parameters would go unread."""
    media_type, _ = request.content_type
    if media_type != FORM and await request.body():
        raise OAuthRefusal("invalid_request", f"Send a form, with the content type {FORM}")


OAUTH_EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    OAuthRefusal: refusal_response,
    WxLoginError: error_response,
    HTTPException: invalid_response,
    Exception: defect_response,
}


def refusals(codes: Mapping[int, str]) -> dict[int, ResponseSpec]:
    """Return the OpenAPI responses of the errors, by status."""
    return {
        status: ResponseSpec(OAuthError, description=names, generate_examples=False)
        for status, names in {**codes, 503: "temporarily_unavailable"}.items()
    }
