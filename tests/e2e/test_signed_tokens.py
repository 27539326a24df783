"""Signed tokens: issued by the service, verified by other libraries with the published keys."""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from entrypoints.http.oauth_token import DEVICE_CODE
from support.jwts import (
    ACCESS_TOKEN,
    AUDIENCE,
    EXCHANGE,
    ISSUER,
    READERS,
    decoded,
    exchange,
    forgeries,
    sign,
    signing,
    signing_key,
    thumbprint,
)
from support.processes import APPID, SECRET, Sandbox, Service, clean_environment, environment, run, service
from support.servers import wait_until

OTHER_APPID = "wxfedcba9876543210"
KEY, SECOND_KEY, STRANGER = (signing_key() for _ in range(3))
CLIENTS = {"backend": "s3cret", "cafe": {"secret": "caf3", "apps": [OTHER_APPID]}}
FORM = {"content-type": "application/x-www-form-urlencoded"}
INACTIVE = {"active": False}


@pytest.fixture(scope="module", params=["database", "redis"])
def provider(request: pytest.FixtureRequest, open_service: Any) -> Iterator[Service]:
    """A service that signs tokens, with its sessions in either store."""
    redis = {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}
    apps = json.dumps([{"appid": OTHER_APPID, "secret": SECRET}])
    settings = signing(
        KEY, SECOND_KEY, assertion_audience=AUDIENCE, jwt_claims="unionid", clients=json.dumps(CLIENTS), apps=apps
    )
    with open_service(**settings, **redis) as running:
        yield running


@pytest.fixture
def login(provider: Service, sandbox: Sandbox) -> dict[str, Any]:
    """The login of a new user with a unionid."""
    code = sandbox.code(unionid=f"u-{secrets.token_hex(8)}")
    answer = provider.http.post("/v1/sessions", json={"code": code, "appid": APPID})
    return dict(answer.raise_for_status().json())


@pytest.fixture
def token(login: dict[str, Any]) -> str:
    """The session token."""
    return str(login["token"])


def issue(provider: Service, session_token: str, **changes: str) -> str:
    """Exchange a session token, which must succeed, and return the JWT."""
    answer = provider.http.post("/oauth2/token", data=exchange(session_token, **changes))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT, not verified."""
    return dict(decoded(token.split(".")[1]))


def introspect(provider: Service, token: str, auth: tuple[str, str] = ("backend", "s3cret")) -> dict[str, Any]:
    """Return what introspection says."""
    answer = provider.http.post("/oauth2/introspect", data={"token": token}, auth=auth)
    return dict(answer.raise_for_status().json())


def log_out(provider: Service, token: str) -> None:
    """End the session."""
    provider.http.delete("/v1/sessions/current", headers={"Authorization": f"Bearer {token}"}).raise_for_status()


def test_a_session_token_is_exchanged(provider: Service, login: dict[str, Any]) -> None:
    """The answer is that of RFC 8693, and the JWT that of RFC 9068, with the claims of the contract and no other."""
    before = int(time.time())
    answer = provider.http.post("/oauth2/token", data=exchange(login["token"]))
    body = answer.json()
    header, said = decoded(body["access_token"].split(".")[0]), claims(body["access_token"])

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert body == {
        "access_token": body["access_token"],
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 300,
    }
    assert header == {"typ": "at+jwt", "alg": "ES256", "kid": thumbprint(KEY)}
    assert said.keys() == {"iss", "sub", "aud", "client_id", "sid", "iat", "exp", "jti", "unionid"}
    assert (said["iss"], said["aud"], said["client_id"]) == (ISSUER, AUDIENCE, APPID)
    assert (said["sub"], said["sid"]) == (login["user"]["id"], login["session"]["id"])
    assert before <= said["iat"] <= time.time()
    assert said["exp"] == said["iat"] + 300


@pytest.mark.parametrize("reader", READERS)
def test_other_libraries_read_tokens(provider: Service, token: str, reader: str) -> None:
    """With the URL of the keys, a backend reads a token of its audience, and no token of another audience."""
    mine, assertion = issue(provider, token), provider.auth(token).headers["x-user-assertion"]
    foreign = issue(provider, token, audience="payments")
    read = READERS[reader](f"{provider.url}/.well-known/jwks.json", [mine, assertion, foreign])

    assert read == [claims(mine), claims(assertion), None]


@pytest.mark.parametrize("reader", READERS)
def test_no_library_reads_a_forged_token(provider: Service, token: str, reader: str) -> None:
    """No reader accepts a forged token with the published keys."""
    forged = forgeries(issue(provider, token), KEY, STRANGER)
    read = READERS[reader](f"{provider.url}/.well-known/jwks.json", [*forged.values()])

    assert dict(zip(forged, read, strict=True)) == dict.fromkeys(forged)


def test_the_published_keys_are_public(provider: Service) -> None:
    """The key set has the public halves of all keys, the signing one first, and may be cached for five minutes."""
    answer = provider.http.get("/.well-known/jwks.json")
    keys = answer.json()["keys"]

    assert [key["kid"] for key in keys] == [thumbprint(KEY), thumbprint(SECOND_KEY)]
    assert {frozenset(key) for key in keys} == {frozenset(["kty", "crv", "x", "y", "kid", "alg", "use"])}
    assert answer.headers["cache-control"] == "max-age=300"


def test_the_metadata_lead_to_every_endpoint(provider: Service, token: str) -> None:
    """A client finds by the metadata of RFC 8414 what it needs, and each endpoint is there."""
    metadata = provider.http.get("/.well-known/oauth-authorization-server").json()
    endpoints = {name: url.removeprefix(ISSUER) for name, url in metadata.items() if name.endswith(("endpoint", "uri"))}

    assert metadata["issuer"] == ISSUER
    assert metadata["grant_types_supported"] == [DEVICE_CODE, EXCHANGE]
    assert endpoints == {
        "jwks_uri": "/.well-known/jwks.json",
        "token_endpoint": "/oauth2/token",
        "introspection_endpoint": "/oauth2/introspect",
        "revocation_endpoint": "/oauth2/revoke",
        "device_authorization_endpoint": "/oauth2/device_authorization",
    }
    assert 404 not in {provider.http.get(path).status_code for path in endpoints.values()}


def test_the_assertion_of_auth_is_used_again(provider: Service, token: str) -> None:
    """/auth answers a signed token of the session for the configured audience, and the same one the next time."""
    first, second = (provider.auth(token).headers["x-user-assertion"] for _ in range(2))

    assert first == second
    assert (claims(first)["aud"], claims(first)["sid"]) == (AUDIENCE, provider.auth(token).headers["x-session-id"])


def test_an_ended_session_gets_nothing(provider: Service, token: str) -> None:
    """After a log-out, neither /auth nor the exchange gives a token, even if there is an assertion in the memory."""
    provider.auth(token)
    log_out(provider, token)
    refused, exchanged = provider.auth(token), provider.http.post("/oauth2/token", data=exchange(token))

    assert (refused.status_code, refused.headers.get("x-user-assertion")) == (401, None)
    assert (exchanged.status_code, exchanged.json()) == (
        400,
        {"error": "invalid_grant", "error_description": "session_ended"},
    )


@pytest.mark.parametrize("how", ["auth", "me", "sessions"])
def test_a_signed_token_is_no_session_token(provider: Service, token: str, how: str) -> None:
    """/auth and /v1 refuse a signed token with token_invalid."""
    path = {"auth": "/auth", "me": "/v1/me", "sessions": "/v1/sessions"}[how]
    answer = provider.http.get(path, headers={"Authorization": f"Bearer {issue(provider, token)}"})

    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


def test_a_signed_token_is_not_exchanged(provider: Service, token: str) -> None:
    """A signed token cannot be prolonged: it is no subject token."""
    answer = provider.http.post("/oauth2/token", data=exchange(issue(provider, token)))

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_introspection_answers_by_the_session(provider: Service, login: dict[str, Any]) -> None:
    """A signed token is active, with its own times, until its session ends, even if it has not expired."""
    jwt = issue(provider, login["token"])
    said, before = claims(jwt), introspect(provider, jwt)
    log_out(provider, login["token"])

    own = ("iss", "sub", "aud", "client_id", "sid", "iat", "exp", "jti")
    assert before["active"] is True
    assert {name: before[name] for name in own} == {name: said[name] for name in own}
    assert introspect(provider, jwt) == INACTIVE


def test_introspection_accepts_no_forged_token(provider: Service, token: str) -> None:
    """Each forged token of a live session is inactive."""
    jwt = issue(provider, token)
    forged = forgeries(jwt, KEY, STRANGER)

    assert {name: introspect(provider, each) for name, each in forged.items()} == dict.fromkeys(forged, INACTIVE)
    assert introspect(provider, sign(claims(jwt), SECOND_KEY))["active"] is True


def test_a_huge_token_is_inactive(provider: Service, token: str) -> None:
    """A token as large as a body may be is inactive."""
    jwt = issue(provider, token)

    assert introspect(provider, f"{jwt}{'A' * 60_000}") == INACTIVE
    assert introspect(provider, f"{'e30' * 20_000}.e30.e30") == INACTIVE


def test_a_client_of_another_app_sees_nothing(provider: Service, token: str) -> None:
    """A client with `apps` sees the signed token of another app as inactive, and cannot revoke it."""
    jwt = issue(provider, token)
    seen = introspect(provider, jwt, ("cafe", "caf3"))
    revoked = provider.http.post("/oauth2/revoke", data={"token": jwt}, auth=("cafe", "caf3"))

    assert (seen, revoked.status_code) == (INACTIVE, 200)
    assert provider.auth(token).status_code == 204


def test_a_revoked_signed_token_ends_its_session(provider: Service, token: str) -> None:
    """The revocation of a signed token logs its session out."""
    jwt = issue(provider, token)
    answer = provider.http.post("/oauth2/revoke", data={"token": jwt}, auth=("backend", "s3cret"))

    assert (answer.status_code, answer.content) == (200, b"")
    assert provider.auth(token).json()["code"] == "session_ended"
    assert introspect(provider, jwt) == INACTIVE


def test_a_blocked_user_gets_no_token(sandbox: Sandbox, sqlite_url: str) -> None:
    """The session of a blocked user is no grant."""
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url, **signing(KEY))
    with service(env=env) as own:
        login = own.log_in(sandbox.code())
        assert run("users", "block", login["user"]["id"], env=env).returncode == 0
        answer = own.http.post("/oauth2/token", data=exchange(login["token"]))

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no grant": ({"grant_type": ""}, "unsupported_grant_type"),
    "another grant": ({"grant_type": "password"}, "unsupported_grant_type"),
    "no subject": ({"subject_token": ""}, "invalid_request"),
    "an unknown subject": ({"subject_token": "x" * 43}, "invalid_grant"),
    "a subject that is no token": ({"subject_token": "令牌"}, "invalid_grant"),
    "a huge subject": ({"subject_token": "x" * 60_000}, "invalid_grant"),
    "no type": ({"subject_token_type": ""}, "invalid_request"),
    "another type": ({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
    "no audience": ({"audience": ""}, "invalid_request"),
    "an unknown audience": ({"audience": "unknown"}, "invalid_target"),
    "two audiences in one": ({"audience": f"{AUDIENCE},payments"}, "invalid_target"),
    "a refresh token": ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
    "an actor": ({"actor_token": "x", "actor_token_type": ACCESS_TOKEN}, "invalid_request"),
    "a resource": ({"resource": "https://orders.example.com"}, "invalid_target"),
    "a scope": ({"scope": "admin"}, "invalid_scope"),
}


@pytest.mark.parametrize(("changes", "error"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_exchange_is_refused(provider: Service, token: str, changes: dict[str, str], error: str) -> None:
    """A wrong parameter is the error of RFC 6749 or RFC 8693 with status 400, and a parameter without a value none."""
    answer = provider.http.post("/oauth2/token", data=exchange(token, **changes))

    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["grant_type", "subject_token", "subject_token_type", "audience", "scope"])
def test_a_repeated_parameter_is_refused(provider: Service, token: str, name: str) -> None:
    """A parameter that is there twice, also with the same value, is invalid_request."""
    form = exchange(token, scope="")
    body = str(httpx2.QueryParams([*form.items(), (name, form[name] or "x"), (name, form[name] or "x")]))
    answer = provider.http.post("/oauth2/token", content=body, headers=FORM)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_an_unknown_parameter_is_ignored(provider: Service, token: str) -> None:
    """A parameter that no grant has changes nothing (RFC 6749 section 3.2)."""
    assert issue(provider, token, anything="x")


def test_an_exchange_needs_no_client(provider: Service, token: str) -> None:
    """The session token is enough: credentials of a client, right or wrong, change nothing."""
    answers = [
        provider.http.post("/oauth2/token", data=exchange(token), auth=auth)
        for auth in (("backend", "s3cret"), ("backend", "wrong"))
    ]

    assert [answer.status_code for answer in answers] == [200, 200]


def test_the_exchanges_of_a_session_are_limited(provider: Service, token: str) -> None:
    """A session that is exchanged more often than once a second is asked to wait, and stays live."""
    answers = [provider.http.post("/oauth2/token", data=exchange(token)) for _ in range(70)]
    limited = answers[-1]

    assert {answer.status_code for answer in answers[:60]} == {200}
    assert (limited.status_code, limited.json()["error"]) == (429, "temporarily_unavailable")
    assert int(limited.headers["retry-after"]) >= 1
    assert provider.auth(token).status_code == 204


def test_an_exchange_is_in_the_log(provider: Service, login: dict[str, Any]) -> None:
    """An exchange is one line with the session and the audience, and without a token."""
    jwt = issue(provider, login["token"])
    mine = login["session"]["id"]

    def lines() -> list[dict[str, Any]]:
        events = provider.process.events()
        return [each for each in events if each["event"] == "token_exchanged" and each["session_id"] == mine]

    wait_until(lambda: bool(lines()), "the log")
    (line,) = lines()
    assert (line["user_id"], line["audience"], line["appid"]) == (login["user"]["id"], AUDIENCE, APPID)
    assert jwt.rpartition(".")[2] not in provider.process.text()


def test_a_token_expires_with_its_session(open_service: Any, sandbox: Sandbox) -> None:
    """A token and an assertion of a session that ends soon end with it."""
    with open_service(**signing(KEY, session_max_seconds="60", assertion_audience=AUDIENCE)) as hasty:
        login = hasty.log_in(sandbox.code())
        tokens = [issue(hasty, login["token"]), hasty.auth(login["token"]).headers["x-user-assertion"]]

    assert [claims(token)["exp"] - claims(token)["iat"] <= 60 for token in tokens] == [True, True]


def test_an_expired_token_is_inactive(open_service: Any, sandbox: Sandbox) -> None:
    """A token is inactive when its life is over, and its session continues."""
    with open_service(**signing(KEY, jwt_seconds="1", clients=json.dumps({"backend": "s3cret"}))) as hasty:
        token = hasty.log_in(sandbox.code())["token"]
        jwt = issue(hasty, token)
        wait_until(lambda: introspect(hasty, jwt) == INACTIVE, "the end of the token")

        assert hasty.auth(token).status_code == 204


def test_without_keys_nothing_is_signed(either_service: Service, sandbox: Sandbox) -> None:
    """A service without signing keys has no key set and no metadata, supports no exchange, and sends no assertion."""
    http, token = either_service.http, either_service.log_in(sandbox.code())["token"]
    answers = [http.get(f"/.well-known/{name}") for name in ("jwks.json", "oauth-authorization-server")]
    exchanged = http.post("/oauth2/token", data=exchange(token))

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "not_found")] * 2
    assert (exchanged.status_code, exchanged.json()["error"]) == (400, "unsupported_grant_type")
    assert "x-user-assertion" not in either_service.auth(token).headers


def test_an_issuer_alone_has_metadata(open_service: Any) -> None:
    """A service with a public name and without keys has metadata without a key set and without the exchange."""
    with open_service(issuer="https://id.example.com") as named:
        metadata = named.http.get("/.well-known/oauth-authorization-server").json()

    assert metadata["issuer"] == ISSUER
    assert "jwks_uri" not in metadata
    assert metadata["grant_types_supported"] == [DEVICE_CODE]


def test_a_new_key_starts_a_service(open_service: Any, sandbox: Sandbox) -> None:
    """`wxlogin keygen --signing` prints one line, a private key, with which a service signs."""
    done = run("keygen", "--signing", env=clean_environment())
    with open_service(**signing(json.loads(done.stdout))) as own:
        jwt = issue(own, own.log_in(sandbox.code())["token"])

    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    assert decoded(jwt.split(".")[0])["kid"] == json.loads(done.stdout)["kid"]


HALVES: dict[str, tuple[dict[str, str], str]] = {
    "no issuer": ({"issuer": ""}, "WXLOGIN_ISSUER is missing"),
    "no keys": ({"signing_keys": ""}, "WXLOGIN_SIGNING_KEYS is missing"),
    "no audience": ({"audiences": ""}, "WXLOGIN_AUDIENCES is missing"),
    "another audience": ({"assertion_audience": "other"}, "WXLOGIN_ASSERTION_AUDIENCE: is not one of"),
    "a public key": (
        {"signing_keys": json.dumps([{name: part for name, part in KEY.items() if name != "d"}])},
        "WXLOGIN_SIGNING_KEYS (0.d): Field required",
    ),
    "one key twice": ({"signing_keys": json.dumps([KEY, KEY])}, "WXLOGIN_SIGNING_KEYS: 1: the same key"),
    "half of a key": ({"signing_keys": json.dumps([KEY | {"x": STRANGER["x"]}])}, "WXLOGIN_SIGNING_KEYS: 0: is not"),
}


@pytest.mark.parametrize(("changes", "text"), HALVES.values(), ids=HALVES)
def test_a_half_configured_service_does_not_start(sqlite_url: str, changes: dict[str, str], text: str) -> None:
    """With a part of the settings, or with a wrong key, the service ends with status 5 and the setting's name."""
    settings = {key: value for key, value in signing(KEY, **changes).items() if value}
    done = run("serve", "--port", "0", env=environment(database_url=sqlite_url, **settings))

    assert done.returncode == 5
    assert text in done.stderr
    assert KEY["d"] not in done.stderr
