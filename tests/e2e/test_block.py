"""`wxlogin users block` and `unblock`, as an operator uses them."""

import json
import secrets

from support.processes import Sandbox, environment, run, service


def test_a_blocked_user_is_out_until_unblocked(sandbox: Sandbox, redis_url: str, sqlite_url: str) -> None:
    """A block ends all sessions at once and refuses every way to log in, and an unblock undoes it."""
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


def test_nobody_cannot_be_blocked(sandbox: Sandbox, sqlite_url: str) -> None:
    """An unknown user is status 3."""
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url)
    run("migrate", env=env)

    assert [run("users", command, "nobody", env=env).returncode for command in ("block", "unblock")] == [3, 3]
