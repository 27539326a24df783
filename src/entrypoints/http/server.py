"""`wxlogin serve` and `wxlogin admin`: an HTTP application in worker processes."""

import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import uvloop
from litestar import Litestar

from domain.errors import WxLoginError
from entrypoints.container import OpenContainer, open_container, require_migrated
from entrypoints.http.app import create_app
from entrypoints.http.dependencies import Lifecycle
from entrypoints.http.engine import Engine
from entrypoints.http.listener import Listener
from entrypoints.http.supervisor import StartFailed, Supervisor
from entrypoints.http.worker_process import ALIVE, CLOSE, DRAIN, FINISH_SECONDS, LEAVING, LINGER_SECONDS, READY, STOP
from entrypoints.log import configure_logging, log
from entrypoints.metrics import count_in_directory, forget_gauges, shared_directory
from entrypoints.problems import Exit, explained
from entrypoints.settings import Settings, SettingsError, load_settings
from entrypoints.tracing import Tracing, start_tracing

MAX_CONNECTIONS = 2048
"""How many connections of clients a server process has at most. Behind a gateway it has a few dozen."""

OWN_DESCRIPTORS = 64
"""How many file descriptors are kept for files and for connections to stores and to WeChat."""

HEARTBEAT_SECONDS = 5.0


@dataclass(frozen=True)
class Service:
    """The application that a command serves, and `require`, which raises SettingsError unless it can run.

    `create_app` receives the settings, what opens the container, the lifecycle of the process, and its tracing.
    """

    require: Callable[[Settings], object]
    create_app: Callable[[Settings, OpenContainer, Lifecycle, Tracing | None], Litestar]


def _create_public_app(
    settings: Settings, open_container: OpenContainer, lifecycle: Lifecycle, tracing: Tracing | None
) -> Litestar:
    return create_app(
        open_container,
        lifecycle,
        settings.trusted_proxies,
        tracing,
        with_docs=settings.docs,
        with_metrics=settings.metrics,
    )


PUBLIC = Service(Settings.require_app, _create_public_app)
"""The service of clients, backends and gateways."""


def serve(host: str, port: int, workers: int, service: Service = PUBLIC) -> None:
    """Serve until SIGTERM. Raises SettingsError for wrong settings, and StoreUnavailable without a database."""
    settings = _settings(service)
    with shared_directory(workers):
        for store, wrong in asyncio.run(_check(settings)).items():  # it may come back at any moment
            log.warning("store_unavailable", where="serve", store=store, detail=wrong)
        _supervise(settings, Listener.open(host, port), workers, service)
    log.info("stopped")


def _supervise(settings: Settings, listener: Listener, workers: int, service: Service) -> None:
    connections = _connection_limit()

    def on_serving() -> None:
        listener.listen()
        log.info("serving", url=listener.url, workers=workers, pid=os.getpid())

    supervisor = Supervisor(
        listener,
        lambda channel: work(listener, channel, connections, service),
        workers,
        drain_seconds=settings.drain_seconds,
        reload=lambda: _reload(service),
        on_serving=on_serving,
        on_end=forget_gauges,
    )
    gc.collect()
    gc.freeze()  # what is loaded stays, and the server processes share it as long as no one writes to it
    try:
        supervisor.run()
    except StartFailed as error:
        raise SystemExit(error.status) from None


def work(listener: Listener, channel: Connection, connections: int, service: Service) -> None:
    """Run a worker: serve on the listener until the supervisor orders a stop on the channel."""
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all its processes
        signal.signal(number, signal.SIG_IGN)
    count_in_directory()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_work(_settings(service), listener, channel, connections, service))
    except (SettingsError, WxLoginError) as error:
        log.error("worker_failed", detail=str(error))
        sys.exit(Exit.MISCONFIGURED)


async def _work(
    settings: Settings, listener: Listener, channel: Connection, connections: int, service: Service
) -> None:
    lifecycle = Lifecycle()
    tracing = start_tracing()
    prepare = tracing.watch if tracing else None
    app = service.create_app(settings, lambda: open_container(settings, prepare=prepare), lifecycle, tracing)
    async with app.lifespan():
        gc.collect()
        gc.freeze()
        engine = Engine(app, listener, connections=connections)
        serving = asyncio.create_task(engine.serve())
        stop = asyncio.create_task(_ordered_to_stop(channel, listener, lifecycle).wait())
        alive = asyncio.create_task(_report_alive(channel, connections))
        channel.send_bytes(READY)
        await asyncio.wait([serving, stop, alive], return_when=asyncio.FIRST_COMPLETED)
        engine.stop()  # type: ignore[no-untyped-call]
        with suppress(TimeoutError):
            await asyncio.wait_for(serving, FINISH_SECONDS)
        alive.cancel()
        stop.cancel()
    if tracing:
        tracing.close()


def _ordered_to_stop(channel: Connection, listener: Listener, lifecycle: Lifecycle) -> asyncio.Event:
    """Handle the supervisor's orders. Return an event that is set at STOP."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def receive() -> None:
        try:
            obey(channel.recv_bytes())
        except (EOFError, OSError):
            log.error("stopping", cause="the supervising process was killed")
            loop.remove_reader(channel.fileno())
            obey(CLOSE)
            loop.call_later(LINGER_SECONDS, obey, STOP)

    def obey(order: bytes) -> None:
        lifecycle.worker_stopping = True
        if order == DRAIN:
            lifecycle.service_stopping = True
        elif order == CLOSE:
            listener.stop_accepting()
        else:
            stop.set()

    loop.add_reader(channel.fileno(), receive)
    loop.add_signal_handler(signal.SIGTERM, channel.send_bytes, LEAVING)
    return stop


async def _report_alive(channel: Connection, connections: int) -> None:
    """Report every HEARTBEAT_SECONDS that the event loop runs, and log when all connections are in use."""
    while True:
        with suppress(OSError):  # the supervisor is gone, which `obey` notices, too
            channel.send_bytes(ALIVE)
        descriptors = len(os.listdir("/dev/fd"))  # noqa: PTH208  # pathlib would open each
        if descriptors >= connections:
            log.warning("connections_exhausted", open=descriptors, limit=connections)
        await asyncio.sleep(HEARTBEAT_SECONDS)


def _settings(service: Service) -> Settings:
    """Return this process's settings, and log as they say. Raises SettingsError when one that is needed is missing."""
    settings = load_settings()
    service.require(settings)
    configure_logging(settings)
    settings.cipher  # noqa: B018  # raises when there is no key
    return settings


def _reload(service: Service) -> float:
    """Read the settings again, and return the seconds to drain. Raises SettingsError if the workers must stay.

    They stay, too, if a store of the new settings does not answer: theirs may.
    """
    try:
        settings = _settings(service)
        unavailable = asyncio.run(_check(settings))
    except WxLoginError as error:
        raise SettingsError(explained(error)) from None
    if unavailable:
        raise SettingsError("; ".join(f"{store}: {wrong}" for store, wrong in unavailable.items()))
    return settings.drain_seconds


async def _check(settings: Settings) -> dict[str, str]:
    """Return what is wrong with each store that does not answer.

    Raises StoreUnavailable without a database, and SettingsError without its tables.
    """
    try:
        async with open_container(settings) as container:
            await require_migrated(container)
            return {store: wrong for store, wrong in (await container.readiness()()).items() if wrong}
    finally:
        forget_gauges(os.getpid())  # the check has opened pools, and this process serves none


def _connection_limit() -> int:
    """Return how many connections a server process may have, after raising the limit on descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # a system whose `unlimited` is less
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(max(allowed - OWN_DESCRIPTORS, allowed // 2), MAX_CONNECTIONS)
