"""HTTP, the command line and the worker use the same use case."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from support.jobs import run_job
from support.processes import Environment, Running, Sandbox, environment, run, running, service

Outcome = tuple[str, dict[str, Any]]
"""The error's code or "ok", and for "ok" the result of the login."""


@dataclass
class Ways:
    """The three ways to log in to one service."""

    env: Environment
    http: httpx2.Client
    worker: Running
    redis_url: str

    def by_http(self, code: str, appid: str | None) -> Outcome:
        """Log in with POST /v1/sessions."""
        answer = self.http.post("/v1/sessions", json={"code": code, "appid": appid})
        return _outcome(answer.json())

    def by_command_line(self, code: str, appid: str | None) -> Outcome:
        """Log in with `wxlogin login CODE`."""
        done = run("login", code, *(["--appid", appid] if appid else []), env=self.env)
        if done.returncode == 0:
            return _outcome(json.loads(done.stdout))
        assert not done.stdout
        return done.stderr.removeprefix("wxlogin: ").split(":")[0], {}

    def by_worker(self, code: str, appid: str | None) -> Outcome:
        """Log in with the job `wxlogin.login`."""
        return _outcome(run_job(self.redis_url, "wxlogin.login", code=code, appid=appid))


WAYS = [Ways.by_http, Ways.by_command_line, Ways.by_worker]


def _outcome(body: dict[str, Any]) -> Outcome:
    return ("ok", body) if "token" in body else (body["code"], {})


@pytest.fixture(scope="module")
def ways(sandbox: Sandbox, own_redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """A service and a worker on the same stores."""
    database = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('ways') / 'wxlogin.db'}"
    env = environment(database_url=database, wechat_url=sandbox.url, redis_url=own_redis_url)
    with service(env=env) as http, running("worker", env=env) as worker:
        worker.event("working")
        yield Ways(env, http.http, worker, own_redis_url)


SCENARIOS: dict[str, tuple[dict[str, Any], str]] = {
    "WeChat is busy": ({"errcode": -1}, "wechat_unavailable"),
    "the code is blocked": ({"errcode": 40226}, "user_blocked_by_wechat"),
    "too many calls a minute": ({"errcode": 45011}, "rate_limited"),
    "the address is not on the whitelist": ({"errcode": 40164}, "app_misconfigured"),
    "WeChat answers HTML": ({"body": "<html>"}, "wechat_bad_answer"),
    "WeChat hangs up": ({"drop": True}, "wechat_unavailable"),
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(("fault", "code"), SCENARIOS.values(), ids=SCENARIOS)
def test_every_way_gives_the_same_error(
    ways: Ways, sandbox: Sandbox, way: Callable[..., Outcome], fault: dict[str, Any], code: str
) -> None:
    """An error of WeChat has the same error code by HTTP, command line and worker."""
    sandbox.fail(**fault)

    assert way(ways, sandbox.code(), None) == (code, {})


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_refuses_with_the_same_codes(ways: Ways, sandbox: Sandbox, way: Callable[..., Outcome]) -> None:
    """A missing, unknown or used code and an unknown app have the same error codes by every way."""
    code = sandbox.code()
    logged_in, _ = way(ways, code, None)

    assert logged_in == "ok"
    assert way(ways, code, None)[0] == "code_used"
    assert way(ways, "no-such-code", None)[0] == "code_invalid"
    assert way(ways, "", None)[0] == "code_missing"
    assert way(ways, sandbox.code(), "wx-not-configured")[0] == "app_unknown"


def test_every_way_logs_in_the_same_user(ways: Ways, sandbox: Sandbox) -> None:
    """One account is one user by every way, the tokens are valid everywhere, and the answers have the same fields."""
    openid = "o-three-ways"
    bodies = [way(ways, sandbox.code(openid=openid), None)[1] for way in WAYS]

    assert len({body["user"]["id"] for body in bodies}) == 1
    assert [body["user"]["is_new"] for body in bodies] == [True, False, False]
    assert len({_shape(body) for body in bodies}) == 1
    for body in bodies:
        assert ways.http.get("/auth", headers={"Authorization": f"Bearer {body['token']}"}).status_code == 204


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_shape(value[key])}" for key in sorted(value)) + "}"
    return "value"
