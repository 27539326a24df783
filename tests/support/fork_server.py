"""`wxlogin` processes that start in milliseconds, forked from a process that has imported all modules.

Each is an ordinary process, with its own pid, environment, directory and signals. Only the imports, which take two
seconds of processor time, happen once for the two hundred processes of the tests.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

from support.kill_steps import KILL_FILE, kill_at_steps

PRELOADED = [
    *(f"entrypoints.cli.{name}" for name in ("demo", "login", "main", "manage", "operate", "running", "serve")),
    *(f"entrypoints.{name}" for name in ("demo.run", "doctor", "http.server", "worker")),
    *(
        "anyio._backends._asyncio",
        "h11",
        "httpcore2",
        "multiprocessing.popen_fork",
        "sqlite3",
        "truststore",
        "wechat_sandbox.cli",
    ),
    *("rich_click.rich_help_rendering", "sqlalchemy.dialects.sqlite.aiosqlite"),
    *("uvicorn.lifespan.on", "uvicorn.loops.auto", "uvicorn.protocols.http.auto"),
]
"""What commands import, and what their libraries import only when they are used."""


class ForkServer:
    """The process that forks the others.

    It has no threads and opens nothing, so that each fork starts in a clean state.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "support.fork_server", str(theirs.fileno())]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        self._process = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()

    def launch(self, arguments: list[str], env: Mapping[str, str], cwd: Path | None, output: list[int]) -> "Launched":
        """Start `wxlogin` with these arguments; `output` are its stdout and stderr."""
        reading, writing = os.pipe()
        request = json.dumps([arguments, dict(env), str(cwd or Path.cwd())]).encode(errors="surrogateescape")
        with self._lock:
            socket.send_fds(self._requests, [request], [*output, writing])
        os.close(writing)
        return Launched(os.fdopen(reading, "rb", buffering=0))


class Launched:
    """A process of the fork server, with the interface of subprocess.Popen."""

    def __init__(self, reports: IO[bytes]) -> None:
        self._reports = reports
        self.pid = int(reports.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit status (negative: the signal that killed it), or None while it runs."""
        with suppress(TimeoutError):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process ends. Raises TimeoutError."""
        if self.returncode is None:
            if not select.select([self._reports], [], [], timeout)[0]:
                raise TimeoutError(f"still running after {timeout} seconds")
            self.returncode = os.waitstatus_to_exitcode(int(self._reports.readline()))
            self._reports.close()
        return self.returncode

    def send_signal(self, signal_number: int) -> None:
        """Send the process a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, signal_number)

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self.send_signal(signal.SIGKILL)


@cache
def fork_server() -> ForkServer:
    """Return the fork server of this test process."""
    return ForkServer()


def main(requests: socket.socket) -> None:
    """Process requests until the other end closes."""
    from wechat_sandbox.app import create_sandbox

    for module in PRELOADED:
        importlib.import_module(module)
    create_sandbox()  # imports what Litestar needs for any application
    gc.freeze()  # garbage collection skips the imported modules in each process
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, (stdout, stderr, reports), *_ = socket.recv_fds(requests, 1 << 20, 3)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            _supervise(json.loads(message), stdout, stderr, reports)
        for descriptor in (stdout, stderr, reports):
            os.close(descriptor)


def _supervise(request: tuple[list[str], dict[str, str], str], stdout: int, stderr: int, reports: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(reports)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        _run(*request)
    os.close(stdout)
    os.close(stderr)
    os.write(reports, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(reports, f"{status}\n".encode())
    os._exit(0)


def _run(arguments: list[str], env: dict[str, str], cwd: str) -> None:
    from entrypoints.cli.main import main as wxlogin

    os.environ.clear()
    os.environ.update(env)
    if KILL_FILE in env:
        kill_at_steps(Path(env[KILL_FILE]))
    os.chdir(cwd)
    sys.argv = ["wxlogin", *arguments]
    wxlogin(prog_name="wxlogin")


if __name__ == "__main__":
    with suppress(ValueError):  # the last request is empty and has no descriptors
        main(socket.socket(fileno=int(sys.argv[1])))
