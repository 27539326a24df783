"""A website whose users log in by scanning a code with WeChat. Run it with `uvicorn website:app --port 8080`.

The browser knows its own cookie only. The device code and the token stay in this process.
"""

import logging
import os
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx2
from fastapi import Cookie, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

WXLOGIN = os.environ.get("WXLOGIN_URL", "http://127.0.0.1:8000").rstrip("/")
CLIENT = os.environ["OAUTH_CLIENT_ID"], os.environ["OAUTH_CLIENT_SECRET"]
HTTPS = os.environ.get("WEBSITE_HTTPS") == "1"  # the cookie is then sent over HTTPS only

COOKIE = "__Host-session" if HTTPS else "session"
SESSION_SECONDS = 12 * 3600
MAX_SESSIONS = 100_000
MAX_INTERVAL = 16  # seconds between two polls while wxlogin is away
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
PAGE = (Path(__file__).parent / "index.html").read_text(encoding="utf-8")

wxlogin = httpx2.AsyncClient(base_url=WXLOGIN, timeout=5)


@dataclass
class Code:
    """A code on the screen. Times are seconds of time.monotonic()."""

    device_code: str
    picture: bytes
    media_type: str
    number: str | None
    expires_at: float
    interval: float
    next_poll: float
    state: str = "waiting"  # then "denied", "expired" or "approved"
    scanned: bool = False
    id: str = field(default_factory=lambda: secrets.token_urlsafe(8))  # tells the page whether it shows this code

    def shown(self) -> dict[str, Any]:
        """Return what the page may know."""
        left = max(0, round(self.expires_at - time.monotonic()))
        shown = {"id": self.id, "state": self.state, "scanned": self.scanned}
        return {**shown, "number": self.number, "seconds": left}


@dataclass
class Session:
    """The state of one browser: a code, and after the login a token of wxlogin."""

    until: float
    code: Code | None = None
    token: str | None = None


sessions: dict[str, Session] = {}  # a real website keeps them where all its processes find them
SessionId = Annotated[str | None, Cookie(alias=COOKIE)]


def find(session_id: str | None) -> Session | None:
    """Return the session of the browser, if it has one."""
    session = sessions.get(session_id or "")
    return session if session and session.until > time.monotonic() else None


def start(response: Response, session_id: str | None, **content: Any) -> Session:
    """Start a session under a new id, in place of the one before, and give the browser its cookie.

    Without a token, it lives as long as its code: anybody can start one.
    """
    sessions.pop(session_id or "", None)
    now = time.monotonic()
    for old in [key for key, session in sessions.items() if session.until <= now]:
        del sessions[old]
    if len(sessions) >= MAX_SESSIONS:
        raise HTTPException(503)
    new_id = secrets.token_urlsafe(32)
    until = code.expires_at if (code := content.get("code")) else now + SESSION_SECONDS
    sessions[new_id] = session = Session(until, **content)
    response.set_cookie(COOKIE, new_id, max_age=SESSION_SECONDS, httponly=True, samesite="lax", secure=HTTPS)
    return session


async def ask(method: str, url: str, *, expected: set[int], **options: Any) -> httpx2.Response:
    """Send a request to wxlogin. Raise 429 when it asks to wait, and 503 for no answer and an unexpected one."""
    try:
        answer = await wxlogin.request(method, url, **options)
    except httpx2.HTTPError as error:
        logging.warning("wxlogin did not answer: %r", error)
        raise HTTPException(503) from None
    if answer.status_code == 429:
        raise HTTPException(429, headers={"Retry-After": answer.headers.get("Retry-After", "60")})
    if answer.status_code not in expected:
        logging.warning("wxlogin: HTTP %s %s", answer.status_code, answer.text[:500])
        raise HTTPException(503)
    return answer


async def new_code(request: Request) -> Code:
    """Ask for a code for this browser: https://www.rfc-editor.org/rfc/rfc8628#section-3.1."""
    browser = {"user_agent": request.headers.get("user-agent", "")[:512], "ip": request.client.host}
    answer = await ask("POST", "/oauth2/device_authorization", expected={200}, data=browser, auth=CLIENT)
    body = answer.json()
    picture = await ask("GET", body["wxacode"], expected={200})
    now = time.monotonic()
    return Code(
        device_code=body["device_code"],
        picture=picture.content,
        media_type=picture.headers["content-type"],
        number=body.get("match_number"),
        expires_at=now + body["expires_in"],
        interval=body["interval"],
        next_poll=now + body["interval"],
    )


async def poll(code: Code) -> str | None:
    """Ask what the user decided, and return the token after an approval. RFC 8628 section 3.5."""
    now = time.monotonic()
    if code.state != "waiting" or now < code.next_poll:
        return None
    code.next_poll = now + code.interval  # before the request: another tab may poll meanwhile
    data = {"grant_type": DEVICE_CODE, "device_code": code.device_code}
    try:
        answer = await ask("POST", "/oauth2/token", expected={200, 400}, data=data, auth=CLIENT)
    except HTTPException:
        code.interval = min(2 * code.interval, MAX_INTERVAL)
        code.next_poll = now + code.interval
        raise
    body = answer.json()
    if answer.is_success:
        code.state = "approved"
        return str(body["access_token"])
    match body["error"]:
        case "authorization_pending":
            code.scanned = code.scanned or body.get("scanned", False)  # a member of wxlogin's own
        case "slow_down":
            code.interval += 5
            code.next_poll = now + code.interval
        case "access_denied":
            code.state = "denied"
        case error:  # expired_token, or invalid_grant when the token was handed out already
            logging.info("the code is over: %s", error)
            code.state = "expired"
    return None


@asynccontextmanager
async def lifespan(_: FastAPI):
    """Close the connections to wxlogin at the end."""
    async with wxlogin:
        yield


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.middleware("http")
async def add_headers(request: Request, call_next):
    """Forbid caches, frames, and the Referer header."""
    response = await call_next(request)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@app.get("/")
async def page() -> HTMLResponse:
    """Show the page, whose style and script alone may run in it."""
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(PAGE.replace("NONCE", nonce), headers={"Content-Security-Policy": policy})


@app.get("/me")
async def me(session_id: SessionId = None) -> dict[str, Any]:
    """Return the user, or null. A session that was ended on the phone ends here, too."""
    session = find(session_id)
    if not session or not session.token:
        return {"user": None}
    answer = await ask("GET", "/v1/me", expected={200, 401}, headers={"Authorization": f"Bearer {session.token}"})
    if answer.status_code == 401:
        sessions.pop(session_id or "", None)
        return {"user": None}
    user = answer.json()
    return {"user": {"id": user["id"], "name": user["name"]}}


@app.post("/login")
async def begin(request: Request, response: Response, session_id: SessionId = None) -> dict[str, Any]:
    """Return the code on the screen: the one that this browser has already, or a new one."""
    session = find(session_id)
    if session and session.token:
        return {"state": "approved"}
    if session and session.code and session.code.state == "waiting" and session.code.expires_at > time.monotonic():
        return session.code.shown()
    code = await new_code(request)
    start(response, session_id, code=code)
    return code.shown()


@app.get("/login")
async def check(response: Response, session_id: SessionId = None) -> dict[str, Any]:
    """Return what became of the code. After an approval, the browser is logged in under another cookie."""
    session = find(session_id)
    if not session or not session.code:
        return {"state": "approved" if session and session.token else "expired"}
    code = session.code
    if token := await poll(code):
        start(response, session_id, token=token)
    elif code.state == "waiting" and code.expires_at <= time.monotonic():
        code.state = "expired"
    return code.shown()


@app.get("/login/picture")
async def picture(session_id: SessionId = None) -> Response:
    """Return the picture from here: the page loads nothing from another host."""
    session = find(session_id)
    if not session or not session.code:
        raise HTTPException(404)
    return Response(session.code.picture, media_type=session.code.media_type)


@app.post("/logout", status_code=204)
async def logout(response: Response, session_id: SessionId = None) -> None:
    """End the session here and in wxlogin."""
    session = sessions.pop(session_id or "", None)
    response.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=HTTPS)
    if session and session.token:
        await ask(
            "DELETE", "/v1/sessions/current", expected={204, 401}, headers={"Authorization": f"Bearer {session.token}"}
        )
