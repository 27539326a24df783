"""HTTP clients without TLS.

A client with TLS first reads the system's certificates, which takes 30 ms of processor time.
"""

import ssl
from typing import Any

import httpx2
from litestar.types import ASGIApp

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

WELL_ALIVE = httpx2.Limits(keepalive_expiry=2)
"""The sandbox closes a connection after 5 idle seconds.

A shorter limit here prevents a request on a closing connection.
"""


def client(**options: Any) -> httpx2.Client:
    """Return a client with httpx2's options, and by default a timeout of 20 seconds."""
    return httpx2.Client(**{"timeout": 20, "verify": NO_CERTIFICATES, "limits": WELL_ALIVE, **options})


def transport_to(application: ASGIApp) -> httpx2.ASGITransport:
    """Return a transport to an application in this process."""
    return httpx2.ASGITransport(application)  # type: ignore[arg-type]  # ASGI has two types


def fetch(url: str, method: str = "GET", **options: Any) -> httpx2.Response:
    """Send one request on its own connection."""
    with client() as once:
        return once.request(method, url, **options)
