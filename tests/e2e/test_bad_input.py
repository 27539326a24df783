"""Malformed requests: each is refused as an error of the caller, and the next login succeeds."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from entrypoints.http.middleware import MAX_BODY_BYTES
from support.processes import Sandbox, Service
from support.raw_http import connect

ROUTES = {
    "article": ("POST", "/login/"),
    "login": ("POST", "/v1/sessions"),
    "patch": ("PATCH", "/v1/me"),
    "put": ("PUT", "/v1/me"),
}
AFTER_LOGIN = {
    "phone": ("PUT", "/v1/me/phone"),
    "unionid": ("PUT", "/v1/me/unionid"),
    "decrypt": ("POST", "/v1/wechat/decrypt"),
    "verify": ("POST", "/v1/wechat/verify"),
    "check": ("POST", "/v1/wechat/check"),
}
JSON = "application/json"

NOT_JSON = {
    "text": b"code=0123",
    "half an object": b'{"code":"0123"',
    "half a string": b'{"code":"0123',
    "single quotes": b"{'code':'0123'}",
    "two values": b'{"code":"0123"}{"code":"0123"}',
    "a trailing comma": b'{"code":"0123",}',
    "NaN": b'{"code":NaN}',
    "XML": b"<code>0123</code>",
    "NULs": b"\x00" * 100,
    "a byte order mark": b'\xef\xbb\xbf{"code":"0123"}',
    "UTF-16": '{"code":"0123"}'.encode("utf-16"),
    "compressed": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "blanks": b" \n\t ",
}
BAD_UTF8 = {
    "a stray byte": b'{"code":"\xff","name":"\xff"}',
    "half a character": b'{"code":"\xe5\xbc","name":"\xe5\xbc"}',
    "an encoded surrogate": b'{"code":"\xed\xa0\x80","name":"\xed\xa0\x80"}',
    "too long an encoding": b'{"code":"\xc0\xaf","name":"\xc0\xaf"}',
    "latin-1": '{"code":"é","name":"é"}'.encode("latin-1"),
    "in a name": b'{"\xff":"x"}',
}
WRONG_TEXT = {
    "a lone surrogate": rb'{"code":"\ud800","name":"\ud800"}',
    "two surrogates in the wrong order": rb'{"code":"\udc00\ud800","name":"\udc00\ud800"}',
    "an escaped NUL": rb'{"code":"a\u0000b","name":"a\u0000b"}',
    "a raw control character": b'{"code":"a\x01b","name":"a\x01b"}',
    "a line break": rb'{"code":"a\r\nX-WX-OPENID: admin","name":"a\r\nb"}',
    "an escape sequence": rb'{"code":"\u001b[31m","name":"\u001b[31m"}',
}
WRONG_TYPES = {
    "a list": b'[{"code":"0123","name":"x"}]',
    "a string": b'"0123"',
    "a number": b"7",
    "a huge number": b"1" * 5000,
    "true": b"true",
    "a number as field": b'{"code":7,"name":7}',
    "a huge exponent as field": b'{"code":1e999999,"name":1e999999}',
    "a list as field": b'{"code":["0123"],"name":["x"]}',
    "an object as field": b'{"code":{"code":"0123"},"name":{"name":"x"}}',
}
TOO_MUCH = {
    "a text of 1 MB": json.dumps({"code": "x" * 1_000_000, "name": "x" * 1_000_000}).encode(),
    "a text of 10 kB": json.dumps({"code": "x" * 10_000, "name": "x" * 10_000}).encode(),
    "50,000 open brackets": b"[" * 50_000,
    "50,000 brackets": b"[" * 25_000 + b"]" * 25_000,
    "50,000 brackets in a field": b'{"code":' + b"[" * 25_000 + b"]" * 25_000 + b"}",
    "10,000 objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "1 MB of blanks": b" " * 1_000_000,
}
BODIES = {**NOT_JSON, **BAD_UTF8, **WRONG_TEXT, **WRONG_TYPES, **TOO_MUCH}
CONTENT_TYPES = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-16",
    "application/json; charset=no-such",
    "application/msgpack",
    "application/octet-stream",
    "no-type",
    ";;;",
]


def send(service: Service, route: str, token: str | None = None, **request: Any) -> httpx2.Response:
    """Send a request with a body, as a user who is logged in."""
    method, path = {**ROUTES, **AFTER_LOGIN}[route]
    headers = {"Authorization": token and f"Bearer {token}", "Content-Type": JSON, **request.pop("headers", {})}
    return service.http.request(method, path, headers={k: v for k, v in headers.items() if v is not None}, **request)


def is_refused(answer: httpx2.Response, route: str, body: bytes = b"") -> bool:
    """Return whether the answer says, in the format of its route, that the request is malformed or too large."""
    status = 413 if len(body) > MAX_BODY_BYTES else 400
    if route == "article":
        return (answer.status_code, answer.json()) == (status, {"status": 3, "msg": "请求格式错误"})
    problem = answer.json()
    return (
        (answer.status_code, problem["status"], problem["code"], problem["retry"])
        == (status, status, "request_invalid", "never")
        and answer.headers["content-type"] == "application/problem+json"
        and bool(problem["detail"])
    )


def chunks(body: bytes, size: int = 1000) -> Iterator[bytes]:
    """Return the body in parts, which httpx2 sends chunked."""
    return (body[start : start + size] for start in range(0, len(body), size))


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_malformed_body_is_the_callers_fault(
    service: Service, sandbox: Sandbox, login: dict[str, Any], route: str, body: bytes
) -> None:
    """A malformed body is 400, and a body that is too large is 413. The next login succeeds."""
    answer = send(service, route, login["token"], content=body)

    assert is_refused(answer, route, body), answer.text
    assert service.log_in(sandbox.code())


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_malformed_chunked_body_is_the_callers_fault(
    service: Service, sandbox: Sandbox, login: dict[str, Any], route: str, body: bytes
) -> None:
    """A malformed body that is sent in chunks, without a length, is refused in the same way."""
    answer = send(service, route, login["token"], content=chunks(body))

    assert is_refused(answer, route, body), answer.text
    assert service.log_in(sandbox.code())


@pytest.mark.parametrize("body", [*BODIES.values(), b"", b"null"], ids=[*BODIES, "nothing", "null"])
def test_a_malformed_body_after_login_is_the_callers_fault(
    service: Service, sandbox: Sandbox, login: dict[str, Any], body: bytes
) -> None:
    """Each route that uses WeChat after login refuses a malformed body, whole or in chunks. It does not call WeChat."""
    before = sandbox.call_count()
    whole = {route: send(service, route, login["token"], content=body) for route in AFTER_LOGIN}
    pieces = {route: send(service, route, login["token"], content=chunks(body)) for route in AFTER_LOGIN}

    assert [route for route, answer in whole.items() if not is_refused(answer, route, body)] == []
    assert [route for route, answer in pieces.items() if not is_refused(answer, route, body)] == []
    assert sandbox.call_count() == before
    assert service.auth(login["token"]).status_code == 204


@pytest.mark.parametrize(
    "code", ["令牌", "a b", "a\nb", "\u202e", "x" * 513, "é", "\x00"], ids=lambda code: repr(code)[:20]
)
@pytest.mark.parametrize("route", ["article", "login"])
def test_a_malformed_code_is_not_sent_to_wechat(service: Service, sandbox: Sandbox, route: str, code: str) -> None:
    """A malformed code is refused without a call to WeChat."""
    before = sandbox.call_count()
    answer = send(service, route, json={"code": code})

    assert is_refused(answer, route), answer.text
    assert sandbox.call_count() == before


@pytest.mark.parametrize("code", ["a&appid=other", "a%26b", "a#b", "a?b", "../a", "a+b", "${jndi:x}", '"', "'"])
def test_a_code_is_one_parameter_of_the_call(service: Service, code: str) -> None:
    """A code with special characters reaches WeChat as one parameter, and is unknown there."""
    assert send(service, "article", json={"code": code}).json()["status"] == 2


@pytest.mark.parametrize("content_type", [None, *CONTENT_TYPES])
@pytest.mark.parametrize("route", ["article", "login"])
def test_json_is_accepted_with_any_content_type(
    service: Service, sandbox: Sandbox, route: str, content_type: str | None
) -> None:
    """A JSON body is accepted with a wrong or missing Content-Type."""
    body = json.dumps({"code": sandbox.code()}).encode()
    answer = send(service, route, content=body, headers={"Content-Type": content_type})

    assert answer.is_success, answer.text


@pytest.mark.parametrize("content_type", [None, *CONTENT_TYPES])
@pytest.mark.parametrize("route", ROUTES)
def test_a_body_that_is_not_json_is_refused_with_any_content_type(
    service: Service, login: dict[str, Any], route: str, content_type: str | None
) -> None:
    """A body that is not JSON is refused with any Content-Type."""
    answer = send(service, route, login["token"], content=b"code=0123", headers={"Content-Type": content_type})

    assert is_refused(answer, route), answer.text


@pytest.mark.parametrize("route", ["article", "login"])
def test_a_chunked_login_succeeds(service: Service, sandbox: Sandbox, route: str) -> None:
    """A login with a chunked body succeeds."""
    body = json.dumps({"code": sandbox.code()}).encode()

    assert send(service, route, content=chunks(body, size=1)).is_success


@pytest.mark.parametrize("appid", ["wx-unknown", "", "x" * 10_000, "\x00", "令牌", "../.."], ids=lambda a: repr(a)[:20])
def test_an_unknown_appid_is_the_callers_fault(service: Service, sandbox: Sandbox, appid: str) -> None:
    """An appid that is not configured is app_unknown, and does not use the code."""
    code = sandbox.code()
    answer = send(service, "login", json={"code": code, "appid": appid})

    assert (answer.status_code, answer.json()["code"]) == (400, "app_unknown")
    assert service.log_in(code)


@pytest.mark.parametrize("route", ["login", "patch", "put"])
@pytest.mark.parametrize("body", [b"", b"null"])
def test_a_missing_body_is_a_400(service: Service, login: dict[str, Any], route: str, body: bytes) -> None:
    """A request without its required body is 400."""
    answer = send(service, route, login["token"], content=body)

    assert is_refused(answer, route), answer.text


@pytest.mark.parametrize("name", ["%00", "%ff", "%F0%9F%98%80", "x" * 5000, "'%20or%201=1", "%0d%0aX:%20y", "{}", "*"])
def test_a_malformed_session_id_is_not_found(either_service: Service, sandbox: Sandbox, name: str) -> None:
    """A malformed session id is 404, as an unknown one is."""
    token = either_service.log_in(sandbox.code())["token"]
    answer = either_service.http.delete(f"/v1/sessions/{name}", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 1000\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: x\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 15\r\nContent-Length: 16\r\n",
        "Content-Length: 15\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Expect: 200-maybe\r\nContent-Length: 15\r\n",
    ],
    ids=lambda head: head.strip().replace("\r\n", ", "),
)
@pytest.mark.parametrize("path", ["/login/", "/v1/sessions"])
def test_a_wrong_content_length_does_not_disturb_later_requests(
    service: Service, sandbox: Sandbox, path: str, head: str
) -> None:
    """A body with a wrong length is refused or not answered, and the next login succeeds."""
    body = b'{"code":"0123"}'
    request = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nConnection: close\r\n{head}\r\n".encode()
    with connect(service.url) as raw:
        raw.send(request + body)
        raw.close_sending()
        answered = raw.rest()

    assert b" 500 " not in answered.partition(b"\r\n")[0]
    assert b'"token"' not in answered
    assert service.log_in(sandbox.code())


def test_errors_of_callers_are_not_logged_as_defects(service: Service, login: dict[str, Any]) -> None:
    """Errors of callers are not logged as defects, and have no traceback in the log."""
    for route in ROUTES:
        for body in BODIES.values():
            send(service, route, login["token"], content=body)

    assert [event for event in service.process.events() if event["event"] == "defect"] == []
    assert "Traceback" not in service.process.text()
