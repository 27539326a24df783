"""Codes that a client is given and a server exchanges, once."""

import secrets
import string
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from entrypoints.sandbox.errors import WeChatError, require

CODE_LIFE_SECONDS = 300
CODE_MEMORY_SECONDS = 900
"""How long a code is remembered, so that a second use is told from a code that never was."""
CODES_REMEMBERED = 100_000

_alphanumerics = string.ascii_letters + string.digits

T = TypeVar("T")


@dataclass(slots=True)
class Code(Generic[T]):
    """A code of one app for `worth`, issued at `issued_at` (Unix seconds)."""

    value: str = field(repr=False)
    appid: str
    worth: T
    issued_at: float
    used: bool = False


class Codes(Generic[T]):
    """Codes of one kind, each good once, for 300 seconds of `now` (Unix seconds) and for its own app.

    A code is forgotten 900 seconds after it was issued, and when 100,000 others were issued since.
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
        """A new code."""
        self._forget()
        code = Code(self._new(), appid, worth, self._now())
        self._codes[code.value] = code
        return code.value

    def find(self, value: str, appid: str) -> Code[T]:
        """The code, which is still good.

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
        """What the code is worth; it is used from now on. Raises WeChatError as `find`."""
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
    """32 letters and digits, the first a 0, as the codes of wx.login() seen in the wild."""
    return "0" + "".join(_alphanumerics[byte % 62] for byte in secrets.token_bytes(31))


def new_phone_code() -> str:
    """64 lower-case hex digits, as the phone button's code in WeChat's documentation."""
    return secrets.token_hex(32)
