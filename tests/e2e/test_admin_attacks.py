"""Attacks on the admin API: each route needs a key with its scope, and nothing else is one."""

import re
import secrets
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from litestar.routes import HTTPRoute

from domain.admin import Scope
from entrypoints.admin.access import NEEDS, PREFIX
from entrypoints.admin.app import create_app
from support import plain_http
from support.admin import ADMIN_KEYS, KEYS, AdminApi, admin_api
from support.processes import Environment, Sandbox, environment, service
from support.raw_http import connect
from support.servers import sqlite_url, wait_until

CLIENT_SECRET = "s3cret-of-a-backend-that-is-no-admin"
BODIES = {"block": {"reason": "spam"}, "merge": {"into": "nobody"}}


def unopened() -> Any:
    """Raise an error, because routes are listed without a container."""
    raise NotImplementedError


def operations() -> list[tuple[str, str, Scope]]:
    """Return the method, the path and the scope of each operation of the admin API, from the routes themselves."""
    found = []
    for route in create_app(unopened).routes:
        if isinstance(route, HTTPRoute) and route.path.startswith(PREFIX):
            path = re.sub(r"\{\w+:str\}", "nobody", route.path)
            for handler in route.route_handlers:
                methods = set(handler.http_methods) - {"OPTIONS"}
                found += [(str(method), path, handler.opt[NEEDS]) for method in methods]
    return sorted(found)


OPERATIONS = operations()
each_operation = pytest.mark.parametrize(("method", "path", "scope"), OPERATIONS)


@pytest.fixture(scope="module")
def env(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The settings of a service behind a proxy, with an OAuth client, and with admin keys."""
    return environment(
        wechat_url=sandbox.url,
        database_url=sqlite_url(tmp_path_factory.mktemp("attacks")),
        trusted_proxies="127.0.0.1",
        clients=f'{{"backend":"{CLIENT_SECRET}"}}',
        admin_keys=ADMIN_KEYS,
    )


@pytest.fixture(scope="module")
def admin(env: Environment) -> Iterator[AdminApi]:
    """The admin API under attack."""
    with admin_api(env) as running:
        yield running


@pytest.fixture
def address() -> str:
    """A client address that no other test uses, with its own limit."""
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


def attack(admin: AdminApi, method: str, path: str, address: str, key: str | None, **more: Any) -> httpx2.Response:
    """Send a request from an address, with this key if there is one."""
    headers = {"X-Forwarded-For": address, **more.pop("headers", {})}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    body = (
        {"json": BODIES[path.rpartition("/")[2]]}
        if method in ("PUT", "POST") and path.rpartition("/")[2] in BODIES
        else {}
    )
    return admin.http.request(method, path, headers=headers, **{**body, **more})


def test_all_operations_are_attacked() -> None:
    """The routes of the contract are among the attacked ones, and each is below /admin/v1."""
    assert len(OPERATIONS) >= 11
    assert {path.startswith(f"{PREFIX}/") for _, path, _ in OPERATIONS} == {True}
    assert {scope for _, _, scope in OPERATIONS} >= {Scope.READ, Scope.WRITE}


@each_operation
def test_without_a_key_nothing_is_answered(admin: AdminApi, address: str, method: str, path: str, scope: Scope) -> None:
    """Without a key, the answer is admin_key_invalid with a challenge, whatever the body is."""
    answers = [
        attack(admin, method, path, address, None),
        attack(admin, method, path, address, None, content=b"{", headers={"Content-Type": "application/json"}),
        attack(admin, method, path, address, None, headers={"Authorization": "Bearer"}),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(401, "admin_key_invalid")] * 3
    assert {answer.headers["www-authenticate"] for answer in answers} == {
        'Bearer error="invalid_token", error_description="admin_key_invalid"'
    }


@each_operation
def test_a_wrong_key_is_refused(admin: AdminApi, address: str, method: str, path: str, scope: Scope) -> None:
    """A key that is not configured is refused: changed, cut, extended, with another case, or its hash."""
    key = KEYS["ann"][0]
    wrong = [f"{key}x", key[:-1], key.upper(), "wxadmin_", "0" * 64, f"{key}%20", "*"]
    answers = [attack(admin, method, path, address, each) for each in wrong]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(401, "admin_key_invalid")}


@each_operation
def test_a_key_needs_the_scope(admin: AdminApi, address: str, method: str, path: str, scope: Scope) -> None:
    """A key without the scope of the route is scope_missing, before the body is read. A key with it passes."""
    for name, (key, scopes) in KEYS.items():
        answer = attack(admin, method, path, address, key)
        broken = attack(admin, method, path, address, key, content=b"{", headers={"Content-Type": "application/json"})
        if scope in scopes:
            assert answer.status_code in (200, 404), name
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), name
            assert (broken.status_code, broken.json()["code"]) == (403, "scope_missing"), name


@each_operation
def test_a_key_elsewhere_is_no_key(admin: AdminApi, address: str, method: str, path: str, scope: Scope) -> None:
    """A valid key in the query, in a cookie, in another header or as HTTP Basic is not accepted."""
    key = KEYS["ann"][0]
    basic = b64encode(f"ann:{key}".encode()).decode()
    answers = [
        attack(admin, method, f"{path}?key={key}&access_token={key}&authorization=Bearer%20{key}", address, None),
        attack(admin, method, path, address, None, headers={"Cookie": f"key={key}; Authorization=Bearer {key}"}),
        attack(admin, method, path, address, None, headers={"X-Key": key, "Proxy-Authorization": f"Bearer {key}"}),
        attack(admin, method, path, address, None, headers={"Authorization": f"Basic {basic}"}),
        attack(admin, method, path, address, None, headers={"Authorization": key}),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(401, "admin_key_invalid")}


@pytest.mark.parametrize("second", ["Bearer x", "Bearer wxadmin_key-of-the-reader", "Basic eDp5"])
def test_two_authorizations_are_refused(admin: AdminApi, address: str, second: str) -> None:
    """A request with two Authorization headers is refused, with a valid key in either."""
    both = [f"Bearer {KEYS['ann'][0]}", second]
    for first, last in (both, both[::-1]):
        headers = [("Authorization", first), ("Authorization", last), ("X-Forwarded-For", address)]
        answer = admin.http.get(f"{PREFIX}/users", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")


def test_other_secrets_are_no_admin_keys(admin: AdminApi, env: Environment, sandbox: Sandbox, address: str) -> None:
    """A session token, a client's secret, an AppSecret and the hash of a key are no admin keys; nor is one a token."""
    with service(env=env) as running:
        token = running.log_in(sandbox.code())["token"]
        others = [token, CLIENT_SECRET, env["WXLOGIN_APP_SECRET"], env["WXLOGIN_ENCRYPTION_KEYS"]]
        answers = [attack(admin, "GET", f"{PREFIX}/users", address, other) for other in others]
        as_token = running.auth(KEYS["ann"][0])

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(401, "admin_key_invalid")}
    assert (as_token.status_code, as_token.json()["code"]) == (401, "token_invalid")


def test_ten_thousand_wrong_keys_are_limited(admin: AdminApi, address: str) -> None:
    """Of 10,000 wrong keys from one address nearly all are rate_limited. Others, and valid keys, are not affected."""

    def guess(_: int) -> list[int]:
        with plain_http.client(base_url=admin.url) as client:
            headers = {"X-Forwarded-For": address}
            wrong = [{**headers, "Authorization": f"Bearer wxadmin_{secrets.token_urlsafe(32)}"} for _ in range(1000)]
            return [client.get(f"{PREFIX}/users", headers=each).status_code for each in wrong]

    with ThreadPoolExecutor(4) as attackers:
        statuses = [status for some in attackers.map(guess, range(10)) for status in some]
    limited = attack(admin, "GET", f"{PREFIX}/users", address, "wrong")

    assert set(statuses) == {401, 429}
    assert statuses.count(401) < 200
    assert (limited.json()["code"], limited.json()["retry"]) == ("rate_limited", "later")
    assert int(limited.headers["retry-after"]) >= 1
    assert attack(admin, "GET", f"{PREFIX}/users", "192.0.2.1", "wrong").status_code == 401
    assert attack(admin, "GET", f"{PREFIX}/users", address, KEYS["ann"][0]).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "//admin/v1/users",
        "/admin//v1/users",
        "/admin/v1//users",
        "/admin/v1/users/",
        "/admin/v1/users/.",
        "/admin/v1/./users",
        "/admin/v1/x/../users",
        "/admin/v1/users/%2e%2e/users",
        "/healthz/../admin/v1/users",
        "/healthz/%2e%2e/admin/v1/users",
        "/healthz/%2fadmin/v1/users",
        "/admin/v1/users;x=y",
        "/admin/v1/users%00",
        "/admin/v1/users%2f",
        "/admin/v1/users%3flimit=1",
        "/ADMIN/v1/users",
        "/Admin/V1/Users",
        "/admin/v1/users.json",
        "/admin\\v1\\users",
        "http://127.0.0.1/admin/v1/users",
    ],
)
def test_no_spelling_of_a_path_needs_no_key(admin: AdminApi, address: str, path: str) -> None:
    """No other spelling of a path shows anything without a key."""
    host, port = admin.url.removeprefix("http://").split(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {address}\r\nConnection: close\r\n\r\n"
    with connect(f"http://{host}:{port}") as raw:
        raw.send(request.encode())
        answer = raw.receive()

    assert re.match(rb"HTTP/1\.1 (400|401|404) ", answer), answer
    assert b'"users"' not in answer


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_a_method_cannot_be_overridden(admin: AdminApi, address: str, header: str) -> None:
    """A header or a parameter that names another method changes nothing."""
    key = KEYS["reader"][0]
    answer = attack(admin, "GET", f"{PREFIX}/users/nobody/block?_method=PUT", address, key, headers={header: "PUT"})
    read = attack(admin, "GET", f"{PREFIX}/users?_method=DELETE", address, key, headers={header: "DELETE"})

    assert answer.status_code == 405
    assert (read.status_code, read.json()["code"]) == (400, "request_invalid")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PATCH", "PROPFIND"])
def test_other_methods_show_nothing(admin: AdminApi, address: str, method: str) -> None:
    """Other methods are not allowed, and OPTIONS needs a key, too."""
    answer = attack(admin, method, f"{PREFIX}/users", address, None)

    assert answer.status_code == (401 if method == "OPTIONS" else 405)
    assert b'"users"' not in answer.content


def test_a_large_body_is_refused(admin: AdminApi, address: str) -> None:
    """A body beyond 64 KiB is 413, with and without a key, and a deeply nested one is request_invalid."""
    path = f"{PREFIX}/users/nobody/block"
    large = b'{"reason":"' + b"x" * 70_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    statuses = [
        attack(admin, "PUT", path, address, key, content=large, headers=headers).status_code
        for key in (None, KEYS["ann"][0])
    ]
    nested = attack(admin, "PUT", path, address, KEYS["ann"][0], content=b"[" * 60_000, headers=headers)

    assert statuses == [413, 413]
    assert (nested.status_code, nested.json()["code"]) == (400, "request_invalid")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"reason":"x","admin":true}', b'{"into":"x"}', b"reason=x"], ids=ascii
)
def test_a_malformed_body_is_refused(admin: AdminApi, address: str, body: bytes) -> None:
    """A body that is not the one of the call is request_invalid."""
    headers = {"Content-Type": "application/json"}
    answer = attack(
        admin, "PUT", f"{PREFIX}/users/nobody/block", address, KEYS["ann"][0], content=body, headers=headers
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")


@pytest.mark.parametrize("text", ["' OR ''='", "\x00", "%", "用户", "x" * 5000], ids=ascii)
@pytest.mark.parametrize("field", ["openid", "phone", "unionid", "id"])
def test_no_text_of_a_search_is_executed(admin: AdminApi, address: str, field: str, text: str) -> None:
    """A search for any text finds no one."""
    answer = attack(admin, "GET", f"{PREFIX}/users", address, KEYS["ann"][0], params={field: text})

    assert (answer.status_code, answer.json()) == (200, {"users": [], "next": None})


def logged_of(admin: AdminApi, address: str) -> list[str]:
    """Return the events of an address that the process has logged so far, in their order."""
    return [line["event"] for line in admin.process.events() if line.get("ip") == address]


def test_no_key_is_logged(admin: AdminApi, address: str) -> None:
    """After all of it, neither a valid key nor a wrong one is in the log; failures are, with their address."""
    wrong = f"wxadmin_{secrets.token_urlsafe(32)}"
    for path in (f"{PREFIX}/users", f"{PREFIX}/users?key={wrong}", f"{PREFIX}/users/{wrong}"):
        attack(admin, "GET", path, address, wrong)
    attack(admin, "PUT", f"{PREFIX}/users/nobody/block", address, KEYS["reader"][0])
    wait_until(lambda: logged_of(admin, address)[-1:] == ["scope_missing"], "the last line")
    text = admin.process.text()
    refused = [line for line in admin.process.events() if line["event"] == "admin_refused" and line["ip"] == address]

    assert len(refused) == 3
    assert [name for name, (key, _) in KEYS.items() if key in text] == []
    assert wrong not in text
    assert "scope_missing" in text
