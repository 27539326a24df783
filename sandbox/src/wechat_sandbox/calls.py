"""The log of calls, for tests and people."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Self

from wechat_sandbox.clock import rfc3339
from wechat_sandbox.errors import WeChatError
from wechat_sandbox.requests import Request

CALLS_REMEMBERED = 1000
SHOWN = {
    "appid",
    "check_path",
    "env_version",
    "force_refresh",
    "grant_type",
    "mch_id",
    "openid",
    "out_trade_no",
    "page",
    "sig_method",
    "transaction_id",
    "unionid",
    "width",
}
"""The parameters that are no secret. All others are masked, unknown ones, too."""
FIELDS_SHOWN = 32
NAME_CHARACTERS = 32
CHARACTERS_SHOWN = 128


@dataclass(slots=True)
class Call:
    """A call, with secrets masked. `status` is None before it is answered, and if it was dropped.

    `body` is None without a body, and a text with its size if it was not a JSON object.
    """

    at: float
    method: str
    path: str
    query: Mapping[str, object]
    body: Mapping[str, object] | str | None = None
    status: int | None = None
    errcode: int | None = None

    @classmethod
    def of(cls, request: Request, at: float) -> Self:
        """Return the call of `request`, at `at` (Unix seconds)."""
        return cls(at, request.method, request.path[:CHARACTERS_SHOWN], masked(request.query), shown_body(request))

    def shown(self) -> dict[str, object]:
        """Return the call for JSON."""
        shown = {"at": rfc3339(self.at), "method": self.method, "path": self.path, "query": self.query}
        body = {} if self.body is None else {"body": self.body}
        errcode = {} if self.errcode is None else {"errcode": self.errcode}
        return {**shown, **body, "status": self.status, **errcode}


class Calls:
    """The last 1,000 calls, and the number of all: `total`."""

    def __init__(self) -> None:
        self.total = 0
        self._calls: deque[Call] = deque(maxlen=CALLS_REMEMBERED)

    def add(self, call: Call) -> None:
        """Add a call when it arrives. Its outcome is set later."""
        self.total += 1
        self._calls.append(call)

    def shown(self) -> list[dict[str, object]]:
        """Return all calls, newest last."""
        return [call.shown() for call in self._calls]


def shown_body(request: Request) -> Mapping[str, object] | str | None:
    """Return the masked fields of a JSON object, or the size of another body."""
    if not request.body:
        return None
    try:
        return masked(request.json())
    except WeChatError:
        return f"{len(request.body)} bytes that are no JSON object"


def masked(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the first 32 fields, with secrets masked. Long names are masked, too: they may be secrets."""
    names = islice(fields, FIELDS_SHOWN)
    return {name if len(name) <= NAME_CHARACTERS else mask(name): _shown(name, fields[name]) for name in names}


def mask(value: str) -> str:
    """Return the first four characters of a long value, which suffice to distinguish values."""
    if len(value) < 16:
        return value and "***"
    return f"{value[:4]}***"


def _shown(name: str, value: object) -> object:
    if isinstance(value, Mapping | list):
        return "***"
    if value is None or isinstance(value, bool):
        return value
    return str(value)[:CHARACTERS_SHOWN] if name in SHOWN else mask(str(value))
