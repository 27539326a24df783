"""A stand-in for the service's side of scanned logins. To be replaced by `wxlogin serve` when it has them.

It is as the public interface describes them, keeps everything in memory, and knows one client.
"""

import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.device import Device
from support import plain_http
from support.processes import APPID, SECRET
from support.servers import free_port, wait_until

CLIENT, CLIENT_SECRET = "example-shop", "0123456789abcdef0123456789abcdef"
LIFE_SECONDS = 120


@dataclass
class Scan:
    """A login that a website asked for."""

    device_code: str
    browser: Device
    expires_at: float
    numbers: list[str]
    match_number: str
    interval: float = 2
    polled_at: float = 0
    user: str | None = None
    state: str = "pending"


class Session(NamedTuple):
    """A session. The id is public."""

    id: str
    user: str
    device: Device


@dataclass
class ScanService:
    """The routes of logins, sessions and scans, for one mini-program of the sandbox."""

    sandbox: str
    url: str = ""
    scans: dict[str, Scan] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    ahead: float = 0
    away: bool = False

    def advance(self, seconds: float) -> None:
        """Move the service's clock."""
        self.ahead += seconds

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Lose the session store until the block ends."""
        self.away = True
        yield
        self.away = False

    def now(self) -> float:
        """Return the time in Unix seconds."""
        return time.time() + self.ahead

    def start_session(self, user: str, device: Device) -> str:
        """Start a session, and return its token."""
        token = secrets.token_urlsafe(32)
        self.sessions[token] = Session(secrets.token_hex(16), user, device)
        return token

    def session_of(self, request: Request) -> Session:
        """Return the session of the request's token."""
        if self.away:
            raise Refused(503, {"code": "store_unavailable", "retry": "later"}, {"Retry-After": "1"})
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.sessions:
            raise Refused(401, {"code": "token_invalid", "retry": "new_code"})
        return self.sessions[token]

    async def log_in(self, request: Request) -> Response:
        """POST /v1/sessions."""
        code = (await request.json())["code"]
        query = {"appid": APPID, "secret": SECRET, "js_code": code, "grant_type": "authorization_code"}
        user = (await self._ask("GET", "/sns/jscode2session", params=query)).json()["openid"]
        token = self.start_session(user, device_of(request))
        times = {"created_at": shown(self.now()), "expires_at": shown(self.now() + 3600)}
        return JSONResponse({"token": token, "session": times, "user": {"id": user, "name": ""}}, 201)

    async def me(self, request: Request) -> Response:
        """GET /v1/me."""
        return JSONResponse({"id": self.session_of(request).user, "name": ""})

    async def list_sessions(self, request: Request) -> Response:
        """GET /v1/sessions."""
        own, at = self.session_of(request), shown(self.now())
        mine = [session for session in self.sessions.values() if session.user == own.user]
        return JSONResponse(
            {
                "sessions": [
                    {
                        "id": session.id,
                        "current": session == own,
                        "device": session.device.label,
                        "ip": session.device.ip,
                        "created_at": at,
                        "last_seen_at": at,
                    }
                    for session in mine
                ]
            }
        )

    async def log_out(self, request: Request) -> Response:
        """DELETE /v1/sessions/current and /v1/sessions/{id}."""
        own = self.session_of(request)
        ended = request.path_params["id"] if request.path_params["id"] != "current" else own.id
        self.sessions = {token: each for token, each in self.sessions.items() if each.id != ended}
        return Response(status_code=204)

    async def authorize_device(self, request: Request) -> Response:
        """POST /oauth2/device_authorization."""
        form = await form_of_client(request)
        scene, numbers = (
            secrets.token_urlsafe(16),
            [str(number) for number in secrets.SystemRandom().sample(range(10, 100), 3)],
        )
        scan = Scan(
            device_code=secrets.token_urlsafe(32),
            browser=Device(form.get("user_agent"), form.get("ip")),
            expires_at=self.now() + LIFE_SECONDS,
            numbers=numbers,
            match_number=secrets.choice(numbers),
        )
        self.scans[scene] = scan
        return JSONResponse(
            {
                "device_code": scan.device_code,
                "user_code": scan.match_number,
                "verification_uri": f"{self.url}/oauth2/device",
                "expires_in": LIFE_SECONDS,
                "interval": 2,
                "wxacode": f"{self.url}/oauth2/device/{scene}.jpg",
                "match_number": scan.match_number,
            }
        )

    async def draw(self, request: Request) -> Response:
        """GET /oauth2/device/{scene}.jpg."""
        scene = request.path_params["scene"]
        order = {"grant_type": "client_credential", "appid": APPID, "secret": SECRET}
        token = (await self._ask("POST", "/cgi-bin/stable_token", json=order)).json()["access_token"]
        query, body = {"access_token": token}, {"scene": scene, "page": "pages/scan/scan", "check_path": False}
        drawn = await self._ask("POST", "/wxa/getwxacodeunlimit", params=query, json=body)
        if drawn.headers["content-type"] != "image/jpeg":
            raise Refused(429, {"code": "rate_limited", "retry": "later"}, {"Retry-After": "37"})
        return Response(drawn.content, media_type="image/jpeg")

    async def look(self, request: Request) -> Response:
        """GET /v1/scans/{scene}."""
        scan = self._scan(request)
        return JSONResponse(
            {
                "client": CLIENT,
                "user_agent": scan.browser.label,
                "ip": scan.browser.ip,
                "created_at": shown(scan.expires_at - LIFE_SECONDS),
                "expires_at": shown(scan.expires_at),
                "match_numbers": scan.numbers,
            }
        )

    async def decide(self, request: Request) -> Response:
        """POST /v1/scans/{scene}."""
        scan, decision = self._scan(request), await request.json()
        approved = decision["approve"] and decision.get("match_number") == scan.match_number
        scan.state = "approved" if approved else "denied"
        return Response(status_code=204)

    def _scan(self, request: Request) -> Scan:
        user, scan = self.session_of(request).user, self.scans.get(request.path_params["scene"])
        if not scan or scan.state != "pending" or scan.expires_at <= self.now() or scan.user not in (None, user):
            raise Refused(404, {"code": "not_found", "retry": "never"})
        scan.user = user
        return scan

    async def token(self, request: Request) -> Response:
        """POST /oauth2/token."""
        form = await form_of_client(request)
        if self.away:
            raise Refused(503, {"code": "store_unavailable", "retry": "later"}, {"Retry-After": "1"})
        scan = next((scan for scan in self.scans.values() if scan.device_code == form["device_code"]), None)
        if not scan or scan.state == "spent":
            raise Refused(400, {"error": "invalid_grant"})
        last, scan.polled_at = scan.polled_at, self.now()
        if scan.state == "denied":
            raise Refused(400, {"error": "access_denied"})
        if scan.expires_at <= self.now():
            raise Refused(400, {"error": "expired_token"})
        if scan.state == "approved" and scan.user:
            scan.state = "spent"
            token = self.start_session(scan.user, scan.browser)
            return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 3600})
        if self.now() - last < scan.interval:
            scan.interval += 5
            raise Refused(400, {"error": "slow_down"})
        raise Refused(400, {"error": "authorization_pending"})

    async def _ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.sandbox, verify=plain_http.NO_CERTIFICATES) as client:
            return await client.request(method, path, **options)


class Refused(Exception):
    """A response that is an error."""

    def __init__(self, status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.response = JSONResponse(body, status, headers)


async def refuse(_: Request, error: Exception) -> Response:
    """Return the response of a Refused."""
    assert isinstance(error, Refused)
    return error.response


async def form_of_client(request: Request) -> dict[str, str]:
    """Return the form of the client."""
    basic = b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
    if request.headers.get("authorization") != f"Basic {basic}":
        raise Refused(401, {"error": "invalid_client"})
    return dict(parse_qsl((await request.body()).decode()))


def device_of(request: Request) -> Device:
    """Return the device that sent the request."""
    return Device(request.headers.get("user-agent"), request.client.host if request.client else None)


def shown(unix: float) -> str:
    """Return a time of the service in RFC 3339."""
    return datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")


@contextmanager
def scan_service(sandbox: str) -> Iterator[ScanService]:
    """Serve a stand-in that asks the sandbox, until the block ends."""
    service = ScanService(sandbox)
    routes = [
        Route("/v1/sessions", service.log_in, methods=["POST"]),
        Route("/v1/sessions", service.list_sessions),
        Route("/v1/sessions/{id}", service.log_out, methods=["DELETE"]),
        Route("/v1/me", service.me),
        Route("/oauth2/device_authorization", service.authorize_device, methods=["POST"]),
        Route("/oauth2/device/{scene}.jpg", service.draw),
        Route("/oauth2/token", service.token, methods=["POST"]),
        Route("/v1/scans/{scene}", service.look),
        Route("/v1/scans/{scene}", service.decide, methods=["POST"]),
    ]
    port = free_port()
    service.url = f"http://127.0.0.1:{port}"
    application = Starlette(routes=routes, exception_handlers={Refused: refuse})
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), "the stand-in")
        yield service
    finally:
        server.should_exit = True
        thread.join()
