"""HTTP clients without TLS: one that could check certificates reads the system's first, 30 ms of the processor each."""

import ssl
from typing import Any

import httpx2
from litestar.types import ASGIApp

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

WELL_ALIVE = httpx2.Limits(keepalive_expiry=2)
"""The sandbox closes a connection after 5 idle seconds. With the same limit here, a request may cross that."""


def client(**options: Any) -> httpx2.Client:
    """A client with httpx2's options, that waits 20 seconds for an answer unless they say otherwise."""
    return httpx2.Client(**{"timeout": 20, "verify": NO_CERTIFICATES, "limits": WELL_ALIVE, **options})


def transport_to(application: ASGIApp) -> httpx2.ASGITransport:
    """A transport to an application in this process."""
    return httpx2.ASGITransport(application)  # type: ignore[arg-type]  # ASGI, typed twice


def ask(url: str, method: str = "GET", **options: Any) -> httpx2.Response:
    """One request, on a connection of its own."""
    with client() as once:
        return once.request(method, url, **options)
