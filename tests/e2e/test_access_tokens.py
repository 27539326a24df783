"""The token broker as users meet it: many processes, a WeChat that fails, a night."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis

from application.login import LoginRequest
from entrypoints.container import open_container
from entrypoints.demo import DemoSettings
from entrypoints.sandbox.app import create_sandbox
from entrypoints.settings import Settings
from support.clock import Clock
from support.processes import APPID, KEY, SECRET, Sandbox, Service, environment, sandbox, service
from support.servers import sqlite_url, wait_until

TOKEN_PATH = "/cgi-bin/stable_token"
CHECK_PATH = "/wxa/checksession"
CALLS, PROCESSES = 40, 4


def ask(service: Service, token: str) -> int:
    """The status of a call that needs an access token, on a connection of its own."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{service.url}/v1/wechat/session-key", headers=headers, timeout=20).status_code


@pytest.fixture
def empty_redis_url(own_redis_url: str) -> str:
    """A Redis that knows no token."""
    with Redis.from_url(own_redis_url) as redis:
        redis.flushall()
    return own_redis_url


@pytest.fixture
def own_sandbox() -> Iterator[Sandbox]:
    """A sandbox that gave out no token yet."""
    with sandbox() as running:
        yield running


def test_forty_calls_on_four_processes_fetch_one_token(own_sandbox: Sandbox, database_url: str) -> None:
    """However many calls need the first access token at once, on however many processes, WeChat is asked once."""
    env = environment(database_url=database_url, wechat_url=own_sandbox.url)
    own_sandbox.fail(path=TOKEN_PATH, delay_seconds=0.5)
    with service("--workers", str(PROCESSES), env=env) as running, ThreadPoolExecutor(CALLS) as threads:
        tokens = [running.log_in(own_sandbox.code())["token"] for _ in range(CALLS)]
        statuses = list(threads.map(lambda token: ask(running, token), tokens))

    assert statuses == [200] * CALLS
    assert len(own_sandbox.calls_of(TOKEN_PATH)) == 1


def test_forty_calls_share_one_token_through_redis(own_sandbox: Sandbox, empty_redis_url: str, tmp_path: Path) -> None:
    """The same holds where Redis shares the token."""
    env = environment(database_url=sqlite_url(tmp_path), redis_url=empty_redis_url, wechat_url=own_sandbox.url)
    own_sandbox.fail(path=TOKEN_PATH, delay_seconds=0.5)
    with service("--workers", str(PROCESSES), env=env) as running, ThreadPoolExecutor(CALLS) as threads:
        tokens = [running.log_in(own_sandbox.code())["token"] for _ in range(CALLS)]
        statuses = list(threads.map(lambda token: ask(running, token), tokens))

    assert statuses == [200] * CALLS
    assert len(own_sandbox.calls_of(TOKEN_PATH)) == 1


def test_login_works_while_the_token_endpoint_is_down(own_sandbox: Sandbox, sqlite_url: str) -> None:
    """Login needs no access token: with that endpoint down users log in, and only what needs a token waits."""
    own_sandbox.fail(path=TOKEN_PATH, drop=True, times=100)
    with service(env=environment(database_url=sqlite_url, wechat_url=own_sandbox.url)) as running:
        login = running.log_in(own_sandbox.code())
        refused = running.http.get("/v1/wechat/session-key", headers={"Authorization": f"Bearer {login['token']}"})

        assert running.auth(login["token"]).status_code == 204
        assert (refused.status_code, refused.json()["code"]) == (503, "wechat_unavailable")
        assert running.log_in(own_sandbox.code())


def test_a_login_fetches_no_token(own_sandbox: Sandbox, sqlite_url: str) -> None:
    """Who only logs users in never asks for an access token."""
    with service(env=environment(database_url=sqlite_url, wechat_url=own_sandbox.url)) as running:
        running.log_in(own_sandbox.code())

    assert {call["path"] for call in own_sandbox.calls()} == {"/sns/jscode2session"}


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
def test_a_refused_token_is_replaced_once(own_sandbox: Sandbox, sqlite_url: str, errcode: int) -> None:
    """A call whose token WeChat refuses is repeated once with another; the client notices nothing."""
    with service(env=environment(database_url=sqlite_url, wechat_url=own_sandbox.url)) as running:
        token = running.log_in(own_sandbox.code())["token"]
        assert ask(running, token) == 200
        own_sandbox.advance(7200)
        assert ask(running, token) == 200
        fetched = len(own_sandbox.calls_of(TOKEN_PATH))
        own_sandbox.fail(path=CHECK_PATH, errcode=errcode, times=2)
        own_sandbox.advance(7200)
        assert ask(running, token) == 503

        assert fetched == 2
        assert len(own_sandbox.calls_of(TOKEN_PATH)) == 3
        assert ask(running, token) == 200


def test_a_quota_is_not_hammered(own_sandbox: Sandbox, sqlite_url: str) -> None:
    """When WeChat says that the quota of tokens is used up, it is asked once, whatever the number of calls."""
    own_sandbox.fail(path=TOKEN_PATH, errcode=45009, times=100)
    with service(env=environment(database_url=sqlite_url, wechat_url=own_sandbox.url)) as running:
        token = running.log_in(own_sandbox.code())["token"]
        statuses = [ask(running, token) for _ in range(20)]

    assert statuses == [429] * 20
    assert len(own_sandbox.calls_of(TOKEN_PATH)) == 1


def test_a_killed_fetcher_blocks_nobody_for_long(own_sandbox: Sandbox, empty_redis_url: str, tmp_path: Path) -> None:
    """When the process that fetches is killed in the middle, its lease ends by itself and another one fetches."""
    env = environment(
        database_url=sqlite_url(tmp_path),
        redis_url=empty_redis_url,
        wechat_url=own_sandbox.url,
        wechat_timeout_seconds="5",
    )
    own_sandbox.fail(path=TOKEN_PATH, delay_seconds=30)
    with service(env=env) as victim, service(env=env) as survivor, ThreadPoolExecutor(1) as threads:
        token = survivor.log_in(own_sandbox.code())["token"]
        fetching = threads.submit(_try, victim, token)
        wait_until(lambda: own_sandbox.calls_of(TOKEN_PATH) != [], "the fetch")
        os.kill(victim.process.process.pid, signal.SIGKILL)
        fetching.result()

        assert ask(survivor, token) == 200
        assert len(own_sandbox.calls_of(TOKEN_PATH)) == 2


def _try(service: Service, token: str) -> None:
    with suppress(httpx.TransportError):
        ask(service, token)


class Recorder(httpx.AsyncBaseTransport):
    """WeChat, which outlives the service, and what it was asked and answered."""

    def __init__(self, wechat: httpx.AsyncBaseTransport) -> None:
        self.answers: list[tuple[str, int]] = []
        self._wechat = wechat

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Hand it on, and note the errcode."""
        response = await self._wechat.handle_async_request(request)
        answer = json.loads(await response.aread())
        self.answers.append((request.url.path, answer.get("errcode", 0)))
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(response.content))


def night_settings(database_url: str, redis_url: str) -> Settings:
    """A service of one app, whose stores outlive it."""
    return DemoSettings(
        appid=APPID,
        app_secret=SecretStr(SECRET),
        encryption_keys=[SecretStr(KEY)],
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
    )


@pytest.mark.anyio
async def test_a_night_without_a_dead_token(sqlite_url: str, empty_redis_url: str, clock: Clock) -> None:
    """In 24 hours of a call a minute, with a restart every 96 minutes, 13 tokens do, and no call carries a dead one."""
    wechat = httpx.ASGITransport(create_sandbox())  # type: ignore[arg-type]  # the same protocol, typed twice
    recorder = Recorder(wechat)
    settings = night_settings(sqlite_url, empty_redis_url)
    async with httpx.AsyncClient(transport=wechat, base_url="http://sandbox/sandbox") as controls:
        code = (await controls.post("/codes", json={"appid": APPID})).json()["code"]
        async with open_container(settings, transport=recorder, clock=clock) as container:
            session = (await container.login()(LoginRequest(code))).session
        answered = []
        for _ in range(24 * 60 // 96):
            async with open_container(settings, transport=recorder, clock=clock) as container:
                for _ in range(96):
                    answered.append(await container.session_keys().is_current(session))
                    clock.advance(seconds=60)
                    await controls.post("/clock", json={"advance_seconds": 60})

    assert answered == [True] * 24 * 60
    assert {errcode for _, errcode in recorder.answers} == {0}
    assert [path for path, _ in recorder.answers].count(TOKEN_PATH) == 13
