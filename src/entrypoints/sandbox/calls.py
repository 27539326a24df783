"""What was called, for a test or a person to look at."""

from collections import deque
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from entrypoints.sandbox.clock import rfc3339

CALLS_REMEMBERED = 1000
MASKED = {"secret", "js_code", "access_token"}


@dataclass(slots=True)
class Call:
    """One call of WeChat. `status` is None while it is not answered, and for good when it was dropped."""

    at: float
    method: str
    path: str
    query: str = field(repr=False)
    status: int | None = None
    errcode: int | None = None

    def shown(self) -> dict[str, object]:
        """The call as JSON shows it, with every secret masked."""
        query = {name: mask(value) if name in MASKED else value for name, value in parse_query(self.query).items()}
        shown = {"at": rfc3339(self.at), "method": self.method, "path": self.path, "query": query}
        errcode = {} if self.errcode is None else {"errcode": self.errcode}
        return {**shown, "status": self.status, **errcode}


class Calls:
    """The last 1,000 calls."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=CALLS_REMEMBERED)

    def add(self, call: Call) -> None:
        """Note a call as it arrives; its outcome is written into it later."""
        self._calls.append(call)

    def shown(self) -> list[dict[str, object]]:
        """All of them, the newest last."""
        return [call.shown() for call in self._calls]


def parse_query(query: str) -> dict[str, str]:
    """The parameters of a query string; of a repeated one the last."""
    return dict(parse_qsl(query, keep_blank_values=True))


def mask(value: str) -> str:
    """The first four characters, enough to tell two apart, of a value long enough to keep the rest secret."""
    if len(value) < 16:
        return value and "***"
    return f"{value[:4]}***"
