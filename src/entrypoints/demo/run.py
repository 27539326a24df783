"""`wxlogin demo`: the service and a WeChat sandbox in one process, and one login through them, step by step."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx2
import uvloop
from cryptography.fernet import Fernet
from litestar.types import ASGIApp, Receive, Scope, Send
from pydantic import SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from entrypoints.container import Container, migrate_database, open_container
from entrypoints.demo.diagram import Diagram
from entrypoints.demo.page import MovableClock, create_page
from entrypoints.demo.trace import Traces
from entrypoints.http.app import create_app
from entrypoints.http.dependencies import runtime_of
from entrypoints.http.engine import Engine
from entrypoints.http.listener import Listener
from entrypoints.http.middleware import REQUEST_ID_HEADER
from entrypoints.log import configure_logging
from entrypoints.setting_sources import PREFIX
from entrypoints.settings import Settings, explaining_wrong_settings
from wechat_sandbox.app import create_sandbox

APPID = "wxdemo0123456789ab"
LOGIN = "demo-login"
"""The request id of the login that the terminal shows."""
MAX_CONNECTIONS = 256


class DemoSettings(Settings):
    """Settings that ignore the environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # this and the others: pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use the arguments of the constructor only."""
        return (init_settings,)


def demo_settings(directory: Path) -> Settings:
    """Return the settings of a service with one fictitious app, and with SQLite in `directory`.

    How long sessions live, and how many a user has, is as the environment says. Raises SettingsError.
    """
    of_sessions = {field: f"{PREFIX}{field.upper()}" for field in Settings.model_fields if field.startswith("session")}
    given: dict[str, Any] = {field: os.environ[name] for field, name in of_sessions.items() if os.environ.get(name)}
    with explaining_wrong_settings():
        return DemoSettings(
            appid=APPID,
            app_secret=SecretStr("0123456789abcdef0123456789abcdef"),
            encryption_keys=[SecretStr(Fernet.generate_key().decode())],
            database_url=SecretStr(f"sqlite+aiosqlite:///{directory / 'wxlogin.db'}"),
            log_level="warning",
            **given,
        )


class Demo:
    """The service, its page at `/` and the sandbox's controls at `/sandbox`, in one server."""

    def __init__(self, settings: Settings) -> None:
        self.traces = Traces()
        self._settings = settings
        self._clock = MovableClock()
        self._sandbox = create_sandbox()
        self._page = create_page(settings, self.traces, self._clock, lambda: runtime_of(self.service.state).container)
        self.service = create_app(self._open_container)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to its application. One that has an X-Request-Id is recorded."""
        path = scope["path"]
        if path.startswith("/sandbox"):
            await self._sandbox(scope, receive, send)
            return
        app: ASGIApp = self._page if path == "/" or path.startswith("/demo/") else self.service
        request_id = dict(scope["headers"]).get(REQUEST_ID_HEADER)
        async with self.traces.record(request_id.decode("latin-1")) if request_id else nullcontext():
            await app(scope, receive, send)

    @asynccontextmanager
    async def _open_container(self) -> AsyncIterator[Container]:
        transport = httpx2.ASGITransport(self._sandbox)  # type: ignore[arg-type]  # the same protocol, typed twice
        async with open_container(self._settings, transport=transport, clock=self._clock) as container:
            self.traces.watch(container)
            yield container


def run_demo(host: str, port: int, *, once: bool) -> None:
    """Serve, log one user in, print each step, and go on serving unless `once`. Raises SettingsError."""
    listener = Listener.open(host, port)
    listener.listen()
    with (
        tempfile.TemporaryDirectory(prefix="wxlogin-demo-") as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_run(listener, demo_settings(Path(directory)), once=once))


async def _run(listener: Listener, settings: Settings, *, once: bool) -> None:
    configure_logging(settings)
    await migrate_database(settings)
    demo = Demo(settings)
    # The sandbox answers on loopback addresses only.
    url = listener.url.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")  # noqa: S104  # no address to listen on
    async with demo.service.lifespan():
        engine = Engine(demo, listener, connections=MAX_CONNECTIONS)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, engine.stop)
        serving = asyncio.create_task(engine.serve())
        await _log_in(demo, url, once=once)
        if once:
            engine.stop()  # type: ignore[no-untyped-call]
        await serving


async def _log_in(demo: Demo, url: str, *, once: bool) -> None:
    async with httpx2.AsyncClient(base_url=url, headers={REQUEST_ID_HEADER.decode(): LOGIN}) as client:
        for _ in range(3):  # the first login of a process pays for what is loaded when it is needed
            code = (await client.post("/sandbox/codes", json={"appid": APPID})).raise_for_status().json()["code"]
            response = await client.post("/login/", json={"code": code})
    trace = demo.traces.get(LOGIN)
    assert trace  # noqa: S101  # just recorded
    Diagram(response.raise_for_status().json()["data"]["token"], trace).show(url, APPID, serving=not once)
