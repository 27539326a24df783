"""The mapping of errors to HTTP statuses and exit statuses, and their body."""

from enum import IntEnum
from typing import NamedTuple

import msgspec

from domain.errors import (
    AdminKeyInvalid,
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
    Retry,
    ScopeMissing,
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


class Exit(IntEnum):
    """Exit statuses of the command line."""

    DONE = 0
    DEFECT = 1
    USAGE = 2
    REFUSED = 3
    LATER = 4
    MISCONFIGURED = 5


class ErrorStatus(NamedTuple):
    """The HTTP status and the exit status of an error."""

    http: int
    exit: Exit


OUTCOMES: dict[type[WxLoginError], ErrorStatus] = {
    RequestInvalid: ErrorStatus(400, Exit.USAGE),
    CodeMissing: ErrorStatus(400, Exit.USAGE),
    AppUnknown: ErrorStatus(400, Exit.USAGE),
    CodeInvalid: ErrorStatus(400, Exit.REFUSED),
    CodeUsed: ErrorStatus(400, Exit.REFUSED),
    DataUndecryptable: ErrorStatus(400, Exit.REFUSED),
    WatermarkMismatch: ErrorStatus(400, Exit.REFUSED),
    TokenMissing: ErrorStatus(401, Exit.REFUSED),
    TokenInvalid: ErrorStatus(401, Exit.REFUSED),
    SessionExpired: ErrorStatus(401, Exit.REFUSED),
    SessionEnded: ErrorStatus(401, Exit.REFUSED),
    SessionReplaced: ErrorStatus(401, Exit.REFUSED),
    AdminKeyInvalid: ErrorStatus(401, Exit.REFUSED),
    UserBlockedByProvider: ErrorStatus(403, Exit.REFUSED),
    UserBlocked: ErrorStatus(403, Exit.REFUSED),
    ScopeMissing: ErrorStatus(403, Exit.REFUSED),
    NotFound: ErrorStatus(404, Exit.REFUSED),
    PhoneTaken: ErrorStatus(409, Exit.REFUSED),
    RateLimited: ErrorStatus(429, Exit.LATER),
    AppMisconfigured: ErrorStatus(500, Exit.MISCONFIGURED),
    IdentityProviderBadResponse: ErrorStatus(502, Exit.LATER),
    IdentityProviderUnavailable: ErrorStatus(503, Exit.LATER),
    StoreUnavailable: ErrorStatus(503, Exit.LATER),
}


CLIENT_DETAILS: dict[type[WxLoginError], str] = {
    AppMisconfigured: "The service is misconfigured; its operator has been informed",
    IdentityProviderBadResponse: "{provider} answers with something that the service cannot use",
    IdentityProviderUnavailable: "{provider} does not answer the service, or says that it is busy",
    StoreUnavailable: "The service's database or session store does not answer",
}
"""What a client reads of a fault that only the operator can act on. The error's own text is for the log and the shell.

`{provider}` is the name of the identity provider.
"""


def outcome_of(error: WxLoginError) -> ErrorStatus:
    """Return the outcome of `error`, or of its nearest base class."""
    return next(OUTCOMES[kind] for kind in type(error).__mro__ if kind in OUTCOMES)


def code_of(error: Exception) -> str:
    """Return the `code` of an error, or that of a defect."""
    return error.code if isinstance(error, WxLoginError) else DEFECT.code


def explained(error: WxLoginError) -> str:
    """Return the text of an error for an operator, with WeChat's errcode and rid, and with the cause."""
    hints = {"errcode": error.errcode, "rid": error.rid}
    known = [f"{name} {hint}" for name, hint in hints.items() if hint is not None]
    if error.__cause__:
        known.append(str(error.__cause__).partition("\n")[0][:200])
    return f"{error.detail} ({', '.join(known)})" if known else error.detail


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Problem details of RFC 9457. `code` and `retry` are for programs, and never change their meaning."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retry: Retry
    errcode: int | None = None
    rid: str | None = None

    @classmethod
    def of(cls, error: WxLoginError) -> "Problem":
        """Return the problem that `error` is to a client."""
        known = next((CLIENT_DETAILS[kind] for kind in type(error).__mro__ if kind in CLIENT_DETAILS), None)
        detail = known.format(provider=error.provider) if known else error.detail
        return cls(
            f"urn:wxlogin:error:{error.code}",
            error.title,
            outcome_of(error).http,
            detail,
            error.code,
            error.retry,
            error.errcode,
            error.rid,
        )


DEFECT = Problem("about:blank", "Internal Server Error", 500, "A defect of wxlogin", "internal_error", Retry.NEVER)
"""The problem of an unexpected error."""

CODES = frozenset({DEFECT.code, *(kind.code for kind in OUTCOMES)})
"""The codes of all errors. Another process may run a newer release, which has others."""
