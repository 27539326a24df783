"""Codes, which work once."""

import secrets
import string
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from wechat_sandbox.errors import WeChatError, require

CODE_LIFE_SECONDS = 300
CODE_MEMORY_SECONDS = 900
"""How long a code is remembered, so that a used code is not taken for an unknown one."""
CODES_REMEMBERED = 100_000

_alphanumerics = string.ascii_letters + string.digits

T = TypeVar("T")


@dataclass(slots=True)
class Code(Generic[T]):
    """A code of an app for `worth`, issued at `issued_at` (Unix seconds)."""

    value: str = field(repr=False)
    appid: str
    worth: T
    issued_at: float
    used: bool = False


class Codes(Generic[T]):
    """Codes of one type. Each is valid once, for 300 seconds of `now` (Unix seconds), and for its app.

    A code is dropped 900 seconds after its issue, and after 100,000 newer ones.
    """

    def __init__(
        self,
        now: Callable[[], float],
        new: Callable[[], str],
        *,
        used_errcode: int = 40029,
        foreign_errcode: int = 40029,
    ) -> None:
        self._now = now
        self._new = new
        self._used_errcode = used_errcode
        self._foreign_errcode = foreign_errcode
        self._codes: OrderedDict[str, Code[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._codes)

    def issue(self, appid: str, worth: T) -> str:
        """Issue a new code."""
        self._forget()
        code = Code(self._new(), appid, worth, self._now())
        self._codes[code.value] = code
        return code.value

    def find(self, value: str, appid: str) -> Code[T]:
        """Return a code that is valid.

        Raises WeChatError, in this order: 40029 (unknown), `foreign_errcode` (another app's), `used_errcode` (used),
        40029 (expired).
        """
        self._forget()
        code = self._codes.get(value)
        if code is None:
            raise WeChatError(40029)
        require(code.appid == appid, self._foreign_errcode)
        require(not code.used, self._used_errcode)
        require(self._now() < code.issued_at + CODE_LIFE_SECONDS, 40029)
        return code

    def spend(self, value: str, appid: str) -> T:
        """Use the code, and return its `worth`. Raises WeChatError as `find`."""
        code = self.find(value, appid)
        code.used = True
        return code.worth

    def _forget(self) -> None:
        before = self._now() - CODE_MEMORY_SECONDS
        while self._codes and (
            len(self._codes) >= CODES_REMEMBERED or next(iter(self._codes.values())).issued_at <= before
        ):
            self._codes.popitem(last=False)


def new_login_code() -> str:
    """Return 32 letters and digits, the first a 0, like observed codes of wx.login()."""
    return "0" + "".join(_alphanumerics[byte % 62] for byte in secrets.token_bytes(31))


def new_phone_code() -> str:
    """Return 64 lower-case hex digits, like the phone button's code in WeChat's documentation."""
    return secrets.token_hex(32)
