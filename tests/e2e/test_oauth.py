"""/oauth2: introspection and revocation, with a standard client library and with plain requests."""

import json
import re
import secrets
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from authlib.integrations.requests_client import OAuth2Session
from redis import Redis

from support.processes import APPID, SECRET, Sandbox, Service, environment, run
from support.servers import free_port, sqlite_url, wait_until

OTHER_APPID = "wxfedcba9876543210"
CLIENTS = {
    "backend": "s3cret",
    "中文": "密钥",
    "shop": {"secret": "sh0p", "apps": [APPID]},
    "cafe": {"secret": "caf3", "apps": [OTHER_APPID]},
    "both": {"secret": "b0th", "apps": [OTHER_APPID, APPID]},
}
INACTIVE = {"active": False}
BACKEND = json.dumps({"backend": "s3cret"})


@pytest.fixture(scope="module", params=["database", "redis"])
def provider(request: pytest.FixtureRequest, open_service: Any) -> Iterator[Service]:
    """A service of two apps behind a proxy, with OAuth clients, and with its sessions in either store."""
    redis = {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}
    apps = json.dumps([{"appid": OTHER_APPID, "secret": SECRET}])
    with open_service(clients=json.dumps(CLIENTS), apps=apps, trusted_proxies="127.0.0.1", **redis) as running:
        yield running


@pytest.fixture
def address(provider: Service) -> str:
    """A client address that no other test uses, with its own limit."""
    address = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
    provider.http.headers["X-Forwarded-For"] = address
    return address


@pytest.fixture
def token(provider: Service, sandbox: Sandbox, address: str) -> str:  # a failure counts only for this address
    """The token of a new session in the first app."""
    return log_in(provider, sandbox, APPID)


def log_in(provider: Service, sandbox: Sandbox, appid: str) -> str:
    """Log a new user in to an app, and return the token."""
    answer = provider.http.post("/v1/sessions", json={"code": sandbox.code(appid), "appid": appid})
    return str(answer.raise_for_status().json()["token"])


def send(provider: Service, path: str, auth: Any = ("backend", "s3cret"), **request: Any) -> httpx2.Response:
    """Send a request of a backend."""
    return provider.http.post(f"/oauth2/{path}", auth=auth, **request)


def test_a_standard_client_introspects_and_revokes(provider: Service, sandbox: Sandbox) -> None:
    """Authlib, unmodified, introspects a token, revokes it, and then reads that it is not active."""
    code = sandbox.code(unionid="u-of-oauth")
    login = provider.http.post("/v1/sessions", json={"code": code, "appid": APPID}).json()
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


def test_a_revoked_session_is_session_ended(provider: Service, token: str) -> None:
    """After a revocation, the next request with the token is session_ended."""
    assert send(provider, "revoke", data={"token": token}).status_code == 200
    assert provider.auth(token).json()["code"] == "session_ended"


@pytest.mark.parametrize("place", ["database", "redis"])
def test_a_revocation_records_the_client(
    open_service: Any, sandbox: Sandbox, own_redis_url: str, place: str, tmp_path: Path
) -> None:
    """The audit trail says which client revoked a session, of which user, and from which address."""
    redis = {"redis_url": own_redis_url} if place == "redis" else {}
    database_url = sqlite_url(tmp_path)
    stores = {"database_url": database_url, "audit_sessions": "true", **redis}
    with open_service(clients=BACKEND, trusted_proxies="127.0.0.1", **stores) as running:
        login = running.http.post("/v1/sessions", json={"code": sandbox.code()}).json()
        send(running, "revoke", data={"token": login["token"]}, headers={"X-Forwarded-For": "192.0.2.9"})
        query = ("audit", "list", "--user", login["user"]["id"], "--action", "session.ended")
        found: list[dict[str, Any]] = []

        def is_found() -> bool:
            found[:] = json.loads(run(*query, env=environment(wechat_url=sandbox.url, **stores)).stdout)["events"]
            return bool(found)

        wait_until(is_found, "the event")

    assert [(each["session_id"], each["user_id"]) for each in found] == [(login["session"]["id"], login["user"]["id"])]
    assert [(each["actor"], each["ip"], each["reason"]) for each in found] == [
        ("client:backend", "192.0.2.9", "session_ended")
    ]


@pytest.mark.parametrize("wrong", ["", "x", "x" * 43, "x" * 10_000, "令牌", "a b", "\x00", "\r\nX: y"], ids=ascii)
def test_an_unknown_token_is_inactive_and_can_be_revoked(provider: Service, wrong: str) -> None:
    """The introspection of an invalid token is inactive without other fields, and its revocation succeeds."""
    answers = [send(provider, path, data={"token": wrong}) for path in ("introspect", "revoke")]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == INACTIVE


def test_an_ended_token_is_not_active(provider: Service, token: str) -> None:
    """The token of a session that was logged out is inactive, without other fields."""
    provider.http.delete("/v1/sessions/current", headers={"Authorization": f"Bearer {token}"})

    assert send(provider, "introspect", data={"token": token}).json() == INACTIVE


def test_an_expired_token_is_not_active(open_service: Any, sandbox: Sandbox) -> None:
    """The token of an expired session is inactive, without other fields."""
    with open_service(clients=BACKEND, session_max_seconds="1") as hasty:
        token = hasty.log_in(sandbox.code())["token"]
        told = send(hasty, "introspect", data={"token": token}).json()
        wait_until(lambda: hasty.auth(token).status_code == 401, "the end of the session")

        assert told["active"]
        assert send(hasty, "introspect", data={"token": token}).json() == INACTIVE


def test_a_hint_changes_nothing(provider: Service, token: str) -> None:
    """Any token_type_hint is accepted and ignored."""
    for hint in ("access_token", "refresh_token", "anything"):
        assert send(provider, "introspect", data={"token": token, "token_type_hint": hint}).json()["active"]


BAD_CREDENTIALS = {
    "none": None,
    "a wrong secret": ("backend", "other"),
    "an unknown client": ("other", "s3cret"),
    "an empty secret": ("backend", ""),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("auth", BAD_CREDENTIALS.values(), ids=BAD_CREDENTIALS)
@pytest.mark.parametrize("path", ["introspect", "revoke"])
def test_only_a_client_may_introspect_and_revoke(provider: Service, token: str, path: str, auth: Any) -> None:
    """Without valid client credentials the answer is invalid_client with a challenge. The session does not change."""
    answer = send(provider, path, auth=auth, data={"token": token})

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
def test_malformed_credentials_are_refused(provider: Service, token: str, header: str) -> None:
    """Malformed HTTP Basic credentials are invalid_client."""
    headers = {"Authorization": header}
    answer = provider.http.post("/oauth2/introspect", headers=headers, data={"token": token})

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_users_token_does_not_authenticate_a_client(provider: Service, token: str) -> None:
    """A session token does not authenticate a client, even for its own introspection."""
    headers = {"Authorization": f"Bearer {token}"}

    assert provider.http.post("/oauth2/introspect", headers=headers, data={"token": token}).status_code == 401


def test_credentials_may_be_form_encoded_or_not(provider: Service, token: str) -> None:
    """Client credentials are accepted form-encoded, as RFC 6749 requires, and not encoded."""
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
def test_a_request_without_one_token_is_invalid_request(provider: Service, path: str, request_: dict[str, Any]) -> None:
    """A request without exactly one token is invalid_request, as in RFC 6749."""
    answer = send(provider, path, **request_)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_get_is_refused(provider: Service) -> None:
    """GET is refused, so that no token is in a URL."""
    assert provider.http.get("/oauth2/introspect").status_code == 405


def test_no_answer_is_cached(provider: Service, token: str) -> None:
    """Answers and refusals forbid caches to store them."""
    answers = [send(provider, "introspect", data={"token": token}), send(provider, "introspect", auth=None)]

    assert [answer.headers["cache-control"] for answer in answers] == ["no-store"] * 2


SEEN = {"backend": [True, True], "shop": [True, False], "cafe": [False, True], "both": [True, True]}


@pytest.mark.parametrize(("client", "seen"), SEEN.items(), ids=SEEN)
def test_a_client_sees_the_tokens_of_its_apps(
    provider: Service, sandbox: Sandbox, token: str, client: str, seen: list[bool]
) -> None:
    """A client with `apps` sees the tokens of another app as inactive. A client without `apps` sees all tokens."""
    secret = CLIENTS[client]
    auth = (client, secret["secret"] if isinstance(secret, dict) else secret)
    tokens = [token, log_in(provider, sandbox, OTHER_APPID)]
    answers = [send(provider, "introspect", auth=auth, data={"token": each}).json() for each in tokens]

    assert [answer["active"] for answer in answers] == seen
    assert all(answer == INACTIVE for answer in answers if not answer["active"])


def test_a_client_cannot_revoke_another_apps_token(provider: Service, token: str) -> None:
    """The revocation of another app's token has the answer for an unknown token, and the session stays live."""
    answers = [send(provider, "revoke", auth=("cafe", "caf3"), data={"token": each}) for each in (token, "x" * 43)]
    after = provider.auth(token).status_code
    own = send(provider, "revoke", auth=("shop", "sh0p"), data={"token": token})

    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"")] * 2
    assert after == 204
    assert (own.status_code, provider.auth(token).json()["code"]) == (200, "session_ended")


def test_an_address_that_fails_too_often_is_limited(provider: Service, token: str) -> None:
    """The eleventh failure in a minute is 429 with the time to wait. Other addresses are not affected."""
    wrong = [send(provider, "introspect", auth=("shop", "guess"), data={"token": token}) for _ in range(11)]
    limited = wrong.pop()
    seconds = int(limited.headers["retry-after"])
    elsewhere = {"X-Forwarded-For": "192.0.2.7"}

    assert {answer.status_code for answer in wrong} == {401}
    assert (limited.status_code, limited.json()["error"]) == (429, "invalid_client")
    assert 1 <= seconds <= 6
    assert limited.headers["ratelimit"] == f'"client-authentication";r=0;t={seconds}'
    assert "www-authenticate" not in limited.headers
    assert limited.headers["cache-control"] == "no-store"
    assert send(provider, "revoke", auth=None, data={"token": token}).status_code == 429
    assert send(provider, "introspect", auth=None, data={"token": token}, headers=elsewhere).status_code == 401


def test_a_client_that_succeeds_is_not_limited(provider: Service, token: str) -> None:
    """Successful requests do not count, and an address beyond its limit can still authenticate."""
    answers = [send(provider, "introspect", data={"token": token}).status_code for _ in range(12)]
    failures = [send(provider, "introspect", auth=("backend", "guess"), data={"token": token}) for _ in range(12)]

    assert answers == [200] * 12
    assert failures[-1].status_code == 429
    assert send(provider, "introspect", data={"token": token}).json()["active"]


@pytest.mark.parametrize(
    ("auth", "client"),
    [(("shop", "gue55ed"), "shop"), (("中文", "gue55ed"), "中文"), (("m1ne", "gue55ed"), None), (None, None)],
    ids=str,
)
def test_a_refused_client_is_in_the_log(provider: Service, address: str, auth: Any, client: str | None) -> None:
    """A refused client is one log line with the address, and with the client's name if it is configured.

    No secret is logged.
    """
    send(provider, "introspect", auth=tuple(map(str.encode, auth)) if auth else None, data={"token": "x"})
    wait_until(lambda: address in provider.process.text(), "the log")
    lines = [event for event in provider.process.events() if event.get("ip") == address]

    assert [(event["event"], event.get("client")) for event in lines] == [("client_refused", client)]
    assert not re.search("gue55ed|m1ne", provider.process.text())


def test_a_failure_that_cannot_be_counted_is_unavailable(open_service: Any) -> None:
    """When the store of the limit does not answer, a wrong secret is 503."""
    with open_service(clients=BACKEND, redis_url=f"redis://127.0.0.1:{free_port()}/0") as blind:
        answer = send(blind, "introspect", auth=("backend", "guess"), data={"token": "x"})

    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


def test_a_success_sends_no_limit_command_to_redis(open_service: Any, own_redis_url: str, sandbox: Sandbox) -> None:
    """A successful authentication sends no command for the limit to Redis, and creates no key."""
    with open_service(clients=BACKEND, redis_url=own_redis_url) as own, Redis.from_url(own_redis_url) as redis:
        token = own.log_in(sandbox.code())["token"]
        before = redis.info("commandstats").get("cmdstat_eval", {}).get("calls", 0)
        assert send(own, "introspect", data={"token": token}).json()["active"]

        assert redis.info("commandstats").get("cmdstat_eval", {}).get("calls", 0) == before
        assert send(own, "introspect", auth=("backend", "guess"), data={"token": token}).status_code == 401
        assert list(redis.scan_iter("wxlogin:limit:*")) == [b"wxlogin:limit:client-authentication:10/60:127.0.0.1"]


@pytest.mark.parametrize(
    ("clients", "text"),
    [
        ({"shop": "gue55ed"}, "the secret of shop is shorter than 32 characters"),
        ({"shop": {"secret": "gue55ed" * 5, "apps": ["wx1"]}}, "shop names the app wx1, which is not configured"),
    ],
    ids=["a short secret", "an unknown app"],
)
def test_the_service_refuses_to_start(clients: Any, text: str, sqlite_url: str) -> None:
    """With wrong client settings `wxlogin serve` ends with status 5, the name of the setting and an example."""
    done = run("serve", "--port", "0", env=environment(clients=json.dumps(clients), database_url=sqlite_url))

    assert done.returncode == 5
    assert done.stderr.startswith(f"wxlogin: WXLOGIN_CLIENTS: {text}")
    assert "\n  example: WXLOGIN_CLIENTS=" in done.stderr
    assert "gue55ed" not in done.stderr
