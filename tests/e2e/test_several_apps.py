"""Several mini-programs in one process: concurrent requests of one app do not affect another app."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from application.login import LoggedIn, LoginRequest
from domain.errors import CodeInvalid, DataUndecryptable, WatermarkMismatch
from domain.event import SYSTEM
from entrypoints.container import Container, migrate_database, open_container
from entrypoints.demo.run import DemoSettings
from entrypoints.setting_models import App
from entrypoints.settings import Settings
from support.processes import KEY
from support.servers import sqlite_url
from wechat_sandbox.app import create_sandbox

APPS = {f"wx{number}": secrets.token_hex(16) for number in range(3)}
"""Each app has its own secret, which the sandbox checks."""

PEOPLE = ["ann", "bob"]

Step = tuple[str, str, str, str]
"""The action, the app, the user, and the app for which a code or data was made."""

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["login", "phone", "decrypt", "session-key", "reset"]),
        st.sampled_from(sorted(APPS)),
        st.sampled_from(PEOPLE),
        st.sampled_from(sorted(APPS)),
    ),
    min_size=2,
    max_size=12,
)


class Shuffling(httpx2.AsyncBaseTransport):
    """A transport to WeChat that delays each call by as many turns of the event loop as the test draws."""

    def __init__(self, wechat: httpx2.AsyncBaseTransport, turns: Iterator[int]) -> None:
        self.errcodes: set[int] = set()
        self._wechat = wechat
        self._turns = turns

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Wait, forward the call, and wait again."""
        for _ in range(next(self._turns, 0)):
            await asyncio.sleep(0)
        response = await self._wechat.handle_async_request(request)
        body = await response.aread()
        self.errcodes.add(response.json().get("errcode", 0))
        for _ in range(next(self._turns, 0)):
            await asyncio.sleep(0)
        return httpx2.Response(response.status_code, headers=response.headers, stream=httpx2.ByteStream(body))


class World:
    """A service of all apps, and the actions of its users."""

    def __init__(self, container: Container, controls: httpx2.AsyncClient) -> None:
        self._container = container
        self._controls = controls

    async def take(self, step: Step) -> None:
        """Log a user in to one app, run one action, and check that its result belongs to the user."""
        deed, appid, person, made_for = step
        openid = f"o-{person}-{appid}"
        login = await self._log_in(appid, openid)
        assert (login.session.identity.appid.value, login.session.identity.openid) == (appid, openid)
        match deed:
            case "phone":
                await self._bind_phone(login, appid, made_for)
            case "decrypt":
                await self._decrypt(login, appid, openid, made_for)
            case "session-key":
                await self._container.session_keys().is_current(login.session)
            case "reset":
                await self._reset(login)

    async def _bind_phone(self, login: LoggedIn, appid: str, made_for: str) -> None:
        phone = f"+86138{secrets.randbelow(10**8):08}"
        code = (await self._control("phone-codes", appid=made_for, phone=phone))["code"]
        if made_for == appid:
            assert (await self._container.users().bind_phone(login.session, code, SYSTEM)).phone == phone
        else:
            with pytest.raises(CodeInvalid):
                await self._container.users().bind_phone(login.session, code, SYSTEM)

    async def _decrypt(self, login: LoggedIn, appid: str, openid: str, made_for: str) -> None:
        data = {"of": openid, "watermark": {"appid": made_for, "timestamp": 1}}
        encrypted = await self._control("encrypt", appid=appid, openid=openid, data=data)
        opening = self._container.client_data().decrypt(login.session, encrypted["encryptedData"], encrypted["iv"])
        try:
            assert (await opening).data["of"] == openid
            assert made_for == appid
        except WatermarkMismatch:
            assert made_for != appid
        except DataUndecryptable:
            pass  # another login of the same user has replaced the key

    async def _reset(self, login: LoggedIn) -> None:
        with suppress(DataUndecryptable):  # another login of the same user may replace the key
            await self._container.session_keys().reset(login.session)

    async def _log_in(self, appid: str, openid: str) -> LoggedIn:
        code = (await self._control("codes", appid=appid, openid=openid))["code"]
        return await self._container.login()(LoginRequest(code, appid))

    async def _control(self, name: str, **order: Any) -> dict[str, Any]:
        answer: dict[str, Any] = (await self._controls.post(f"/{name}", json=order)).raise_for_status().json()
        return answer


@pytest.fixture(scope="module")
def three_apps(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A migrated installation of three apps."""
    installation = DemoSettings(
        apps=[App(appid=appid, secret=SecretStr(secret)) for appid, secret in APPS.items()],
        encryption_keys=[SecretStr(KEY)],
        database_url=SecretStr(sqlite_url(tmp_path_factory.mktemp("apps"))),
    )
    asyncio.run(migrate_database(installation))
    return installation


@pytest.fixture(scope="module")
def wechat() -> httpx2.ASGITransport:
    """A WeChat that knows the three apps."""
    return httpx2.ASGITransport(create_sandbox(APPS))  # type: ignore[arg-type]  # the same protocol with another type


async def take_all(
    installation: Settings, wechat: httpx2.ASGITransport, steps: list[Step], turns: list[int]
) -> set[int]:
    """Take all steps concurrently, and return WeChat's errcodes."""
    transport = Shuffling(wechat, iter(turns))
    async with (
        httpx2.AsyncClient(transport=wechat, base_url="http://127.0.0.1/sandbox") as controls,
        open_container(installation, transport=transport) as container,
    ):
        world = World(container, controls)
        await asyncio.gather(*(world.take(step) for step in steps))
    return transport.errcodes


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, turns=st.lists(st.integers(0, 20), max_size=40))
def test_concurrent_requests_of_apps_are_isolated(
    three_apps: Settings, wechat: httpx2.ASGITransport, steps: list[Step], turns: list[int]
) -> None:
    """In any interleaving, each call uses its own app's secret, token and keys. It returns the data of its own user."""
    errcodes = asyncio.run(take_all(three_apps, wechat, steps, turns))

    assert errcodes - {0, 40013, 87009} == set(), "40013: a phone code of another app; 87009: a replaced key"
    assert 40013 not in errcodes or any(deed == "phone" and one != other for deed, one, _, other in steps)
