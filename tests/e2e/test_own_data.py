"""GET /v1/me/export, DELETE /v1/me, and the commands of operators for a user's own data."""

import json
import os
import pty
import re
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from adapters.redis.session_events import STREAM
from support.devices import RFC_3339_UTC, Device, LogIn, problem_of
from support.processes import APPID, Environment, Sandbox, Service, environment, run, service
from support.servers import sqlite_url

CONFIRMED = {"confirm": True}
UNKNOWN = "01a208a8-c24a-71fc-9e9c-a8e88c77fcc5"


def filled(log_in: LogIn, sandbox: Sandbox, openid: str) -> Device:
    """Return a device of a user with a profile and a phone number."""
    device = log_in(openid, **{"user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X)"})
    device.send("PUT", "/v1/me", json={"name": "小明", "avatar": "https://example.com/a.png"}).raise_for_status()
    code = sandbox.phone_code(openid=openid, phone="+8613676937921")
    device.send("PUT", "/v1/me/phone", json={"code": code}).raise_for_status()
    return device


def test_an_export_has_all_about_the_user(log_in: LogIn, sandbox: Sandbox, user: str) -> None:
    """The export has profile, accounts, phone, sessions with their devices, and the events of the user."""
    device, other = filled(log_in, sandbox, user), log_in(user)
    answer = device.send("GET", "/v1/me/export")
    document = answer.json()
    profile = device.send("GET", "/v1/me").json()
    accounts = [{"appid": each["appid"], "openid": each["openid"]} for each in document["user"]["accounts"]]

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert document["user"] | {"accounts": accounts} == profile | {"blocked_at": None}
    assert [each["id"] for each in document["sessions"]] == [other.id, device.id]
    assert document["sessions"][1]["device"] == "iPhone · iOS 17.4"
    assert {each["openid"] for each in document["sessions"]} == {user}
    assert [each["type"] for each in document["events"]] == ["user.phone_bound", "user.created"]
    assert document["events"][0]["ip"] == "127.0.0.1"
    assert RFC_3339_UTC.fullmatch(document["exported_at"])
    assert set(document) == {
        "exported_at",
        "user",
        "sessions",
        "scans",
        "unionid_conflicts",
        "merged_users",
        "events",
    }


def test_an_export_has_no_secret(log_in: LogIn, sandbox: Sandbox, user: str) -> None:
    """Neither the token, nor its hash, nor a session_key is in an export."""
    device = filled(log_in, sandbox, user)
    text = device.send("GET", "/v1/me/export").text

    assert device.login["token"] not in text
    assert re.findall(r"[0-9a-f]{64}|[A-Za-z0-9+/]{22}==|gAAAA", text) == []


def test_an_export_is_of_the_caller_only(log_in: LogIn, user: str) -> None:
    """The export has nothing of another user, whatever the request names. Without a live session there is none."""
    device, other = log_in(user), log_in(f"{user[:90]}-other")
    other_id = other.login["user"]["id"]
    answer = device.send(
        "GET", f"/v1/me/export?user_id={other_id}&id={other_id}", params={"user": other_id}
    ).raise_for_status()
    device.send("DELETE", "/v1/sessions/current").raise_for_status()

    assert other_id not in answer.text
    assert other.login["session"]["id"] not in answer.text
    assert problem_of(device.send("GET", "/v1/me/export")) == (401, "session_ended", "new_code")


def test_an_export_has_a_hundred_sessions(two_apps: Service, sandbox: Sandbox, user: str) -> None:
    """A user with a hundred sessions gets all of them in one export."""
    from_app = {"referer": f"https://servicewechat.com/{APPID}/1/page-frame.html"}
    devices = [Device(two_apps, sandbox.code(openid=user), **from_app) for _ in range(100)]
    document = devices[0].send("GET", "/v1/me/export").json()

    assert {each["id"] for each in document["sessions"]} == {each.id for each in devices}


def test_an_erased_user_is_logged_out_everywhere(log_in: LogIn, sandbox: Sandbox, user: str) -> None:
    """After the erasure, no device is logged in, and the next login is a new user without any data."""
    device, other = filled(log_in, sandbox, user), log_in(user)
    answer = device.send("DELETE", "/v1/me", json=CONFIRMED)
    new = log_in(user)

    assert (answer.status_code, answer.content) == (204, b"")
    assert [each.reason() for each in (device, other)] == ["session_ended", "session_ended"]
    assert new.login["user"]["is_new"]
    assert new.login["user"]["id"] != device.login["user"]["id"]
    profile = new.send("GET", "/v1/me").json()
    assert (profile["name"], profile["avatar"], profile["phone"]) == ("", "", None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"confirm":false}',
        b'{"confirm":"true"}',
        b'{"Confirm":true}',
        b'{"confirm":1}',
        b"[true]",
        b"true",
        b'{"confirm":null}',
    ],
)
def test_an_erasure_without_a_confirmation_is_refused(log_in: LogIn, user: str, body: bytes) -> None:
    """Nothing but the JSON value true confirms an erasure, and neither a query nor a header does."""
    device = log_in(user)
    headers = {"content-type": "application/json", "confirm": "true"}
    answer = device.send("DELETE", "/v1/me?confirm=true", content=body, headers=headers)

    assert problem_of(answer) == (400, "request_invalid", "never")
    assert device.reason() is None


@pytest.mark.parametrize("token", ["", "x", "A" * 43])
def test_an_erasure_needs_a_session(either_service: Service, token: str) -> None:
    """Without a live session, nothing is erased."""
    answer = either_service.http.request(
        "DELETE", "/v1/me", json=CONFIRMED, headers={"Authorization": f"Bearer {token}"} if token else {}
    )

    assert answer.status_code == 401


def test_erasures_at_once_all_succeed(log_in: LogIn, user: str) -> None:
    """Devices that erase the user at once are answered 204, or that they are logged out."""
    devices = [log_in(user) for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda each: each.send("DELETE", "/v1/me", json=CONFIRMED), devices))

    assert {each.status_code for each in answers} <= {204, 401}
    assert 204 in {each.status_code for each in answers}
    assert {each.reason() for each in devices} == {"session_ended"}


def test_an_operator_exports_and_erases(env: Environment, sandbox: Sandbox) -> None:
    """`users export` prints the document, and `users erase` erases. A repeat says that the user was erased before."""
    login = json.loads(run("login", sandbox.code(), env=env).stdout)
    user_id = login["user"]["id"]
    exported = run("users", "export", user_id, env=env)
    erased = run("users", "erase", user_id, "--yes", env=env)
    again = run("users", "erase", user_id, "--yes", env=env)
    gone = run("users", "export", user_id, env=env)

    assert json.loads(exported.stdout)["user"]["id"] == user_id
    assert login["token"] not in exported.stdout
    assert (json.loads(erased.stdout), json.loads(again.stdout)) == ({"erased": True}, {"erased": False})
    assert (gone.returncode, "not_found" in gone.stderr) == (3, True)
    assert "user_erased" in erased.stderr


@pytest.mark.parametrize("command", ["export", "erase"])
def test_an_unknown_user_is_not_found(env: Environment, command: str) -> None:
    """The commands end with status 3 for a user who never was."""
    done = run("users", command, UNKNOWN, *(["--yes"] if command == "erase" else []), env=env)

    assert done.returncode == 3
    assert "not_found" in done.stderr


def test_an_erasure_without_a_terminal_needs_a_flag(env: Environment, sandbox: Sandbox) -> None:
    """Without a terminal and without --yes, `users erase` erases nothing, and ends with status 2."""
    user_id = json.loads(run("login", sandbox.code(), env=env).stdout)["user"]["id"]
    done = run("users", "erase", user_id, env=env)

    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert run("users", "show", user_id, env=env).returncode == 0


@pytest.mark.parametrize(("answer", "status"), [("n", 3), ("y", 0)])
def test_a_terminal_is_asked_for_confirmation(env: Environment, sandbox: Sandbox, answer: str, status: int) -> None:
    """On a terminal, `users erase` asks, and erases only after a yes."""
    user_id = json.loads(run("login", sandbox.code(), env=env).stdout)["user"]["id"]
    keyboard, terminal = pty.openpty()
    try:
        os.write(keyboard, f"{answer}\n".encode())
        command = [os.path.join(os.path.dirname(sys.executable), "wxlogin"), "users", "erase", user_id]  # noqa: PTH118, PTH120
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, env=env, timeout=60, check=False)
    finally:
        os.close(keyboard)
        os.close(terminal)

    assert (done.returncode, user_id in done.stderr) == (status, True)
    assert run("users", "show", user_id, env=env).returncode == (0 if status else 3)


def test_a_blocked_user_is_exported_and_erased_by_an_operator(env: Environment, sandbox: Sandbox) -> None:
    """The export says that the user is blocked, without the operator's name. After an erasure the person can log in."""
    openid = f"o{secrets.token_hex(8)}"
    user_id = json.loads(run("login", sandbox.code(openid=openid), env=env).stdout)["user"]["id"]
    run("users", "block", user_id, env=env)
    document = json.loads(run("users", "export", user_id, env=env).stdout)
    run("users", "erase", user_id, "--yes", env=env)
    again = json.loads(run("login", sandbox.code(openid=openid), env=env).stdout)

    assert document["user"]["blocked_at"]
    assert {each["actor"] for each in document["events"]} == {"user", "cli"}
    assert again["user"]["is_new"]


def test_an_interrupted_erasure_is_finished_by_the_same_token(sandbox: Sandbox, tmp_path: Path, redis_url: str) -> None:
    """After the database has forgotten the user and Redis has not, DELETE /v1/me with the same token finishes it."""
    redis_env = environment(wechat_url=sandbox.url, database_url=sqlite_url(tmp_path), redis_url=redis_url)
    database_env = {name: value for name, value in redis_env.items() if name != "WXLOGIN_REDIS_URL"}
    with service(env=redis_env) as running:
        device = Device(running, sandbox.code())
        interrupted = run("users", "erase", device.login["user"]["id"], "--yes", env=database_env)  # knows no Redis

        assert json.loads(interrupted.stdout) == {"erased": True}
        assert device.reason() is None
        assert problem_of(device.send("GET", "/v1/me/export")) == (404, "not_found", "never")
        assert device.send("DELETE", "/v1/me", json=CONFIRMED).status_code == 204
        assert device.reason() == "session_ended"


def test_the_token_that_erases_works_until_all_else_is_gone(
    sandbox: Sandbox, tmp_path: Path, own_redis_url: str
) -> None:
    """When Redis fails while it ends the other sessions, the same token repeats the erasure, and ends last."""
    env = environment(
        wechat_url=sandbox.url, database_url=sqlite_url(tmp_path), redis_url=own_redis_url, audit_sessions="true"
    )
    openid = f"o{secrets.token_hex(8)}"
    with service(env=env) as running, Redis.from_url(own_redis_url) as redis:
        caller, other = (Device(running, sandbox.code(openid=openid)) for _ in range(2))
        redis.delete(STREAM)
        redis.set(STREAM, "a text, so that no event of an end can be written")
        failed = caller.send("DELETE", "/v1/me", json=CONFIRMED)
        left = caller.reason()
        redis.delete(STREAM)
        repeated = caller.send("DELETE", "/v1/me", json=CONFIRMED)

        assert problem_of(failed) == (503, "store_unavailable", "later")
        assert left is None
        assert (repeated.status_code, repeated.content) == (204, b"")
        assert [each.reason() for each in (caller, other)] == ["session_ended", "session_ended"]
        assert list(redis.scan_iter("wxlogin:s:*")) == []
