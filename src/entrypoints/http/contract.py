"""The errors and tokens of each route in the OpenAPI schema."""

from itertools import groupby
from typing import Any

from litestar.datastructures import ResponseHeader
from litestar.openapi import ResponseSpec

from domain.errors import (
    AppMisconfigured,
    AppUnknown,
    CodeInvalid,
    CodeMissing,
    CodeUsed,
    DataUndecryptable,
    IdentityProviderBadResponse,
    IdentityProviderUnavailable,
    NotFound,
    PhoneTaken,
    RateLimited,
    RequestInvalid,
    SessionEnded,
    SessionExpired,
    SessionReplaced,
    StoreUnavailable,
    TokenInvalid,
    TokenMissing,
    UserBlocked,
    UserBlockedByProvider,
    WatermarkMismatch,
    WxLoginError,
)
from entrypoints.problems import OUTCOMES, Problem

PROBLEM_JSON = "application/problem+json"

BEARER = [{"token": list[str]()}]
"""Marks an operation that needs a session's token."""

CLIENT = [{"client": list[str]()}]
"""Marks an operation that needs a backend's credentials."""

RATE_LIMITED = [
    ResponseHeader(name="ratelimit-policy", documentation_only=True, description="The quota of the client's address."),
    ResponseHeader(name="ratelimit", documentation_only=True, description="What is left of it."),
]
"""What a login tells when logins are limited by address: draft-ietf-httpapi-ratelimit-headers-11."""

LOGIN_ERRORS: tuple[type[WxLoginError], ...] = (
    RequestInvalid,
    CodeMissing,
    AppUnknown,
    CodeInvalid,
    CodeUsed,
    UserBlockedByProvider,
    UserBlocked,
    RateLimited,
    AppMisconfigured,
    IdentityProviderBadResponse,
    IdentityProviderUnavailable,
    StoreUnavailable,
)
SESSION_ERRORS: tuple[type[WxLoginError], ...] = (
    RequestInvalid,
    TokenMissing,
    TokenInvalid,
    SessionExpired,
    SessionEnded,
    SessionReplaced,
    NotFound,
    StoreUnavailable,
)

DATA_ERRORS = (RequestInvalid, DataUndecryptable, WatermarkMismatch)
PLATFORM_ERRORS = (RateLimited, AppMisconfigured, IdentityProviderBadResponse, IdentityProviderUnavailable)
"""What any call to WeChat that carries an access token can meet."""

PHONE_ERRORS = (RequestInvalid, CodeMissing, CodeInvalid, WatermarkMismatch, PhoneTaken, *PLATFORM_ERRORS)


def codes_by_status(*errors: type[WxLoginError]) -> dict[int, str]:
    """Return the `code`s of the errors by HTTP status."""
    rows = sorted({(OUTCOMES[error].http, error.code) for error in errors})
    return {status: ", ".join(code for _, code in group) for status, group in groupby(rows, key=lambda row: row[0])}


def problems(*errors: type[WxLoginError]) -> dict[int, ResponseSpec]:
    """Return the OpenAPI responses of these errors."""
    return {
        status: ResponseSpec(Problem, description=codes, media_type=PROBLEM_JSON, generate_examples=False)
        for status, codes in codes_by_status(*errors).items()
    }


def signed_in(*errors: type[WxLoginError]) -> dict[str, Any]:
    """Return the options of a route that needs a session's token and can raise these errors."""
    return {"security": BEARER, "responses": problems(*SESSION_ERRORS, *errors)}
