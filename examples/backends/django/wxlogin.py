"""Authentication of Django REST framework that asks wxlogin who is calling."""

import hashlib
import logging
import os
import threading
import time
from typing import Any

import httpx2
from cachetools import TLRUCache, cached
from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed

URL = os.environ["OAUTH_INTROSPECTION_URL"]
CLIENT = os.environ["OAUTH_CLIENT_ID"], os.environ["OAUTH_CLIENT_SECRET"]
CACHE_SECONDS = float(os.environ.get("OAUTH_CACHE_SECONDS", "30"))  # how late a log-out may be seen

wxlogin = httpx2.Client(auth=CLIENT, timeout=2)


class Unavailable(APIException):
    """503 with Retry-After."""

    status_code = 503
    wait = 1


class Caller:
    """The user of a request."""

    is_authenticated = True

    def __init__(self, claims: dict[str, Any]) -> None:
        self.id, self.openid, self.appid = claims["sub"], claims["openid"], claims["client_id"]


@cached(
    TLRUCache(10_000, ttu=lambda _, claims, now: min(now + CACHE_SECONDS, claims["exp"]), timer=time.time),
    key=lambda token: hashlib.sha256(token.encode()).digest(),
    lock=threading.Lock(),
)
def introspect(token: str) -> dict[str, Any]:
    """Return what wxlogin says about a live token."""
    try:
        claims: dict[str, Any] = wxlogin.post(URL, data={"token": token}).raise_for_status().json()
    except (httpx2.HTTPError, ValueError) as error:
        logging.warning("wxlogin did not answer: %r", error)
        raise Unavailable from None
    if not claims["active"]:
        raise AuthenticationFailed
    return claims


class WxloginAuthentication(TokenAuthentication):
    """Reads `Authorization: Bearer`, and makes the caller `request.user`."""

    keyword = "Bearer"

    def authenticate_credentials(self, key: str) -> tuple[Caller, None]:
        """Return the user of a live token."""
        return Caller(introspect(key)), None
