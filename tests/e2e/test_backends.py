"""The backends of examples/backends: who gets in, for how long, and what happens while wxlogin is away."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from support import backends
from support.backends import Backend
from support.processes import APPID, Sandbox, Service
from support.proxy import How, Proxy, proxy
from support.servers import wait_until

CLIENT, SECRET = "shop", "5ecf3ed9a5ecf3ed9a5ecf3ed9a5ecf3"
CLIENTS = json.dumps({CLIENT: SECRET})

LONG, SHORT = 60, 1
"""Seconds of the cache: longer than any test, and short enough to wait for its end."""

GARBAGE: dict[str, str | bytes] = {
    "short": "x",
    "well-formed": "x" * 43,
    "long": "x" * 5_000,
    "Chinese": "令牌",
    "not UTF-8": b"\xff\xfe",
    "two words": "a b",
    "form syntax": "x&token=y",
    "encoded": "%00%0d%0a",
}

IN_TIME = 10
"""Seconds: more than the two of the examples, and less than the 15 after which wxlogin closes a silent connection."""

AWAY = [How.REFUSING, How.RESETTING, How.SILENT, How.CUT]


@pytest.fixture(scope="module", params=backends.FOUND)
def name(request: pytest.FixtureRequest) -> str:
    """Each backend that this machine can run."""
    return str(request.param)


@pytest.fixture(scope="module")
def provider(open_service: Any) -> Iterator[Service]:
    """A service with an OAuth client."""
    with open_service(clients=CLIENTS) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(open_service: Any) -> Iterator[Service]:
    """A service whose sessions expire after four seconds."""
    with open_service(clients=CLIENTS, session_max_seconds="4") as running:
        yield running


@pytest.fixture(scope="module")
def network(provider: Service) -> Iterator[Proxy]:
    """The network between the backend and the service."""
    with proxy(("127.0.0.1", httpx2.URL(provider.url).port or 0)) as between:
        yield between


@pytest.fixture(scope="module")
def backend(name: str, network: Proxy) -> Iterator[Backend]:
    """A backend with a long cache."""
    with backends.backend(name, f"http://127.0.0.1:{network.port}", CLIENT, SECRET, LONG) as running:
        yield running


@pytest.fixture
def login(provider: Service, sandbox: Sandbox) -> dict[str, Any]:
    """The login of a new user."""
    return provider.log_in(sandbox.code())


@pytest.fixture
def token(login: dict[str, Any]) -> str:
    """The token of a new user."""
    return str(login["token"])


def log_out(service: Service, token: str) -> None:
    """End the session."""
    service.http.delete("/v1/sessions/current", headers={"Authorization": f"Bearer {token}"}).raise_for_status()


def test_a_handler_gets_the_caller(backend: Backend, provider: Service, sandbox: Sandbox) -> None:
    """With a live token, the handler gets the user's id, the openid and the appid, from wxlogin and from the cache."""
    login = provider.log_in(sandbox.code(openid="o-of-orders"))
    answers = [backend.get(login["token"]) for _ in range(2)]

    expected = {"user_id": login["user"]["id"], "openid": "o-of-orders", "appid": APPID}
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, expected)] * 2


def test_simultaneous_callers_are_not_mixed(backend: Backend, provider: Service, sandbox: Sandbox) -> None:
    """Of many concurrent requests, each handler gets its own caller."""
    logins = [provider.log_in(sandbox.code()) for _ in range(5)] * 6
    with ThreadPoolExecutor(10) as clients:
        answers = list(clients.map(lambda login: backend.get(login["token"]).json()["user_id"], logins))

    assert answers == [login["user"]["id"] for login in logins]


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic dXNlcjpwYXNz"])
def test_a_request_without_a_token_is_401(backend: Backend, authorization: str | None) -> None:
    """Without a token the answer is 401 with a challenge."""
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = backend.http.get("/orders", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("wrong", GARBAGE.values(), ids=GARBAGE)
def test_a_token_that_does_not_exist_is_401(backend: Backend, wrong: str | bytes) -> None:
    """A token that wxlogin did not issue is 401 with a challenge, whatever it looks like."""
    answer = backend.get(wrong)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_scheme_may_be_in_any_case(backend: Backend, token: str) -> None:
    """The scheme of Authorization is not case-sensitive (RFC 9110)."""
    assert backend.http.get("/orders", headers={"Authorization": f"bearer {token}"}).status_code == 200


def test_an_ended_session_is_401(backend: Backend, provider: Service, token: str) -> None:
    """The token of an ended session that is not in the cache is 401."""
    log_out(provider, token)

    assert backend.get(token).status_code == 401


def test_the_cache_answers_without_wxlogin(backend: Backend, network: Proxy, token: str) -> None:
    """While a token is in the cache, the backend does not ask wxlogin."""
    assert backend.get(token).status_code == 200
    network.become(How.REFUSING)
    try:
        assert backend.get(token).status_code == 200
    finally:
        network.become(How.PASSING)


def test_a_log_out_is_seen_after_the_time_of_the_cache(name: str, provider: Service, token: str) -> None:
    """A log-out is seen when the time of the cache is over."""
    with backends.backend(name, provider.url, CLIENT, SECRET, SHORT) as backend:
        assert backend.get(token).status_code == 200
        log_out(provider, token)

        wait_until(lambda: backend.get(token).status_code == 401, "the log-out", seconds=SHORT + 15)


def test_the_cache_ends_with_the_session(name: str, hasty: Service, sandbox: Sandbox) -> None:
    """A token that expires is 401 then, even if the time of the cache is longer."""
    with backends.backend(name, hasty.url, CLIENT, SECRET, LONG) as backend:
        token = hasty.log_in(sandbox.code())["token"]
        assert backend.get(token).status_code == 200

        wait_until(lambda: backend.get(token).status_code == 401, "the end of the session", seconds=20)


@pytest.mark.parametrize("how", AWAY)
def test_the_backend_fails_closed_while_wxlogin_is_away(backend: Backend, network: Proxy, token: str, how: How) -> None:
    """While wxlogin does not answer, the answer is 503 with Retry-After. Afterwards the token is accepted."""
    network.become(how)
    try:
        answer = backend.get(token)
    finally:
        network.become(How.PASSING)

    assert answer.status_code == 503
    assert answer.elapsed.total_seconds() < IN_TIME
    assert int(answer.headers["retry-after"]) > 0
    wait_until(lambda: backend.get(token).status_code == 200, "the return of wxlogin")


def test_a_wrong_secret_is_503(name: str, provider: Service, token: str) -> None:
    """While wxlogin refuses the backend's own credentials, every token is 503."""
    with backends.backend(name, provider.url, CLIENT, "another secret", LONG) as backend:
        assert backend.get(token).status_code == 503


def test_no_token_is_in_the_log(backend: Backend, network: Proxy, provider: Service, token: str) -> None:
    """The backend prints no token, neither a live one nor one that could not be checked."""
    backend.get(token)
    log_out(provider, token)
    network.become(How.REFUSING)
    unchecked = "y" * 43
    try:
        backend.get(unchecked)
    finally:
        network.become(How.PASSING)

    wait_until(lambda: "wxlogin did not answer" in backend.log(), "the log")
    assert token not in backend.log()
    assert unchecked not in backend.log()
    assert SECRET not in backend.log()
