"""Several requests on one connection: each gets its own answer, in order, and only as fast as the client reads."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import psutil
import pytest

from support.faults import workers_of
from support.processes import Sandbox, Service
from support.raw_http import authorization, connect, exchange, parse, request

LAST = request("/healthz", "Connection: close")


def memory_of(service: Service) -> int:
    """Return the memory of all processes of a service, in bytes."""
    return sum(psutil.Process(pid).memory_info().rss for pid in (service.process.process.pid, *workers_of(service)))


@pytest.mark.parametrize("path", ["/auth", "/healthz"])
def test_a_pipeline_is_read_only_as_fast_as_it_is_answered(open_service: Any, path: str) -> None:
    """When a client sends 30 MB of requests and reads no answers, the service stops reading.

    Its memory stays bounded.
    """
    with open_service() as service:
        service.http.get(path)
        before = memory_of(service)
        with connect(service.url) as raw:
            taken = raw.fill(request(path) * 1000, 30_000_000)
            grown = memory_of(service) - before

            assert service.http.get("/healthz").status_code == 200
    assert taken < 30_000_000
    assert grown < 16_000_000


@pytest.mark.parametrize(
    "bad", [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET /auth HTTP/1.1\r\nHost : x\r\n\r\n"], ids=repr
)
def test_a_malformed_request_does_not_drop_earlier_answers(service: Service, sandbox: Sandbox, bad: bytes) -> None:
    """A login before a malformed request on the same connection is answered first, so that its token is not lost."""
    body = f'{{"code":"{sandbox.code()}"}}'.encode()
    sandbox.fail(delay_seconds=0.3)
    login = request("/v1/sessions", method="POST", body=body)
    responses = parse(exchange(service.url, request("/healthz") + login + bad))

    assert [response.status for response in responses] == [200, 201, 400]
    assert b'"token"' in responses[1].body


class Asked(NamedTuple):
    """A request, and the expected status and content of its answer."""

    sent: bytes
    status: int
    holds: bytes


class Mixer:
    """A generator of random requests with known and different answers."""

    def __init__(self, service: Service, sandbox: Sandbox, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # a test that can be repeated
        self._sandbox = sandbox
        self._users = [service.log_in(sandbox.code()) for _ in range(8)]
        openids = [f"o-mixed-{seed}-{number}" for number in range(8)]  # these users log in so often that sessions end
        self._ids = {openid: service.log_in(sandbox.code(openid=openid))["user"]["id"] for openid in openids}

    def pipeline(self, length: int) -> list[Asked]:
        """Return so many requests."""
        makers = [
            self._auth,
            self._auth,
            self._auth,
            self._without_token,
            self._me,
            self._login,
            self._lost,
            self._posted,
        ]
        return [self._random.choice(makers)() for _ in range(length)]

    def split(self, data: bytes) -> list[bytes]:
        """Return the bytes in segments of random sizes."""
        cuts = sorted(self._random.randrange(len(data)) for _ in range(self._random.randrange(12)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]

    def _user(self) -> dict[str, Any]:
        return self._random.choice(self._users)

    def _auth(self) -> Asked:
        user = self._user()
        return Asked(request("/auth", authorization(user)), 204, f"x-session-id: {user['session']['id']}".encode())

    def _without_token(self) -> Asked:
        return Asked(request("/auth"), 401, b"token_missing")

    def _me(self) -> Asked:
        user = self._user()
        return Asked(request("/v1/me", authorization(user)), 200, user["user"]["id"].encode())

    def _login(self) -> Asked:
        openid, user_id = self._random.choice([*self._ids.items()])
        body = f'{{"code":"{self._sandbox.code(openid=openid)}"}}'.encode()
        return Asked(request("/v1/sessions", method="POST", body=body), 201, user_id.encode())

    def _lost(self) -> Asked:
        return Asked(request(f"/no/{self._random.randrange(99)}"), 404, b"not_found")

    def _posted(self) -> Asked:
        """Return a request whose body looks like another user's request."""
        user, hidden = self._user(), request("/auth", authorization(self._user()))
        sent = request("/auth", authorization(user), "Upgrade: x", "Connection: Upgrade", method="POST", body=hidden)
        return Asked(sent, 204, f"x-session-id: {user['session']['id']}".encode())


@pytest.mark.parametrize("seed", range(4))
def test_each_request_gets_its_own_answer(either_service: Service, sandbox: Sandbox, seed: int) -> None:
    """Each request of random pipelines, cut at any byte, gets its own answer in order, on many connections at once."""
    mixer = Mixer(either_service, sandbox, seed)

    def play(asked: list[Asked]) -> list[Asked]:
        """Return the requests with a wrong answer."""
        data = b"".join(each.sent for each in asked) + LAST
        with connect(either_service.url) as raw:
            raw.send(*mixer.split(data))
            answers = raw.rest()
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
