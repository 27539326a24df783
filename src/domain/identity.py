"""Apps, login codes, and the identities that WeChat gives."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from domain.errors import AppUnknown, CodeMissing, RequestInvalid, Unavailable

APPID = re.compile(r"[A-Za-z0-9_-]{1,64}")
CODE = re.compile(r"[!-~]{1,512}")
ID = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class AppId:
    """A mini-program's public name, `wx` and 16 hex digits in practice. Raises RequestInvalid."""

    value: str

    def __post_init__(self) -> None:
        if not APPID.fullmatch(self.value):
            raise RequestInvalid("appid must be 1 to 64 letters, digits, - and _")

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class _Code:
    """A code of WeChat's, valid once and for five minutes. `source` is the call of the client that returns it.

    Raises CodeMissing if it is empty, and RequestInvalid if it does not have the form of a code.
    """

    source: ClassVar[str]
    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.value:
            raise CodeMissing(f"The request has no code; send what {self.source} gave")
        if not CODE.fullmatch(self.value):
            raise RequestInvalid(f"code must be 1 to 512 printable ASCII characters, as {self.source} gave it")


class LoginCode(_Code):
    """A code for login, from wx.login(). Raises CodeMissing and RequestInvalid."""

    __slots__ = ()
    source = "wx.login()"


class PhoneCode(_Code):
    """A code for the user's phone number, from the phone button. Raises CodeMissing and RequestInvalid."""

    __slots__ = ()
    source = "the phone button"


@contextmanager
def code_may_be_spent() -> Iterator[None]:
    """Raise Unavailable with `retry` NEW_CODE, because WeChat may have accepted the code before the failure."""
    try:
        yield
    except Unavailable as error:
        raise error.asking_for_new_code().with_traceback(error.__traceback__) from error.__cause__


@dataclass(frozen=True, slots=True)
class Identity:
    """The user's ids at WeChat: the openid in this app, and the unionid in all apps of one owner.

    Raises ValueError for ids that cannot be sent in a header, as `/auth` does.
    """

    appid: AppId
    openid: str
    unionid: str | None = None

    def __post_init__(self) -> None:
        if not ID.fullmatch(self.openid) or not (self.unionid is None or ID.fullmatch(self.unionid)):
            raise ValueError("openid and unionid are 1 to 128 printable ASCII characters")


def choose_app(configured: frozenset[AppId], named: str | None, hinted: str | None) -> AppId:
    """Return the app of a login: `named`, else `hinted` if it is configured, else the only configured app.

    The hint comes from the Referer header, which a client can forge: it selects an app and proves nothing. Raises
    AppUnknown.
    """
    wanted = {app.value: app for app in configured}
    if named is not None:
        if named in wanted:
            return wanted[named]
        raise AppUnknown("The appid in the request is not one of the configured apps")
    if hinted in wanted:
        return wanted[hinted]
    if len(configured) == 1:
        return next(iter(configured))
    raise AppUnknown("Several apps are configured; name one in `appid`")
