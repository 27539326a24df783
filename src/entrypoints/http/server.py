"""The HTTP application in a server: uvicorn, in one process or several."""

import asyncio
import gc
import multiprocessing
import os
import signal
import socket
import threading
from multiprocessing.process import BaseProcess
from pathlib import Path

import uvicorn
from litestar import Litestar
from litestar.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from entrypoints.container import open_container, require_migrated
from entrypoints.http.app import create_app
from entrypoints.http.protocol import HttpProtocol
from entrypoints.log import configure_logging, log
from entrypoints.metrics import count_together, forget_gauges, shared_by_processes
from entrypoints.settings import Settings, SettingsError, load_settings

DRAIN_SECONDS = 10
"""How long requests in flight may take when the server is told to stop: longer than any of their time limits."""

HUNG_SECONDS = 60
"""How long a process may be silent until another takes its place. It is while it starts, longest on a busy machine."""


def app_of_environment() -> Litestar:
    """The application of this process's settings: what each of several processes starts with."""
    settings = load_settings()
    configure_logging(settings)
    if supervisor := multiprocessing.parent_process():
        count_together()
        threading.Thread(target=_end_with, args=[supervisor], daemon=True).start()
    app = create_app(lambda: open_container(settings))
    gc.collect()
    gc.freeze()  # what is loaded stays: to search it for garbage again and again takes 100 ms each time
    return app


def _end_with(supervisor: BaseProcess) -> None:
    """Stop when the supervisor is gone: killed, it cannot stop its processes, and they would keep the port."""
    supervisor.join()
    log.error("stopping", cause="the supervising process was killed")
    os.kill(os.getpid(), signal.SIGTERM)


def serve(host: str, port: int, workers: int) -> None:
    """Run until SIGTERM. Raises SettingsError for what is not configured, StoreUnavailable without a database."""
    settings = load_settings().require_app()
    configure_logging(settings)
    settings.cipher  # noqa: B018  # raises when there is no key
    asyncio.run(_check(settings))
    config = server_config("entrypoints.http.server:app_of_environment", settings, host, port, workers)
    listener = listen(host, port)
    host, port = listener.getsockname()[:2]
    log.info("serving", url=f"http://{host}:{port}", workers=workers)
    stop_quietly()
    if workers == 1:
        uvicorn.Server(config).run(sockets=[listener])
    else:
        with shared_by_processes() as directory:
            Supervisor(config, [listener], directory).run()
    log.info("stopped")


class Supervisor(Multiprocess):
    """uvicorn's, whose processes count together in a directory."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], directory: Path) -> None:
        super().__init__(config, sockets)
        self._directory = directory

    def keep_subprocess_alive(self) -> None:
        """See Multiprocess, which calls this twice a second.

        Their ends of the pipes are closed here first. While one is open, a process that dies before it gives a sign of
        life is waited for, and signals with it, for HUNG_SECONDS.
        """
        for process in self.processes:
            process.child_conn.close()
        super().keep_subprocess_alive()
        forget_gauges(self._directory, {process.pid for process in self.processes})


async def _check(settings: Settings) -> None:
    """Refuse to start without tables; without a session store, start and say so: it may come back at any moment."""
    async with open_container(settings) as container:
        await require_migrated(container)
        for store, wrong in (await container.readiness()()).items():
            if wrong:
                log.warning("store_unavailable", where="serve", store=store, detail=wrong)


def stop_quietly() -> None:
    """Let a stop that was asked for be no failure: uvicorn, when it is done, raises the signal again."""
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda _signal, _frame: None)


def server_config(app: str | ASGIApp, settings: Settings, host: str, port: int, workers: int = 1) -> uvicorn.Config:
    """How uvicorn runs the application, which is one itself or the name of a function that makes create_app's."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        workers=workers,
        factory=isinstance(app, str),
        loop="uvloop",
        http=HttpProtocol if isinstance(app, str) else "httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_worker_healthcheck=HUNG_SECONDS,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SettingsError when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # IPPROTO_TCP by name: asyncio sets TCP_NODELAY on no other, and then an answer's second packet waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        raise SettingsError(f"Cannot listen on {host}:{port} ({error}).\n  mend it: choose another --port") from None
    listener.set_inheritable(True)
    return listener
