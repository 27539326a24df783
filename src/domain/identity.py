"""Who somebody is to WeChat."""

import re
from dataclasses import dataclass, field
from typing import ClassVar

from domain.errors import AppUnknown, CodeMissing, RequestInvalid

APPID = re.compile(r"[A-Za-z0-9_-]{1,64}")
CODE = re.compile(r"[!-~]{1,512}")
ID = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class AppId:
    """A mini-program's public name, `wx` and 16 hex digits in practice. Raises RequestInvalid."""

    value: str

    def __post_init__(self) -> None:
        if not APPID.fullmatch(self.value):
            raise RequestInvalid("appid must be 1 to 64 letters and digits")

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class _Code:
    """What WeChat gave the client: works once, within five minutes. `giver` says where in the client it comes from.

    Raises CodeMissing when it is empty and RequestInvalid when it cannot be a code.
    """

    giver: ClassVar[str]
    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.value:
            raise CodeMissing(f"The request has no code; send what {self.giver} gave")
        if not CODE.fullmatch(self.value):
            raise RequestInvalid(f"code must be 1 to 512 printable ASCII characters, as {self.giver} gave it")


class LoginCode(_Code):
    """A code that says who the user is. Raises CodeMissing and RequestInvalid."""

    __slots__ = ()
    giver = "wx.login()"


class PhoneCode(_Code):
    """A code that is worth the user's phone number; it is no login code. Raises CodeMissing and RequestInvalid."""

    __slots__ = ()
    giver = "the phone button"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who WeChat says the user is: the openid is theirs in this app, the unionid in all apps of one owner.

    Raises ValueError for what cannot be one: a gateway is told both in headers, which have to stay whole.
    """

    appid: AppId
    openid: str
    unionid: str | None = None

    def __post_init__(self) -> None:
        if not ID.fullmatch(self.openid) or not (self.unionid is None or ID.fullmatch(self.unionid)):
            raise ValueError("openid and unionid are 1 to 128 printable ASCII characters")


def choose_app(configured: frozenset[AppId], named: str | None, hinted: str | None) -> AppId:
    """The app of a login: the one `named`; else the one `hinted`, if it is configured; else the only one.

    A hint comes from a Referer, which anybody can forge: it may choose, it never proves. Raises AppUnknown.
    """
    wanted = {app.value: app for app in configured}
    if named is not None:
        if named in wanted:
            return wanted[named]
        raise AppUnknown("The appid in the request is not configured here; see WXLOGIN_APPID and WXLOGIN_APPS")
    if hinted in wanted:
        return wanted[hinted]
    if len(configured) == 1:
        return next(iter(configured))
    raise AppUnknown("Several apps are configured; say which one in `appid`")
