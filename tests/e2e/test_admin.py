"""The admin API beside a service, as operators use both."""

import json
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from entrypoints.admin.app import create_app
from support.admin import KEYS, AdminApi, admin_api
from support.processes import APPID, SECRET, Environment, Sandbox, Service, environment, service
from support.servers import sqlite_url, wait_until

OTHER_APPID = "wxfedcba9876543210"


class Pair(NamedTuple):
    """A service and the admin API on the same stores."""

    service: Service
    admin: AdminApi
    env: Environment

    def log_in(self, sandbox: Sandbox, **more: str) -> dict[str, Any]:
        """Log a user in to the first app."""
        answer = self.service.http.post("/v1/sessions", json={"code": sandbox.code(**more), "appid": APPID})
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body


@pytest.fixture(scope="module", params=["database", "redis"])
def pair(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A service of two apps with its sessions in either store, and its admin API."""
    redis = {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}
    apps = json.dumps([{"appid": OTHER_APPID, "secret": SECRET}])
    url = sqlite_url(tmp_path_factory.mktemp("admin"))
    env = environment(wechat_url=sandbox.url, database_url=url, apps=apps, **redis)
    with service(env=env) as running, admin_api(env) as admin:
        yield Pair(running, admin, env)


def openid() -> str:
    """Return an openid that no other test uses."""
    return f"o{secrets.token_hex(13)}"


def test_a_user_is_found_by_each_field(pair: Pair, sandbox: Sandbox) -> None:
    """Openid, phone, unionid and id find the user, with the fields of GET /v1/me and the time of a block."""
    mine, unionid, phone = openid(), f"u{secrets.token_hex(8)}", f"+86139{secrets.randbelow(10**8):08}"
    login = pair.log_in(sandbox, openid=mine, unionid=unionid)
    bearer = {"Authorization": f"Bearer {login['token']}"}
    code = sandbox.phone_code(phone=phone, openid=mine)
    bound = pair.service.http.put("/v1/me/phone", json={"code": code}, headers=bearer)
    me = pair.service.http.get("/v1/me", headers=bearer).json()
    found = [
        pair.admin.get("/users", **{field: value})
        for field, value in {"openid": mine, "phone": phone, "unionid": unionid, "id": me["id"]}.items()
    ]
    unescaped = pair.admin.send("GET", f"/users?phone={phone}").json()

    assert bound.status_code == 200, bound.text
    assert found == [{"users": [{**me, "blocked_at": None}], "next": None}] * 4
    assert unescaped == found[0]
    assert pair.admin.get(f"/users/{me['id']}") == {**me, "blocked_at": None}
    assert pair.admin.get("/users", openid="nobody") == {"users": [], "next": None}


def test_all_users_are_listed_in_pages(pair: Pair, sandbox: Sandbox) -> None:
    """Without a filter, pages have all users once, newest first, while others log in."""
    created = [pair.log_in(sandbox)["user"]["id"] for _ in range(5)]
    read: list[str] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None and len(read) < 5:
        cursor = {"cursor": page["next"]} if page["next"] else {}
        page = pair.admin.get("/users", limit="2", **cursor)
        assert len(page["users"]) <= 2
        read += [user["id"] for user in page["users"]]
        pair.log_in(sandbox)

    assert read[:5] == created[::-1]


def test_the_last_page_has_no_cursor(pair: Pair, sandbox: Sandbox) -> None:
    """The last page of all users has no cursor, also when it is full."""
    pair.log_in(sandbox)
    seen = 0
    cursor: dict[str, str] = {}
    while True:
        page = pair.admin.get("/users", limit="1", **cursor)
        seen += len(page["users"])
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}

    assert seen >= 1
    assert len(page["users"]) == 1


def test_sessions_are_listed_and_ended(pair: Pair, sandbox: Sandbox) -> None:
    """The sessions of a user are those of GET /v1/sessions. One is ended by its id, and all by the user's."""
    mine = openid()
    logins = [pair.log_in(sandbox, openid=mine) for _ in range(3)]
    user_id = logins[0]["user"]["id"]
    listed = pair.admin.get(f"/users/{user_id}/sessions")["sessions"]
    one = pair.admin.send("DELETE", f"/sessions/{logins[0]['session']['id']}")
    again = pair.admin.send("DELETE", f"/sessions/{logins[0]['session']['id']}")
    live = [pair.service.auth(login["token"]).status_code for login in logins]
    all_of_them = pair.admin.send("DELETE", f"/users/{user_id}/sessions")

    assert [each["id"] for each in listed] == [login["session"]["id"] for login in reversed(logins)]
    assert listed[0] == {**logins[-1]["session"], "current": False}
    assert (one.status_code, one.json()) == (200, {"ended": 1})
    assert (again.status_code, again.json()["code"]) == (404, "not_found")
    assert live == [401, 204, 204]
    assert all_of_them.json() == {"ended": 2}
    assert pair.service.auth(logins[2]["token"]).json()["code"] == "session_ended"
    assert pair.admin.get(f"/users/{user_id}/sessions") == {"sessions": []}


def test_a_block_ends_sessions_and_refuses_logins(pair: Pair, sandbox: Sandbox) -> None:
    """A block ends all sessions at once and refuses logins, until the user is unblocked."""
    mine = openid()
    login = pair.log_in(sandbox, openid=mine)
    path = f"/users/{login['user']['id']}/block"
    blocked = pair.admin.send("PUT", path, json={"reason": "垃圾信息"})
    refused = pair.service.http.post("/v1/sessions", json={"code": sandbox.code(openid=mine), "appid": APPID})
    ended = pair.service.auth(login["token"]).json()["code"]
    unblocked = pair.admin.send("DELETE", path)
    with_reason = pair.admin.send("DELETE", path, json={"reason": "appeal"})

    assert (blocked.status_code, blocked.json()["ended"]) == (200, 1)
    assert blocked.json()["user"]["blocked_at"]
    assert (refused.status_code, refused.json()["code"], ended) == (403, "user_blocked", "session_ended")
    assert [each.json()["user"]["blocked_at"] for each in (unblocked, with_reason)] == [None, None]
    assert pair.log_in(sandbox, openid=mine)["user"]["id"] == login["user"]["id"]


@pytest.mark.parametrize("reason", [None, "", "x" * 201, "a\nb", "a\x1b[31m", 7], ids=ascii)
def test_a_block_needs_a_reason(pair: Pair, sandbox: Sandbox, reason: object) -> None:
    """A block without a reason, or with one that is too long or has control characters, changes nothing."""
    login = pair.log_in(sandbox)
    answer = pair.admin.send("PUT", f"/users/{login['user']['id']}/block", json={"reason": reason})

    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")
    assert pair.service.auth(login["token"]).status_code == 204


def test_a_conflict_is_listed_and_merged(pair: Pair, sandbox: Sandbox) -> None:
    """A conflict of unionids is listed. After the merge, both ids find one user with both accounts and sessions."""
    unionid, mine = f"u{secrets.token_hex(8)}", openid()
    into = pair.log_in(sandbox, unionid=unionid)
    body = {"code": sandbox.code(OTHER_APPID, openid=mine), "appid": OTHER_APPID}
    one = pair.service.http.post("/v1/sessions", json=body).json()
    body["code"] = sandbox.code(OTHER_APPID, openid=mine, unionid=unionid)
    pair.service.http.post("/v1/sessions", json=body)
    ids = one["user"]["id"], into["user"]["id"]
    conflict = {"user_id": ids[0], "unionid": unionid, "other_user_id": ids[1]}
    before = pair.admin.get("/conflicts")["conflicts"]
    merged = pair.admin.send("POST", f"/users/{ids[0]}/merge", json={"into": ids[1]})
    again = pair.admin.send("POST", f"/users/{ids[0]}/merge", json={"into": ids[1], "discard": []})

    assert conflict in before
    assert (merged.status_code, merged.json()["ended"], again.status_code) == (200, 0, 200)
    assert merged.json()["sessions"] >= 1
    assert merged.json()["user"]["id"] == ids[1]
    assert conflict not in pair.admin.get("/conflicts")["conflicts"]
    assert pair.admin.get(f"/users/{ids[0]}") == merged.json()["user"]
    assert pair.admin.get("/users", id=ids[0])["users"] == [merged.json()["user"]]
    assert len(pair.admin.get(f"/users/{ids[0]}/sessions")["sessions"]) >= 2
    assert len(merged.json()["user"]["accounts"]) == 2


def test_a_merge_that_would_lose_a_field_is_refused(pair: Pair, sandbox: Sandbox) -> None:
    """A merge of users with different names is refused, unless the name is to be discarded."""
    logins = [pair.log_in(sandbox) for _ in range(2)]
    for number, login in enumerate(logins):
        bearer = {"Authorization": f"Bearer {login['token']}"}
        pair.service.http.put("/v1/me", json={"name": f"name {number}"}, headers=bearer)
    path, into = f"/users/{logins[0]['user']['id']}/merge", logins[1]["user"]["id"]
    refused = pair.admin.send("POST", path, json={"into": into})
    merged = pair.admin.send("POST", path, json={"into": into, "discard": ["name"]})

    assert (refused.status_code, refused.json()["code"]) == (400, "request_invalid")
    assert merged.json()["user"]["name"] == "name 1"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/users/nobody", None),
        ("GET", "/users/nobody/sessions", None),
        ("PUT", "/users/nobody/block", {"reason": "spam"}),
        ("DELETE", "/users/nobody/block", None),
        ("DELETE", "/users/nobody/sessions", None),
        ("DELETE", "/sessions/nobody", None),
        ("POST", "/users/nobody/merge", {"into": "nobody-else"}),
        ("GET", "/users/%00", None),
        ("GET", "/users/用户", None),
    ],
    ids=str,
)
def test_an_unknown_user_is_not_found(pair: Pair, method: str, path: str, body: Any) -> None:
    """Each call for a user or session that does not exist is not_found."""
    answer = pair.admin.send(method, path, json=body)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "query",
    [
        "users?phon=1",
        "users?limit=0",
        "users?limit=201",
        "users?limit=many",
        "users?cursor=",
        "users?cursor=x",
        "users?cursor=!!!",
        "users?cursor=%00",
        "users?cursor=IngiIA",
        "users?cursor=WyIyMDI2LTExLTI5VDA4OjAwOjAwWiIsIngiXQ",
        "audit?limit=201",
        "audit?type=user.nothing",
        "audit?since=yesterday",
        "audit?since=2026-11-29T08:00:00",
        "audit?since=",
        "audit?cursor=x",
        "audit?cursor=IjAxYTIwODAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwNyI",
    ],
)
def test_a_wrong_parameter_is_refused(pair: Pair, query: str) -> None:
    """A limit, a cursor, a type or a time that cannot be one is request_invalid."""
    answer = pair.admin.send("GET", f"/{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid"), answer.text


def test_failed_logins_are_reported(pair: Pair, sandbox: Sandbox) -> None:
    """The report has the failed logins of all processes by code and errcode, with their explanation, within seconds."""
    for _ in range(3):
        pair.service.http.post("/v1/sessions", json={"code": f"unknown-{secrets.token_hex(4)}", "appid": APPID})
    pair.service.http.post("/v1/sessions", json={"code": "x", "appid": "wx-unknown"})

    def reported() -> dict[str, Any]:
        return {row["code"]: row for row in pair.admin.get("/errors")["failures"]}

    wait_until(lambda: reported().keys() >= {"code_invalid", "app_unknown"}, "the report")
    wait_until(lambda: reported()["code_invalid"]["apps"].get(APPID, 0) >= 3, "all of them")
    invalid, unknown = reported()["code_invalid"], reported()["app_unknown"]

    assert (invalid["errcode"], invalid["status"], invalid["retry"]) == (40029, 400, "new_code")
    assert invalid["count"] == sum(invalid["apps"].values())
    assert all(invalid[name] for name in ("title", "meaning", "cause", "hint", "last"))
    assert (unknown["errcode"], unknown["meaning"], unknown["apps"]) == (None, None, {})


def test_failures_are_stored_when_the_service_stops(sandbox: Sandbox, sqlite_url: str) -> None:
    """Failed logins just before a stop are in the report."""
    env = environment(wechat_url=sandbox.url, database_url=sqlite_url)
    with service(env=env) as running:
        running.http.post("/v1/sessions", json={"code": "unknown"})
        assert running.process.stop() == 0
    with admin_api(env) as admin:
        assert [(row["code"], row["count"]) for row in admin.get("/errors")["failures"]] == [("code_invalid", 1)]


def test_the_service_has_none_of_the_routes(pair: Pair) -> None:
    """The public service answers 404 for each route of the admin API, with a valid key, too."""
    routes = [route for route in create_app(unopened).routes if route.path.startswith("/admin")]
    for route in routes:
        path = route.path.replace("{user_id:str}", "x").replace("{session_id:str}", "x")
        for method in getattr(route, "methods", set()):
            headers = {"Authorization": f"Bearer {KEYS['ann'][0]}"}
            assert pair.service.http.request(method, path, headers=headers).status_code == 404, (method, path)

    assert len(routes) >= 9


def unopened() -> Any:
    """Raise an error, because routes are listed without a container."""
    raise NotImplementedError


def test_operations_need_no_key(pair: Pair) -> None:
    """/healthz and /readyz answer without a key, and there is no /docs and no /metrics."""
    paths = ("/healthz", "/readyz", "/docs", "/metrics", "/schema")
    statuses = [pair.admin.http.get(path).status_code for path in paths]

    assert statuses == [200, 200, 404, 404, 404]


def test_answers_are_not_stored(pair: Pair) -> None:
    """Answers have no-store, nosniff and a request id."""
    headers = pair.admin.send("GET", "/users").headers

    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert headers["x-request-id"]


def test_changes_are_logged_with_their_admin(pair: Pair, sandbox: Sandbox) -> None:
    """Each change is one line of the log, with the admin, the address and the reason."""
    user_id = pair.log_in(sandbox)["user"]["id"]
    pair.admin.send("PUT", f"/users/{user_id}/block", json={"reason": "spam"})
    pair.admin.send("DELETE", f"/users/{user_id}/block", "writer")
    pair.admin.send("DELETE", f"/users/{user_id}/sessions")

    def logged() -> list[dict[str, Any]]:
        return [line for line in pair.admin.process.events() if line.get("user_id") == user_id]

    wait_until(lambda: len(logged()) >= 3, "the lines")
    lines = logged()

    assert [(line["event"], line["by"], line.get("reason")) for line in lines] == [
        ("user_blocked", "admin:ann", "spam"),
        ("user_unblocked", "admin:writer", None),
        ("logout_everywhere", "admin:ann", None),
    ]
    assert {line["ip"] for line in lines} == {"127.0.0.1"}
