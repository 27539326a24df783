"""A FastAPI backend that asks wxlogin who is calling. Run it with `uvicorn app:app`."""

import hashlib
import logging
import os
import time
from typing import Annotated, Any

import httpx2
from cachetools import TLRUCache
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

URL = os.environ["OAUTH_INTROSPECTION_URL"]
CLIENT = os.environ["OAUTH_CLIENT_ID"], os.environ["OAUTH_CLIENT_SECRET"]
CACHE_SECONDS = float(os.environ.get("OAUTH_CACHE_SECONDS", "30"))  # how late a log-out may be seen

wxlogin = httpx2.AsyncClient(auth=CLIENT, timeout=2)
cache = TLRUCache(10_000, ttu=lambda _, claims, now: min(now + CACHE_SECONDS, claims["exp"]), timer=time.time)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


async def authenticate(bearer: Bearer) -> dict[str, Any]:
    """Return what wxlogin says about the token: sub is the user's id, client_id the appid."""
    if bearer is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    key = hashlib.sha256(bearer.credentials.encode()).digest()
    if claims := cache.get(key):
        return claims
    try:
        answer = await wxlogin.post(URL, data={"token": bearer.credentials})
        claims = answer.raise_for_status().json()
    except (httpx2.HTTPError, ValueError) as error:
        logging.warning("wxlogin did not answer: %r", error)
        raise HTTPException(503, headers={"Retry-After": "1"}) from None
    if not claims["active"]:
        raise HTTPException(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    cache[key] = claims
    return claims


app = FastAPI()


@app.get("/orders")
async def orders(caller: Annotated[dict[str, Any], Depends(authenticate)]) -> dict[str, str]:
    """Use the caller."""
    return {"user_id": caller["sub"], "openid": caller["openid"], "appid": caller["client_id"]}
