"""Protect the controls against web pages in a browser on the same machine."""

import re
from http import HTTPStatus
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler

LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.IGNORECASE)

Connection = ASGIConnection[Any, Any, Any, Any]


def require_json(connection: Connection, _: BaseRouteHandler) -> None:
    """Raise 415 for a POST that is not application/json: any page can send the other types by a form."""
    given = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    if connection.scope.get("method") == "POST" and given != "application/json":
        raise HTTPException(
            "send the body with Content-Type: application/json", status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        )


def require_loopback(connection: Connection, _: BaseRouteHandler) -> None:
    """Raise 421 for a host name other than this machine's: that of a page may resolve to it (DNS rebinding)."""
    if not LOOPBACK.fullmatch(connection.headers.get("host", "")):
        raise HTTPException(
            "ask for 127.0.0.1, localhost or [::1], or start the sandbox with another --host",
            status_code=HTTPStatus.MISDIRECTED_REQUEST,
        )
