"""Request ids: each log line has the id of its request."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.processes import Sandbox, Service
from support.raw_http import connect, request
from support.servers import wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
MADE = re.compile(r"[0-9a-f]{32}")


def answered_id(service: Service, **headers: str) -> str:
    """Return the X-Request-Id of an answer."""
    return service.http.get(
        "/healthz", headers={name.replace("_", "-"): value for name, value in headers.items()}
    ).headers["x-request-id"]


@pytest.mark.parametrize("given", ["a", "0af7651916cd43dd8448eb211c80319c", "req:1/2@host+3=x_y.z-", "x" * 128])
def test_a_request_id_is_returned(service: Service, given: str) -> None:
    """The answer has the X-Request-Id of the request."""
    assert answered_id(service, X_Request_Id=given) == given


def test_a_trace_id_is_the_request_id(service: Service) -> None:
    """Without an X-Request-Id, the trace id of a traceparent is the request id."""
    assert answered_id(service, traceparent=TRACEPARENT) == TRACE
    assert answered_id(service, traceparent=TRACEPARENT, X_Request_Id="own") == "own"


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\tb", '"', "a;b", "é", "{}"])
def test_a_malformed_request_id_is_replaced(service: Service, given: str) -> None:
    """A malformed X-Request-Id is replaced by a generated one."""
    headers = [(b"X-Request-Id", given.encode())]
    made = service.http.get("/healthz", headers=headers).headers["x-request-id"]

    assert MADE.fullmatch(made)


@pytest.mark.parametrize(
    "given",
    ["", "00", TRACEPARENT.upper(), f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-{'0' * 16}-01", "00-x-y-z"],
)
def test_a_malformed_traceparent_is_ignored(service: Service, given: str) -> None:
    """A malformed traceparent is ignored, and the id is generated."""
    made = answered_id(service, traceparent=given)

    assert MADE.fullmatch(made)
    assert made != TRACE


def test_each_request_without_an_id_gets_its_own(service: Service) -> None:
    """Generated ids are unique."""
    assert len({answered_id(service) for _ in range(50)}) == 50


def test_auth_answers_without_a_request_id(service: Service, bearer: dict[str, str]) -> None:
    """The answers of /auth have no X-Request-Id, because a gateway copies their headers."""
    answers = [service.http.get("/auth", headers={"X-Request-Id": "given", **more}) for more in (bearer, {})]

    assert [answer.status_code for answer in answers] == [204, 401]
    assert ["x-request-id" in answer.headers for answer in answers] == [False, False]


def test_concurrent_requests_are_logged_with_their_own_ids(service: Service, sandbox: Sandbox) -> None:
    """Of many concurrent logins, each log line has the id of its own request."""

    def log_in(number: int) -> tuple[str, dict[str, Any]]:
        given = f"login-{number}"
        answer = service.http.post("/v1/sessions", json={"code": sandbox.code()}, headers={"X-Request-Id": given})
        assert answer.headers["x-request-id"] == given
        return given, answer.json()

    with ThreadPoolExecutor(16) as clients:
        logins = dict(clients.map(log_in, range(100)))

    def logged() -> dict[str, str]:
        events = [event for event in service.process.events() if event["event"] == "login"]
        return {event["request_id"]: event["session_id"] for event in events if event["request_id"] in logins}

    wait_until(lambda: len(logged()) == 100, "the log")
    assert logged() == {given: login["session"]["id"] for given, login in logins.items()}


def test_a_refusal_is_logged_with_its_request_id(service: Service) -> None:
    """A failed login and a request beyond the limits are logged with the id in the answer."""
    failed = service.http.post("/v1/sessions", json={"code": "x"}, headers={"X-Request-Id": "failed-login"})
    with connect(service.url) as raw:
        raw.send(request("/v1/sessions", "X-Request-Id: too-large", "Content-Length: 99999999", method="POST"))
        (refused,) = raw.responses()

    def events_of(request_id: str) -> list[str]:
        return [event["event"] for event in service.process.events() if event.get("request_id") == request_id]

    wait_until(lambda: bool(events_of("failed-login") and events_of("too-large")), "the log")
    assert (failed.headers["x-request-id"], refused.headers["x-request-id"]) == ("failed-login", "too-large")
    assert (events_of("failed-login"), events_of("too-large")) == (["login_failed"], ["request_refused"])


def test_a_refused_check_is_logged_with_its_id(open_service: Any) -> None:
    """At the log level debug, a refusal of /auth has the request id of the gateway."""
    with open_service(log_level="debug") as service:
        service.http.get("/auth", headers={"X-Request-Id": "check-7"})

        assert service.process.event("token_missing")["request_id"] == "check-7"


@pytest.mark.parametrize(
    ("proxies", "address"), [("127.0.0.1", "203.0.113.9"), ("192.0.2.1", "127.0.0.1")], ids=["trusted", "untrusted"]
)
def test_a_refusal_is_logged_with_the_clients_address(open_service: Any, proxies: str, address: str) -> None:
    """The log line of a request that exceeds a limit has the address that a trusted gateway names, and no other's."""
    with open_service(trusted_proxies=proxies) as service:
        fields = ("X-Forwarded-For: 203.0.113.9", "X-Request-Id: forwarded", "Content-Length: 99999999")
        with connect(service.url) as raw:
            raw.send(request("/v1/sessions", *fields, method="POST"))
            (refused,) = raw.responses()

        def addresses() -> list[str]:
            events = service.process.events()
            return [event["ip"] for event in events if event.get("request_id") == "forwarded"]

        wait_until(lambda: bool(addresses()), "the log")
        assert (refused.status, addresses()) == (413, [address])
