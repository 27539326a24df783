"""The access tokens of an app, with many processes, with failures of WeChat, and over 24 hours."""

import asyncio
import json
import os
import secrets
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import cycle

import httpx2
import pytest
from pydantic import SecretStr

from application.login import LoginRequest
from entrypoints.container import open_container
from entrypoints.demo.run import DemoSettings
from entrypoints.settings import Settings
from support import plain_http
from support.clock import Clock
from support.processes import APPID, KEY, SECRET, Sandbox, Service, environment, sandbox, service
from support.servers import wait_until
from wechat_sandbox.app import create_sandbox

TOKEN_PATH = "/cgi-bin/stable_token"
CHECK_PATH = "/wxa/checksession"
CALLS, PROCESSES = 40, 4


def status_of_call(service: Service, token: str) -> int:
    """Return the status of a call that needs an access token, on its own connection."""
    headers = {"Authorization": f"Bearer {token}"}
    return plain_http.fetch(f"{service.url}/v1/wechat/session-key", headers=headers).status_code


@pytest.fixture(scope="module")
def wechat() -> Iterator[Sandbox]:
    """A WeChat whose clock these tests move."""
    with sandbox() as running:
        yield running


class App:
    """An app without an access token."""

    def __init__(self, wechat: Sandbox, database_url: str) -> None:
        self.appid = f"wx{secrets.token_hex(8)}"
        self.env = environment(database_url=database_url, wechat_url=wechat.url, appid=self.appid)
        self._wechat = wechat

    def log_in(self, running: Service) -> str:
        """Log a new user in, and return the token."""
        return str(running.log_in(self._wechat.code(self.appid))["token"])

    @property
    def fetches(self) -> int:
        """Return how often WeChat was asked for the app's access token."""
        return len([call for call in self._wechat.calls_of(TOKEN_PATH) if call["body"]["appid"] == self.appid])


@pytest.fixture
def app(wechat: Sandbox, sqlite_url: str) -> App:
    """A new app in a new database."""
    return App(wechat, sqlite_url)


@pytest.mark.parametrize("store", ["database", "redis"])
def test_forty_calls_on_four_processes_fetch_one_token(
    app: App, wechat: Sandbox, store: str, own_redis_url: str
) -> None:
    """When many calls in many processes need the first access token at once, WeChat is asked once."""
    env = app.env | ({"WXLOGIN_REDIS_URL": own_redis_url} if store == "redis" else {})
    wechat.fail(path=TOKEN_PATH, delay_seconds=0.5)
    with ExitStack() as stack, ThreadPoolExecutor(CALLS) as threads:
        services = [stack.enter_context(service(env=env)) for _ in range(PROCESSES)]
        tokens = [app.log_in(services[0]) for _ in range(CALLS)]
        statuses = list(threads.map(status_of_call, cycle(services), tokens))

    assert statuses == [200] * CALLS
    assert app.fetches == 1


def test_login_works_while_the_token_endpoint_is_down(app: App, wechat: Sandbox) -> None:
    """A login needs no access token. While the token endpoint is down, only calls that need a token fail."""
    with service(env=app.env) as running:
        wechat.fail(path=TOKEN_PATH, drop=True)
        token = app.log_in(running)
        refused = running.http.get("/v1/wechat/session-key", headers={"Authorization": f"Bearer {token}"})

        assert running.auth(token).status_code == 204
        assert (refused.status_code, refused.json()["code"]) == (503, "wechat_unavailable")
        assert app.log_in(running)


def test_a_login_fetches_no_token(app: App) -> None:
    """A login does not fetch an access token."""
    with service(env=app.env) as running:
        app.log_in(running)

    assert app.fetches == 0


def test_a_refused_token_is_replaced_once(app: App, wechat: Sandbox) -> None:
    """A call whose token WeChat refuses is repeated once with a new token.

    The client sees an error only when both fail.
    """
    with service(env=app.env) as running:
        token = app.log_in(running)
        first = status_of_call(running, token)
        wechat.advance(7200)
        replaced = status_of_call(running, token), app.fetches
        for errcode in (40001, 40014, 42001):
            wechat.advance(7200)
            wechat.fail(path=CHECK_PATH, errcode=errcode, times=2)
            refused = status_of_call(running, token), status_of_call(running, token)

            assert refused == (503, 200)

    assert (first, replaced) == (200, (200, 2))
    assert app.fetches == 5


def test_wechat_is_not_asked_again_after_its_quota_is_used_up(app: App, wechat: Sandbox) -> None:
    """When WeChat reports that the quota of tokens is used up, it is asked only once for many calls."""
    with service(env=app.env) as running:
        token = app.log_in(running)
        wechat.fail(path=TOKEN_PATH, errcode=45009)
        statuses = [status_of_call(running, token) for _ in range(20)]

    assert statuses == [429] * 20
    assert app.fetches == 1


def test_another_process_fetches_after_the_fetching_process_is_killed(
    app: App, wechat: Sandbox, own_redis_url: str
) -> None:
    """When the process that fetches is killed, its lease expires and another process fetches."""
    env = app.env | {"WXLOGIN_REDIS_URL": own_redis_url}
    with service(env=env) as victim, service(env=env) as survivor, ThreadPoolExecutor(1) as threads:
        token = app.log_in(survivor)
        wechat.fail(path=TOKEN_PATH, delay_seconds=30)
        fetching = threads.submit(_try, victim, token)
        wait_until(lambda: app.fetches == 1, "the fetch")
        os.kill(victim.process.process.pid, signal.SIGKILL)
        fetching.result()

        assert status_of_call(survivor, token) == 200
        assert app.fetches == 2


def _try(service: Service, token: str) -> None:
    with suppress(httpx2.TransportError):
        status_of_call(service, token)


class Recorder(httpx2.AsyncBaseTransport):
    """A transport to WeChat that records the paths and errcodes of the calls."""

    def __init__(self, wechat: httpx2.AsyncBaseTransport) -> None:
        self.answers: list[tuple[str, int]] = []
        self._wechat = wechat

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Forward the request, and record the errcode."""
        response = await self._wechat.handle_async_request(request)
        answer = json.loads(await response.aread())
        self.answers.append((request.url.path, answer.get("errcode", 0)))
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=httpx2.ByteStream(response.content)
        )


def settings_of_one_app(database_url: str, redis_url: str) -> Settings:
    """Return the settings of a service of one app, whose stores are external."""
    return DemoSettings(
        appid=APPID,
        app_secret=SecretStr(SECRET),
        encryption_keys=[SecretStr(KEY)],
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
    )


@pytest.mark.anyio
async def test_no_call_uses_an_expired_token_in_24_hours(sqlite_url: str, own_redis_url: str, clock: Clock) -> None:
    """In 24 hours with a call every minute and a restart every 96 minutes, 13 tokens are fetched.

    Every call succeeds.
    """
    wechat = httpx2.ASGITransport(create_sandbox())  # type: ignore[arg-type]  # the same protocol with another type
    recorder = Recorder(wechat)
    settings = settings_of_one_app(sqlite_url, own_redis_url)
    async with httpx2.AsyncClient(transport=wechat, base_url="http://127.0.0.1/sandbox") as controls:
        code = (await controls.post("/codes", json={"appid": APPID})).json()["code"]
        async with open_container(settings, transport=recorder, clock=clock) as container:
            session = (await container.login()(LoginRequest(code))).session
        answered = []
        for _ in range(24 * 60 // 96):
            async with open_container(settings, transport=recorder, clock=clock) as container:
                for _ in range(96):
                    answered.append(await container.session_keys().is_current(session))
                    while container.access_tokens()._fetches:  # noqa: ASYNC110  # a renewal takes less than a minute
                        await asyncio.sleep(0)
                    clock.advance(seconds=60)
                    await controls.post("/clock", json={"advance_seconds": 60})

    assert answered == [True] * 24 * 60
    assert {errcode for _, errcode in recorder.answers} == {0}
    assert [path for path, _ in recorder.answers].count(TOKEN_PATH) == 13
