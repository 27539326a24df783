"""Stop and reload under load: no accepted request is lost."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from cryptography.fernet import Fernet

from support import plain_http
from support.faults import workers_of
from support.processes import APPID, KEY, SECRET, Environment, Sandbox, Service, environment, running, service
from support.processes import sandbox as own_sandbox
from support.raw_http import connect, request
from support.restarts import assert_none_lost, check, clients, login
from support.servers import accepts, free_port, migrate_database, wait_until

NEW_SECRET = "0123456789abcdef0123456789abcdef"

ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""The steps of systemd between fork and exec."""


@pytest.fixture
def env(sandbox: Sandbox, sqlite_url: str) -> Environment:
    """The settings of a service."""
    migrate_database(sqlite_url)
    return environment(database_url=sqlite_url, wechat_url=sandbox.url)


def reload(restarted: Service) -> None:
    """Send SIGHUP, and wait until all processes are new."""
    old = set(workers_of(restarted))
    restarted.process.process.send_signal(signal.SIGHUP)
    wait_until(
        lambda: old.isdisjoint(workers_of(restarted)) and len(workers_of(restarted)) == len(old), "new processes"
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_loses_no_request(env: Environment, sandbox: Sandbox, workers: int) -> None:
    """During repeated reloads with SIGHUP each request is answered and no connection is refused."""
    with service(workers=workers, env=env) as running:
        token = running.log_in(sandbox.code())["token"]
        with clients(running.url, check(token), login()) as seen:
            for _ in range(3):
                reload(running)

    assert_none_lost(seen)
    assert seen.refused == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_loses_no_request(env: Environment, sandbox: Sandbox, workers: int, stop: signal.Signals) -> None:
    """When the service stops, each request on an accepted connection is answered, and the exit status is 0."""
    with service(workers=workers, env=env) as running:
        token = running.log_in(sandbox.code())["token"]
        with clients(running.url, check(token), login()) as seen:
            wait_until(lambda: seen.answered > 200, "requests")
            status = running.process.stop(stop)

    assert_none_lost(seen)
    assert seen.refused > 0
    assert status == 0
    assert [event["event"] for event in running.process.events()].count("stopped") == 1
    assert "Traceback" not in running.process.text()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_requests_in_flight_finish(
    env: Environment, sandbox: Sandbox, workers: int, stop: signal.Signals
) -> None:
    """A login that waits for WeChat is answered after the service gets its signal to stop, and the exit status is 0."""
    code = sandbox.code()
    calls = sandbox.call_count()
    sandbox.fail(delay_seconds=2)
    with service(workers=workers, env=env) as running, ThreadPoolExecutor() as threads:
        waiting: Future[dict[str, object]] = threads.submit(running.log_in, code)
        wait_until(lambda: sandbox.call_count() > calls, "the login")
        status = running.process.stop(stop)

        assert "token" in waiting.result()
        assert status == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_drain_is_announced_before_the_service_stops(env: Environment, workers: int) -> None:
    """After SIGTERM /readyz is 503 at once, and new connections are answered once each until the drain ends."""
    with service(workers=workers, env=env | {"WXLOGIN_DRAIN_SECONDS": "2"}) as running:
        port = httpx2.URL(running.url).port or 0
        running.process.process.send_signal(signal.SIGTERM)
        wait_until(lambda: plain_http.fetch(f"{running.url}/readyz").status_code == 503, "the drain", 1.5)
        paths = ("/readyz", "/readyz?exclude=stores", "/healthz")
        ready, for_gateways, health = (plain_http.fetch(f"{running.url}{path}") for path in paths)
        wait_until(lambda: not accepts(port), "the end of the drain")

        assert (ready.status_code, ready.json()["checks"]["service"]) == (503, "stopping")
        assert (for_gateways.status_code, for_gateways.json()["checks"]) == (503, {"service": "stopping"})
        assert (health.status_code, health.headers["connection"]) == (200, "close")
        assert running.process.wait() == 0


def test_a_request_after_the_stop_on_an_open_connection_is_answered(env: Environment) -> None:
    """A request on an open connection, sent after the listening socket has closed, is answered."""
    with service(env=env) as running, connect(running.url) as raw:
        port = httpx2.URL(running.url).port or 0
        raw.send(request("/healthz"))
        raw.receive()
        running.process.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not accepts(port), "the stop")
        raw.send(request("/healthz"))
        (last,) = raw.responses()

        assert (last.status, last.headers["connection"]) == (200, "close")
        assert running.process.wait() == 0


def test_incomplete_requests_do_not_disturb_the_service(env: Environment, sandbox: Sandbox) -> None:
    """Incomplete and malformed requests of clients that disconnect do not disturb the service or its stop."""
    with service(env=env) as running:
        for half in (request("/login/", "Content-Length: 50", method="POST") + b"{", b"POST /log", b"\x00\xff\r\n\r\n"):
            with connect(running.url) as raw:
                raw.send(half)

        assert running.log_in(sandbox.code())["token_type"] == "Bearer"
        assert running.process.stop() == 0


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A directory of secret files."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    return directory


def with_secrets(env: Environment, secrets: Path, **files: str) -> Environment:
    """Write the settings into secret files, and return the environment with their directory."""
    for name, value in files.items():
        (secrets / name).write_text(value, encoding="utf-8")
    taken = {f"WXLOGIN_{name.upper()}" for name in files}
    return {name: value for name, value in env.items() if name not in taken} | {"WXLOGIN_SECRETS_DIR": str(secrets)}


def test_a_reload_rotates_the_encryption_key(env: Environment, sandbox: Sandbox, secrets: Path) -> None:
    """After SIGHUP the new first encryption key is used, and data under the old key is still read.

    No session is lost.
    """
    new = Fernet.generate_key().decode()
    with service(env=with_secrets(env, secrets, encryption_keys=KEY)) as running:
        before = running.log_in(sandbox.code(openid="o-before"))["token"]
        (secrets / "encryption_keys").write_text(f"{new},{KEY}", encoding="utf-8")
        reload(running)
        after = running.log_in(sandbox.code(openid="o-after"))["token"]
        opened = [_decrypts(running, sandbox, token, who) for token, who in ((before, "o-before"), (after, "o-after"))]
        (secrets / "encryption_keys").write_text(new, encoding="utf-8")
        reload(running)
        opened += [_decrypts(running, sandbox, token, who) for token, who in ((before, "o-before"), (after, "o-after"))]

    assert opened == [True, True, False, True]


def _decrypts(running: Service, sandbox: Sandbox, token: str, openid: str) -> bool:
    data = sandbox.encrypt(openid, {"openId": openid, "watermark": {"appid": APPID, "timestamp": 1}})
    sent = {name: data[name] for name in ("encryptedData", "iv")}
    headers = {"Authorization": f"Bearer {token}"}
    return running.http.post("/v1/wechat/decrypt", json=sent, headers=headers).is_success


def test_a_reload_loads_a_changed_app_secret(env: Environment, secrets: Path) -> None:
    """After the AppSecret changes at WeChat, logins are refused until SIGHUP loads the new one."""
    with own_sandbox("--app", f"{APPID}:{NEW_SECRET}") as wechat:
        env |= {"WXLOGIN_WECHAT_URL": wechat.url}
        with service(env=with_secrets(env, secrets, app_secret=SECRET)) as running:
            refused = running.http.post("/v1/sessions", json={"code": wechat.code()})
            (secrets / "app_secret").write_text(NEW_SECRET, encoding="utf-8")
            reload(running)
            accepted = running.http.post("/v1/sessions", json={"code": wechat.code()})

    assert (refused.status_code, refused.json()["code"]) == (500, "app_misconfigured")
    assert accepted.status_code == 201


@pytest.mark.parametrize(
    "broken",
    [
        "this is no TOML",
        'no_such_setting = "1"',
        'encryption_keys = "no key"',
        'database_url = "sqlite+aiosqlite:////nowhere/at/all.db"',
        'redis_url = "redis://127.0.0.1:1"',
    ],
)
def test_a_reload_with_wrong_settings_changes_nothing(
    env: Environment, sandbox: Sandbox, tmp_path: Path, broken: str
) -> None:
    """Wrong settings are logged and the processes continue. The next SIGHUP with correct settings succeeds."""
    file = tmp_path / "wxlogin.toml"
    name = broken.partition(" = ")[0]
    right = f'database_url = "{env["WXLOGIN_DATABASE_URL"]}"\nencryption_keys = "{KEY}"\n'
    file.write_text(right, encoding="utf-8")
    env = {key: value for key, value in env.items() if key not in ("WXLOGIN_DATABASE_URL", "WXLOGIN_ENCRYPTION_KEYS")}
    with _serving(env | {"WXLOGIN_CONFIG": str(file)}, 2) as running:
        before = workers_of(running)
        kept = "".join(line for line in right.splitlines(keepends=True) if not line.startswith(name))
        file.write_text(f"{kept}{broken}\n", encoding="utf-8")
        running.process.process.send_signal(signal.SIGHUP)
        failed = running.process.event("reload_failed")
        after = workers_of(running)
        file.write_text(right, encoding="utf-8")
        reload(running)

        assert failed["detail"]
        assert before == after
        assert running.log_in(sandbox.code())
        assert running.process.stop() == 0


@contextmanager
def _serving(env: Environment, workers: int = 1, port: int = 0) -> Iterator[Service]:
    """Run a service on a migrated database."""
    with running("serve", "--port", str(port), "--workers", str(workers), env=env) as process:
        url = process.event("serving")["url"]
        wait_until(lambda: accepts(httpx2.URL(url).port or 0), "serve")
        with plain_http.client(base_url=url) as client:
            started = Service(process, client)
            wait_until(lambda: len(workers_of(started)) == workers, "all processes")
            yield started


class Manager:
    """A service manager that receives the messages of sd_notify(3)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(20)

    def states(self, until: str) -> list[str]:
        """Return the received states, up to the one that starts with `until`."""
        states: list[str] = []
        while not states or not states[-1].startswith(until):
            states.append(self._socket.recv(4096).decode())
        return states

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_systemd_gets_the_states_of_the_service(env: Environment, tmp_path: Path, workers: int) -> None:
    """systemd gets READY=1 at the start, RELOADING=1 and READY=1 at a reload, and STOPPING=1 at the end."""
    manager = Manager(tmp_path / "notify")
    try:
        with _serving(env | {"NOTIFY_SOCKET": str(manager.path)}, workers) as running:
            assert manager.states("READY=1") == ["READY=1"]
            running.process.process.send_signal(signal.SIGHUP)
            reloading, ready = manager.states("READY=1")
            status = running.process.stop()
            stopping = manager.states("STOPPING=1")
    finally:
        manager.close()

    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert (ready, stopping, status) == ("READY=1", ["STOPPING=1"], 0)


@contextmanager
def _activated(listener: socket.socket, env: Environment) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service with a socket from systemd: as descriptor 3, and with the process id in LISTEN_PID."""
    wxlogin = str(Path(sys.executable).with_name("wxlogin"))
    command = [sys.executable, "-c", ACTIVATE, str(listener.fileno()), wxlogin, "serve", "--port", "1"]
    process = subprocess.Popen(command, env=env, pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_socket_of_systemd_stays_open_during_a_restart(env: Environment) -> None:
    """With socket activation, clients wait during a restart and none is refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        statuses, ended = [], []
        for _ in range(2):
            with connect(url) as waiting, _activated(listener, env) as process:
                waiting.send(request("/healthz", "Connection: close"))
                statuses += [response.status for response in waiting.responses()]
                process.send_signal(signal.SIGTERM)
                ended.append(process.wait(timeout=20))

    assert (statuses, ended) == ([200, 200], [0, 0])


@pytest.mark.parametrize("workers", [1, 2])
def test_connections_are_refused_until_a_process_is_ready(env: Environment, workers: int) -> None:
    """Until a process is ready, connections are refused. The first accepted connection gets an answer."""
    port = free_port()
    refusals, answer = 0, b""
    with running("serve", "--port", str(port), "--workers", str(workers), env=env) as process:
        while not answer and process.process.poll() is None:
            with suppress(ConnectionRefusedError), connect(f"http://127.0.0.1:{port}") as raw:
                raw.send(request("/healthz", "Connection: close"))
                answer = raw.rest()
                break
            refusals += 1

    assert refusals > 0
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_port_in_use_fails_the_start(env: Environment) -> None:
    """When the port is in use, the start fails with status 5 and the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running("serve", "--port", str(port), env=env) as process:
            status = process.wait()

    assert status == 5
    assert f"127.0.0.1:{port}" in process.text()
