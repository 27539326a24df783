"""The edge under attack: no request is mistaken for another, and no client takes the service away from the others."""

import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

import psutil
import pytest

from entrypoints.http.edge import BODY_BYTES, BODY_SECONDS, HEAD_SECONDS
from support.faults import workers_of
from support.processes import Sandbox, Service, environment
from support.raw_http import Response, Wire, connect, exchange, parse, request, statuses
from support.servers import free_port, migrate_database, sqlite_url, wait_until

APART_SECONDS = 0.3
"""The time between two segments, so that the server has read the first one when the second comes."""

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


def bearer(login: dict[str, Any]) -> str:
    """Return the header line that authenticates a user."""
    return f"Authorization: Bearer {login['token']}"


def apart(wire: Wire, *segments: bytes) -> list[Response]:
    """Send the segments with a pause before each but the first, and return all responses."""
    wire.send(segments[0])
    for segment in segments[1:]:
        sleep(APART_SECONDS)
        wire.send(segment)
    return wire.responses()


def identities(responses: list[Response]) -> list[str]:
    """Return whom the responses name."""
    return [response.headers["x-user-id"] for response in responses if "x-user-id" in response.headers]


def memory_of(service: Service) -> int:
    """Return the memory of all processes of a service, in bytes."""
    return sum(psutil.Process(pid).memory_info().rss for pid in (service.process.process.pid, *workers_of(service)))


@pytest.fixture
def victim(service: Service, sandbox: Sandbox) -> dict[str, Any]:
    """Another user, whose token an attacker would like to use without having it."""
    return service.log_in(sandbox.code())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_a_body_is_never_a_request(
    service: Service, login: dict[str, Any], victim: dict[str, Any], path: str, upgrade: str
) -> None:
    """Whatever upgrade is asked for, a body is a body, though it comes later and looks like a request."""
    hidden = request("/auth", bearer(victim))
    head = request(path, bearer(login), *UPGRADES[upgrade], f"Content-Length: {len(hidden)}", method="POST")
    with connect(service.url) as wire:
        responses = apart(wire, head, hidden, LAST)

    assert len(responses) == 2
    assert identities(responses) in ([], [login["user"]["id"]])
    assert (responses[-1].status, responses[-1].body) == (200, b'{"status":"ok"}')


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("path", ["/login/", "/v1/sessions"])
def test_a_login_that_offers_an_upgrade_logs_in(service: Service, sandbox: Sandbox, path: str, upgrade: str) -> None:
    """Java's HttpClient sends `Upgrade: h2c` with every POST: it is served over HTTP/1.1, with its body."""
    body = f'{{"code":"{sandbox.code()}"}}'.encode()
    head = request(path, *UPGRADES[upgrade], f"Content-Length: {len(body)}", method="POST")
    with connect(service.url) as wire:
        logged_in, last = apart(wire, head, body, LAST)

    assert b'"token"' in logged_in.body
    assert last.status == 200


@pytest.mark.parametrize("coding", ["chunked", "Chunked"])
def test_a_chunked_body_is_never_a_request(
    service: Service, login: dict[str, Any], victim: dict[str, Any], coding: str
) -> None:
    """The same holds for a body in chunks, whose length is not known beforehand."""
    hidden = request("/auth", bearer(victim))
    head = request("/auth", bearer(login), "Upgrade: x", "Connection: Upgrade", f"Transfer-Encoding: {coding}")
    with connect(service.url) as wire:
        responses = apart(wire, head, f"{len(hidden):x}\r\n".encode(), hidden, b"\r\n0\r\n\r\n", LAST)

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
def test_a_request_that_can_be_read_in_two_ways_is_refused(
    service: Service, login: dict[str, Any], victim: dict[str, Any], lines: list[str]
) -> None:
    """What a gateway may have split otherwise is 400, and nothing that follows it on the connection is answered."""
    ambiguous = request("/auth", bearer(login), *lines, method="POST")
    answers = exchange(service.url, ambiguous, b"0\r\n\r\n" + request("/auth", bearer(victim)) + LAST)

    assert statuses(answers) == [400]
    assert identities(parse(answers)) == []


def test_a_length_beside_chunks_ends_the_connection(
    service: Service, login: dict[str, Any], victim: dict[str, Any]
) -> None:
    """Of Content-Length and Transfer-Encoding the second counts, and the connection closes (RFC 9112 section 6.3)."""
    head = request("/auth", bearer(login), "Content-Length: 3", "Transfer-Encoding: chunked", method="POST")
    responses = parse(exchange(service.url, head, b"0\r\n\r\n" + request("/auth", bearer(victim)) + LAST))

    assert identities(responses) in ([], [login["user"]["id"]])
    assert len(responses) == 1


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Authorization", "Host", "Content-Length", "Content-Type"])
def test_trailers_are_ignored(open_service: Any, sandbox: Sandbox, name: str) -> None:
    """What follows a chunked body is no header: it forges no address, and authenticates no one."""
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


@pytest.mark.parametrize("path", ["/auth", "/healthz"])
def test_a_pipeline_is_read_only_as_fast_as_it_is_answered(open_service: Any, path: str) -> None:
    """A client that sends 30 MB of requests and reads no answer is not read any more, and costs no memory."""
    with open_service() as service:
        service.http.get(path)
        before = memory_of(service)
        with connect(service.url) as wire:
            taken = wire.fill(request(path) * 1000, 30_000_000)
            grown = memory_of(service) - before

            assert service.http.get("/healthz").status_code == 200
    assert taken < 30_000_000
    assert grown < 16_000_000


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
def test_a_head_has_bounds(service: Service, head: bytes, status: int) -> None:
    """A head of more than 64 KiB or 100 fields is 431 at the most, and its connection closes."""
    with connect(service.url) as wire:
        wire.send(head)
        answers = wire.rest()

    assert statuses(answers) in ([[401]] if status == 401 else [[431], [414], []])
    assert service.http.get("/healthz").status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/auth", "/login/", "/v1/sessions", "/oauth2/introspect", "/no"])
@pytest.mark.parametrize(("size", "status"), [(BODY_BYTES, None), (BODY_BYTES + 1, 413), (3_000_000, 413)])
def test_a_body_has_bounds(service: Service, path: str, size: int, status: int | None, chunked: bool) -> None:
    """A body of more than 64 KiB is 413, however it is sent; the client reads that, and its connection closes."""
    body = b" " * size
    if chunked:
        head = request(path, "Transfer-Encoding: chunked", "Connection: close", method="POST")
        body = f"{size:x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    else:
        head = request(path, "Connection: close", f"Content-Length: {size}", method="POST")
    answers = parse(exchange(service.url, head, body))

    assert [answer.headers["connection"] for answer in answers] == ["close"]
    assert (answers[0].status == 413) == (status == 413)


def test_a_body_that_is_announced_too_large_is_not_waited_for(service: Service) -> None:
    """A Content-Length beyond the bounds is 413 at once, also of a client that waits for a go-ahead."""
    for more in ([], ["Expect: 100-continue"]):
        announced = request("/v1/sessions", *more, "Content-Length: 999999999999", method="POST")
        with connect(service.url) as wire:
            wire.send(announced)

            assert statuses(wire.receive()) == [413]


def _seconds_until_closed(service: Service, first: bytes, drip: bytes = b"") -> tuple[float, list[int]]:
    """Return how long the service lets a client be that sends no whole request, and what it is answered."""
    began = monotonic()
    with connect(service.url) as wire:
        wire.send(first)
        answers = b"".join(iter(lambda: wire.receive_or(lambda: wire.send(drip)), b""))
    return monotonic() - began, statuses(answers)


def test_an_incomplete_request_has_a_deadline(service: Service) -> None:
    """Silence and half a head are cut off after 15 seconds, half a body is 408 after 30, even byte by byte."""
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
        limit = BODY_SECONDS if "body" in name else HEAD_SECONDS
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


def test_connections_that_say_nothing_shut_no_one_out(cramped: tuple[str, Path]) -> None:
    """Silent connections beyond what the service may have open are logged and closed in time, and others are served."""
    url, log = cramped
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connect(url)).send(b"G")
        with connect(url) as wire:
            wire.send(LAST)
            answer = wire.responses()

    assert [response.status for response in answer] == [200]
    assert b"connections_exhausted" in log.read_bytes()


@pytest.mark.parametrize(
    "bad", [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET /auth HTTP/1.1\r\nHost : x\r\n\r\n"], ids=repr
)
def test_a_bad_request_waits_for_the_answers_before_it(service: Service, sandbox: Sandbox, bad: bytes) -> None:
    """A login that was sent before a malformed request on the connection is answered first: its token is not lost."""
    body = f'{{"code":"{sandbox.code()}"}}'.encode()
    sandbox.fail(delay_seconds=0.3)
    login = request("/v1/sessions", method="POST", body=body)
    responses = parse(exchange(service.url, request("/healthz") + login + bad))

    assert [response.status for response in responses] == [200, 201, 400]
    assert b'"token"' in responses[1].body


@pytest.mark.parametrize("target", ["/auth", "/login/", "/v1/me", "/healthz", "/no"])
@pytest.mark.parametrize("hosts", [[], [""], ["a", "b"], ["a", "a"]], ids=repr)
def test_a_request_has_one_host(service: Service, target: str, hosts: list[str]) -> None:
    """Without a Host, or with two, a request is 400 (RFC 9112 section 3.2)."""
    lines = [f"GET {target} HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]

    assert statuses(exchange(service.url, "\r\n".join(lines).encode())) == [400]


def test_an_old_client_needs_no_host(service: Service) -> None:
    """HTTP/1.0 knows no Host: health checks that speak it are answered."""
    assert statuses(exchange(service.url, b"GET /healthz HTTP/1.0\r\n\r\n")) == [200]


class Asked(NamedTuple):
    """A request, and what its answer has to look like."""

    sent: bytes
    status: int
    holds: bytes


class Mixer:
    """Makes random requests whose right answers are known and differ from each other."""

    def __init__(self, service: Service, sandbox: Sandbox, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # a test that can be repeated
        self._sandbox = sandbox
        self._users = [service.log_in(sandbox.code()) for _ in range(8)]
        openids = [f"o-mixed-{seed}-{number}" for number in range(8)]  # of those who log in so often that sessions end
        self._ids = {openid: service.log_in(sandbox.code(openid=openid))["user"]["id"] for openid in openids}

    def pipeline(self, length: int) -> list[Asked]:
        """Return so many requests."""
        makers = [self._auth, self._auth, self._auth, self._nobody, self._me, self._login, self._lost, self._posted]
        return [self._random.choice(makers)() for _ in range(length)]

    def split(self, data: bytes) -> list[bytes]:
        """Return the bytes in segments of random sizes."""
        cuts = sorted(self._random.randrange(len(data)) for _ in range(self._random.randrange(12)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]

    def _user(self) -> dict[str, Any]:
        return self._random.choice(self._users)

    def _auth(self) -> Asked:
        user = self._user()
        return Asked(request("/auth", bearer(user)), 204, f"x-session-id: {user['session']['id']}".encode())

    def _nobody(self) -> Asked:
        return Asked(request("/auth"), 401, b"token_missing")

    def _me(self) -> Asked:
        user = self._user()
        return Asked(request("/v1/me", bearer(user)), 200, user["user"]["id"].encode())

    def _login(self) -> Asked:
        openid, user_id = self._random.choice([*self._ids.items()])
        body = f'{{"code":"{self._sandbox.code(openid=openid)}"}}'.encode()
        return Asked(request("/v1/sessions", method="POST", body=body), 201, user_id.encode())

    def _lost(self) -> Asked:
        return Asked(request(f"/no/{self._random.randrange(99)}"), 404, b"not_found")

    def _posted(self) -> Asked:
        """A request whose body looks like another user's."""
        user, hidden = self._user(), request("/auth", bearer(self._user()))
        sent = request("/auth", bearer(user), "Upgrade: x", "Connection: Upgrade", method="POST", body=hidden)
        return Asked(sent, 204, f"x-session-id: {user['session']['id']}".encode())


@pytest.mark.parametrize("seed", range(4))
def test_no_answer_is_anothers(either_service: Service, sandbox: Sandbox, seed: int) -> None:
    """Of random pipelines, cut anywhere, on many connections at once, each request gets its own answer, in order."""
    mixer = Mixer(either_service, sandbox, seed)

    def play(asked: list[Asked]) -> list[Asked]:
        """Return what was answered wrongly."""
        data = b"".join(each.sent for each in asked) + LAST
        with connect(either_service.url) as wire:
            wire.send(*mixer.split(data))
            answers = wire.rest()
        heads = answers.split(b"HTTP/1.1 ")[1:]
        assert len(heads) == len(asked) + 1
        return [
            each
            for each, answer in zip(asked, heads, strict=False)
            if not answer.startswith(str(each.status).encode()) or each.holds not in answer
        ]

    pipelines = [mixer.pipeline(25) for _ in range(32)]
    with ThreadPoolExecutor(8) as clients:
        wrong = [each for found in clients.map(play, pipelines) for each in found]

    assert wrong == []


@pytest.mark.parametrize(
    "forwarded", ["x" * 46, "x" * 8000, "unknown", "_obfuscated", "fe80::1%" + "z" * 4000, "9" * 45]
)
def test_an_address_that_is_none_fails_no_login(open_service: Any, sandbox: Sandbox, forwarded: str) -> None:
    """Whatever a trusted proxy passes on for the client's address, the login succeeds, and the address is unknown."""
    with open_service(trusted_proxies="127.0.0.1") as service:
        headers = {"X-Forwarded-For": forwarded}
        login = service.http.post("/v1/sessions", json={"code": sandbox.code()}, headers=headers)

    assert (login.status_code, login.json()["session"]["ip"]) == (201, None)
