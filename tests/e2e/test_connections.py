"""The HTTP connections of /auth, which is answered before the framework."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support import raw_http
from support.processes import Sandbox, Service
from support.raw_http import exchange, statuses


def request(target: str, token: str = "", *more: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Return a request with a token, as bytes."""
    authorization = [f"Authorization: Bearer {token}"] if token else []
    return raw_http.request(target, *authorization, *more, method=method, version=version)


def test_pipelined_requests_are_answered_in_order(either_service: Service, sandbox: Sandbox) -> None:
    """Pipelined requests to /auth and other routes get their answers in the order of the requests."""
    token = either_service.log_in(sandbox.code())["token"]
    wanted = [("/auth", token, 204), ("/nowhere", token, 404), ("/auth", "", 401), ("/auth?x=1", token, 204)] * 5
    last = request("/healthz", "", "Connection: close")
    answers = exchange(either_service.url, b"".join(request(target, word) for target, word, _ in wanted) + last)

    assert statuses(answers) == [*(status for _, _, status in wanted), 200]


@pytest.mark.parametrize("target", ["/auth", "/auth/", "/auth?next=%2F", "/a%75th"])
def test_every_form_of_the_path_gets_the_same_answer(service: Service, login: dict[str, Any], target: str) -> None:
    """A query, a trailing slash or an escape in the path does not change the answer."""
    accepted = exchange(service.url, request(target, login["token"], "Connection: close"))
    refused = exchange(service.url, request(target, "", "Connection: close"))

    assert without_date(accepted) == without_date(
        exchange(service.url, request("/auth", login["token"], "Connection: close"))
    )
    assert without_date(refused) == without_date(exchange(service.url, request("/auth", "", "Connection: close")))


def without_date(answer: bytes) -> list[bytes]:
    """Return the lines of an answer, without its date."""
    return [line for line in answer.lower().split(b"\r\n") if not line.startswith(b"date:")]


def test_every_answer_has_a_date(service: Service, login: dict[str, Any]) -> None:
    """Every answer has a Date header, as RFC 9110 section 6.6.1 requires."""
    assert "date" in service.auth(login["token"]).headers


@pytest.mark.parametrize(
    ("version", "header", "kept"), [("1.1", "", True), ("1.1", "Connection: close", False), ("1.0", "", False)]
)
def test_a_connection_stays_open_unless_the_client_closes_it(
    service: Service, login: dict[str, Any], version: str, header: str, kept: bool
) -> None:
    """A connection stays open, unless the client asks to close it or uses HTTP/1.0."""
    first = request("/auth", login["token"], *([header] if header else []), version=version)
    answers = exchange(service.url, first + request("/auth", login["token"], "Connection: close"))

    assert statuses(answers) == [204, 204] if kept else [204]


def test_a_refusal_of_head_has_no_body(service: Service) -> None:
    """A refusal of HEAD has the length of the problem, and no body."""
    answer = exchange(service.url, request("/auth", "", "Connection: close", method="HEAD"))

    assert answer.endswith(b"\r\n\r\n")
    assert re.search(rb"content-length: [1-9]", answer)


@pytest.mark.parametrize("body", [b"x" * 10, b"x" * 64 * 1024])
def test_a_body_does_not_affect_the_next_request(service: Service, login: dict[str, Any], body: bytes) -> None:
    """The body of a request is read completely, and the next request on the connection is answered."""
    first = request("/auth", login["token"], f"Content-Length: {len(body)}", method="POST")
    chunked = request("/auth", login["token"], "Transfer-Encoding: chunked", method="POST")
    chunks = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    last = request("/auth", "", "Connection: close")

    assert statuses(exchange(service.url, first + body + chunked + chunks + last)) == [204, 204, 401]


def test_a_client_that_expects_100_continue_gets_the_answer(service: Service, login: dict[str, Any]) -> None:
    """A client that sends Expect: 100-continue is asked for its body, and then gets the answer."""
    asked = request("/auth", login["token"], "Expect: 100-continue", "Content-Length: 5", "Connection: close")
    with raw_http.connect(service.url) as raw:
        raw.send(asked)
        go_ahead = raw.receive()
        raw.send(b"body.")

        assert (statuses(go_ahead), statuses(raw.rest())) == ([100], [204])


def test_concurrent_requests_get_their_own_answers(either_service: Service, sandbox: Sandbox) -> None:
    """A hundred concurrent requests each get their own answer, and a bad request does not affect the others."""
    tokens = [either_service.log_in(sandbox.code())["token"] for _ in range(20)]
    one = [(request("/auth", token, "Connection: close"), 204) for token in tokens]
    bad = [
        (request("/auth", "", "Connection: close"), 401),
        (request("/auth", "x", "Connection: close"), 401),
        (request("/auth", tokens[0], f"Authorization: Bearer {tokens[1]}", "Connection: close"), 400),
        (request("/auth", tokens[0][::-1], "Connection: close"), 401),
    ]
    everybody = (one + bad) * 4
    sessions = [either_service.auth(token).headers["x-session-id"] for token in tokens]
    with ThreadPoolExecutor(len(everybody)) as pool:
        answers = list(pool.map(lambda each: exchange(either_service.url, each[0]), everybody))

    assert [statuses(answer) for answer in answers] == [[status] for _, status in everybody]
    assert re.findall(rb"x-session-id: (\w+)", b"".join(answers)) == [each.encode() for each in sessions] * 4


def test_a_log_out_takes_effect_at_once_on_every_process(sandbox: Sandbox, open_service: Any, redis_url: str) -> None:
    """After a log-out, the next request on every process is refused, even when the session was checked there before."""
    with open_service(redis_url=redis_url) as one, open_service(redis_url=redis_url) as other:
        seen = []
        for _ in range(50):
            token = one.log_in(sandbox.code())["token"]
            before = [where.auth(token).status_code for where in (one, other, one, other)]
            one.http.delete("/v1/sessions/current", headers={"Authorization": f"Bearer {token}"})
            seen.append((before, other.auth(token).status_code, one.auth(token).status_code))

    assert seen == [([204] * 4, 401, 401)] * 50
