"""The service reveals no secret in an answer, a log line, an error message or a file."""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support import plain_http
from support.jwts import AUDIENCE, exchange, signing, signing_key
from support.processes import APPID, KEY, SECRET, Environment, Sandbox, environment, run, service
from support.processes import sandbox as own_sandbox
from support.servers import sqlite_url

PASSWORD = "pa55word-of-the-store"
CLIENT_SECRET = "c1ient-secret-of-a-backend"
SIGNING_KEY = signing_key()
FAULTS: list[dict[str, Any]] = [
    {"errcode": -1},
    {"errcode": 40013},
    {"errcode": 40029},
    {"errcode": 40125},
    {"errcode": 40163},
    {"errcode": 40164},
    {"errcode": 40226},
    {"errcode": 45011},
    {"errcode": 99999},
    {"status": 404},
    {"status": 500},
    {"body": "<html>"},
    {"body": {"openid": 7, "session_key": "c2VjcmV0LXNlc3Npb24ta2V5"}},
    {"drop": True},
    {"delay_seconds": 2},
]


class Wiretap:
    """A proxy between the service and the sandbox, which records every session_key and access token."""

    def __init__(self, upstream: str) -> None:
        self.session_keys: set[str] = {"c2VjcmV0LXNlc3Npb24ta2V5"}
        self.access_tokens: set[str] = set()
        self._upstream = upstream
        tap = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                tap.forward(self, "GET")

            def do_POST(self) -> None:
                tap.forward(self, "POST")

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def forward(self, request: BaseHTTPRequestHandler, method: str) -> None:
        """Forward one call, and close the connection when the sandbox does."""
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        with suppress(httpx2.TransportError, OSError):
            answer = plain_http.fetch(self._upstream + request.path, method, content=body, timeout=10)
            with suppress(ValueError, KeyError):
                self.session_keys.add(answer.json()["session_key"])
            with suppress(ValueError, KeyError):
                self.access_tokens.add(answer.json()["access_token"])
            request.send_response(answer.status_code)
            request.send_header("Content-Length", str(len(answer.content)))
            request.end_headers()
            request.wfile.write(answer.content)


@pytest.fixture(scope="module")
def wiretap(sandbox: Sandbox) -> Iterator[Wiretap]:
    """A running wiretap."""
    with listening(sandbox) as tap:
        yield tap


@contextmanager
def listening(sandbox: Sandbox) -> Iterator[Wiretap]:
    """Run a wiretap on that sandbox."""
    tap = Wiretap(sandbox.url)
    thread = threading.Thread(target=tap.server.serve_forever)
    thread.start()
    yield tap
    tap.server.shutdown()
    tap.server.server_close()
    thread.join()


class Leaks:
    """The secrets of a test, and a search for them in its output."""

    def __init__(self, wiretap: Wiretap) -> None:
        self.codes: list[str] = []
        self.tokens: list[str] = []
        self._wiretap = wiretap

    @property
    def secrets(self) -> dict[str, list[str]]:
        """Return all secrets, by kind."""
        return {
            "AppSecret": [SECRET],
            "encryption key": [KEY],
            "signing key": [SIGNING_KEY["d"]],
            "password": [PASSWORD],
            "client's secret": [CLIENT_SECRET],
            "code": self.codes,
            "token": self.tokens,
            "session_key": sorted(self._wiretap.session_keys),
            "access token": sorted(self._wiretap.access_tokens),
        }

    def found_in(self, text: str | bytes, *, allowed: str = "") -> list[str]:
        """Return the kinds of secrets in the text, as they are or in base64."""
        told = text.encode() if isinstance(text, str) else text
        return [
            kind
            for kind, secrets in self.secrets.items()
            for secret in secrets
            if secret != allowed and any(form in told for form in (secret.encode(), b64encode(secret.encode())))
        ]


@pytest.fixture
def leaks(wiretap: Wiretap) -> Leaks:
    """The secrets of this test."""
    return Leaks(wiretap)


def settings(wiretap: Wiretap, directory: Path, **more: str) -> Environment:
    """Return the settings of an installation with the most detailed log."""
    given = {
        "wechat_url": wiretap.url,
        "wechat_timeout_seconds": "1",
        "database_url": sqlite_url(directory),
        "log_level": "debug",
        "clients": json.dumps({"backend": CLIENT_SECRET}),
        **signing(SIGNING_KEY, assertion_audience=AUDIENCE),
    }
    return environment(**{**given, **more})


def signed_tokens(answers: list[httpx2.Response]) -> list[str]:
    """Return the signatures of the JWTs in the answers. A client may have them; the log and the files may not."""
    texts = [answer.headers.get("x-user-assertion", "") for answer in answers]
    texts += [
        answer.json()["access_token"] for answer in answers if answer.url.path == "/oauth2/token" and answer.is_success
    ]
    return [text.rpartition(".")[2] for text in texts if text]


def content_of(answer: httpx2.Response) -> bytes:
    """Return the headers and the body of an answer."""
    return repr(answer.headers.multi_items()).encode() + answer.content


def token_of(answer: httpx2.Response) -> str:
    """Return the token in the answer to a login."""
    body = answer.json() if answer.is_success and "json" in answer.headers.get("content-type", "") else {}
    data = body.get("data")
    return str(body.get("token") or (data.get("token", "") if isinstance(data, dict) else ""))


def log_in(http: httpx2.Client, leaks: Leaks, code: str, path: str) -> httpx2.Response:
    """Log in, and record the code and the token if there is one."""
    leaks.codes.append(code)
    answer = http.post(path, json={"code": code})
    if token := token_of(answer):
        leaks.tokens.append(token)
    return answer


def misuse(http: httpx2.Client, leaks: Leaks) -> Iterator[httpx2.Response]:
    """Send requests that have secrets in wrong places."""
    code, token = leaks.codes[0], leaks.tokens[0]
    bearer = {"Authorization": f"Bearer {token}"}
    yield http.post("/v1/sessions", content=f'{{"code":"{code}"')
    yield http.post("/v1/sessions", json=[code])
    yield http.post("/v1/sessions", json={"code": {code: code}})
    yield http.post("/v1/sessions", json={"code": code, "appid": code})
    yield http.post("/login/", content=code)
    yield http.post(f"/login/?code={code}", json={"appid": "wx-unknown"})
    yield http.get(f"/auth?token={token}")
    yield http.get("/auth", headers={"Authorization": f"Bearer {token}x"})
    yield http.get("/auth", headers=[("Authorization", f"Bearer {token}")] * 2)
    yield http.get("/v1/me", headers={"Authorization": f"Basic {token}"})
    yield http.patch("/v1/me", json={"name": f"\n{token}"}, headers=bearer)
    yield http.patch("/v1/me", json={token: token, "name": 7}, headers=bearer)
    yield http.get("/v1/sessions", headers=bearer)
    yield http.get("/v1/sessions/current", headers=bearer)
    yield http.get("/v1/me", headers=bearer)
    yield http.get("/auth", headers=bearer)
    yield http.post("/oauth2/token", data=exchange(token))
    yield http.post("/oauth2/token", json=exchange(token))
    yield http.post("/oauth2/token", data=exchange(token, grant_type=token))
    yield http.post("/oauth2/token", data=exchange(token, audience=token))
    yield http.post("/oauth2/token", data=exchange(token, scope=token))
    yield http.post(f"/oauth2/token?subject_token={token}", data=exchange(code))
    yield http.get(f"/oauth2/{token}")
    yield http.post("/oauth2/introspect", data={"token": token}, auth=("backend", token))
    yield http.get("/.well-known/jwks.json")
    yield http.get("/readyz")
    yield http.get(f"/metrics?code={code}", headers={**bearer, "Accept": f"application/openmetrics-text;{token}"})
    yield http.get("/metrics", headers={"User-Agent": token, "Referer": f"https://servicewechat.com/{token}/"})
    yield http.delete("/v1/sessions", headers=bearer)
    yield http.get("/auth", headers=bearer)


def test_logins_reveal_no_secret(wiretap: Wiretap, sandbox: Sandbox, leaks: Leaks, tmp_path: Path) -> None:
    """After logins with any result, no log line, answer or file has a secret.

    The only exception is a login's own token.
    """
    answers = []
    with service(env=settings(wiretap, tmp_path)) as running_service:
        http = running_service.http
        for path in ("/login/", "/v1/sessions"):
            answers += [log_in(http, leaks, sandbox.code(unionid="u"), path) for _ in range(2)]
            answers += [log_in(http, leaks, leaks.codes[0], path), log_in(http, leaks, "never-issued-code", path)]
            for fault in FAULTS:
                sandbox.fail(**fault)
                answers.append(log_in(http, leaks, sandbox.code(), path))
        answers += misuse(http, leaks)
        running_service.process.stop()
    statuses = {answer.status_code for answer in answers}
    answered = [leaks.found_in(content_of(answer), allowed=token_of(answer)) for answer in answers]
    kept = {path.name: leaks.found_in(path.read_bytes()) for path in tmp_path.iterdir()}
    signed = signed_tokens(answers)

    assert len(signed) >= 2
    assert [each for each in signed if each in running_service.process.text()] == []
    assert statuses >= {200, 201, 204, 400, 401, 403, 429, 500, 502, 503}
    assert len(leaks.tokens) == 4
    assert len(wiretap.session_keys) > 4
    assert leaks.found_in(running_service.process.text()) == []
    assert [found for found in answered if found] == []
    assert kept
    assert [name for name, found in kept.items() if found] == []


AFTER_LOGIN = {
    "/wxa/business/getuserphonenumber": ("PUT", "/v1/me/phone"),
    "/wxa/checksession": ("GET", "/v1/wechat/session-key"),
    "/wxa/resetusersessionkey": ("POST", "/v1/wechat/session-key/reset"),
    "/wxa/business/getuserencryptkey": ("GET", "/v1/wechat/encrypt-keys"),
    "/wxa/business/checkencryptedmsg": ("POST", "/v1/wechat/check"),
    "/wxa/getpaidunionid": ("PUT", "/v1/me/unionid"),
}
"""WeChat's calls with an access token, and the requests that cause them."""


def ask_after_login(http: httpx2.Client, leaks: Leaks, sandbox: Sandbox, path: str) -> httpx2.Response:
    """Send one request that needs WeChat, with the fields of all such requests."""
    leaks.codes.append(sandbox.phone_code())
    body = {"code": leaks.codes[-1], "encryptedData": "AAAA", "transaction_id": "4200"}
    method, route = AFTER_LOGIN[path]
    return http.request(method, route, json=body, headers={"Authorization": f"Bearer {leaks.tokens[0]}"})


def test_calls_with_an_access_token_reveal_no_secret(tmp_path: Path) -> None:
    """After calls with an access token and with any result, no log line, answer or file has a secret."""
    answers = []
    with own_sandbox() as sandbox, listening(sandbox) as tap, service(env=settings(tap, tmp_path)) as running_service:
        http, leaks = running_service.http, Leaks(tap)
        log_in(http, leaks, sandbox.code(), "/v1/sessions")
        for path in AFTER_LOGIN:
            answers.append(ask_after_login(http, leaks, sandbox, path))
            for fault in [*FAULTS, {"errcode": 40001, "times": 2}, {"errcode": 87009}, {"body": {"errcode": 0}}]:
                sandbox.fail(path=path, **fault)
                answers.append(ask_after_login(http, leaks, sandbox, path))
        answers.append(http.get("/metrics"))
        running_service.process.stop()
        seen = json.dumps(sandbox.calls())
    kept = {path.name: leaks.found_in(path.read_bytes()) for path in tmp_path.iterdir()}

    assert {answer.status_code for answer in answers} >= {200, 204, 400, 404, 429, 500, 502, 503}
    assert tap.access_tokens
    assert leaks.found_in(running_service.process.text()) == []
    assert [found for answer in answers if (found := leaks.found_in(content_of(answer)))] == []
    assert [name for name, found in kept.items() if found] == []
    assert leaks.found_in(seen) == []


def test_a_store_that_is_down_reveals_no_secret(
    wiretap: Wiretap, sandbox: Sandbox, leaks: Leaks, tmp_path: Path
) -> None:
    """While Redis does not answer, neither the log nor an answer has its password or a secret of the login."""
    redis_url = f"redis://:{PASSWORD}@127.0.0.1:1/0"
    with service(env=settings(wiretap, tmp_path, redis_url=redis_url)) as running_service:
        http = running_service.http
        answers = [log_in(http, leaks, sandbox.code(), path) for path in ("/login/", "/v1/sessions")]
        answers += [http.get("/readyz"), running_service.auth("x" * 43)]
        running_service.process.stop()

    assert [answer.status_code for answer in answers] == [503] * 4
    assert leaks.found_in(running_service.process.text()) == []
    assert [found for answer in answers if (found := leaks.found_in(content_of(answer)))] == []


def test_a_database_without_tables_reveals_no_secret(
    wiretap: Wiretap, sandbox: Sandbox, leaks: Leaks, tmp_path: Path
) -> None:
    """When the tables of the database are deleted, neither the log nor an answer has a parameter of a statement."""
    env = settings(wiretap, tmp_path)
    with service(env=env) as running_service:
        for path in tmp_path.iterdir():
            path.write_bytes(b"")
        answers = [log_in(running_service.http, leaks, sandbox.code(), "/v1/sessions") for _ in range(2)]
        answers.append(running_service.auth("x" * 43))
        running_service.process.stop()

    assert {answer.status_code for answer in answers} == {503}
    assert leaks.found_in(running_service.process.text()) == []
    assert [found for answer in answers if (found := leaks.found_in(content_of(answer)))] == []


@pytest.mark.parametrize("fault", [{}, {"errcode": 40164}, {"errcode": 40029}, {"drop": True}], ids=str)
def test_the_command_line_reveals_no_secret(
    wiretap: Wiretap, sandbox: Sandbox, leaks: Leaks, tmp_path: Path, fault: dict[str, Any]
) -> None:
    """`wxlogin login` prints no secret except the token on stdout. The sandbox masks the secrets that it received."""
    env = settings(wiretap, tmp_path)
    assert run("migrate", env=env).returncode == 0
    leaks.codes.append(sandbox.code())
    if fault:
        sandbox.fail(**fault)
    done = run("login", leaks.codes[0], env=env)
    leaks.tokens += [json.loads(done.stdout)["token"]] if done.stdout else []

    assert bool(leaks.tokens) == (not fault)
    assert leaks.found_in(done.stderr) == []
    assert leaks.found_in(done.stdout, allowed="".join(leaks.tokens)) == []
    assert leaks.found_in(json.dumps(sandbox.calls())) == []


@pytest.mark.parametrize(
    "variables",
    [
        {"WXLOGIN_APPS": f'[{{"appid":"{APPID}","secret":"{SECRET}"'},
        {"WXLOGIN_APPS": f'[{{"appid":"{APPID}","secret":["{SECRET}"]}}]'},
        {"WXLOGIN_ENCRYPTION_KEYS": f"{KEY},{KEY[:-1]}"},
        {"WXLOGIN_DATABASE_URL": f"postgresql://wxlogin:{PASSWORD}@127.0.0.1/wxlogin"},
        {"WXLOGIN_DATABASE_URL": f"postgresql+asyncpg://wxlogin:{PASSWORD}@127.0.0.1:1/wxlogin"},
        {"WXLOGIN_DATABASE_URL": f"postgresql+asyncpg://wxlogin:{PASSWORD}@127.0.0.1:port/wxlogin"},
        {"WXLOGIN_REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:port/0"},
        {"WXLOGIN_CLIENTS": f'{{"backend":"{CLIENT_SECRET}"'},
        {"WXLOGIN_CLIENTS": f'{{"backend":["{CLIENT_SECRET}"]}}'},
        {"WXLOGIN_SIGNING_KEYS": json.dumps([SIGNING_KEY])[:-2]},
        {"WXLOGIN_SIGNING_KEYS": json.dumps([SIGNING_KEY, SIGNING_KEY])},
        {"WXLOGIN_SIGNING_KEYS": json.dumps([SIGNING_KEY | {"x": SIGNING_KEY["y"]}])},
        {"WXLOGIN_SIGNING_KEYS": json.dumps([{"kty": "oct", "k": SIGNING_KEY["d"]}])},
        {"WXLOGIN_PUSH_TOKEN": f"{CLIENT_SECRET}!"},
        {"WXLOGIN_PUSH_AES_KEY": CLIENT_SECRET},
        {"WXLOGIN_APPS": f'[{{"appid":"wx2","secret":"s","push":{{"token":"{CLIENT_SECRET}!"}}}}]'},
        {"WXLOGIN_AUDIENCES": ""},
        {"WXLOGIN_WECHAT_URL": f"ftp://proxy:{PASSWORD}@127.0.0.1"},
    ],
    ids=lambda variables: "-".join(variables),
)
def test_a_wrong_setting_reveals_no_secret(
    wiretap: Wiretap, leaks: Leaks, tmp_path: Path, variables: Environment
) -> None:
    """The message about a malformed setting has its name and not its value."""
    done = run("doctor", env={**settings(wiretap, tmp_path), **variables})

    assert done.returncode in (4, 5), done.stderr
    assert leaks.found_in(done.stdout + done.stderr) == []


def test_a_settings_file_reveals_no_secret(wiretap: Wiretap, leaks: Leaks, tmp_path: Path) -> None:
    """The message about a malformed settings file has its path and no secret."""
    file = tmp_path / "wxlogin.toml"
    file.write_text(f'app_secret = "{SECRET}\nencryption_keys = "{KEY}"\n')
    done = run("doctor", env={**settings(wiretap, tmp_path), "WXLOGIN_CONFIG": str(file)})

    assert done.returncode == 5
    assert str(file) in done.stdout + done.stderr
    assert leaks.found_in(done.stdout + done.stderr) == []
