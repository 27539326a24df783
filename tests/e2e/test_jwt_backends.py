"""The backends of examples/backends that verify JWTs by themselves."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from support import backends
from support.backends import Backend
from support.jwts import AUDIENCE, ISSUER, exchange, forgeries, signing, signing_key
from support.processes import APPID, Sandbox, Service
from support.proxy import How, proxy
from support.servers import wait_until

KEY, STRANGER = signing_key(), signing_key()


@pytest.fixture(scope="module", params=backends.VERIFIERS)
def name(request: pytest.FixtureRequest) -> str:
    """Each backend."""
    return str(request.param)


@pytest.fixture(scope="module")
def provider(open_service: Any) -> Iterator[Service]:
    """A service that signs tokens."""
    with open_service(**signing(KEY)) as running:
        yield running


@pytest.fixture(scope="module")
def backend(name: str, provider: Service) -> Iterator[Backend]:
    """A backend that accepts the tokens of the service."""
    with backends.verifier(name, provider.url, ISSUER, AUDIENCE) as running:
        yield running


def issue(provider: Service, session_token: str, audience: str = AUDIENCE) -> str:
    """Exchange a session token."""
    answer = provider.http.post("/oauth2/token", data=exchange(session_token, audience=audience))
    return str(answer.raise_for_status().json()["access_token"])


def test_a_handler_gets_the_caller(backend: Backend, provider: Service, sandbox: Sandbox) -> None:
    """With a JWT of its audience, the handler gets the user's id and the appid."""
    login = provider.log_in(sandbox.code())
    answer = backend.get(issue(provider, login["token"]))

    assert (answer.status_code, answer.json()) == (200, {"user_id": login["user"]["id"], "appid": APPID})


def test_no_other_token_gets_in(backend: Backend, provider: Service, sandbox: Sandbox) -> None:
    """A forged JWT, one of another audience, a session token and garbage are 401 with a challenge."""
    token = provider.log_in(sandbox.code())["token"]
    jwt = issue(provider, token)
    wrong = {**forgeries(jwt, KEY, STRANGER), "audience": issue(provider, token, "payments"), "session": token, "": "x"}
    answers = {name: backend.get(each) for name, each in wrong.items()}

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(wrong, 401)
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers.values())
    assert backend.http.get("/orders").status_code == 401


@pytest.mark.parametrize("how", [How.REFUSING, How.RESETTING, How.SILENT])
def test_without_keys_no_one_gets_in(name: str, provider: Service, sandbox: Sandbox, how: How) -> None:
    """A backend that cannot fetch the keys answers 503. With the keys, it needs wxlogin no longer."""
    jwt = issue(provider, provider.log_in(sandbox.code())["token"])
    with (
        proxy(("127.0.0.1", httpx2.URL(provider.url).port or 0)) as network,
        backends.verifier(name, f"http://127.0.0.1:{network.port}", ISSUER, AUDIENCE) as backend,
    ):
        network.become(how)
        refused = backend.get(jwt)
        network.become(How.PASSING)
        wait_until(lambda: backend.get(jwt).status_code == 200, "the keys")
        network.become(how)

        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert backend.get(jwt).status_code == 200
