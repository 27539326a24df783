"""A call of WeChat as it came in, and its answer as it goes out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import msgspec

from entrypoints.sandbox.errors import WeChatError, require

MAX_BODY_BYTES = 1024 * 1024
# WeChat has served its JSON as text/plain: a client that trusts the type has to fail here, not in production.
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """One call: header names in lower case, the app whose access_token it carries, and whether that app signed it."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    appid: str = ""
    signed: bool = False

    def parameter(self, name: str) -> str:
        """A parameter of the query; empty when it is missing."""
        return self.query.get(name, "")

    def json(self) -> dict[str, object]:
        """The body's JSON object. Raises WeChatError: 44002 (there is no body), 47001 (it is something else)."""
        require(self.body, 44002)
        try:
            return msgspec.json.decode(self.body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WeChatError(47001) from error


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer over HTTP, and the errcode in it."""

    body: bytes
    status: int = 200
    media_type: str = TEXT
    errcode: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def parse_query(query: str) -> dict[str, str]:
    """The parameters of a query string; of a repeated one the last."""
    return dict(parse_qsl(query, keep_blank_values=True))


def text(body: Mapping[str, object], name: str) -> str:
    """A string of a JSON body; empty when it is missing. Raises WeChatError, 47001 when it is something else."""
    value = body.get(name, "")
    require(isinstance(value, str), 47001)
    return str(value)


def flag(body: Mapping[str, object], name: str) -> bool:
    """A boolean of a JSON body; false when it is missing. Raises WeChatError, 47001 when it is something else."""
    value = body.get(name, False)
    require(isinstance(value, bool), 47001)
    return value is True
