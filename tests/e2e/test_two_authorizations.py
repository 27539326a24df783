"""A request with several Authorization headers is refused. A gateway may have checked another one than the service."""

import json
from typing import Any

import pytest

from support.devices import Device
from support.processes import Sandbox, Service
from support.servers import wait_until

WELL_FORMED = "x" * 43
PROTECTED = [
    ("GET", "/v1/sessions"),
    ("GET", "/v1/sessions/current"),
    ("DELETE", "/v1/sessions"),
    ("DELETE", "/v1/sessions/current"),
    ("GET", "/v1/me"),
    ("PUT", "/v1/me"),
    ("PUT", "/v1/me/phone"),
    ("POST", "/v1/wechat/decrypt"),
    ("GET", "/v1/wechat/session-key"),
]
each_second = pytest.mark.parametrize("second", ["{live}", f"Bearer {WELL_FORMED}", "Basic dXNlcjpwYXNz", ""])


def twice(first: str, second: str) -> list[list[tuple[str, str]]]:
    """Return both headers in either order."""
    return [
        [("Authorization", first), ("Authorization", second)],
        [("Authorization", second), ("Authorization", first)],
    ]


@each_second
@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_a_users_request_with_two_headers_is_refused(
    service: Service, me: Device, method: str, path: str, second: str
) -> None:
    """A user's request with two Authorization headers is request_invalid without a challenge.

    The session stays live.
    """
    live = f"Bearer {me.login['token']}"
    for headers in twice(live, second.format(live=live)):
        answer = service.http.request(method, path, headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")
        assert "www-authenticate" not in answer.headers
    assert me.reason() is None


@each_second
def test_a_login_with_two_headers_is_refused(service: Service, sandbox: Sandbox, me: Device, second: str) -> None:
    """A login with two Authorization headers is refused at either route, and its code still works."""
    live = f"Bearer {me.login['token']}"
    code = sandbox.code()
    for headers in twice(live, second.format(live=live)):
        answer = service.http.post("/v1/sessions", json={"code": code}, headers=headers)
        article = service.http.post("/login/", json={"code": code}, headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")
        assert (article.status_code, article.json()) == (400, {"status": 3, "msg": "请求格式错误"})
    assert service.log_in(code)["token"]


@pytest.mark.parametrize("path", ["introspect", "revoke"])
def test_a_backends_request_with_two_headers_is_refused(open_service: Any, sandbox: Sandbox, path: str) -> None:
    """Two client credentials are invalid_request (RFC 6749 section 5.2), even valid ones.

    They do not count as failures.
    """
    right, wrong = "Basic YmFja2VuZDpzM2NyZXQ=", "Basic YmFja2VuZDpndWVzcw=="
    with open_service(clients=json.dumps({"backend": "s3cret"})) as provider:
        token = provider.log_in(sandbox.code())["token"]
        for headers in [*twice(right, right), *twice(right, wrong), *twice(wrong, wrong) * 6]:
            answer = provider.http.post(f"/oauth2/{path}", data={"token": token}, headers=headers)

            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert provider.auth(token).status_code == 204
        assert provider.http.post(f"/oauth2/{path}", headers={"Authorization": wrong}).status_code == 401
        wait_until(lambda: "client_refused" in provider.process.text(), "the log")
        assert provider.process.text().count("client_refused") == 1
