"""All errors that a use case raises: one class for each meaning.

    WxLoginError
    ├── RequestInvalid              the caller's request is malformed
    ├── CodeMissing                 there is no code to log in with
    ├── AppUnknown                  no configured app fits the login
    ├── CodeInvalid                 the identity provider does not know the code
    ├── CodeUsed                    the code was used before
    ├── UserBlockedByProvider       the identity provider blocks the user as a risk
    ├── UserBlocked                 an operator blocked the user
    ├── PhoneTaken                  another user has the phone number
    ├── AdminKeyInvalid             the request has no valid admin key
    ├── ScopeMissing                the admin key lacks the scope of the call
    ├── NotFound                    there is no such thing, or it is another user's
    ├── DataUndecryptable           no stored key decrypts the data
    ├── WatermarkMismatch           the data was made for another mini-program
    ├── Unauthenticated
    │   ├── TokenMissing
    │   ├── TokenInvalid            no session has this token, or it is not retained any more
    │   ├── SessionExpired          unused too long, or too old
    │   ├── SessionEnded            logged out
    │   └── SessionReplaced         ended by a newer login
    ├── AppMisconfigured            the identity provider rejects the app's credentials or this server
    ├── RateLimited                 a quota is used up: of the identity provider, or of this service
    └── Unavailable
        ├── IdentityProviderUnavailable     it does not answer, or reports that it is busy
        ├── IdentityProviderBadResponse     its response cannot be understood
        └── StoreUnavailable                the database or the session store does not answer

An error has `code` and `retry` for programs, and a text for people: what happened, whose fault it is, and what to do.
The text never contains a secret, a token, a code or a session_key.
"""

from collections.abc import Iterator
from copy import copy
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar, Self

from domain.rate_limit import Allowance


class Retry(StrEnum):
    """The way in which a client may retry after an error."""

    NEW_CODE = "new_code"
    """Call wx.login() and try with the new code."""
    LATER = "later"
    """Send the same request again after `retry_after`."""
    NEVER = "never"
    """The same request will fail again."""


class WxLoginError(Exception):
    """The base of all errors.

    `errcode` and `rid` are those of WeChat's response, if there was one. `appid` and `user_id` are those of the login,
    as far as they are known. `provider` names the identity provider to clients: adapters raise subclasses that set it.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    provider: ClassVar[str] = "The identity provider"
    retry: Retry = Retry.NEVER
    retry_after: timedelta = timedelta(seconds=1)
    appid: str | None = None
    user_id: str | None = None

    def __init__(self, detail: str = "", *, errcode: int | None = None, rid: str | None = None) -> None:
        super().__init__(detail or self.title)
        self.errcode = errcode
        self.rid = rid

    @property
    def detail(self) -> str:
        """Return the text for people."""
        return str(self.args[0])

    def asking_for_new_code(self) -> Self:
        """Return a copy whose `retry` is NEW_CODE. This error does not change: concurrent calls may share it."""
        changed = copy(self)
        changed.retry = Retry.NEW_CODE
        return changed


class RequestInvalid(WxLoginError):
    """The request is malformed. Its sender has to correct it."""

    code = "request_invalid"
    title = "The request is malformed"


class CodeMissing(WxLoginError):
    """The request has no code."""

    code = "code_missing"
    title = "The request has no code"


class AppUnknown(WxLoginError):
    """No configured app fits: the one named is unknown, or none is named and there are several."""

    code = "app_unknown"
    title = "No configured app fits this login"


class CodeInvalid(WxLoginError):
    """The identity provider does not know the code: wrong, older than five minutes, or of another app."""

    code = "code_invalid"
    title = "The identity provider does not know this code"
    retry = Retry.NEW_CODE


class CodeUsed(WxLoginError):
    """The code was used before. A code works once."""

    code = "code_used"
    title = "This code was used before"
    retry = Retry.NEW_CODE


class UserBlockedByProvider(WxLoginError):
    """The identity provider blocks the user as a high risk: errcode 40226 of WeChat."""

    code = "user_blocked_by_wechat"
    title = "The identity provider blocks this user"


class UserBlocked(WxLoginError):
    """An operator blocked the user."""

    code = "user_blocked"
    title = "This user is blocked"

    def __init__(
        self, detail: str = "", *, errcode: int | None = None, rid: str | None = None, user_id: str | None = None
    ) -> None:
        super().__init__(detail, errcode=errcode, rid=rid)
        self.user_id = user_id


class PhoneTaken(WxLoginError):
    """Another user has the phone number, and numbers have to be unique."""

    code = "phone_taken"
    title = "Another user has this phone number"


class AdminKeyInvalid(WxLoginError):
    """The request of an operator has no admin key, or one that is not configured."""

    code = "admin_key_invalid"
    title = "The request has no valid admin key; send it as Authorization: Bearer <key>"


class ScopeMissing(WxLoginError):
    """The admin key is valid, but lacks the scope that the call needs."""

    code = "scope_missing"
    title = "The admin key lacks the scope that this call needs"


class NotFound(WxLoginError):
    """There is no such thing, or it belongs to another user. The error does not tell which."""

    code = "not_found"
    title = "Not found, or of another user"


class DataUndecryptable(WxLoginError):
    """No stored session_key decrypts the data. A new login stores a new key."""

    code = "data_undecryptable"
    title = "No stored session_key decrypts the data"
    retry = Retry.NEW_CODE


class WatermarkMismatch(WxLoginError):
    """The data can be decrypted, but its watermark names another mini-program or none."""

    code = "watermark_mismatch"
    title = "The data was made for another mini-program"


class Unauthenticated(WxLoginError):
    """The request has no live session. The client logs in again."""

    retry = Retry.NEW_CODE


class TokenMissing(Unauthenticated):
    """The request carries no token."""

    code = "token_missing"
    title = "The request carries no token; send it as Authorization: Bearer <token>"


class TokenInvalid(Unauthenticated):
    """No session has this token, or the session is not retained any more."""

    code = "token_invalid"
    title = "No session has this token"


class SessionExpired(Unauthenticated):
    """The session was unused for too long, or reached its maximum age."""

    code = "session_expired"
    title = "The session expired"


class SessionEnded(Unauthenticated):
    """The session was logged out, by its user or by an operator."""

    code = "session_ended"
    title = "The session was logged out"


class SessionReplaced(Unauthenticated):
    """A newer login replaced the session: the same client logged in again, or the user had too many sessions."""

    code = "session_replaced"
    title = "A newer login replaced the session"


class AppMisconfigured(WxLoginError):
    """The identity provider rejects the app's credentials or this server's address. The operator corrects it."""

    code = "app_misconfigured"
    title = "The identity provider rejects this service's configuration"


class RateLimited(WxLoginError):
    """A quota is used up: one of the identity provider, or one of this service, described by `allowance`."""

    code = "rate_limited"
    title = "Too many requests"
    retry = Retry.LATER
    retry_after = timedelta(minutes=1)

    def __init__(
        self,
        detail: str = "",
        *,
        errcode: int | None = None,
        rid: str | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        super().__init__(detail, errcode=errcode, rid=rid)
        self.allowance = allowance
        if allowance:
            self.retry_after = allowance.wait


class Unavailable(WxLoginError):
    """A dependency does not work at the moment.

    The same request may succeed later. A request that sent a code needs a new code: see `domain.identity`.
    """

    retry = Retry.LATER


class IdentityProviderUnavailable(Unavailable):
    """The identity provider does not answer in time, reports that it is busy, or returns an unknown error."""

    code = "wechat_unavailable"
    title = "The identity provider is unavailable"


class IdentityProviderBadResponse(Unavailable):
    """The response of the identity provider cannot be understood."""

    code = "wechat_bad_answer"
    title = "The response of the identity provider cannot be understood"


class StoreUnavailable(Unavailable):
    """The database or the session store does not answer."""

    code = "store_unavailable"
    title = "The database or the session store is unavailable"


def error_named(code: str) -> type[WxLoginError]:
    """Return the error class with this `code`. Raises KeyError."""
    return {kind.code: kind for kind in _below(WxLoginError) if "code" in vars(kind)}[code]


def _below(kind: type[WxLoginError]) -> Iterator[type[WxLoginError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)
