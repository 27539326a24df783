"""The configurations of examples/gateways: the requests that reach a backend, and the answers when none does."""

import json
import os
import re
import signal
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support import gateways, plain_http, pushes, raw_http
from support.gateways import Backend
from support.jwts import AUDIENCE, ISSUER, exchange, signing, signing_key
from support.processes import APPID, Sandbox, Service
from support.servers import redis_server

PROXY, CLIENT = "127.0.0.1", "127.0.0.2"
"""The address from which the gateway calls wxlogin, and the address from which these tests call the gateway."""

WELL_FORMED = "x" * 43

SHOP, SHOP_SECRET = "shop", "s3cret"
"""A backend with credentials."""

PICTURE = f"/oauth2/device/{'x' * 22}.jpg"
"""The address of the picture of a scan that does not exist."""

KEYS, METADATA = "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"

WAYS_TO_INTROSPECTION = [
    "/oauth2/introspect",
    "/oauth2/introspect/",
    "//oauth2//introspect",
    "/oauth2%2Fintrospect",
    "/oauth2/device/../introspect",
    "/oauth2/device/%2e%2e/introspect",
    "/oauth2/device/..%2fintrospect",
    "/oauth2/device/%2e%2e%2fintrospect",
    "/oauth2/device/%252e%252e/introspect",
    "/oauth2/device/..;/introspect",
    "/oauth2/device/..%5cintrospect",
    "/oauth2/device/x.jpg/../../introspect",
    "/oauth2/device/../introspect?x.jpg",
    "/oauth2/device/../introspect%3fx.jpg",
    "/oauth2/introspect/../device/x.jpg",
    "/oauth2/introspect;/../device/x.jpg",
    "//oauth2/device/..//introspect",
    "/.well-known/../oauth2/introspect",
    "/.well-known/jwks.json/../../oauth2/introspect",
    "/wechat/push/../../oauth2/introspect",
    "/wechat/push/..%2f..%2foauth2/introspect",
    "/v1/../oauth2/introspect",
    "/v1/..%2foauth2/introspect",
]
"""Paths by which a client may try to reach introspection, which is for backends inside."""

CERTAIN = ["X-USER-ID", "X-SESSION-ID", "X-WX-OPENID", "X-WX-APPID", "X-WX-SOURCE"]
"""The headers that a backend gets of every caller."""

OF_CLOUD_RUN = ["X-WX-SOURCES", "X-WX-FROM-OPENID", "X-WX-FROM-APPID", "X-WX-FROM-UNIONID", "X-WX-ENV"]
VOUCHED_FOR = [*CERTAIN, "X-WX-UNIONID", "X-USER-ASSERTION", *OF_CLOUD_RUN, "X-ORIGINAL-FORWARDED-FOR"]
"""The headers that a backend trusts: those of wxlogin, and those of WeChat Cloud Run."""

UNAVAILABLE, TRAEFIKS = (503, "store_unavailable", "1"), (502, None, None)
"""Responses of gateways when wxlogin is down: the status, the code of the problem, and Retry-After."""

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda name: f"{name}: forged",
    "lower case": lambda name: f"{name.lower()}: forged",
    "mixed case": lambda name: f"{name.swapcase()}: forged",
    "underscores": lambda name: f"{name.replace('-', '_')}: forged",
    "an underscore first": lambda name: f"{name.replace('-', '_', 1)}: forged",
    "an underscore last": lambda name: f"{'_'.join(name.rsplit('-', 1))}: forged",
    "twice": lambda name: f"{name}: forged\r\n{name}: forged",
    "twice, differently": lambda name: f"{name}: forged\r\n{name.replace('-', '_').lower()}: forged",
    "empty, then not": lambda name: f"{name}:\r\n{name}: forged",
    "a blank before the colon": lambda name: f"{name} : forged",
    "a tab before the colon": lambda name: f"{name}\t: forged",
    "a blank before the name": lambda name: f"X-Other: 1\r\n {name}: forged",
    "after a bare line feed": lambda name: f"X-Other: 1\n{name}: forged",
    "after a bare carriage return": lambda name: f"X-Other: 1\r{name}: forged",
    "named in Connection": lambda name: f"{name}: forged\r\nConnection: {name}",
}


@dataclass
class Front:
    """A gateway before a service and a backend."""

    name: str
    service: Service
    backend: Backend
    http: httpx2.Client

    def get(self, token: str, **headers: str) -> httpx2.Response:
        """Send GET /orders with a token."""
        return self.http.get("/orders", headers={"Authorization": f"Bearer {token}", **headers})

    def send(self, *lines: str, path: str = "/orders") -> tuple[int, bytes]:
        """Send a GET with exactly these header lines, and return the status and the body."""
        request = "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *lines, "Connection: close", "", ""])
        with socket.create_connection((self.http.base_url.host, self.http.base_url.port or 80), timeout=20) as raw:
            raw.sendall(request.encode("latin-1"))
            answer = HTTPResponse(raw)
            answer.begin()
            return answer.status, answer.read()


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    """A backend that does not use WeChat."""
    with gateways.backend() as running:
        yield running


@pytest.fixture(scope="module")
def proxied(open_service: Any) -> Iterator[Service]:
    """A service that trusts the gateway, with all that has a public path."""
    settings = signing(signing_key(), clients=json.dumps({SHOP: SHOP_SECRET}), push_token=pushes.TOKEN)
    with open_service(trusted_proxies=PROXY, **settings) as running:
        yield running


@pytest.fixture(scope="module", params=gateways.FOUND)
def name(request: pytest.FixtureRequest) -> str:
    """Each gateway of this machine."""
    return str(request.param)


def device_of(url: str) -> httpx2.Client:
    """Return a client of the gateway at this URL, with its own address."""
    transport = httpx2.HTTPTransport(verify=plain_http.NO_CERTIFICATES, local_address=CLIENT)
    return plain_http.client(base_url=url, transport=transport)


Before = Callable[[Service], AbstractContextManager[Front]]


@pytest.fixture(scope="module")
def before(name: str, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Before:
    """Return a function that runs the gateway before a service until a block ends."""

    @contextmanager
    def put(service: Service) -> Iterator[Front]:
        port = httpx2.URL(service.url).port or 0
        with (
            gateways.gateway(name, tmp_path_factory.mktemp(name), port, backend.port) as url,
            device_of(url) as client,
        ):
            yield Front(name, service, backend, client)

    return put


@pytest.fixture(scope="module")
def front(before: Before, proxied: Service) -> Iterator[Front]:
    """Each gateway, before a service that the module's tests share."""
    with before(proxied) as running:
        yield running


@pytest.fixture
def token(front: Front, sandbox: Sandbox) -> str:
    """The token of a new user without a known unionid."""
    return str(front.service.log_in(sandbox.code())["token"])


@pytest.fixture
def ended(front: Front, token: str) -> str:
    """The token of an ended session."""
    front.service.http.delete("/v1/sessions/current", headers={"Authorization": f"Bearer {token}"}).raise_for_status()
    return token


def trusted_headers(received: bytes) -> list[tuple[str, str]]:
    """Return the headers that the backend trusts, read as CGI reads headers: X_WX_OPENID is X-WX-OPENID."""
    spelt = [(name.strip().upper().replace("_", "-"), value) for name, value in json.loads(received)["headers"]]
    return sorted((name, value) for name, value in spelt if name in VOUCHED_FOR)


def expected_headers(front: Front, token: str) -> list[tuple[str, str]]:
    """Return the headers that the backend must get: those of /auth, and the source WeChat."""
    said = [(name.upper(), value) for name, value in front.service.auth(token).headers.items()]
    return sorted([*((name, value) for name, value in said if name in VOUCHED_FOR), ("X-WX-SOURCE", "wx_client")])


def refusal(answer: httpx2.Response) -> dict[str, Any]:
    """Return the content of a refusal."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    names = ("www-authenticate", "retry-after")
    problem = {key: answer.json()[key] for key in ("type", "status", "code", "retry")}
    return {"status": answer.status_code, **{name: answer.headers.get_list(name) for name in names}, "problem": problem}


@pytest.fixture
def unreached(backend: Backend) -> Iterator[None]:
    """Check that no request reaches the backend during the test."""
    before = len(backend.reached)
    yield

    assert [request.requestline for request in backend.reached[before:]] == []


def test_the_backend_gets_the_callers_identity(front: Front, token: str) -> None:
    """The backend gets the headers of /auth, each once, and no unionid header when there is no unionid."""
    answer = front.get(token)

    assert answer.status_code == 200
    assert trusted_headers(answer.content) == expected_headers(front, token)
    assert [name for name, _ in trusted_headers(answer.content)] == sorted(CERTAIN)


def test_cloud_run_code_works_unchanged(front: Front, sandbox: Sandbox) -> None:
    """The backend gets the headers of WeChat Cloud Run with their names, the source included."""
    token = front.service.log_in(sandbox.code(openid=f"o-of-{front.name}", unionid=f"u-of-{front.name}"))["token"]
    headers = {name.lower(): value for name, value in front.get(token).json()["headers"]}

    assert headers["x-wx-source"]
    assert headers["x-wx-openid"] == f"o-of-{front.name}"
    assert headers["x-wx-appid"] == APPID
    assert headers["x-wx-unionid"] == f"u-of-{front.name}"


def test_the_backend_gets_the_assertion(before: Before, open_service: Any, sandbox: Sandbox) -> None:
    """The backend gets the assertion of /auth, and none that a client sends, in any spelling."""
    with open_service(**signing(signing_key(), assertion_audience=AUDIENCE)) as signs, before(signs) as front:
        token = signs.log_in(sandbox.code())["token"]
        answers = [front.get(token), front.get(token, **{"X-User-Assertion": "forged", "X_User_Assertion": "forged"})]
        expected = signs.auth(token).headers["x-user-assertion"]

    for answer in answers:
        assert ("X-USER-ASSERTION", expected) in trusted_headers(answer.content)
        assert "forged" not in answer.text


def test_simultaneous_users_are_not_mixed(front: Front, sandbox: Sandbox) -> None:
    """Of many concurrent requests, each brings its own user to the backend."""
    tokens = [front.service.log_in(sandbox.code())["token"] for _ in range(10)] * 20
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(front.get, tokens))

    expected = {token: expected_headers(front, token) for token in tokens[:10]}
    assert [trusted_headers(answer.content) for answer in answers] == [expected[token] for token in tokens]


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_user_cannot_forge_another_identity(front: Front, token: str, spelling: Callable[[str], str]) -> None:
    """With a forged header in any spelling, the backend gets the identity of /auth, or the request is refused."""
    for name in VOUCHED_FOR:
        status, body = front.send(f"Authorization: Bearer {token}", spelling(name))

        assert status == 400 or (status, trusted_headers(body)) == (200, expected_headers(front, token)), name


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_forged_header_does_not_authenticate(front: Front, spelling: Callable[[str], str]) -> None:
    """Without a token, no forged header brings a request to the backend."""
    for name in VOUCHED_FOR:
        assert front.send(spelling(name))[0] in (400, 401), name


def test_a_client_cannot_remove_its_identity(front: Front, token: str) -> None:
    """Header names in Connection, which proxies remove, do not remove the identity that the backend gets."""
    status, body = front.send(f"Authorization: Bearer {token}", f"Connection: {', '.join(CERTAIN)}")

    assert (status, trusted_headers(body)) == (200, expected_headers(front, token))


def test_a_token_named_in_connection_is_used_or_refused(front: Front, token: str) -> None:
    """When Connection names Authorization, the token is used or the request is refused. Traefik removes the header."""
    status, body = front.send(f"Authorization: Bearer {token}", "Connection: Authorization")

    assert status == 401 or (status, trusted_headers(body)) == (200, expected_headers(front, token))


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Basic dXNlcjpwYXNz", f"Bearer {WELL_FORMED}", "Bearer 令牌"]
)
def test_a_refusal_has_wxlogins_answer(front: Front, authorization: str | None) -> None:
    """Without a live token the client gets wxlogin's answer, and no request reaches the backend."""
    headers = [] if authorization is None else [(b"Authorization", authorization.encode())]
    through, direct = front.http.get("/orders", headers=headers), front.service.http.get("/auth", headers=headers)

    assert through.status_code == 401
    assert refusal(through) == refusal(direct)


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize("path", ["/photo.jpg", "/page.html", "/data.json"])
def test_a_refusal_is_a_problem_with_any_ending_of_the_path(front: Front, path: str) -> None:
    """The content type of a refusal is that of a problem, also where the path has the ending of a picture."""
    assert refusal(front.http.get(path)) == refusal(front.service.http.get("/auth"))


@pytest.mark.usefixtures("unreached")
def test_an_ended_session_is_session_ended(front: Front, ended: str) -> None:
    """The token of a session that was logged out is 401 session_ended, in the challenge and in the body."""
    answer = front.get(ended)

    assert refusal(answer) == refusal(front.service.auth(ended))
    assert answer.json()["code"] == "session_ended"
    assert 'error_description="session_ended"' in answer.headers["www-authenticate"]


def test_a_log_out_takes_effect_at_the_next_request(front: Front, token: str) -> None:
    """After a log-out through the gateway, the next request is refused."""
    bearer = {"Authorization": f"Bearer {token}"}
    statuses = [
        front.get(token).status_code,
        front.http.delete("/v1/sessions/current", headers=bearer).status_code,
        front.get(token).status_code,
    ]

    assert statuses == [200, 204, 401]


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize("second", ["Bearer {live}", f"Bearer {WELL_FORMED}", "Basic dXNlcjpwYXNz"])
def test_several_authorization_headers_are_refused(front: Front, token: str, second: str) -> None:
    """Two Authorization headers are refused, in either order and even when they are equal."""
    live, other = f"Authorization: Bearer {token}", f"Authorization: {second.format(live=token)}"

    assert front.send(live, other)[0] in (400, 401)
    assert front.send(other, live)[0] in (400, 401)


def test_an_empty_second_authorization_is_refused_or_without_effect(front: Front, token: str) -> None:
    """With an empty second Authorization header, a request is refused. Envoy ignores the empty one."""
    lines, reached = (f"Authorization: Bearer {token}", "Authorization: "), len(front.backend.reached)
    for status, body in (front.send(*lines), front.send(*reversed(lines))):
        if front.name == "envoy":
            assert (status, trusted_headers(body)) == (200, expected_headers(front, token))
        else:
            assert status in (400, 401)
            assert len(front.backend.reached) == reached


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR"])
def test_the_scheme_may_be_in_any_case(front: Front, token: str, scheme: str) -> None:
    """The scheme of Authorization is not case-sensitive (RFC 9110)."""
    assert front.get("", Authorization=f"{scheme} {token}").status_code == 200


def test_the_backend_does_not_get_the_token(front: Front, token: str) -> None:
    """The backend does not get the token."""
    assert token not in front.get(token).text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_request_reaches_the_backend_unchanged(front: Front, token: str, method: str) -> None:
    """The body, the method and the path of a request reach the backend unchanged, with any method and size."""
    sent = os.urandom(300_000)
    headers = {"Authorization": f"Bearer {token}"}
    got = front.http.request(method, "/orders/%E4%B8%AD?a=1&b=%2F", content=sent, headers=headers).json()

    assert (got["method"], got["path"]) == (method, "/orders/%E4%B8%AD?a=1&b=%2F")
    assert got["body"].encode("latin-1") == sent


def test_the_backend_gets_the_clients_address(front: Front, sandbox: Sandbox) -> None:
    """The backend and wxlogin get the real address of the client, and not an address in its headers."""
    claim = {"X-Forwarded-For": "203.0.113.7"}
    login = front.http.post("/v1/sessions", json={"code": sandbox.code()}, headers=claim).json()
    received = front.get(login["token"], **claim).json()["headers"]

    assert login["session"]["ip"] == CLIENT
    assert [value for name, value in received if name.lower() == "x-forwarded-for"] == [CLIENT]


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize("path", ["/auth", "/_auth", "/docs", "/readyz", "/metrics", "/oauth2", "/.well-known/other"])
def test_other_paths_of_wxlogin_are_not_public(front: Front, path: str) -> None:
    """A client reaches only the public paths of wxlogin without a token."""
    assert front.send(path=path)[0] in (401, 404)
    assert front.http.post("/login/", json={}).json()["status"] == 1
    assert front.http.get("/v1/me").json()["code"] == "token_missing"


def content_of(answer: httpx2.Response) -> tuple[int, str, str, bytes]:
    """Return the status, the content with its type, and how long a cache may keep it."""
    kind, age = answer.headers["content-type"], answer.headers["cache-control"]
    return answer.status_code, kind, re.sub(r"\d+", "", age), answer.content


@pytest.mark.usefixtures("unreached")
def test_a_browser_gets_the_picture_of_a_scan(front: Front) -> None:
    """The picture that a scan names, and its page for people, reach a browser unchanged."""
    scan = front.service.http.post("/oauth2/device_authorization", auth=(SHOP, SHOP_SECRET), data={}).json()
    picture, page = (scan[name].removeprefix(ISSUER) for name in ("wxacode", "verification_uri"))
    answers = [content_of(front.http.get(path)) for path in (picture, page)]

    assert answers == [content_of(front.service.http.get(path)) for path in (picture, page)]
    assert [(status, kind) for status, kind, *_ in answers] == [(200, "image/png"), (200, "text/html; charset=utf-8")]


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize("path", [KEYS, METADATA])
def test_backends_anywhere_get_the_keys_and_the_metadata(front: Front, path: str) -> None:
    """The public keys and the metadata of the authorization server arrive unchanged, with the time for caches."""
    through = front.http.get(path)

    assert content_of(through) == content_of(front.service.http.get(path))
    assert (through.status_code, through.headers["cache-control"]) == (200, "max-age=300")


@pytest.mark.usefixtures("unreached")
def test_wechats_pushes_reach_wxlogin(front: Front, sandbox: Sandbox) -> None:
    """WeChat's check of the address and its pushes reach wxlogin, with their query and their body."""
    checked = sandbox.check_push_url(str(front.http.base_url.join(f"/wechat/push/{APPID}")), pushes.TOKEN)
    pushed = pushes.send(front.http, pushes.as_xml(pushes.event(pushes.MODIFY, f"o-pushed-{front.name}")))
    forged = pushes.send(front.http, b"<xml></xml>", pushes.signed(token="another"))

    assert checked["accepted"]
    assert (pushed.status_code, pushed.text) == (200, "success")
    assert (forged.status_code, forged.text) == (403, "refused")


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize("path", [PICTURE, "/oauth2/device", KEYS, METADATA])
def test_pictures_and_keys_can_only_be_read(front: Front, path: str) -> None:
    """A picture, the keys and the metadata are public for GET only."""
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert front.http.request(method, path).status_code in (401, 403), method


@pytest.mark.usefixtures("unreached")
def test_introspection_is_not_public(front: Front, token: str) -> None:
    """No path leads to introspection, even with the credentials of a backend and a live token."""
    credentials = f"Authorization: Basic {b64encode(f'{SHOP}:{SHOP_SECRET}'.encode()).decode()}"
    lines = (credentials, "Content-Type: application/x-www-form-urlencoded", "Connection: close")

    def send(url: str, path: str) -> raw_http.Response:
        asked = raw_http.request(path, *lines, method="POST", body=f"token={token}".encode())
        (answer,) = raw_http.parse(raw_http.exchange(url, asked))
        return answer

    assert b'"active":true' in send(front.service.url, WAYS_TO_INTROSPECTION[0]).body
    for path in WAYS_TO_INTROSPECTION:
        answer = send(str(front.http.base_url), path)

        assert answer.status in (400, 401, 403, 404, 405), path
        assert b"active" not in answer.body, path


@pytest.mark.usefixtures("unreached")
def test_other_calls_of_backends_are_not_public(front: Front, token: str) -> None:
    """Tokens are exchanged and revoked, and scans are started, by backends inside only."""
    calls = {
        "/oauth2/device_authorization": {"ip": "203.0.113.7"},
        "/oauth2/token": exchange(token),
        "/oauth2/revoke": {"token": token},
    }
    for path, form in calls.items():
        assert front.http.post(path, auth=(SHOP, SHOP_SECRET), data=form).status_code == 401

    assert front.service.auth(token).status_code == 204


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize(
    "path",
    [
        *["/v1/../orders", "/v1/%2e%2e/orders", "/login/../orders", "//v1/..//orders", "/v1/..;/x"],
        *["/oauth2/device/../../orders", "/oauth2/device/%2e%2e/orders", f"{PICTURE}/../../../orders", f"{KEYS}/x"],
        *["/.well-known/../orders", "/wechat/push/../../orders", "/wechat/push/%2e%2e/orders", "/wechat/push/..;/x"],
    ],
)
def test_no_path_bypasses_the_check(front: Front, path: str) -> None:
    """A path that combines paths of wxlogin and the backend does not reach the backend without a token."""
    assert front.send(path=path)[0] in (400, 401, 404)


@pytest.mark.parametrize(
    "path",
    [
        *["/auth/../v1/me", "/auth/%2e%2e/v1/me", "/auth/..%2fv1/me", "//auth/..//v1/me", "/auth/../login/"],
        *[f"/auth/..{PICTURE}", f"/auth/..{KEYS}", f"/auth/%2e%2e{METADATA}", f"/auth/../wechat/push/{APPID}"],
    ],
)
def test_no_path_leads_a_client_to_auth(front: Front, token: str, path: str) -> None:
    """A client does not get what /auth returns to a gateway, by no path that begins with /auth."""
    lines = (f"Authorization: Bearer {token}", "Connection: close")
    (answer,) = raw_http.parse(raw_http.exchange(front.http.base_url, raw_http.request(path, *lines)))

    assert [name for name in answer.headers if name.upper() in VOUCHED_FOR] == []


def test_a_store_that_is_down_is_503(before: Before, open_service: Any, sandbox: Sandbox) -> None:
    """While the store of wxlogin is down, requests are 503 with Retry-After and a problem.

    They do not reach the backend.
    """
    with redis_server() as redis, open_service(redis_url=f"redis://127.0.0.1:{redis.port}/0") as service:
        token = service.log_in(sandbox.code())["token"]
        with before(service) as front:
            assert front.get(token).status_code == 200
            reached = len(front.backend.reached)
            redis.kill()
            through, direct = front.get(token), service.auth(token)

            assert through.status_code == 503
            assert refusal(through) == refusal(direct)
            assert len(front.backend.reached) == reached


def outcome_of(response: httpx2.Response) -> tuple[int, str | None, str | None]:
    """Return the status, the code of the problem, if it is one, and Retry-After."""
    is_problem = response.headers.get("content-type") == "application/problem+json"
    return response.status_code, response.json()["code"] if is_problem else None, response.headers.get("retry-after")


def test_requests_fail_while_wxlogin_is_down(before: Before, open_service: Any, sandbox: Sandbox) -> None:
    """While wxlogin is down, every request fails as docs/operations.md states, and does not reach the backend."""
    with open_service() as service:
        token = service.log_in(sandbox.code())["token"]
        with before(service) as front:
            assert front.get(token).status_code == 200
            reached = len(front.backend.reached)
            service.process.stop(signal.SIGKILL)
            answers = [front.get(token), front.http.get("/orders"), front.get(token, **{"X-User-Id": "forged"})]
            expected = TRAEFIKS if front.name == "traefik" else UNAVAILABLE

            assert [outcome_of(answer) for answer in answers] == [expected] * 3
            assert len(front.backend.reached) == reached


def test_paths_of_wxlogin_fail_while_it_is_down(name: str, before: Before, open_service: Any) -> None:
    """While wxlogin is down, its own paths fail in the same way, except that HAProxy's 503 is not a problem."""
    with open_service() as service, before(service) as front:
        service.process.stop(signal.SIGKILL)
        reads = [front.http.get(path) for path in ("/v1/me", PICTURE, KEYS)]
        answers = [*reads, front.http.post("/login/", json={"code": "x"}), pushes.send(front.http, b"<xml></xml>")]
        expected = {"haproxy": (503, None, None), "traefik": TRAEFIKS}.get(name, UNAVAILABLE)

        assert [outcome_of(answer) for answer in answers] == [expected] * 5


def test_auth_gets_a_request_without_body(name: str, backend: Backend, tmp_path: Path) -> None:
    """/auth gets a request without a body, with the token and the client's address, on reused connections.

    The method is GET; Envoy sends the client's method, and its path below /auth.
    """
    with gateways.gateway(name, tmp_path, backend.port, backend.port) as url:
        before = len(backend.reached)
        with device_of(url) as client:
            for _ in range(10):
                client.post("/orders", content=b"x" * 1000, headers={"Authorization": "Bearer x"})
    reached = [request for request in backend.reached[before:] if not request.path.startswith("/readyz")]
    asked = [request for request in reached if request.path.startswith("/auth")]
    method, path = ("POST", "/auth/orders") if name == "envoy" else ("GET", "/auth")

    assert [(request.command, request.path) for request in asked] == [(method, path)] * 10
    assert {request.headers["Content-Length"] for request in asked} <= {None, "0"}
    assert {request.headers["Authorization"] for request in asked} == {"Bearer x"}
    forwarded = [request.headers.get_all("X-Forwarded-For", []) for request in asked]
    assert {tuple(fields) for fields in forwarded} in (
        {(CLIENT,)},
        {(f"{CLIENT}, {PROXY}",)},
    )  # Traefik first asks itself
    assert len(reached) == 20
    assert len({request.client_address for request in reached}) < 5


def test_identity_headers_of_the_client_are_removed_if_auth_sends_none(
    name: str, backend: Backend, tmp_path: Path
) -> None:
    """When /auth accepts a request and names no user, the backend gets no identity header of the client."""
    with gateways.gateway(name, tmp_path, backend.port, backend.port) as url:
        answer = plain_http.fetch(f"{url}/orders", headers=dict.fromkeys(VOUCHED_FOR, "forged"))

    assert answer.json()["path"] == "/orders"
    assert "forged" not in answer.text
