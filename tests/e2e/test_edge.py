"""Attacks on the HTTP server: no request is taken for another, and no client blocks the service for others."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from entrypoints.http.middleware import MAX_BODY_BYTES, MAX_BODY_SECONDS, MAX_HEAD_SECONDS
from support.processes import Sandbox, Service, environment
from support.raw_http import RawConnection, Response, authorization, connect, exchange, parse, request, statuses
from support.servers import free_port, migrate_database, sqlite_url, wait_until

APART_SECONDS = 0.3
"""The time between two segments, so that the server has read the first one before the second arrives."""

FORGED = "203.0.113.66"
LAST = request("/healthz", "Connection: close")
PATHS = [
    "/auth",
    "/login/",
    "/v1/sessions",
    "/v1/me",
    "/v1/wechat/session-key",
    "/oauth2/introspect",
    "/healthz",
    "/no",
]
UPGRADES = {
    "h2c": ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    "websocket": [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ],
    "TLS": ["Upgrade: TLS/1.0", "Connection: Upgrade"],
    "a name that no one knows": ["Upgrade: x", "Connection: upgrade"],
    "without Connection": ["Upgrade: x"],
}


def apart(raw: RawConnection, *segments: bytes) -> list[Response]:
    """Send the segments with a pause before each except the first, and return all responses."""
    raw.send(segments[0])
    for segment in segments[1:]:
        sleep(APART_SECONDS)
        raw.send(segment)
    return raw.responses()


def identities(responses: list[Response]) -> list[str]:
    """Return the user ids in the responses."""
    return [response.headers["x-user-id"] for response in responses if "x-user-id" in response.headers]


@pytest.fixture
def victim(service: Service, sandbox: Sandbox) -> dict[str, Any]:
    """Another user, whose token an attacker tries to use."""
    return service.log_in(sandbox.code())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_a_body_is_not_read_as_a_request(
    service: Service, login: dict[str, Any], victim: dict[str, Any], path: str, upgrade: str
) -> None:
    """With any requested upgrade, a body that looks like a request and arrives later is still read as a body."""
    hidden = request("/auth", authorization(victim))
    head = request(path, authorization(login), *UPGRADES[upgrade], f"Content-Length: {len(hidden)}", method="POST")
    with connect(service.url) as raw:
        responses = apart(raw, head, hidden, LAST)

    assert len(responses) == 2
    assert identities(responses) in ([], [login["user"]["id"]])
    assert (responses[-1].status, responses[-1].body) == (200, b'{"status":"ok"}')


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("path", ["/login/", "/v1/sessions"])
def test_a_login_that_offers_an_upgrade_logs_in(service: Service, sandbox: Sandbox, path: str, upgrade: str) -> None:
    """A login with `Upgrade: h2c`, which Java's HttpClient sends, is answered over HTTP/1.1."""
    body = f'{{"code":"{sandbox.code()}"}}'.encode()
    head = request(path, *UPGRADES[upgrade], f"Content-Length: {len(body)}", method="POST")
    with connect(service.url) as raw:
        logged_in, last = apart(raw, head, body, LAST)

    assert b'"token"' in logged_in.body
    assert last.status == 200


@pytest.mark.parametrize("coding", ["chunked", "Chunked"])
def test_a_chunked_body_is_not_read_as_a_request(
    service: Service, login: dict[str, Any], victim: dict[str, Any], coding: str
) -> None:
    """A chunked body that looks like a request is read as a body."""
    hidden = request("/auth", authorization(victim))
    head = request("/auth", authorization(login), "Upgrade: x", "Connection: Upgrade", f"Transfer-Encoding: {coding}")
    with connect(service.url) as raw:
        responses = apart(raw, head, f"{len(hidden):x}\r\n".encode(), hidden, b"\r\n0\r\n\r\n", LAST)

    assert identities(responses) == [login["user"]["id"]]
    assert [response.status for response in responses] == [204, 200]


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5, 6"],
        ["Content-Length: +5"],
        ["Content-Length: 0x5"],
        ["Content-Length: 5 5"],
        ["Transfer-Encoding: gzip"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["X: y\rTransfer-Encoding: chunked"],
        ["X: y\x00"],
        ["X: y\r\n Z: folded"],
        [": no name"],
        ["no colon"],
    ],
    ids=repr,
)
def test_an_ambiguous_request_is_refused(
    service: Service, login: dict[str, Any], victim: dict[str, Any], lines: list[str]
) -> None:
    """An ambiguous request is 400, and no later request on its connection is answered."""
    ambiguous = request("/auth", authorization(login), *lines, method="POST")
    answers = exchange(service.url, ambiguous, b"0\r\n\r\n" + request("/auth", authorization(victim)) + LAST)

    assert statuses(answers) == [400]
    assert identities(parse(answers)) == []


def test_a_content_length_with_chunks_closes_the_connection(
    service: Service, login: dict[str, Any], victim: dict[str, Any]
) -> None:
    """Of Content-Length and Transfer-Encoding the latter applies, and the connection closes (RFC 9112 section 6.3)."""
    head = request("/auth", authorization(login), "Content-Length: 3", "Transfer-Encoding: chunked", method="POST")
    responses = parse(exchange(service.url, head, b"0\r\n\r\n" + request("/auth", authorization(victim)) + LAST))

    assert identities(responses) in ([], [login["user"]["id"]])
    assert len(responses) == 1


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Authorization", "Host", "Content-Length", "Content-Type"])
def test_trailers_are_ignored(open_service: Any, sandbox: Sandbox, name: str) -> None:
    """The trailers of a chunked body are ignored: they set no client address and do not authenticate."""
    with open_service(trusted_proxies="127.0.0.1") as service:
        user = service.log_in(sandbox.code())
        values = {"Authorization": f"Bearer {user['token']}", "X-Forwarded-For": FORGED}
        trailer = f"0\r\n{name}: {values.get(name, '7')}\r\n\r\n".encode()
        body = f'{{"code":"{sandbox.code()}"}}'.encode()
        chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"
        chunked = ["Transfer-Encoding: chunked", f"Trailer: {name}"]
        answers = exchange(
            service.url,
            request("/v1/sessions", *chunked, method="POST"),
            chunk + trailer,
            request("/auth", *chunked, method="POST") + trailer + LAST,
        )
        login, auth, last = parse(answers)

    assert (login.status, auth.status, last.status) == (201, 401, 200)
    assert b'"ip":"127.0.0.1"' in login.body


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (request("/auth", *(f"x{number}: y" for number in range(98)), "Connection: close"), 401),
        (request("/auth", *(f"x{number}: y" for number in range(100)), "Connection: close"), 431),
        (request("/auth", *(f"x{number}: y" for number in range(100_000)), "Connection: close"), 431),
        (request("/auth", "x: " + "y" * 65_000, "Connection: close"), 401),
        (request("/auth", "x: " + "y" * 65_536, "Connection: close"), 431),
        (request("/auth", "x: " + "y" * 10_000_000, "Connection: close"), 431),
        (request("/auth?" + "y" * 65_536, "Connection: close"), 431),
        (request("/login/", "x: " + "y" * 65_536, method="POST", body=b"{}"), 431),
    ],
    ids=["100 fields", "102 fields", "100,000 fields", "65 kB", "66 kB", "10 MB", "a target of 66 kB", "a login"],
)
def test_the_size_of_a_head_is_limited(service: Service, head: bytes, status: int) -> None:
    """A head of more than 64 KiB or 100 fields is 431, and its connection closes."""
    with connect(service.url) as raw:
        raw.send(head)
        answers = raw.rest()

    assert statuses(answers) in ([[401]] if status == 401 else [[431], [414], []])
    assert service.http.get("/healthz").status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/auth", "/login/", "/v1/sessions", "/oauth2/introspect", "/no"])
@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, None), (MAX_BODY_BYTES + 1, 413), (3_000_000, 413)])
def test_the_size_of_a_body_is_limited(
    service: Service, path: str, size: int, status: int | None, chunked: bool
) -> None:
    """A body of more than 64 KiB is 413 with any transfer encoding, and its connection closes."""
    body = b" " * size
    if chunked:
        head = request(path, "Transfer-Encoding: chunked", "Connection: close", method="POST")
        body = f"{size:x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    else:
        head = request(path, "Connection: close", f"Content-Length: {size}", method="POST")
    answers = parse(exchange(service.url, head, body))

    assert [answer.headers["connection"] for answer in answers] == ["close"]
    assert (answers[0].status == 413) == (status == 413)


def test_a_too_large_content_length_is_refused_at_once(service: Service) -> None:
    """A Content-Length above the limit is 413 before the body arrives, also with Expect: 100-continue."""
    for more in ([], ["Expect: 100-continue"]):
        announced = request("/v1/sessions", *more, "Content-Length: 999999999999", method="POST")
        with connect(service.url) as raw:
            raw.send(announced)

            assert statuses(raw.receive()) == [413]


def _seconds_until_closed(service: Service, first: bytes, drip: bytes = b"") -> tuple[float, list[int]]:
    """Return how long the service waits for a client that sends no complete request, and its answers."""
    began = monotonic()
    with connect(service.url) as raw:
        raw.send(first)
        answers = b"".join(iter(lambda: raw.receive_or(lambda: raw.send(drip)), b""))
    return monotonic() - began, statuses(answers)


def test_an_incomplete_request_has_a_deadline(service: Service) -> None:
    """An incomplete head is closed after 15 seconds.

    An incomplete body is 408 after 30 seconds, even when bytes still arrive.
    """
    half_body = request("/v1/sessions", "Content-Length: 1000", method="POST") + b"{"
    cases = {
        "silent": (b"", b""),
        "half a head": (b"GET /auth HTTP/1.1\r\nHo", b""),
        "a head byte by byte": (b"GET /auth HTTP/1.1\r\nHost: x\r\nX: ", b"y"),
        "idle after a request": (request("/healthz"), b""),
        "half a body": (half_body, b""),
        "a body byte by byte": (half_body, b" "),
    }
    with ThreadPoolExecutor(len(cases)) as clients:
        closed = dict(
            zip(cases, clients.map(lambda case: _seconds_until_closed(service, *case), cases.values()), strict=True)
        )

    for name, (seconds, answers) in closed.items():
        limit = MAX_BODY_SECONDS if "body" in name else MAX_HEAD_SECONDS
        assert limit - 1 < seconds < limit + 10, name
        assert answers == ([408] if "body" in name else [200] if "idle" in name else []), name


@pytest.fixture
def cramped(sandbox: Sandbox, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A service that may open 256 files: its URL and its log."""
    env = environment(database_url=sqlite_url(tmp_path), wechat_url=sandbox.url)
    migrate_database(env["WXLOGIN_DATABASE_URL"])
    port, log = free_port(), tmp_path / "log"
    command = [str(Path(sys.executable).with_name("wxlogin")), "serve", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=env, stderr=output, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        )
    try:
        wait_until(lambda: b'"serving"' in log.read_bytes(), "serve")
        yield f"http://127.0.0.1:{port}", log
    finally:
        process.terminate()
        process.wait()


def test_idle_connections_do_not_block_other_clients(cramped: tuple[str, Path]) -> None:
    """Idle connections above the file limit are logged and closed in time, and other clients are served."""
    url, log = cramped
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connect(url)).send(b"G")
        with connect(url) as raw:
            raw.send(LAST)
            answer = raw.responses()

    assert [response.status for response in answer] == [200]
    assert b"connections_exhausted" in log.read_bytes()


@pytest.mark.parametrize("target", ["/auth", "/login/", "/v1/me", "/healthz", "/no"])
@pytest.mark.parametrize("hosts", [[], [""], ["a", "b"], ["a", "a"]], ids=repr)
def test_a_request_has_one_host(service: Service, target: str, hosts: list[str]) -> None:
    """A request without a Host header, or with two, is 400 (RFC 9112 section 3.2)."""
    lines = [f"GET {target} HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]

    assert statuses(exchange(service.url, "\r\n".join(lines).encode())) == [400]


def test_an_http_1_0_client_needs_no_host(service: Service) -> None:
    """A request of HTTP/1.0 needs no Host header, so that old health checks work."""
    assert statuses(exchange(service.url, b"GET /healthz HTTP/1.0\r\n\r\n")) == [200]


@pytest.mark.parametrize(
    "forwarded", ["x" * 46, "x" * 8000, "unknown", "_obfuscated", "fe80::1%" + "z" * 4000, "9" * 45]
)
def test_a_malformed_address_does_not_fail_a_login(open_service: Any, sandbox: Sandbox, forwarded: str) -> None:
    """A malformed address from a trusted proxy does not fail the login. The session has no address."""
    with open_service(trusted_proxies="127.0.0.1") as service:
        headers = {"X-Forwarded-For": forwarded}
        login = service.http.post("/v1/sessions", json={"code": sandbox.code()}, headers=headers)

    assert (login.status_code, login.json()["session"]["ip"]) == (201, None)
