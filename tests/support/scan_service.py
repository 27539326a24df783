"""The service in this process, on a clock that a test moves, with a session store that a test takes away."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import uvicorn

from entrypoints.container import open_container
from entrypoints.demo.page import MovableClock
from entrypoints.http.app import create_app
from entrypoints.settings import Settings
from support.processes import APPID, KEY, SECRET, environment, run
from support.proxy import How, Proxy, proxy
from support.servers import free_port, migrate_database, sqlite_url, wait_until

CLIENT, CLIENT_SECRET = "example-shop", "0123456789abcdef0123456789abcdef"


class ScanService:
    """A running service."""

    def __init__(self, url: str, clock: MovableClock, store: Proxy, env: dict[str, str]) -> None:
        self.url = url
        self._clock = clock
        self._store = store
        self._env = env

    def advance(self, seconds: float) -> None:
        """Move the service's clock."""
        self._clock.advance(timedelta(seconds=seconds))

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Lose the session store until the block ends."""
        self._store.become(How.REFUSING)
        yield
        self._store.become(How.PASSING)

    def block(self, user_id: str) -> None:
        """Block a user, as an operator does."""
        assert run("users", "block", user_id, env=self._env).returncode == 0


@contextmanager
def scan_service(sandbox: str, redis_url: str, directory: Path) -> Iterator[ScanService]:
    """Serve one mini-program of the sandbox, with SQLite and Redis, until the block ends."""
    host, _, port_and_number = redis_url.removeprefix("redis://").partition(":")
    redis_port, _, number = port_and_number.partition("/")
    port, clock = free_port(), MovableClock()
    url = f"http://127.0.0.1:{port}"
    with proxy((host, int(redis_port))) as store:
        given = {
            "appid": APPID,
            "app_secret": SECRET,
            "encryption_keys": KEY,
            "wechat_url": sandbox,
            "wechat_timeout_seconds": "10",
            "login_rate_limit": "off",
            "database_url": sqlite_url(directory),
            "redis_url": f"redis://127.0.0.1:{store.port}/{number}",
            "clients": json.dumps({CLIENT: CLIENT_SECRET}),
            "issuer": url,
        }
        migrate_database(given["database_url"])
        # pydantic takes the JSON of WXLOGIN_CLIENTS from the environment, and a dict here
        settings = Settings.model_validate({**given, "clients": {CLIENT: CLIENT_SECRET}})
        app = create_app(lambda: open_container(settings, clock=clock))
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive(), "the service")
            yield ScanService(url, clock, store, environment(**given))
        finally:
            server.should_exit = True
            thread.join()
