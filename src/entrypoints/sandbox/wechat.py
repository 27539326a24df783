"""WeChat's rules: which codes it takes, from whom, and what it gives for them."""

import re
import secrets
import string
from base64 import b64encode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from entrypoints.sandbox.errors import MisuseError, WeChatError

CODE_LIFE_SECONDS = 300
CODE_MEMORY_SECONDS = 900
"""How long a code is remembered, so that a second use is told from a code that never was."""
ACCOUNTS_REMEMBERED = 100_000

_is_secret = re.compile(r"[0-9a-f]{32}", re.IGNORECASE).fullmatch
_alphanumerics = string.ascii_letters + string.digits


@dataclass(slots=True)
class LoginCode:
    """What wx.login() was given for one user of one app at `issued_at` (Unix seconds)."""

    code: str
    appid: str
    openid: str
    issued_at: float
    used: bool = False


@dataclass(slots=True)
class Account:
    """What WeChat knows of one user of one app."""

    unionid: str | None = None
    session_key: str | None = None


class WeChat:
    """WeChat as one server sees it.

    - `apps` maps appid to secret. Without any, every appid is an app, with any secret of 32 hex digits.
    - A code lives 300 seconds of `now` (Unix seconds), works once and only for its own app.
    - An account has one valid session_key; each exchange of a code replaces it.
    - All is in memory and bounded: a code is forgotten 900 seconds after it was issued, an account when
      100,000 others were seen since.
    """

    def __init__(self, now: Callable[[], float], apps: Mapping[str, str] | None = None) -> None:
        self._now = now
        self._apps = dict(apps or {})
        self._codes: OrderedDict[str, LoginCode] = OrderedDict()
        self._accounts: OrderedDict[tuple[str, str], Account] = OrderedDict()

    def issue_code(self, appid: str, openid: str | None = None, unionid: str | None = None) -> LoginCode:
        """What wx.login() does; without `openid` for a new user, or for the one that has `unionid`.

        Raises MisuseError for an appid that is not one of the given apps.
        """
        if self._apps and appid not in self._apps:
            raise MisuseError(f"appid {appid!r} is none of this sandbox's apps: {', '.join(self._apps)}")
        self._forget_old_codes()
        openid = openid or openid_of(appid, unionid or secrets.token_hex())
        if unionid:
            self._account(appid, openid).unionid = unionid
        issued = LoginCode(new_code(), appid, openid, self._now())
        self._codes[issued.code] = issued
        return issued

    def code2session(self, appid: str, secret: str, js_code: str, grant_type: str) -> dict[str, str]:
        """What the server gets for a code, an empty parameter being a missing one.

        Raises WeChatError, in this order: 41002, 41004, 41008 (appid, secret, js_code missing), 40002
        (grant_type), 40013 (unknown app), 40125 (its secret is another), 40029 (a code unknown or another
        app's), 40163 (used), 40029 (expired). Only success spends a code.
        """
        _require(appid, 41002)
        _require(secret, 41004)
        _require(js_code, 41008)
        _require(grant_type == "authorization_code", 40002)
        self._authenticate(appid, secret)
        return self._log_in(self._spend(js_code, appid))

    def _authenticate(self, appid: str, secret: str) -> None:
        if self._apps:
            _require(appid in self._apps, 40013)
            _require(secret == self._apps[appid], 40125)
        else:
            _require(_is_secret(secret), 40125)

    def _spend(self, js_code: str, appid: str) -> LoginCode:
        self._forget_old_codes()
        code = self._codes.get(js_code)
        if code is None or code.appid != appid:
            raise WeChatError(40029)
        _require(not code.used, 40163)
        _require(self._now() < code.issued_at + CODE_LIFE_SECONDS, 40029)
        code.used = True
        return code

    def _log_in(self, code: LoginCode) -> dict[str, str]:
        account = self._account(code.appid, code.openid)
        account.session_key = b64encode(secrets.token_bytes(16)).decode()
        answer = {"session_key": account.session_key, "openid": code.openid}
        return answer | {"unionid": account.unionid} if account.unionid else answer

    def _account(self, appid: str, openid: str) -> Account:
        account = self._accounts.setdefault((appid, openid), Account())
        self._accounts.move_to_end((appid, openid))
        if len(self._accounts) > ACCOUNTS_REMEMBERED:
            self._accounts.popitem(last=False)
        return account

    def _forget_old_codes(self) -> None:
        before = self._now() - CODE_MEMORY_SECONDS
        while self._codes and next(iter(self._codes.values())).issued_at <= before:
            self._codes.popitem(last=False)


def openid_of(appid: str, person: str) -> str:
    """The openid of `person` in an app: `o` and 27 URL-safe characters, the same every time."""
    return "o" + urlsafe_b64encode(sha256(f"{appid} {person}".encode()).digest()).decode()[:27]


def new_code() -> str:
    """32 letters and digits, the first a 0, as the codes seen in the wild."""
    return "0" + "".join(_alphanumerics[byte % 62] for byte in secrets.token_bytes(31))


def _require(satisfied: object, errcode: int) -> None:
    if not satisfied:
        raise WeChatError(errcode)
