"""HTTP clients without TLS: one that could check certificates reads the system's first, 30 ms of the processor each."""

import ssl
from typing import Any

import httpx

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

WELL_ALIVE = httpx.Limits(keepalive_expiry=2)
"""The sandbox closes a connection after 5 idle seconds, and httpx's own limit is the same: a request may cross that."""


def client(**options: Any) -> httpx.Client:
    """A client with httpx's options, that waits 20 seconds for an answer unless they say otherwise."""
    return httpx.Client(**{"timeout": 20, "verify": NO_CERTIFICATES, "limits": WELL_ALIVE, **options})


def ask(url: str, method: str = "GET", **options: Any) -> httpx.Response:
    """One request, on a connection of its own."""
    with client() as once:
        return once.request(method, url, **options)
