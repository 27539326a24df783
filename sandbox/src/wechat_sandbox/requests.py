"""Requests and responses of WeChat."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import parse_qsl

import msgspec

from wechat_sandbox.errors import WeChatError, require

MAX_BODY_BYTES = 1024 * 1024
TEXT = "text/plain"
JSON = "application/json; encoding=utf-8"
PNG = "image/png"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Request:
    """A request: header names in lower case, the app of its access_token, and whether that app signed it."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    appid: str = ""
    signed: bool = False

    def parameter(self, name: str) -> str:
        """Return a parameter of the query; empty if it is missing."""
        return self.query.get(name, "")

    @property
    def is_chunked(self) -> bool:
        """Return whether the body came in chunks, without a Content-Length (RFC 9112 section 7.1)."""
        return "transfer-encoding" in self.headers

    def with_form(self) -> Self:
        """Return the request with the fields of a posted form beside the parameters of the query."""
        given = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        form = parse_query(self.body.decode("latin-1")) if self.method == "POST" and given == FORM else {}
        return replace(self, query={**self.query, **form})

    def json(self) -> dict[str, object]:
        """Return the JSON object of the body. Raises WeChatError: 44002 (no body), 47001 (something else)."""
        require(self.body, 44002)
        try:
            return msgspec.json.decode(self.body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WeChatError(47001) from error


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and its errcode."""

    body: bytes
    status: int = 200
    media_type: str = JSON
    errcode: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def media_type_of(path: str) -> str:
    """Return the content type that WeChat gives its JSON: a client should read it as JSON whatever it is."""
    return TEXT if path.startswith("/sns/") else JSON


def parse_query(query: str) -> dict[str, str]:
    """Return the parameters of a query string, the last one of repeated ones."""
    return dict(parse_qsl(query, keep_blank_values=True))


def text(body: Mapping[str, object], name: str) -> str:
    """Return a text of a JSON body; empty if it is missing. Raises WeChatError, 47001 for another type."""
    value = body.get(name, "")
    require(isinstance(value, str), 47001)
    return str(value)


def flag(body: Mapping[str, object], name: str, default: bool = False) -> bool:
    """Return a boolean of a JSON body; `default` if it is missing. Raises WeChatError, 47001 for another type."""
    value = body.get(name, default)
    require(isinstance(value, bool), 47001)
    return value is True


def number(body: Mapping[str, object], name: str, default: int) -> int:
    """Return an integer of a JSON body; `default` if it is missing. Raises WeChatError, 47001 for another type."""
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise WeChatError(47001)
    return value
