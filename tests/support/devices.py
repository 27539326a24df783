"""Devices on which users of /v1 are logged in."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx2

from support.processes import Service

SESSION_FIELDS = {
    "id",
    "current",
    "created_at",
    "last_seen_at",
    "idle_expires_at",
    "expires_at",
    "user_agent",
    "ip",
    "device",
}
RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Device:
    """One login of one user, and the requests with its token."""

    def __init__(self, service: Service, code: str, **headers: str) -> None:
        answer = service.http.post("/v1/sessions", json={"code": code}, headers=headers)
        assert answer.status_code == 201, answer.text
        self.login = answer.json()
        self.id = self.login["session"]["id"]
        self._http = service.http
        self._bearer = {"Authorization": f"Bearer {self.login['token']}"}

    def send(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Send a request with this device's token."""
        headers = {**request.pop("headers", {}), **self._bearer}
        return self._http.request(method, path, headers=headers, **request)

    def use(self, service: Service) -> None:
        """Send the next requests to this service."""
        self._http = service.http

    def reason(self) -> str | None:
        """Return why the session is over, or None while it is live."""
        answer = self.send("GET", "/v1/sessions/current")
        return None if answer.status_code == 200 else str(answer.json()["code"])

    def sessions(self) -> list[dict[str, Any]]:
        """Return the sessions of the user."""
        sessions: list[dict[str, Any]] = self.send("GET", "/v1/sessions").raise_for_status().json()["sessions"]
        return sessions


LogIn = Callable[..., Device]


def time_of(text: str) -> datetime:
    """Return the time that the text contains."""
    return datetime.fromisoformat(text)


def problem_of(answer: httpx2.Response) -> tuple[int, str, str]:
    """Return the status, the code and the retry advice of a problem."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, body["code"], body["retry"]
