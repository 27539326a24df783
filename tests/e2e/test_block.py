"""`wxlogin users block` and `unblock`, as an operator runs them."""

import json
import secrets

import pytest

from support.processes import APPID, SECRET, Environment, Sandbox, environment, run, service

OTHER_APPID = "wxfedcba9876543210"


@pytest.fixture
def two_apps_env(sandbox: Sandbox, sqlite_url: str) -> Environment:
    """The settings of a service of two mini-programs."""
    apps = json.dumps([{"appid": OTHER_APPID, "secret": SECRET}])
    return environment(database_url=sqlite_url, wechat_url=sandbox.url, apps=apps)


def test_a_blocked_user_is_refused_until_unblocked(sandbox: Sandbox, redis_url: str, sqlite_url: str) -> None:
    """A block ends all sessions and refuses every kind of login. An unblock removes the block."""
    openid = f"o{secrets.token_hex(13)}"
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url, redis_url=redis_url)
    with service(env=env) as running:
        logins = [running.log_in(sandbox.code(openid=openid)) for _ in range(2)]
        user_id = logins[0]["user"]["id"]
        blocked = run("users", "block", user_id, env=env)
        ended = {running.auth(login["token"]).json()["code"] for login in logins}
        refused = running.http.post("/v1/sessions", json={"code": sandbox.code(openid=openid)})
        article = running.http.post("/login/", json={"code": sandbox.code(openid=openid)})
        shell = run("login", sandbox.code(openid=openid), env=env)
        shown = json.loads(run("users", "show", user_id, env=env).stdout)
        unblocked = run("users", "unblock", user_id, env=env)

        assert running.log_in(sandbox.code(openid=openid))["user"]["id"] == user_id

    assert (blocked.returncode, json.loads(blocked.stdout)) == (0, {"ended": 2})
    assert ended == {"session_ended"}
    assert (refused.status_code, refused.json()["code"], refused.json()["retry"]) == (403, "user_blocked", "never")
    assert (article.status_code, article.json()) == (403, {"status": 3, "msg": "该用户已被禁止登录"})
    assert (shell.returncode, shell.stderr.split(":")[1].strip()) == (3, "user_blocked")
    assert shown["blocked_at"]
    assert unblocked.returncode == 0


def test_an_unknown_user_cannot_be_blocked(sandbox: Sandbox, sqlite_url: str) -> None:
    """The commands for an unknown user end with status 3."""
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url)
    run("migrate", env=env)

    assert [run("users", command, "nobody", env=env).returncode for command in ("block", "unblock")] == [3, 3]


def test_a_merge_with_a_blocked_user_ends_all_sessions_of_both(
    sandbox: Sandbox, redis_url: str, sqlite_url: str
) -> None:
    """When either of two merged users is blocked, all sessions of both end and neither can log in again."""
    for store in ({}, {"redis_url": redis_url}):
        env = environment(database_url=sqlite_url, wechat_url=sandbox.url, **store)
        with service(env=env) as running:
            for is_target in (False, True):
                openids = [f"o{secrets.token_hex(13)}" for _ in range(2)]
                good, bad = (running.log_in(sandbox.code(openid=openid)) for openid in openids)
                ids = [good["user"]["id"], bad["user"]["id"]]
                run("users", "block", ids[1], env=env)
                merged = run("users", "merge", *(ids if is_target else reversed(ids)), env=env)
                codes = [running.auth(login["token"]).json()["code"] for login in (good, bad)]
                again = [
                    running.http.post("/v1/sessions", json={"code": sandbox.code(openid=each)}) for each in openids
                ]

                assert merged.returncode == 0, merged.stderr
                assert json.loads(merged.stdout)["ended"] == 1
                assert codes == ["session_ended", "session_ended"]
                assert [answer.json()["code"] for answer in again] == ["user_blocked"] * 2


def test_a_unionid_of_a_blocked_user_is_refused(sandbox: Sandbox, two_apps_env: Environment) -> None:
    """A blocked user is refused in another app by the unionid, even when the account there belongs to another user."""
    env, unionid = two_apps_env, f"u{secrets.token_hex(13)}"
    with service(env=env) as running:
        first = running.http.post("/v1/sessions", json={"code": sandbox.code(unionid=unionid), "appid": APPID})
        user = first.json()["user"]["id"]
        known = f"o{secrets.token_hex(13)}"
        elsewhere = {"appid": OTHER_APPID}
        logged_in = running.http.post(
            "/v1/sessions", json={"code": sandbox.code(OTHER_APPID, openid=known), **elsewhere}
        ).status_code
        run("users", "block", user, env=env)
        answers = [
            running.http.post("/v1/sessions", json={"code": code, **elsewhere})
            for code in (
                sandbox.code(OTHER_APPID, openid=known, unionid=unionid),
                sandbox.code(OTHER_APPID, unionid=unionid),
            )
        ]

    assert logged_in == 201
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "user_blocked")] * 2
