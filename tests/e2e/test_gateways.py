"""The configurations of examples/gateways: what reaches a backend, and what a client sees when nothing does."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support import gateways, plain_http
from support.gateways import Backend
from support.processes import APPID, Sandbox, Service
from support.servers import redis_server

PROXY, CLIENT = "127.0.0.1", "127.0.0.2"
"""Where the gateway talks from to wxlogin, and where these tests talk from to the gateway."""

WELL_FORMED = "x" * 43

CERTAIN = ["X-USER-ID", "X-SESSION-ID", "X-WX-OPENID", "X-WX-APPID", "X-WX-SOURCE"]
"""What a backend hears of every caller."""

OF_CLOUD_RUN = ["X-WX-SOURCES", "X-WX-FROM-OPENID", "X-WX-FROM-APPID", "X-WX-FROM-UNIONID", "X-WX-ENV"]
VOUCHED_FOR = [*CERTAIN, "X-WX-UNIONID", *OF_CLOUD_RUN, "X-ORIGINAL-FORWARDED-FOR"]
"""What a backend believes: wxlogin's headers, and those of WeChat Cloud Run."""

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
        """GET /orders with a token."""
        return self.http.get("/orders", headers={"Authorization": f"Bearer {token}", **headers})

    def send(self, *lines: str, path: str = "/orders") -> tuple[int, bytes]:
        """What is answered to a GET with exactly these header lines: status and body."""
        request = "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *lines, "Connection: close", "", ""])
        with socket.create_connection((self.http.base_url.host, self.http.base_url.port or 80), timeout=20) as wire:
            wire.sendall(request.encode("latin-1"))
            answer = HTTPResponse(wire)
            answer.begin()
            return answer.status, answer.read()


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    """The backend that knows nothing of WeChat."""
    with gateways.backend() as running:
        yield running


@pytest.fixture(scope="module")
def proxied(open_service: Any) -> Iterator[Service]:
    """A service that believes the gateway."""
    with open_service(trusted_proxies=PROXY) as running:
        yield running


@pytest.fixture(scope="module", params=gateways.FOUND)
def name(request: pytest.FixtureRequest) -> str:
    """Each gateway of this machine."""
    return str(request.param)


def device_of(url: str) -> httpx2.Client:
    """A client of the gateway at this URL, with an address of its own."""
    transport = httpx2.HTTPTransport(verify=plain_http.NO_CERTIFICATES, local_address=CLIENT)
    return plain_http.client(base_url=url, transport=transport)


Before = Callable[[Service], AbstractContextManager[Front]]


@pytest.fixture(scope="module")
def before(name: str, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Before:
    """Puts the gateway before a service, for as long as a block lasts."""

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
    """The token of a user who has just logged in, and whose unionid nobody knows."""
    return str(front.service.log_in(sandbox.code())["token"])


@pytest.fixture
def ended(front: Front, token: str) -> str:
    """The token of a session that is over."""
    front.service.http.delete("/v1/sessions/current", headers={"Authorization": f"Bearer {token}"}).raise_for_status()
    return token


def believed(received: bytes) -> list[tuple[str, str]]:
    """What the backend takes for vouched for, read as CGI reads headers: X_WX_OPENID is X-WX-OPENID."""
    spelt = [(name.strip().upper().replace("_", "-"), value) for name, value in json.loads(received)["headers"]]
    return sorted((name, value) for name, value in spelt if name in VOUCHED_FOR)


def vouched(front: Front, token: str) -> list[tuple[str, str]]:
    """What the backend has to believe: what /auth says, and that the caller came through WeChat."""
    said = [(name.upper(), value) for name, value in front.service.auth(token).headers.items()]
    return sorted([*((name, value) for name, value in said if name in VOUCHED_FOR), ("X-WX-SOURCE", "wx_client")])


def refusal(answer: httpx2.Response) -> dict[str, Any]:
    """What a client learns from a refusal."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    names = ("www-authenticate", "retry-after")
    problem = {key: answer.json()[key] for key in ("type", "status", "code", "retry")}
    return {"status": answer.status_code, **{name: answer.headers.get_list(name) for name in names}, "problem": problem}


@pytest.fixture
def unreached(backend: Backend) -> Iterator[None]:
    """Nothing reaches the backend during the test."""
    before = len(backend.reached)
    yield

    assert [request.requestline for request in backend.reached[before:]] == []


def test_a_backend_hears_who_is_calling(front: Front, token: str) -> None:
    """The backend gets what /auth says, each header once, and no unionid when there is none."""
    answer = front.get(token)

    assert answer.status_code == 200
    assert believed(answer.content) == vouched(front, token)
    assert [name for name, _ in believed(answer.content)] == sorted(CERTAIN)


def test_cloud_run_code_works_unchanged(front: Front, sandbox: Sandbox) -> None:
    """The headers of WeChat Cloud Run are there under their names, and its test of the source holds."""
    token = front.service.log_in(sandbox.code(openid=f"o-of-{front.name}", unionid=f"u-of-{front.name}"))["token"]
    headers = {name.lower(): value for name, value in front.get(token).json()["headers"]}

    assert headers["x-wx-source"]
    assert headers["x-wx-openid"] == f"o-of-{front.name}"
    assert headers["x-wx-appid"] == APPID
    assert headers["x-wx-unionid"] == f"u-of-{front.name}"


def test_simultaneous_users_are_not_mixed(front: Front, sandbox: Sandbox) -> None:
    """Of many requests at once each brings its own user to the backend."""
    tokens = [front.service.log_in(sandbox.code())["token"] for _ in range(10)] * 20
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(front.get, tokens))

    expected = {token: vouched(front, token) for token in tokens[:10]}
    assert [believed(answer.content) for answer in answers] == [expected[token] for token in tokens]


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_user_cannot_be_another(front: Front, token: str, spelling: Callable[[str], str]) -> None:
    """However a forged header is spelt: the backend believes what /auth says, or the request is refused."""
    for name in VOUCHED_FOR:
        status, body = front.send(f"Authorization: Bearer {token}", spelling(name))

        assert status == 400 or (status, believed(body)) == (200, vouched(front, token)), name


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_forged_header_is_no_token(front: Front, spelling: Callable[[str], str]) -> None:
    """Without a token no forged header gets a request to the backend."""
    for name in VOUCHED_FOR:
        assert front.send(spelling(name))[0] in (400, 401), name


def test_a_client_cannot_take_an_identity_away(front: Front, token: str) -> None:
    """Naming headers in Connection, which proxies drop, takes none from what the backend hears of the caller."""
    status, body = front.send(f"Authorization: Bearer {token}", f"Connection: {', '.join(CERTAIN)}")

    assert (status, believed(body)) == (200, vouched(front, token))


def test_a_client_that_takes_its_token_away_has_none(front: Front, token: str) -> None:
    """A token named in Connection is either seen, or the request is refused for want of one: Traefik drops it first."""
    status, body = front.send(f"Authorization: Bearer {token}", "Connection: Authorization")

    assert status == 401 or (status, believed(body)) == (200, vouched(front, token))


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Basic dXNlcjpwYXNz", f"Bearer {WELL_FORMED}", "Bearer 令牌"]
)
def test_a_refusal_is_wxlogins(front: Front, authorization: str | None) -> None:
    """Without a live token the client reads what wxlogin says, and the backend nothing."""
    headers = [] if authorization is None else [(b"Authorization", authorization.encode())]
    through, direct = front.http.get("/orders", headers=headers), front.service.http.get("/auth", headers=headers)

    assert through.status_code == 401
    assert refusal(through) == refusal(direct)


@pytest.mark.usefixtures("unreached")
def test_an_ended_session_says_so(front: Front, ended: str) -> None:
    """The token of a session that was logged out is 401 session_ended, in the challenge and in the body."""
    answer = front.get(ended)

    assert refusal(answer) == refusal(front.service.auth(ended))
    assert answer.json()["code"] == "session_ended"
    assert 'error_description="session_ended"' in answer.headers["www-authenticate"]


def test_the_next_request_sees_a_log_out(front: Front, token: str) -> None:
    """A user who logs out through the gateway is out at once."""
    bearer = {"Authorization": f"Bearer {token}"}
    statuses = [
        front.get(token).status_code,
        front.http.delete("/v1/sessions/current", headers=bearer).status_code,
        front.get(token).status_code,
    ]

    assert statuses == [200, 204, 401]


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize("second", ["Bearer {live}", f"Bearer {WELL_FORMED}", "Basic dXNlcjpwYXNz", ""])
def test_of_several_tokens_none_is_chosen(front: Front, token: str, second: str) -> None:
    """Two Authorization headers are refused, in either order and even when they are the same."""
    live, other = f"Authorization: Bearer {token}", f"Authorization: {second.format(live=token)}"

    assert front.send(live, other)[0] in (400, 401)
    assert front.send(other, live)[0] in (400, 401)


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR"])
def test_the_scheme_may_be_in_any_case(front: Front, token: str, scheme: str) -> None:
    """RFC 9110 says that a scheme's case is of no meaning."""
    assert front.get("", Authorization=f"{scheme} {token}").status_code == 200


def test_the_token_stays_at_the_gateway(front: Front, token: str) -> None:
    """The backend, which could act as the user with it, does not get the token."""
    assert token not in front.get(token).text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_reaches_the_backend_whole(front: Front, token: str, method: str) -> None:
    """Asking who is calling takes nothing from the request, whatever its method, path, query and size."""
    sent = os.urandom(300_000)
    headers = {"Authorization": f"Bearer {token}"}
    got = front.http.request(method, "/orders/%E4%B8%AD?a=1&b=%2F", content=sent, headers=headers).json()

    assert (got["method"], got["path"]) == (method, "/orders/%E4%B8%AD?a=1&b=%2F")
    assert got["body"].encode("latin-1") == sent


def test_the_clients_address_is_told(front: Front, sandbox: Sandbox) -> None:
    """Backend and wxlogin hear the address that the client really has, and not the one that it claims."""
    claim = {"X-Forwarded-For": "203.0.113.7"}
    login = front.http.post("/v1/sessions", json={"code": sandbox.code()}, headers=claim).json()
    received = front.get(login["token"], **claim).json()["headers"]

    assert login["session"]["ip"] == CLIENT
    assert [value for name, value in received if name.lower() == "x-forwarded-for"] == [CLIENT]


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize("path", ["/auth", "/_auth", "/oauth2/introspect", "/docs", "/readyz"])
def test_only_login_and_v1_are_public(front: Front, path: str) -> None:
    """Of wxlogin's calls a client reaches the login and /v1, and only these go without a token."""
    assert front.send(path=path)[0] in (401, 404)
    assert front.http.post("/login/", json={}).json()["status"] == 1
    assert front.http.get("/v1/me").json()["code"] == "token_missing"


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize(
    "path", ["/v1/../orders", "/v1/%2e%2e/orders", "/login/../orders", "//v1/..//orders", "/v1/..;/x"]
)
def test_no_path_leads_around_the_check(front: Front, path: str) -> None:
    """A path that starts as one of wxlogin's and ends as one of the backend's gets nobody in without a token."""
    assert front.send(path=path)[0] in (400, 401, 404)


def test_a_store_that_is_away_is_told(before: Before, open_service: Any, sandbox: Sandbox) -> None:
    """What wxlogin cannot tell for the moment is 503 with Retry-After and the problem, and reaches no backend."""
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


def test_requests_fail_while_wxlogin_is_down(before: Before, open_service: Any, sandbox: Sandbox) -> None:
    """While wxlogin does not run, every request is 5xx, token or not, and none reaches the backend."""
    with open_service() as service:
        token = service.log_in(sandbox.code())["token"]
        with before(service) as front:
            assert front.get(token).status_code == 200
            reached = len(front.backend.reached)
            service.process.stop(signal.SIGKILL)
            answers = [front.get(token), front.http.get("/orders"), front.get(token, **{"X-User-Id": "forged"})]

            assert [answer.status_code // 100 for answer in answers] == [5, 5, 5]
            assert len(front.backend.reached) == reached


def test_paths_of_wxlogin_are_5xx_while_it_is_down(name: str, before: Before, open_service: Any) -> None:
    """While wxlogin does not run, its own paths are 5xx too; nginx answers with a problem that a client can act on."""
    with open_service() as service, before(service) as front:
        service.process.stop(signal.SIGKILL)
        answers = [front.http.get("/v1/me"), front.http.post("/login/", json={"code": "x"})]

        assert [answer.status_code // 100 for answer in answers] == [5, 5]
        if name == "nginx":
            assert [answer.json()["code"] for answer in answers] == ["store_unavailable"] * 2
            assert {answer.headers["retry-after"] for answer in answers} == {"1"}


def test_wxlogin_is_asked_briefly(name: str, backend: Backend, tmp_path: Path) -> None:
    """/auth gets a GET without the body, with the token and the client's address; connections are used again."""
    with gateways.gateway(name, tmp_path, backend.port, backend.port) as url:
        before = len(backend.reached)
        with device_of(url) as client:
            for _ in range(10):
                client.post("/orders", content=b"x" * 1000, headers={"Authorization": "Bearer x"})
    reached = [request for request in backend.reached[before:] if request.path != "/readyz"]
    asked = [request for request in reached if request.path == "/auth"]

    assert [request.command for request in asked] == ["GET"] * 10
    assert {request.headers["Content-Length"] for request in asked} <= {None, "0"}
    assert {request.headers["Authorization"] for request in asked} == {"Bearer x"}
    forwarded = [request.headers.get_all("X-Forwarded-For", []) for request in asked]
    assert {tuple(fields) for fields in forwarded} in (
        {(CLIENT,)},
        {(f"{CLIENT}, {PROXY}",)},
    )  # Traefik asks itself first
    assert len(reached) == 20
    assert len({request.client_address for request in reached}) < 5


def test_identity_headers_of_the_client_are_removed_if_auth_sends_none(
    name: str, backend: Backend, tmp_path: Path
) -> None:
    """Of an /auth that lets everybody in and names nobody, the backend gets nothing that the client claims."""
    with gateways.gateway(name, tmp_path, backend.port, backend.port) as url:
        answer = plain_http.ask(f"{url}/orders", headers=dict.fromkeys(VOUCHED_FOR, "forged"))

    assert answer.json()["path"] == "/orders"
    assert "forged" not in answer.text
