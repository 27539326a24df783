"""`wxlogin demo`: the service and a WeChat sandbox in one process, and one login through them, step by step."""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvloop
from cryptography.fernet import Fernet
from dependency_injector import providers
from litestar.types import ASGIApp, Receive, Scope, Send
from pydantic import SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from entrypoints.container import Container, migrate_database, open_container
from entrypoints.demo.diagram import Diagram, Step
from entrypoints.http.app import create_app
from entrypoints.http.engine import Engine
from entrypoints.http.listener import Listener
from entrypoints.log import configure_logging
from entrypoints.settings import Settings
from wechat_sandbox.app import create_sandbox

APPID = "wxdemo0123456789ab"
MAX_CONNECTIONS = 256


class DemoSettings(Settings):
    """The settings of the demo. They ignore the environment."""

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
    """Return the settings of a service with one fictitious app, and with SQLite in `directory`."""
    return DemoSettings(
        appid=APPID,
        app_secret=SecretStr("0123456789abcdef0123456789abcdef"),
        encryption_keys=[SecretStr(Fernet.generate_key().decode())],
        database_url=SecretStr(f"sqlite+aiosqlite:///{directory / 'wxlogin.db'}"),
        log_level="warning",
    )


class Traced:
    """A wrapper that records how long each awaited method of an object took."""

    def __init__(self, inner: Any, lane: str, steps: list[Step]) -> None:
        self._inner, self._lane, self._steps = inner, lane, steps

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Awaitable[Any]] = getattr(self._inner, name)

        async def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return await method(*args, **kwargs)
            finally:
                self._steps.append(Step(self._lane, name, began, time.perf_counter()))

        return timed


class Demo:
    """The service at `/` and the sandbox's controls at `/sandbox`, in one server."""

    def __init__(self, settings: Settings) -> None:
        self.steps: list[Step] = []
        self._settings = settings
        self._sandbox = create_sandbox()
        self.service = create_app(self._open_container)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the service or to the sandbox."""
        app: ASGIApp = self._sandbox if scope["path"].startswith("/sandbox") else self.service
        await app(scope, receive, send)

    @asynccontextmanager
    async def _open_container(self) -> AsyncIterator[Container]:
        transport = httpx2.ASGITransport(self._sandbox)  # type: ignore[arg-type]  # the same protocol, typed twice
        async with open_container(self._settings, transport=transport) as container:
            for lane in ("identities", "user_repository", "session_store"):
                port: providers.Provider[Any] = getattr(container, lane)
                port.override(providers.Object(Traced(port(), lane, self.steps)))
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
    async with httpx2.AsyncClient(base_url=url) as client:
        for _ in range(2):  # the first login of a process pays for what is loaded when it is needed
            await client.post("/login/", json={"code": await _code(client)})
        code = await _code(client)
        demo.steps.clear()
        began = time.perf_counter()
        answer = await client.post("/login/", json={"code": code})
        ended = time.perf_counter()
    diagram = Diagram(answer.raise_for_status().json()["data"]["token"], demo.steps, began, ended)
    diagram.show(url, APPID, serving=not once)


async def _code(client: httpx2.AsyncClient) -> str:
    """Return a code of the sandbox, as wx.login() does."""
    return str((await client.post("/sandbox/codes", json={"appid": APPID})).raise_for_status().json()["code"])
