"""Who somebody is to WeChat."""

import re
from dataclasses import dataclass, field

from domain.errors import AppUnknown, CodeMissing, RequestInvalid

APPID = re.compile(r"[A-Za-z0-9_-]{1,64}")
CODE = re.compile(r"[!-~]{1,512}")


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
class LoginCode:
    """What wx.login() gave the client: works once, within five minutes.

    Raises CodeMissing when it is empty and RequestInvalid when it cannot be a code.
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.value:
            raise CodeMissing("The request has no code; send what wx.login() gave")
        if not CODE.fullmatch(self.value):
            raise RequestInvalid("code must be 1 to 512 printable ASCII characters, as wx.login() gave it")


@dataclass(frozen=True, slots=True)
class PhoneCode:
    """What the phone button gave the client: works once, within five minutes, and is no login code.

    Raises CodeMissing when it is empty and RequestInvalid when it cannot be a code.
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.value:
            raise CodeMissing("The request has no code; send what the phone button gave")
        if not CODE.fullmatch(self.value):
            raise RequestInvalid("code must be 1 to 512 printable ASCII characters, as the phone button gave it")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who WeChat says the user is: the openid is theirs in this app, the unionid in all apps of one owner."""

    appid: AppId
    openid: str
    unionid: str | None = None


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
