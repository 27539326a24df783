"""Every event that the log has a line for, caused in a real installation."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from entrypoints.http.oauth_token import DEVICE_CODE
from support.jobs import run_job
from support.jwts import AUDIENCE, exchange, signing, signing_key
from support.processes import APPID, SECRET, Environment, Running, Sandbox, Service, environment, run, running, service
from support.processes import sandbox as own_sandbox
from support.pushes import PHONE, REVOKE, TOKEN, as_json, revocation, send
from support.servers import free_port, wait_until

OTHER_APPID = "wxfedcba9876543210"
APP_QUOTA = 40
RID = r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}"

Line = dict[str, Any]

SHOP = ("shop", "s3cret")
"""The credentials of the OAuth client."""


@dataclass
class World:
    """An installation in which a test causes events, over HTTP from the address `ip`.

    Preparations use other addresses, each in a network of its own, so that no limit counts two of them together.
    """

    env: Environment
    sandbox: Sandbox
    service: Service
    worker: Running
    ip: str = ""
    numbers: Iterator[int] = field(default_factory=count)

    def elsewhere(self) -> str:
        """Return an address that `lines` ignores."""
        return f"2001:db8:0:{next(self.numbers):x}::1"

    def post(self, path: str, ip: str = "", token: str = "", **request: Any) -> Line:
        """Send a POST from `ip`, by default this world's address, and return the answer if it is JSON."""
        return self.send("POST", path, ip or self.ip, token, **request)

    def send(self, method: str, path: str, ip: str, token: str = "", **request: Any) -> Line:
        """Send a request to the service, and return the answer if it is JSON."""
        headers = {"X-Forwarded-For": ip} | ({"Authorization": f"Bearer {token}"} if token else {})
        answer = self.service.http.request(method, path, headers=headers, **request)
        return dict(answer.json()) if "json" in answer.headers.get("content-type", "") else {}

    def log_in(self, openid: str = "", **more: str) -> Line:
        """Log a user in to the first app, from an address that `lines` ignores."""
        code = self.sandbox.code(openid=openid or f"o{secrets.token_hex(13)}", **more)
        return self.post("/v1/sessions", self.elsewhere(), json={"code": code, "appid": APPID})

    def lines(self) -> list[Line]:
        """Return the log lines of this world's events. Waits until the last line is written."""
        mark = self.elsewhere()
        self.post("/oauth2/introspect", mark)
        wait_until(lambda: mark in self.service.process.text(), "the log")
        return [line for line in self.service.process.events() if not str(line.get("ip")).startswith("2001:db8:")]


Happening = Callable[[World], list[Line]]
"""A function that causes an event, and returns the expected log lines. Their texts are regular expressions."""

HAPPENINGS: dict[str, Happening] = {}


def happening(what: Happening) -> Happening:
    """Register an event."""
    HAPPENINGS[what.__name__] = what
    return what


def whose(login: Line) -> Line:
    """Return the fields that a log line has of that login's session."""
    return {"appid": APPID, "user_id": login["user"]["id"], "session_id": login["session"]["id"]}


def refused_login(route: str, sent: Line | str, fault: Line | None = None, **logged: Any) -> Happening:
    """Return an event that is a failed login. A request without a code gets a valid one."""

    def fail(world: World) -> list[Line]:
        if fault:
            world.sandbox.fail(**fault)
        body = {"content": sent} if isinstance(sent, str) else {"json": {"code": world.sandbox.code(), **sent}}
        assert "token" not in world.post(route, **body)
        return [{"event": "login_failed", "where": route.rstrip("/"), "ip": world.ip, **logged}]

    return fail


NAMED: dict[str, Any] = {"appid": APPID}
REFUSED: dict[str, tuple[Line | str, Line | None, Line]] = {
    "no code": (NAMED | {"code": ""}, None, {"code": "code_missing", **NAMED}),
    "wrong code": (NAMED | {"code": "x"}, None, {"code": "code_invalid", "errcode": 40029, "rid": RID, **NAMED}),
    "wrong app": ({"appid": "wx-unknown"}, None, {"code": "app_unknown"}),
    "no JSON": ('{"code":', None, {"code": "request_invalid"}),
    "no WeChat": (
        NAMED,
        {"drop": True},
        {"code": "wechat_unavailable", "detail": ".*check WXLOGIN_WECHAT_URL", **NAMED},
    ),
    "wrong secret": (
        NAMED,
        {"errcode": 40125},
        {"code": "app_misconfigured", "errcode": 40125, "rid": RID, "detail": "The AppSecret is wrong. Set ", **NAMED},
    ),
}
for each, (sent, fault, logged) in REFUSED.items():
    for route in ("/v1/sessions", "/login/"):
        HAPPENINGS[f"{each}, {route}"] = refused_login(route, sent, fault, **logged)


@happening
def a_login(world: World) -> list[Line]:
    """Log in under /v1."""
    login = world.post("/v1/sessions", json={"code": world.sandbox.code(), **NAMED})
    return [{"event": "login", "ip": world.ip, "is_new": True, **whose(login)}]


@happening
def a_login_at_the_articles_route(world: World) -> list[Line]:
    """Log a known user in at the article's route."""
    known = world.log_in("o-known")
    token = world.post("/login/", json={"code": world.sandbox.code(openid="o-known"), **NAMED})["data"]["token"]
    session = world.send("GET", "/v1/sessions/current", world.elsewhere(), token)
    return [{"event": "login", "ip": world.ip, "is_new": False, **whose(known | {"session": session})}]


@happening
def a_user_revokes_the_phone_number(world: World) -> list[Line]:
    """Let WeChat push a revocation."""
    user_id = world.log_in("o-revoking")["user"]["id"]
    send(world.service.http, as_json(revocation("o-revoking")))
    pushed = {"push": REVOKE, "outcome": "forgotten", "consents": [PHONE]}
    return [{"event": "push", "appid": APPID, "user_id": user_id, **pushed}]


@happening
def a_push_is_forged(world: World) -> list[Line]:
    """Send a push with a wrong signature."""
    world.post(f"/wechat/push/{APPID}?signature=x", content=as_json(revocation("o-victim")))
    return [{"event": "push_refused", "appid": APPID, "reason": "signature", "ip": world.ip}]


@happening
def a_blocked_user_logs_in(world: World) -> list[Line]:
    """Log a blocked user in."""
    user_id = world.log_in("o-blocked")["user"]["id"]
    assert run("users", "block", user_id, env=world.env).returncode == 0
    sent = NAMED | {"code": world.sandbox.code(openid="o-blocked")}
    return refused_login("/v1/sessions", sent, code="user_blocked", user_id=user_id, **NAMED)(world)


@happening
def an_address_logs_in_too_often(world: World) -> list[Line]:
    """Log in three times from an address with a limit of two."""
    for _ in range(3):
        last = world.post("/v1/sessions", json={"code": ""})
    assert last["code"] == "rate_limited"
    failed = {"event": "login_failed", "where": "/v1/sessions", "ip": world.ip, "code": "code_missing"}
    return [failed, failed, {"event": "limit_met", "where": "/v1/sessions", "ip": world.ip, "limit": "login"}]


@happening
def an_app_has_too_many_logins(world: World) -> list[Line]:
    """Exceed the limit of an app by one login, each from another address."""
    other = {"appid": OTHER_APPID, "code": "x"}
    for _ in range(APP_QUOTA):
        world.post("/v1/sessions", world.elsewhere(), json=other)
    world.post("/login/", json=other)
    return [{"event": "limit_met", "where": "/login", "ip": world.ip, "limit": "app-login", "appid": OTHER_APPID}]


@happening
def a_client_fails_too_often(world: World) -> list[Line]:
    """Send eleven wrong secrets of a client."""
    for _ in range(11):
        world.post("/oauth2/revoke", auth=("shop", "guess"))
    refused = {"event": "client_refused", "level": "warning", "ip": world.ip, "client": "shop"}
    return [refused] * 10 + [
        {"event": "limit_met", "where": "/oauth2/revoke", "ip": world.ip, "limit": "client-authentication"}
    ]


@happening
def a_logout_here(world: World) -> list[Line]:
    """Log out."""
    login = world.log_in()
    world.send("DELETE", "/v1/sessions/current", world.ip, login["token"])
    return [{"event": "logout", "ip": world.ip, **whose(login)}]


@happening
def a_logout_there(world: World) -> list[Line]:
    """Log out the user's other device."""
    here, there = world.log_in("o-two"), world.log_in("o-two")
    world.send("DELETE", f"/v1/sessions/{there['session']['id']}", world.ip, here["token"])
    return [{"event": "logout", "ip": world.ip, "by": here["session"]["id"], **whose(there)}]


@happening
def a_logout_everywhere(world: World) -> list[Line]:
    """Log out on both devices."""
    login, _ = world.log_in("o-many"), world.log_in("o-many")
    world.send("DELETE", "/v1/sessions", world.ip, login["token"])
    return [{"event": "logout_everywhere", "ip": world.ip, "sessions": 2, **whose(login)}]


@happening
def a_client_revokes(world: World) -> list[Line]:
    """Revoke a token twice. The second revocation has no effect."""
    login = world.log_in()
    for _ in range(2):
        world.post("/oauth2/revoke", auth=SHOP, data={"token": login["token"]})
    return [{"event": "revoked", "ip": world.ip, "client": "shop", **whose(login)}]


@happening
def a_token_is_exchanged(world: World) -> list[Line]:
    """Exchange a session token for a JWT, and send a token that is none."""
    login = world.log_in()
    for token in (login["token"], "x" * 43):
        world.post("/oauth2/token", data=exchange(token))
    return [{"event": "token_exchanged", "ip": world.ip, "audience": AUDIENCE, **whose(login)}]


@happening
def a_website_logs_in_by_a_scan(world: World) -> list[Line]:
    """Start a scan, approve it on the phone, and redeem it."""
    phone, started = world.log_in(), world.post("/oauth2/device_authorization", auth=SHOP, data=of_browser(world))
    answer_scan(world, started, phone, approve=True)
    grant = {"grant_type": DEVICE_CODE, "device_code": started["device_code"]}
    token = world.post("/oauth2/token", auth=SHOP, data=grant)["access_token"]
    session = world.send("GET", "/v1/sessions/current", world.ip, token)
    fields = {"ip": world.ip, "client": "shop"}
    return [
        {"event": "scan_started", "appid": APPID, **fields},
        {"event": "scan_approved", **fields, **whose(phone)},
        {"event": "scan_redeemed", **fields, **whose(phone), "session_id": session["id"]},
    ]


@happening
def a_scan_is_refused(world: World) -> list[Line]:
    """Start a scan, and refuse it on the phone."""
    phone, started = world.log_in(), world.post("/oauth2/device_authorization", auth=SHOP, data=of_browser(world))
    answer_scan(world, started, phone, approve=False)
    fields = {"ip": world.ip, "client": "shop"}
    return [
        {"event": "scan_started", "appid": APPID, **fields},
        {"event": "scan_denied", **fields, **whose(phone)},
    ]


def of_browser(world: World) -> dict[str, str]:
    """Return what the website's backend says of a browser at this world's address."""
    return {"appid": APPID, "ip": world.ip}


def answer_scan(world: World, started: Line, phone: Line, *, approve: bool) -> None:
    """Look at the scan on the phone, and answer it."""
    path = f"/v1/scans/{started['wxacode'].rpartition('/')[2].removesuffix('.jpg')}"
    world.send("GET", path, world.ip, phone["token"])
    answer = {"approve": approve, "match_number": started["match_number"]}
    world.post(path, token=phone["token"], json=answer)


@happening
def a_phone_is_bound(world: World) -> list[Line]:
    """Bind a phone number."""
    login = world.log_in()
    code = {"code": world.sandbox.phone_code()}
    assert world.send("PUT", "/v1/me/phone", world.ip, login["token"], json=code)["phone"]
    return [{"event": "phone_bound", "ip": world.ip, **whose(login)}]


@happening
def a_phone_at_login_fails(world: World) -> list[Line]:
    """Log in with a code of the phone button that is not valid."""
    sent = {"code": world.sandbox.code(openid="o-phone"), "appid": APPID, "phone_code": "0" * 64}
    login = world.post("/v1/sessions", json=sent)
    user = {"appid": APPID, "user_id": login["user"]["id"], "ip": world.ip}
    failed = {"where": "/v1/sessions", "code": "code_invalid", "errcode": 40029, "rid": RID, "detail": ".+"}
    return [
        {"event": "login", "is_new": True, "ip": world.ip, **whose(login)},
        {"event": "phone_failed", **failed, **user},
    ]


@happening
def data_is_exported(world: World) -> list[Line]:
    """Export a user's data."""
    login = world.log_in()
    assert world.send("GET", "/v1/me/export", world.ip, login["token"])["user"]
    return [{"event": "data_exported", "ip": world.ip, **whose(login)}]


@happening
def a_user_is_erased(world: World) -> list[Line]:
    """Erase a user, who asks for it."""
    login = world.log_in()
    world.send("DELETE", "/v1/me", world.ip, login["token"], json={"confirm": True})
    return [{"event": "user_erased", "user_id": login["user"]["id"]}]


@happening
def a_session_key_is_reset(world: World) -> list[Line]:
    """Reset the session_key."""
    login = world.log_in()
    world.post("/v1/wechat/session-key/reset", token=login["token"])
    return [{"event": "session_key_reset", "ip": world.ip, **whose(login)}]


@happening
def data_is_decrypted(world: World) -> list[Line]:
    """Decrypt data."""
    login = world.log_in("o-data")
    assert world.post("/v1/wechat/decrypt", token=login["token"], json=world.sandbox.encrypt("o-data", {"a": 1}))["a"]
    return [{"event": "decrypted", "key": "current", **whose(login)}]


@happening
def sessions_are_refused(world: World) -> list[Line]:
    """Send requests with tokens that are not valid."""
    login = world.log_in()
    world.send("DELETE", "/v1/sessions/current", world.elsewhere(), login["token"])
    for token in ("", "x", "x" * 43, login["token"]):
        for path in ("/auth", "/v1/me", "/v1/sessions", "/nowhere"):
            world.send("GET", path, world.ip, token)
    return []


def by_hand(world: World, *command: str) -> list[Line]:
    """Run a command that must succeed, and return its log lines."""
    done = run(*command, env=world.env)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


@dataclass
class Logged:
    """The logged lines, and the expected lines."""

    lines: list[Line]
    due: list[Line]


def by_commands(world: World) -> Iterator[tuple[str, Logged]]:
    """Cause the events of an operator's commands."""
    first, second, third = world.log_in(), world.log_in(), world.log_in("o-third")
    done = run("login", world.sandbox.code(openid="o-third"), "--appid", APPID, env=world.env)
    (login,) = [json.loads(line) for line in done.stderr.splitlines()]
    yield "login", Logged([login], [{"event": "login", **whose(third | json.loads(done.stdout)), "is_new": False}])
    ended = by_hand(world, "sessions", "end", first["session"]["id"])
    yield "end", Logged(ended, [{"event": "logout", **whose(first)}])
    user, other = second["user"]["id"], first["user"]["id"]
    all_ended = by_hand(world, "sessions", "end-all", user)
    yield "end-all", Logged(all_ended, [{"event": "logout_everywhere", "user_id": user, "sessions": 1}])
    blocked = by_hand(world, "users", "block", user)
    yield "block", Logged(blocked, [{"event": "user_blocked", "user_id": user, "sessions": 0}])
    yield "unblock", Logged(by_hand(world, "users", "unblock", user), [{"event": "user_unblocked", "user_id": user}])
    merged = {"event": "users_merged", "user_id": user, "from_id": other, "sessions": 0, "discarded": []}
    yield "merge", Logged(by_hand(world, "users", "merge", other, user), [merged])


def by_jobs(world: World) -> Iterator[tuple[str, Logged]]:
    """Cause the events of the worker's jobs."""
    url = world.env["WXLOGIN_REDIS_URL"]
    login = run_job(url, "wxlogin.login", code=world.sandbox.code(), appid=APPID)
    run_job(url, "wxlogin.login", code="x", appid=APPID)
    run_job(url, "wxlogin.end_all_sessions", user_id=login["user"]["id"], reason="session_replaced")
    failed = {"where": "wxlogin.login", "code": "code_invalid", "errcode": 40029, "rid": RID, **NAMED}
    user = {"user_id": login["user"]["id"]}
    due = [
        {"event": "login", "is_new": True, **whose(login)},
        {"event": "login_failed", **failed},
        {"event": "logout_everywhere", "sessions": 1, "reason": "session_replaced", **user},
    ]
    world.worker.event("logout_everywhere")
    yield "jobs", Logged([line for line in world.worker.events() if line["event"] != "working"], due)


BACKGROUND = ("events", "login_failures", "pushes", "purge", "scans", "webhooks")
"""Where work is repeated, and its failures are logged: how often is a matter of time."""


def without_a_store(env: Environment) -> Logged:
    """Log in while Redis does not answer."""
    with service(env=env | {"WXLOGIN_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}) as blind:
        blind.http.post("/login/", json={"code": "x"})
        blind.process.event("login_failed")
        blind.process.stop()
    lines = [
        line
        for line in blind.process.events()
        if line["event"] not in ("serving", "stopping", "stopped") and line.get("where") not in BACKGROUND
    ]
    failed = {"event": "login_failed", "level": "error", "where": "/login", "code": "store_unavailable", "cause": ".+"}
    return Logged(lines, [{"event": "store_unavailable", "where": "serve"}, failed | {"ip": "127.0.0.1"}])


def let_it_happen(redis_url: str, database_url: str) -> dict[str, Logged]:
    """Cause all events, and return the log lines of each, by name."""
    logged: dict[str, Logged] = {}
    with own_sandbox() as sandbox:
        env = environment(
            database_url=database_url,
            redis_url=redis_url,
            wechat_url=sandbox.url,
            apps=json.dumps([{"appid": OTHER_APPID, "secret": SECRET}]),
            clients=json.dumps({"shop": "s3cret"}),
            push_token=TOKEN,
            **signing(signing_key()),
            trusted_proxies="127.0.0.1",
            login_rate_limit="2/day",
            app_login_rate_limit=f"{APP_QUOTA}/day",
        )
        with service(env=env) as http, running("worker", env=env) as worker:
            worker.event("working")
            world = World(env, sandbox, http, worker)
            for number, (name, happen) in enumerate(HAPPENINGS.items(), 1):
                world.ip = f"192.0.2.{number}"
                before = len(world.lines())
                due = happen(world)
                logged[name] = Logged(world.lines()[before:], due)
            logged.update([*by_commands(world), *by_jobs(world)])
        logged["no store"] = without_a_store(env)
    return logged


EVERYTHING = [*HAPPENINGS, "login", "end", "end-all", "block", "unblock", "merge", "jobs", "no store"]
