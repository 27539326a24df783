"""/oauth2: introspection and revocation, by a standard client library and by hand."""

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from authlib.integrations.requests_client import OAuth2Session

from support.processes import APPID, Sandbox, Service
from support.servers import wait_until

CLIENTS = {"backend": "s3cret", "中文": "密钥"}
INACTIVE = {"active": False}


@pytest.fixture(scope="module", params=["database", "redis"])
def provider(request: pytest.FixtureRequest, open_service: Any) -> Iterator[Service]:
    """A service that backends may ask, with its sessions in either store."""
    redis = {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}
    with open_service(clients=json.dumps(CLIENTS), **redis) as running:
        yield running


@pytest.fixture
def token(provider: Service, sandbox: Sandbox) -> str:
    """The token of a user who has just logged in."""
    return str(provider.log_in(sandbox.code())["token"])


def ask(provider: Service, path: str, auth: Any = ("backend", "s3cret"), **request: Any) -> httpx.Response:
    """A request of a backend."""
    return provider.http.post(f"/oauth2/{path}", auth=auth, **request)


def test_a_standard_client_introspects_and_revokes(provider: Service, sandbox: Sandbox) -> None:
    """Authlib, as it is, learns whose token it is, revokes it, and learns that it is not active any more."""
    login = provider.log_in(sandbox.code(unionid="u-of-oauth"))
    with OAuth2Session("backend", "s3cret") as backend:
        backend.trust_env = False
        before = backend.introspect_token(f"{provider.url}/oauth2/introspect", token=login["token"]).json()
        revoked = backend.revoke_token(f"{provider.url}/oauth2/revoke", token=login["token"])
        after = backend.introspect_token(f"{provider.url}/oauth2/introspect", token=login["token"]).json()

    assert before["active"] is True
    assert (before["sub"], before["sid"]) == (login["user"]["id"], login["session"]["id"])
    assert (before["client_id"], before["token_type"], before["unionid"]) == (APPID, "Bearer", "u-of-oauth")
    assert before["iat"] <= time.time() + 1 < before["exp"]
    assert (revoked.status_code, revoked.content) == (200, b"")
    assert after == INACTIVE


def test_a_revoked_session_is_over_everywhere(provider: Service, token: str) -> None:
    """The very next request with a revoked token is session_ended."""
    assert ask(provider, "revoke", data={"token": token}).status_code == 200
    assert provider.auth(token).json()["code"] == "session_ended"


@pytest.mark.parametrize("wrong", ["", "x", "x" * 43, "x" * 10_000, "令牌", "a b", "\x00", "\r\nX: y"], ids=ascii)
def test_an_unknown_token_is_not_active_and_as_good_as_revoked(provider: Service, wrong: str) -> None:
    """Whatever is not a live token is told as inactive and nothing more, and can be revoked."""
    answers = [ask(provider, path, data={"token": wrong}) for path in ("introspect", "revoke")]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == INACTIVE


def test_an_ended_token_is_not_active(provider: Service, token: str) -> None:
    """A token whose session was logged out is inactive, and says nothing of the session."""
    provider.http.delete("/v1/sessions/current", headers={"Authorization": f"Bearer {token}"})

    assert ask(provider, "introspect", data={"token": token}).json() == INACTIVE


def test_an_expired_token_is_not_active(open_service: Any, sandbox: Sandbox) -> None:
    """A token whose session reached its greatest age is inactive, and says nothing of the session."""
    with open_service(clients=json.dumps(CLIENTS), session_max_seconds="1") as hasty:
        token = hasty.log_in(sandbox.code())["token"]
        told = ask(hasty, "introspect", data={"token": token}).json()
        wait_until(lambda: hasty.auth(token).status_code == 401, "the end of the session")

        assert told["active"]
        assert ask(hasty, "introspect", data={"token": token}).json() == INACTIVE


def test_a_hint_changes_nothing(provider: Service, token: str) -> None:
    """token_type_hint is accepted, whatever it says."""
    for hint in ("access_token", "refresh_token", "anything"):
        assert ask(provider, "introspect", data={"token": token, "token_type_hint": hint}).json()["active"]


BAD_CREDENTIALS = {
    "none": None,
    "a wrong secret": ("backend", "other"),
    "an unknown client": ("other", "s3cret"),
    "an empty secret": ("backend", ""),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("auth", BAD_CREDENTIALS.values(), ids=BAD_CREDENTIALS)
@pytest.mark.parametrize("path", ["introspect", "revoke"])
def test_only_a_client_may_ask(provider: Service, token: str, path: str, auth: Any) -> None:
    """Without the credentials of a client it is invalid_client with a challenge, and nothing happens."""
    answer = ask(provider, path, auth=auth, data={"token": token})

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert provider.auth(token).status_code == 204


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic " + b64encode(b"\xff:\xff").decode(),
        "Basic " + b64encode(b"backend").decode(),
        "Bearer x",
    ],
)
def test_malformed_credentials_are_none(provider: Service, token: str, header: str) -> None:
    """What is no HTTP Basic, or no base64, or no text, is invalid_client."""
    headers = {"Authorization": header}
    answer = provider.http.post("/oauth2/introspect", headers=headers, data={"token": token})

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_users_token_is_no_clients_secret(provider: Service, token: str) -> None:
    """A user cannot introspect, not even their own token."""
    headers = {"Authorization": f"Bearer {token}"}

    assert provider.http.post("/oauth2/introspect", headers=headers, data={"token": token}).status_code == 401


def test_credentials_may_be_form_encoded_or_not(provider: Service, token: str) -> None:
    """RFC 6749 wants id and secret form-encoded within Basic; clients that do not are understood, too."""
    raw = b64encode("中文:密钥".encode()).decode()
    encoded = b64encode(b"%E4%B8%AD%E6%96%87:%E5%AF%86%E9%92%A5").decode()
    answers = [
        provider.http.post("/oauth2/introspect", headers={"Authorization": f"Basic {value}"}, data={"token": token})
        for value in (raw, encoded)
    ]

    assert [answer.json().get("active") for answer in answers] == [True, True]


BAD_FORMS: dict[str, dict[str, Any]] = {
    "no token": {"data": {"tok": "x"}},
    "two tokens": {"content": b"token=a&token=b", "headers": {"content-type": "application/x-www-form-urlencoded"}},
    "nothing": {},
    "JSON": {"json": {"token": "x"}},
}


@pytest.mark.parametrize("request_", BAD_FORMS.values(), ids=BAD_FORMS)
@pytest.mark.parametrize("path", ["introspect", "revoke"])
def test_what_is_no_form_is_invalid(provider: Service, path: str, request_: dict[str, Any]) -> None:
    """A request without exactly one token is invalid_request, as RFC 6749 words it."""
    answer = ask(provider, path, **request_)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_get_is_refused(provider: Service) -> None:
    """A token never travels in a query: only POST is there."""
    assert provider.http.get("/oauth2/introspect").status_code == 405


def test_no_answer_is_cached(provider: Service, token: str) -> None:
    """Neither an answer nor a refusal may be kept by a cache."""
    answers = [ask(provider, "introspect", data={"token": token}), ask(provider, "introspect", auth=None)]

    assert [answer.headers["cache-control"] for answer in answers] == ["no-store"] * 2
