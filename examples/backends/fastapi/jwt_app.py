"""A FastAPI backend that verifies wxlogin's JWTs by itself. Run it with `uvicorn jwt_app:app`."""

import os
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

ISSUER, AUDIENCE = os.environ["JWT_ISSUER"], os.environ["JWT_AUDIENCE"]

keys = jwt.PyJWKClient(os.environ["JWT_JWKS_URL"], lifespan=300, timeout=2)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


def authenticate(bearer: Bearer) -> dict[str, Any]:
    """Return the claims of the token: sub is the user's id, client_id the appid."""
    if bearer is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    try:
        key = keys.get_signing_key_from_jwt(bearer.credentials)
        read = jwt.decode_complete(bearer.credentials, key, ["ES256"], issuer=ISSUER, audience=AUDIENCE)
        if read["header"].get("typ") != "at+jwt":
            raise jwt.InvalidTokenError("not an access token")
    except (jwt.PyJWKClientConnectionError, OSError):
        raise HTTPException(503, headers={"Retry-After": "1"}) from None
    except jwt.PyJWTError:
        raise HTTPException(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}) from None
    claims: dict[str, Any] = read["payload"]
    return claims


app = FastAPI()


@app.get("/orders")
def orders(caller: Annotated[dict[str, Any], Depends(authenticate)]) -> dict[str, str]:
    """Use the caller."""
    return {"user_id": caller["sub"], "appid": caller["client_id"]}
