"""Every error under /oauth2 has the form and the status of RFC 6749 section 5.2."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import httpx2
import pytest
from dependency_injector import providers

from entrypoints.container import Container, open_container
from entrypoints.http.app import create_app
from entrypoints.settings import Settings
from support import plain_http
from support.jwts import exchange, signing, signing_key
from support.processes import APPID, KEY, SECRET, Service
from support.raw_http import connect
from support.servers import free_port

CLIENT = ("backend", "s3cret")
ENDPOINTS = ["introspect", "revoke", "token", "device_authorization"]
FORM = "application/x-www-form-urlencoded"

DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749 section 5.2."""

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS)


@pytest.fixture(scope="module")
def provider(open_service: Any) -> Iterator[Service]:
    """A service that signs tokens, with an OAuth client."""
    with open_service(**signing(signing_key()), clients=json.dumps(dict([CLIENT]))) as running:
        yield running


def error_of(answer: httpx2.Response) -> tuple[int, str]:
    """Return status and error of an answer, which must have the form of RFC 6749."""
    body = answer.json()

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert body.keys() == {"error", "error_description"}
    assert DESCRIPTION.fullmatch(body["error_description"])
    return answer.status_code, body["error"]


WRONG_BODIES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "another field": {"data": {'tok"en\\': "x"}},
    "JSON": {"json": {"token": "x", **exchange("x" * 43)}},
    "a form by another name": {"content": b"token=x&grant_type=x", "headers": {"content-type": "text/plain"}},
    "a form without a name": {"content": b"token=x&grant_type=x"},
    "several parts": {"data": {"token": "x", "grant_type": "x"}, "files": {"file": b"x"}},
    "twice": {"content": b"token=x&token=y&grant_type=x&grant_type=y&ip=&ip=", "headers": {"content-type": FORM}},
    "not UTF-8": {"content": b"tok\xffen=%ff%00&user_agent=%00", "headers": {"content-type": FORM}},
}

ACCEPTED_BY_DEVICE_AUTHORIZATION = ("nothing", "another field")
"""None of its parameters is required, and unknown ones are ignored (RFC 6749 section 3.2)."""


@each_endpoint
@pytest.mark.parametrize("name", WRONG_BODIES)
def test_a_body_that_is_no_such_form(provider: Service, endpoint: str, name: str) -> None:
    """A body that is no form, or that lacks or repeats a parameter, is 400 invalid_request."""
    answer = provider.http.post(f"/oauth2/{endpoint}", auth=CLIENT, **WRONG_BODIES[name])

    if endpoint == "device_authorization" and name in ACCEPTED_BY_DEVICE_AUTHORIZATION:
        assert answer.status_code == 200
    else:
        assert error_of(answer) == (400, "invalid_request")


@each_endpoint
def test_the_content_type_is_named(provider: Service, endpoint: str) -> None:
    """A body of another type is refused with the type to send."""
    answer = provider.http.post(f"/oauth2/{endpoint}", auth=CLIENT, json={"token": "x"})

    assert FORM in answer.json()["error_description"]


@each_endpoint
def test_a_body_that_is_too_large(provider: Service, endpoint: str) -> None:
    """A body beyond the limit is 413 invalid_request, and the connection closes."""
    answer = provider.http.post(f"/oauth2/{endpoint}", auth=CLIENT, data={"token": "x" * 70_000})

    assert error_of(answer) == (413, "invalid_request")


@each_endpoint
def test_a_head_that_is_too_large(provider: Service, endpoint: str) -> None:
    """A head of more than 64 KiB is 431 invalid_request."""
    answer = provider.http.post(f"/oauth2/{endpoint}", headers=[(f"x-{number}", "x" * 1100) for number in range(60)])

    assert error_of(answer) == (431, "invalid_request")


@each_endpoint
def test_a_request_without_a_host(provider: Service, endpoint: str) -> None:
    """A request without Host is 400 invalid_request."""
    with connect(provider.url) as raw:
        raw.send(f"POST /oauth2/{endpoint} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())
        (answer,) = raw.responses()

    assert (answer.status, json.loads(answer.body)["error"]) == (400, "invalid_request")


@each_endpoint
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_another_method(provider: Service, endpoint: str, method: str) -> None:
    """Another method than POST is 405 invalid_request with Allow."""
    answer = provider.http.request(method, f"/oauth2/{endpoint}?token=x")

    assert error_of(answer) == (405, "invalid_request")
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/oauth2/nothing", "/oauth2/token/x", "/oauth2/"])
def test_another_path(provider: Service, path: str) -> None:
    """Another path is 404 invalid_request."""
    assert error_of(provider.http.post(path, data={"token": "x"})) == (404, "invalid_request")


@pytest.mark.parametrize("endpoint", ["introspect", "revoke", "device_authorization"])
def test_a_client_that_is_unknown(provider: Service, endpoint: str) -> None:
    """Without credentials of a client the answer is 401 invalid_client, with the scheme to use."""
    answer = provider.http.post(f"/oauth2/{endpoint}", data={"token": "x"})

    assert error_of(answer) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("endpoint", ["introspect", "revoke", "device_authorization"])
def test_two_clients_at_once(provider: Service, endpoint: str) -> None:
    """A request with two Authorization headers is 400 invalid_request."""
    headers = [("Authorization", "Basic x"), ("Authorization", "Basic y"), ("content-type", FORM)]
    answer = provider.http.post(f"/oauth2/{endpoint}", content=b"token=x", headers=headers)

    assert error_of(answer) == (400, "invalid_request")


@each_endpoint
def test_a_store_that_does_not_answer(open_service: Any, endpoint: str) -> None:
    """While the session store does not answer, the error is 503 temporarily_unavailable with Retry-After."""
    blind = signing(signing_key(), redis_url=f"redis://127.0.0.1:{free_port()}/0", clients=json.dumps(dict([CLIENT])))
    with open_service(**blind) as running:
        form = exchange("x" * 43) | {"token": "x" * 43}
        answer = running.http.post(f"/oauth2/{endpoint}", auth=CLIENT, data=form)

    assert error_of(answer) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.anyio
@each_endpoint
async def test_a_defect(sqlite_url: str, endpoint: str) -> None:
    """A defect is 500 server_error, and reveals nothing."""

    opened: list[Container] = []

    def fail() -> NoReturn:
        raise RuntimeError("a secret of the defect")

    @asynccontextmanager
    async def open_broken() -> AsyncIterator[Container]:
        given = {"appid": APPID, "app_secret": SECRET, "encryption_keys": KEY, "database_url": sqlite_url}
        clients = {CLIENT[0]: "s" * 32}
        settings = Settings.model_validate({**given, **signing(signing_key()), "clients": clients})
        async with open_container(settings) as container:
            container.signed_tokens.override(providers.Callable(fail))
            opened.append(container)
            yield container

    app = create_app(open_broken)
    async with (
        app.lifespan(),
        httpx2.AsyncClient(transport=plain_http.transport_to(app), base_url="http://wxlogin") as http,
    ):
        if endpoint == "device_authorization":  # the background needs it at the start
            opened[0].scans.override(providers.Callable(fail))
        form = exchange("x" * 43) | {"token": "x"}
        answer = await http.post(f"/oauth2/{endpoint}", auth=(CLIENT[0], "s" * 32), data=form)

    assert error_of(answer) == (500, "server_error")
    assert "secret" not in answer.text
