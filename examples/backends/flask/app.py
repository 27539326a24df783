"""A Flask backend that asks wxlogin who is calling. Run it with `flask run`."""

import hashlib
import os
import threading
import time
from typing import Any

import httpx2
from cachetools import TLRUCache, cached
from flask import Flask, g, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import ServiceUnavailable, Unauthorized

URL = os.environ["OAUTH_INTROSPECTION_URL"]
CLIENT = os.environ["OAUTH_CLIENT_ID"], os.environ["OAUTH_CLIENT_SECRET"]
CACHE_SECONDS = float(os.environ.get("OAUTH_CACHE_SECONDS", "30"))  # how late a log-out may be seen

app = Flask(__name__)
wxlogin = httpx2.Client(auth=CLIENT, timeout=2)


@cached(
    TLRUCache(10_000, ttu=lambda _, claims, now: min(now + CACHE_SECONDS, claims["exp"]), timer=time.time),
    key=lambda token: hashlib.sha256(token.encode()).digest(),
    lock=threading.Lock(),
)
def introspect(token: str) -> dict[str, Any]:
    """Return what wxlogin says about a live token: sub is the user's id, client_id the appid."""
    try:
        claims: dict[str, Any] = wxlogin.post(URL, data={"token": token}).raise_for_status().json()
    except (httpx2.HTTPError, ValueError) as error:
        app.logger.warning("wxlogin did not answer: %r", error)
        raise ServiceUnavailable(retry_after=1) from None
    if not claims["active"]:
        raise Unauthorized(www_authenticate=WWWAuthenticate("bearer", {"error": "invalid_token"}))
    return claims


@app.before_request
def authenticate() -> None:
    """Refuse a request without a live token."""
    bearer = request.authorization
    if bearer is None or bearer.type != "bearer" or not bearer.token:
        raise Unauthorized(www_authenticate=WWWAuthenticate("bearer"))
    g.caller = introspect(bearer.token)


@app.get("/orders")
def orders() -> dict[str, str]:
    """Use the caller."""
    return {"user_id": g.caller["sub"], "openid": g.caller["openid"], "appid": g.caller["client_id"]}
