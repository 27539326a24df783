"""`wxlogin` as users run it: processes, their output, and their exit status."""

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import httpx2
import psutil

from support import plain_http
from support.fork_server import fork_server
from support.scrapes import scrape
from support.servers import migrate_database, wait_until

APPID = "wx0123456789abcdef"
SECRET = "5ecf3ed9a5ecf3ed9a5ecf3ed9a5ecf3"
KEY = "UqIOTYTvzK5Pn1ZLBfQOBl0sYhKi9rYFz8sVXxUuAQk="

MEASURED = "COVERAGE_PROCESS_CONFIG" in os.environ
"""Whether `make coverage` runs. A process writes its coverage when it ends, and not when it is killed."""

Environment = dict[str, str]


def clean_environment() -> Environment:
    """Return this process's environment without the settings of wxlogin, and with Python's cache for a fast start."""
    unwanted = ("WXLOGIN_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def environment(**settings: str) -> Environment:
    """Return the environment of a process with one app, one encryption key, and `settings` (names without the prefix).

    Logins have no limit, because all tests log in from one address. WeChat may take ten seconds, because the machine
    may be busy.
    """
    given = {
        "appid": APPID,
        "app_secret": SECRET,
        "encryption_keys": KEY,
        "login_rate_limit": "off",
        "wechat_timeout_seconds": "10",
        **settings,
    }
    return clean_environment() | {f"WXLOGIN_{name.upper()}": value for name, value in given.items()}


def run(*arguments: str, env: Mapping[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one `wxlogin` command until it ends."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = fork_server().launch([*arguments], env, cwd, [stdout.fileno(), stderr.fileno()])
        status = process.wait(timeout=60)
        return subprocess.CompletedProcess([*arguments], status, _text_of(stdout), _text_of(stderr))


def _text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


class Running:
    """A running `wxlogin` process, with the JSON lines of its log."""

    def __init__(self, *arguments: str, env: Mapping[str, str], cwd: Path | None = None) -> None:
        self.output: list[str] = []
        reading, writing = os.pipe()
        self.process = fork_server().launch([*arguments], env, cwd, [writing, writing])
        os.close(writing)
        self._reader = threading.Thread(target=self._read, args=[reading], daemon=True)
        self._reader.start()

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor) as lines:
            self.output.extend(iter(lines.readline, ""))

    def event(self, name: str) -> dict[str, Any]:
        """Wait for the first logged event with that name, and return it."""

        def found() -> list[dict[str, Any]]:
            return [event for event in self.events() if event.get("event") == name]

        wait_until(lambda: bool(found()) or self.process.poll() is not None, name)
        assert found(), f"ended with {self.process.poll()}: {self.text()}"
        return found()[0]

    def events(self) -> list[dict[str, Any]]:
        """Return every line that is JSON."""
        return [json.loads(line) for line in list(self.output) if line.startswith("{")]

    def text(self) -> str:
        """Return all output so far."""
        return "".join(self.output)

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Send the signal, wait for the end, and return the exit status."""
        self.process.send_signal(signal_number)
        return self.wait()

    def kill(self) -> None:
        """Kill the process and its workers, which otherwise run for two more seconds."""
        with suppress(psutil.NoSuchProcess):
            workers = psutil.Process(self.process.pid).children()
            self.process.kill()
            for worker in workers:
                worker.kill()

    def wait(self) -> int:
        """Wait for the end, and return the exit status."""
        status = self.process.wait(timeout=30)
        self._reader.join(timeout=5)
        return status


@contextmanager
def running(*arguments: str, env: Mapping[str, str], cwd: Path | None = None) -> Iterator[Running]:
    """Run a `wxlogin` process until the block ends."""
    process = Running(*arguments, env=env, cwd=cwd)
    try:
        yield process
    finally:
        if MEASURED:
            process.process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                process.process.wait(timeout=10)
        process.kill()
        process.wait()


class Sandbox:
    """A running `wxlogin sandbox`, with its control requests."""

    def __init__(self, url: str, client: httpx2.Client) -> None:
        self.url = url
        self._client = client

    def code(self, appid: str = APPID, **more: str) -> str:
        """Return a code as wx.login() does."""
        return str(self._control("codes", appid=appid, **more)["code"])

    def phone_code(self, appid: str = APPID, **more: str) -> str:
        """Return a code as the phone button does."""
        return str(self._control("phone-codes", appid=appid, **more)["code"])

    def encrypt(self, openid: str, data: dict[str, Any], appid: str = APPID) -> dict[str, str]:
        """Return encrypted data as wx.getUserInfo() does."""
        return self._control("encrypt", appid=appid, openid=openid, data=data)

    def pay(self, openid: str, transaction_id: str, appid: str = APPID) -> None:
        """Pay as wx.requestPayment() does."""
        self._control("payments", appid=appid, openid=openid, transaction_id=transaction_id)

    def sign(self, public_key: str, appid: str = APPID) -> dict[str, str]:
        """Switch API security on, as in the WeChat console."""
        return self._control("signing", appid=appid, public_key=public_key)

    def push(self, appid: str, event: str, openid: str, **more: object) -> dict[str, Any]:
        """Push an event to a server as WeChat does, and return how it answered."""
        return self._control("events", appid=appid, event=event, openid=openid, **more)

    def check_push_url(self, url: str, token: str) -> dict[str, Any]:
        """Check the address of a server as the WeChat console does."""
        return self._control("push-checks", url=url, token=token)

    def fail(self, **fault: Any) -> None:
        """Make the next call fail in this way: of code2Session, unless a path is given."""
        self._control("faults", **{"path": "/sns/jscode2session", **fault})

    def calls_of(self, path: str) -> list[dict[str, Any]]:
        """Return the calls of one path."""
        return [call for call in self.calls() if call["path"] == path]

    def calls(self) -> list[dict[str, Any]]:
        """Return the last 1,000 calls."""
        calls: list[dict[str, Any]] = self._shown()["calls"]
        return calls

    def call_count(self) -> int:
        """Return the total number of calls, including those that `calls` has dropped."""
        return int(self._shown()["total"])

    def _shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = self._client.get("/sandbox/calls").raise_for_status().json()
        return shown

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock."""
        self._control("clock", advance_seconds=seconds)

    def _control(self, name: str, **order: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.post(f"/sandbox/{name}", json=order).raise_for_status().json()
        return answer


@contextmanager
def sandbox(*arguments: str) -> Iterator[Sandbox]:
    """Run a sandbox of the test's own."""
    with running("sandbox", "--port", "0", *arguments, env=clean_environment()) as process:
        wait_until(lambda: "http://" in process.text() or process.process.poll() is not None, "sandbox")
        url = process.text().split("sandbox at ")[1].split(";")[0]
        wait_until(lambda: _answers(f"{url}/sandbox/calls"), "sandbox")
        with plain_http.client(base_url=url) as client:
            yield Sandbox(url, client)


@contextmanager
def service(*, workers: int = 1, env: Mapping[str, str]) -> Iterator["Service"]:
    """Run `wxlogin serve` on a migrated database, with all of its processes started."""
    migrate_database(env["WXLOGIN_DATABASE_URL"])
    with running("serve", "--port", "0", "--workers", str(workers), env=env) as process:
        url = process.event("serving")["url"]
        wait_until(lambda: _answers(f"{url}/healthz"), "serve")
        if workers > 1:  # each of them may have answered
            wait_until(lambda: len(scrape(url).values("pid")) == workers, "all processes")
        with plain_http.client(base_url=url) as client:
            yield Service(process, client)


class Service:
    """A running service, with an HTTP client."""

    def __init__(self, process: Running, client: httpx2.Client) -> None:
        self.process = process
        self.http = client
        self.url = str(client.base_url)

    def log_in(self, code: str) -> dict[str, Any]:
        """Send POST /v1/sessions, which must succeed."""
        answer = self.http.post("/v1/sessions", json={"code": code})
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def auth(self, token: str) -> httpx2.Response:
        """Send GET /auth."""
        return self.http.get("/auth", headers={"Authorization": f"Bearer {token}"})


def _answers(url: str) -> bool:
    try:
        return plain_http.fetch(url, timeout=2).is_success
    except httpx2.TransportError:
        return False
