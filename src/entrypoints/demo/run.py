"""`wxlogin demo`: the service and a WeChat sandbox in one process, and one login through them, step by step."""

import asyncio
import os
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx2
import uvloop
from cryptography.fernet import Fernet
from litestar import Litestar
from litestar.types import ASGIApp, Receive, Scope, Send
from pydantic import SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from domain.admin import Scope as AdminScope
from domain.admin import digest_of
from entrypoints.admin.app import create_app as create_admin_app
from entrypoints.container import Container, migrate_database, open_container
from entrypoints.demo.diagram import Diagram
from entrypoints.demo.page import ConsoleAccess, MovableClock, create_page
from entrypoints.demo.trace import Traces
from entrypoints.http.app import create_app
from entrypoints.http.dependencies import runtime_of
from entrypoints.http.engine import Engine
from entrypoints.http.listener import Listener
from entrypoints.http.middleware import REQUEST_ID_HEADER
from entrypoints.log import configure_logging
from entrypoints.setting_models import AdminKey
from entrypoints.setting_sources import PREFIX
from entrypoints.settings import Settings, explaining_wrong_settings
from wechat_sandbox.app import create_sandbox

APPID = "wxdemo0123456789ab"
LOGIN = "demo-login"
"""The request id of the login that the terminal shows."""
MAX_CONNECTIONS = 256

CONSOLE_PORTS_ABOVE = 2
"""The console listens this many ports above the demo: on 8002, as `wxlogin admin` does, if the demo is on 8000."""


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


def demo_settings(directory: Path, admin_key: str) -> Settings:
    """Return the settings of a service with one fictitious app, with SQLite in `directory`, and with an admin key.

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
            audit_sessions=True,
            admin_keys={"demo": AdminKey(sha256=SecretStr(digest_of(admin_key)), scopes=frozenset(AdminScope))},
            **given,
        )


class Demo:
    """The service, its page at `/` and the sandbox's controls at `/sandbox`, in one server.

    `console` is for a server of its own, and uses the container of the service, which has to be open.
    """

    def __init__(self, settings: Settings, access: ConsoleAccess | None) -> None:
        self.traces = Traces()
        self._settings = settings
        self._clock = MovableClock()
        self._sandbox = create_sandbox()
        self._page = create_page(settings, self.traces, self._clock, self._container, access)
        self.service = create_app(self._open_container)
        self.console = create_admin_app(self._share_container)

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

    @asynccontextmanager
    async def _share_container(self) -> AsyncIterator[Container]:
        yield self._container()

    def _container(self) -> Container:
        return runtime_of(self.service.state).container


def run_demo(host: str, port: int, *, once: bool) -> None:
    """Serve, log one user in, print each step, and go on serving unless `once`. Raises SettingsError."""
    listeners = [Listener.open(host, port)]
    if not once:
        listeners.append(Listener.open(host, port and port + CONSOLE_PORTS_ABOVE))
    for listener in listeners:
        listener.listen()
    with (
        tempfile.TemporaryDirectory(prefix="wxlogin-demo-") as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        key = f"wxadmin_{secrets.token_urlsafe(32)}"
        runner.run(_run(listeners, demo_settings(Path(directory), key), key))


def _url_of(listener: Listener) -> str:
    """Return the address on this machine: the sandbox answers on loopback addresses only."""
    return listener.url.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")  # noqa: S104  # no address to listen on


async def _run(listeners: list[Listener], settings: Settings, key: str) -> None:
    """Serve the demo on the first listener, and the console on the second. Without a second, end after the login."""
    configure_logging(settings)
    await migrate_database(settings)
    url, *others = [_url_of(listener) for listener in listeners]
    access = ConsoleAccess(f"{others[0]}/admin/", key) if others else None
    demo = Demo(settings, access)
    async with AsyncExitStack() as stack:
        served: list[tuple[Litestar, ASGIApp]] = [(demo.service, demo), (demo.console, demo.console)]
        engines = []
        for listener, (application, entry) in zip(listeners, served, strict=False):
            await stack.enter_async_context(application.lifespan())
            engines.append(Engine(entry, listener, connections=MAX_CONNECTIONS))

        def stop() -> None:
            for engine in engines:
                engine.stop()  # type: ignore[no-untyped-call]

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        serving = [asyncio.create_task(engine.serve()) for engine in engines]
        await _log_in(demo, url, access)
        if not access:
            stop()
        await asyncio.gather(*serving)


async def _log_in(demo: Demo, url: str, access: ConsoleAccess | None) -> None:
    async with httpx2.AsyncClient(base_url=url, headers={REQUEST_ID_HEADER.decode(): LOGIN}) as client:
        for _ in range(3):  # the first login of a process pays for what is loaded when it is needed
            code = (await client.post("/sandbox/codes", json={"appid": APPID})).raise_for_status().json()["code"]
            response = await client.post("/login/", json={"code": code})
    trace = demo.traces.get(LOGIN)
    assert trace  # noqa: S101  # just recorded
    Diagram(response.raise_for_status().json()["data"]["token"], trace).show(url, APPID, access)
