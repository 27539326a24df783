"""/auth: the answers to a gateway, and the headers that it copies."""

from typing import Any

import httpx2
import pytest

from support.processes import APPID, Sandbox, Service
from support.raw_http import exchange, request

METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]
WELL_FORMED = "x" * 43
IDENTITY = {"x-user-id", "x-session-id", "x-wx-openid", "x-wx-appid"}
FORGED = {
    "X-User-Id": "admin",
    "X-Session-Id": "forged",
    "X-WX-OPENID": "forged",
    "X-WX-APPID": "forged",
    "X-WX-UNIONID": "forged",
    "X-WX-SOURCE": "forged",
}


def identity_of(answer: httpx2.Response) -> dict[str, str]:
    """Return the headers with the caller's identity."""
    return {name: value for name, value in answer.headers.items() if name.startswith(("x-user", "x-session", "x-wx"))}


def challenge(reason: str) -> str:
    """Return the WWW-Authenticate header of a 401."""
    return f'Bearer error="invalid_token", error_description="{reason}"'


def send(service: Service, *authorizations: str | bytes) -> httpx2.Response:
    """Send GET /auth with these Authorization headers."""
    headers = [(b"Authorization", value if isinstance(value, bytes) else value.encode()) for value in authorizations]
    return service.http.get("/auth", headers=headers)


def refusal(answer: httpx2.Response) -> tuple[int, str, str]:
    """Return the status, reason and challenge of a refusal. It must not contain an identity."""
    assert identity_of(answer) == {}
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    return answer.status_code, answer.json()["code"], answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/auth/", 204), ("/auth/orders", 200), ("/auth/v1/me?page=1", 200), ("/auth/%2e%2e/metrics", 200)],
)
def test_a_path_below_auth_is_auth(service: Service, login: dict[str, Any], path: str, status: int) -> None:
    """Envoy appends the path of the client's request, and needs the status 200. The rest is as for /auth."""
    known = service.http.get(path, headers={"Authorization": f"Bearer {login['token']}"})
    unknown = service.http.get(path)

    assert (known.status_code, known.content) == (status, b"")
    assert identity_of(known) == identity_of(service.auth(login["token"]))
    assert unknown.status_code == 401


@pytest.mark.parametrize("path", ["/authx", "/AUTH", "//auth"])
def test_a_path_that_only_resembles_auth_is_not_found(service: Service, login: dict[str, Any], path: str) -> None:
    """Another path is not /auth, although it resembles it."""
    assert service.http.get(path, headers={"Authorization": f"Bearer {login['token']}"}).status_code == 404


@pytest.mark.parametrize("method", METHODS)
def test_any_method_is_answered(either_service: Service, sandbox: Sandbox, method: str) -> None:
    """For a live session every method is 204 without a body, with exactly the caller's identity."""
    login = either_service.log_in(sandbox.code(openid="o-of-any-method"))
    answer = either_service.http.request(method, "/auth", headers={"Authorization": f"Bearer {login['token']}"})

    assert (answer.status_code, answer.content) == (204, b"")
    assert identity_of(answer) == {
        "x-user-id": login["user"]["id"],
        "x-session-id": login["session"]["id"],
        "x-wx-openid": "o-of-any-method",
        "x-wx-appid": APPID,
    }
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", METHODS)
def test_any_method_is_refused(service: Service, method: str) -> None:
    """For a request without a token every method is 401."""
    answer = service.http.request(method, "/auth")

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert identity_of(answer) == {}


def test_a_body_is_ignored(service: Service, login: dict[str, Any]) -> None:
    """A gateway may send a body of up to 64 KiB with the request."""
    answer = service.http.post(
        "/auth", content=b"\xff" * 64 * 1024, headers={"Authorization": f"Bearer {login['token']}"}
    )

    assert answer.status_code == 204


def test_a_known_unionid_is_in_the_answer(either_service: Service, sandbox: Sandbox) -> None:
    """X-WX-UNIONID is present when the unionid is known."""
    token = either_service.log_in(sandbox.code(unionid="union-of-auth"))["token"]
    answer = either_service.auth(token)

    assert answer.headers["x-wx-unionid"] == "union-of-auth"


def test_identity_headers_of_a_client_are_not_in_the_answer(service: Service, login: dict[str, Any]) -> None:
    """The answer contains no identity headers from the request."""
    answer = service.http.get("/auth", headers={"Authorization": f"Bearer {login['token']}", **FORGED})

    assert identity_of(answer) == identity_of(service.auth(login["token"]))
    assert "forged" not in str(answer.headers.multi_items())
    assert "admin" not in str(answer.headers.multi_items())


def test_forged_headers_do_not_authenticate(service: Service) -> None:
    """Identity headers in a request do not authenticate."""
    assert refusal(service.http.get("/auth", headers=FORGED)) == (401, "token_missing", "Bearer")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_may_be_in_any_case(service: Service, login: dict[str, Any], scheme: str) -> None:
    """The scheme of Authorization is not case-sensitive (RFC 9110)."""
    assert send(service, f"{scheme} {login['token']}").status_code == 204


@pytest.mark.parametrize("authorization", ["", "Bearer", "Basic dXNlcjpwYXNz", WELL_FORMED, "Token " + WELL_FORMED])
def test_other_authorization_schemes_are_token_missing(service: Service, authorization: str) -> None:
    """A missing scheme, another scheme or a missing token is token_missing, without `error` in the challenge."""
    assert refusal(send(service, authorization)) == (401, "token_missing", "Bearer")


@pytest.mark.parametrize("blank", [b" ", b"\t", b"Bearer ", b"Bearer \t  "])
def test_a_blank_authorization_is_token_missing(service: Service, blank: bytes) -> None:
    """An Authorization header of blanks, or with blanks after the scheme, is token_missing."""
    asked = request("/auth", "Connection: close", f"Authorization: {blank.decode()}")
    answered = exchange(service.url, asked)

    assert answered.startswith(b"HTTP/1.1 401 ")
    assert b"www-authenticate: Bearer\r\n" in answered
    assert b'"code":"token_missing"' in answered


@pytest.mark.parametrize(
    "token",
    [
        WELL_FORMED,
        "x",
        "x" * 42,
        "x" * 44,
        "x" * 8000,
        "x" * 42 + "=",
        "x" * 42 + "*",
        "令牌",
        b"\x80\xff\xfe",
        "a b c",
        "null",
        "../../etc/passwd",
        "{}",
        WELL_FORMED + "," + WELL_FORMED,
    ],
    ids=lambda token: repr(token)[:30],
)
def test_a_malformed_token_is_token_invalid(either_service: Service, token: str | bytes) -> None:
    """A token with another length, other characters or other bytes is token_invalid."""
    raw = token if isinstance(token, bytes) else token.encode()

    assert refusal(send(either_service, b"Bearer " + raw)) == (401, "token_invalid", challenge("token_invalid"))


def test_a_token_must_match_exactly(service: Service, login: dict[str, Any]) -> None:
    """A live token with one character more, one less, or in another case is token_invalid."""
    token = login["token"]

    for wrong in (token + "A", token[:-1], token.swapcase(), f'"{token}"', token + " x"):
        assert send(service, f"Bearer {wrong}").json()["code"] == "token_invalid"


@pytest.mark.parametrize("second", ["Bearer " + WELL_FORMED, "Basic dXNlcjpwYXNz", "", None], ids=repr)
def test_several_authorizations_are_refused(service: Service, login: dict[str, Any], second: str | None) -> None:
    """Several Authorization headers are refused, even when they are equal."""
    live = f"Bearer {login['token']}"
    answers = [
        send(service, live, live if second is None else second),
        send(service, live if second is None else second, live),
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")


@pytest.mark.parametrize("place", ["?token={}", "?access_token={}", "/{}"])
def test_a_token_in_the_url_does_not_authenticate(service: Service, login: dict[str, Any], place: str) -> None:
    """A token in the URL does not authenticate, because URLs are written to logs."""
    assert not service.http.get("/auth" + place.format(login["token"])).is_success


def test_a_token_in_a_cookie_does_not_authenticate(service: Service, login: dict[str, Any]) -> None:
    """A token in a cookie does not authenticate, because any site can make a browser send its cookies."""
    answer = service.http.get("/auth", headers={"Cookie": f"token={login['token']}; Authorization={login['token']}"})

    assert refusal(answer) == (401, "token_missing", "Bearer")


def test_an_ended_session_is_session_ended(either_service: Service, sandbox: Sandbox) -> None:
    """The token of a session that was logged out is 401 session_ended."""
    token = either_service.log_in(sandbox.code())["token"]
    either_service.http.delete("/v1/sessions/current", headers={"Authorization": f"Bearer {token}"})

    assert refusal(either_service.auth(token)) == (401, "session_ended", challenge("session_ended"))


def test_a_replaced_session_is_session_replaced(either_service: Service, sandbox: Sandbox) -> None:
    """The token of a session that a newer login replaced is 401 session_replaced."""
    tokens = [either_service.log_in(sandbox.code(openid="o-of-thirteen"))["token"] for _ in range(13)]

    assert refusal(either_service.auth(tokens[0])) == (401, "session_replaced", challenge("session_replaced"))


def test_an_expired_session_is_session_expired(open_service: Any, sandbox: Sandbox) -> None:
    """The token of a session that was unused for too long is 401 session_expired."""
    with open_service(session_idle_seconds="0.001") as service:
        token = service.log_in(sandbox.code())["token"]

        assert refusal(service.auth(token)) == (401, "session_expired", challenge("session_expired"))


def test_a_token_of_another_service_does_not_authenticate(
    service: Service, redis_service: Service, sandbox: Sandbox
) -> None:
    """A session is live only in its own store."""
    token = redis_service.log_in(sandbox.code())["token"]

    assert refusal(service.auth(token)) == (401, "token_invalid", challenge("token_invalid"))


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /auth HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\x00b\r\n\r\n",
        b"GET /auth HTTP/1.1\r\nHost: x\r\nAuthorization: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET /auth HTTP/1.1\r\nHost: x\r\nX-WX-OPENID : admin\r\n\r\n",
        b"GET /auth\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1",
    ],
    ids=["a NUL in a header", "a header of 200 kB", "a blank before the colon", "no version", "TLS"],
)
def test_a_malformed_request_does_not_authenticate(
    service: Service, login: dict[str, Any], request_head: bytes
) -> None:
    """A malformed HTTP request is refused or its connection is closed, and later requests succeed."""
    answered = exchange(service.url, request_head)

    assert b" 204 " not in answered.partition(b"\r\n")[0]
    assert b" 500 " not in answered.partition(b"\r\n")[0]
    assert b"admin" not in answered
    assert service.auth(login["token"]).status_code == 204
