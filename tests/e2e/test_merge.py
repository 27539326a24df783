"""`wxlogin users conflicts` and `users merge`, as an operator runs them."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from support.processes import Environment, Sandbox, Service, environment, run, service
from support.servers import sqlite_url


@dataclass
class Installation:
    """A running service, and the environment of an operator's commands."""

    env: Environment
    running: Service


@pytest.fixture(scope="module", params=["database", "redis"])
def installation(
    request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """An installation with its sessions in either store."""
    redis = {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}
    database = sqlite_url(tmp_path_factory.mktemp("merge"))
    env = environment(database_url=database, wechat_url=sandbox.url, **redis)
    with service(env=env) as running:
        yield Installation(env, running)


@pytest.fixture
def env(installation: Installation) -> Environment:
    """The environment of an operator's commands."""
    return installation.env


@pytest.fixture
def running(installation: Installation) -> Service:
    """The running service."""
    return installation.running


def show(env: Environment, *arguments: str) -> dict[str, Any]:
    """Run a command, and return the JSON that it prints."""
    done = run(*arguments, env=env)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def me(running: Service, token: str, **change: str) -> dict[str, Any]:
    """Change the profile of a token's user, and return it."""
    answer = running.http.put("/v1/me", json=change, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    profile: dict[str, Any] = answer.json()
    return profile


def test_a_conflict_is_listed_and_merged(env: Environment, running: Service, sandbox: Sandbox) -> None:
    """A unionid of another user is listed as a conflict.

    After the merge both logins belong to one user, and stay live.
    """
    openid, other, unionid = (f"o{secrets.token_hex(10)}" for _ in range(3))
    into = running.log_in(sandbox.code(openid=other, unionid=unionid))
    before = running.log_in(sandbox.code(openid=openid))
    late = running.log_in(sandbox.code(openid=openid, unionid=unionid))
    me(running, late["token"], name="小明")
    conflicts = show(env, "users", "conflicts")["conflicts"]
    merged = show(env, "users", "merge", late["user"]["id"], into["user"]["id"])
    profiles = [me(running, login["token"]) for login in (into, before, late)]
    again = running.log_in(sandbox.code(openid=openid, unionid=unionid))
    seen = running.auth(before["token"]).headers["x-user-id"]

    assert conflicts == [{"user_id": late["user"]["id"], "unionid": unionid, "other_user_id": into["user"]["id"]}]
    assert {profile["id"] for profile in profiles} == {into["user"]["id"], again["user"]["id"], seen}
    assert merged["user"]["name"] == "小明"
    assert {account["openid"] for account in merged["user"]["accounts"]} == {openid, other}
    assert merged["sessions"] == 2
    assert show(env, "users", "conflicts") == {"conflicts": []}


def test_a_merge_names_the_fields_that_would_be_lost(env: Environment, running: Service, sandbox: Sandbox) -> None:
    """A merge that would lose data changes nothing and names the option. With --discard it succeeds."""
    one, into = (running.log_in(sandbox.code()) for _ in range(2))
    me(running, one["token"], name="Ann")
    me(running, into["token"], name="Bob")
    pair = (one["user"]["id"], into["user"]["id"])
    refused = run("users", "merge", *pair, env=env)
    unchanged = me(running, one["token"])
    merged = show(env, "users", "merge", *pair, "--discard", "name")
    repeated = show(env, "users", "merge", *pair)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--discard name" in refused.stderr
    assert unchanged["id"] == one["user"]["id"]
    assert merged["user"]["name"] == "Bob"
    assert repeated["user"] == merged["user"]


@pytest.mark.parametrize("swapped", [False, True])
def test_an_unknown_user_cannot_be_merged(env: Environment, running: Service, sandbox: Sandbox, swapped: bool) -> None:
    """A merge with an unknown user on either side ends with status 3, and does not change the other user."""
    known = running.log_in(sandbox.code())
    pair = ["nobody", known["user"]["id"]][:: -1 if swapped else 1]
    refused = run("users", "merge", *pair, env=env)

    assert refused.returncode == 3
    assert me(running, known["token"])["id"] == known["user"]["id"]


def test_a_user_is_not_merged_into_itself(env: Environment, running: Service, sandbox: Sandbox) -> None:
    """A merge of a user into itself ends with status 2."""
    login = running.log_in(sandbox.code())
    refused = run("users", "merge", login["user"]["id"], login["user"]["id"], env=env)

    assert refused.returncode == 2
    assert me(running, login["token"])["id"] == login["user"]["id"]


def test_the_old_id_lists_and_ends_the_sessions(env: Environment, running: Service, sandbox: Sandbox) -> None:
    """The commands find the sessions of the remaining user by the id of the merged user."""
    one, into = (running.log_in(sandbox.code()) for _ in range(2))
    old_id = one["user"]["id"]
    show(env, "users", "merge", old_id, into["user"]["id"])
    listed = [show(env, *command, old_id)["sessions"] for command in (("users", "show"), ("sessions", "list"))]
    ended = show(env, "sessions", "end-all", old_id)
    codes = {running.auth(login["token"]).json()["code"] for login in (one, into)}

    assert [len(sessions) for sessions in listed] == [2, 2]
    assert (ended, codes) == ({"ended": 2}, {"session_ended"})


@pytest.mark.parametrize("command", ["list", "end-all"])
def test_the_sessions_of_an_unknown_user_are_not_found(env: Environment, running: Service, command: str) -> None:
    """The commands for the sessions of an unknown user end with status 3."""
    refused = run("sessions", command, "nobody", env=env)

    assert (refused.returncode, refused.stdout) == (3, "")
    assert "not_found" in refused.stderr
