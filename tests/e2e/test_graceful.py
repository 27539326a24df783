"""Stopping: what is in flight is finished, and everything is closed."""

import signal
import socket
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from support.processes import Sandbox, environment, service
from support.servers import accepts, wait_until


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_requests_in_flight_finish(
    sandbox: Sandbox, sqlite_url: str, workers: int, stop: signal.Signals
) -> None:
    """A login that WeChat is slow to answer is still answered when the service is told to stop, which ends with 0."""
    code = sandbox.code()
    calls = sandbox.call_count()
    sandbox.fail(delay_seconds=1)
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url)
    with service(workers=workers, env=env) as running, ThreadPoolExecutor() as threads:
        login: Future[dict[str, object]] = threads.submit(running.log_in, code)
        wait_until(lambda: sandbox.call_count() > calls, "the login")
        status = running.process.stop(stop)

        assert "token" in login.result()
        assert status == 0
        assert [event["event"] for event in running.process.events()].count("stopped") == 1
        assert "Traceback" not in running.process.text()


@pytest.mark.parametrize("path", ["/auth", "/healthz"])
def test_a_request_that_crosses_the_stop_is_answered(sandbox: Sandbox, sqlite_url: str, path: str) -> None:
    """On a connection that is kept open, what is sent before the stop is known gets its answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with service(env=environment(database_url=sqlite_url, wechat_url=sandbox.url)) as running:
        address = httpx.URL(running.url)
        port = address.port or 0
        with socket.create_connection((address.host, port), timeout=10) as client:
            client.sendall(request)
            client.recv(1)
            running.process.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not accepts(port), "the stop")
            client.sendall(request)
            last = b"".join(iter(lambda: client.recv(65536), b""))

        assert last.count(b"connection: close") == 1
        assert running.process.wait() == 0


def test_a_client_that_hangs_up_or_dawdles_does_no_harm(sandbox: Sandbox, sqlite_url: str) -> None:
    """Half a request, a lost client and a body that never comes leave the service as it was."""
    with service(env=environment(database_url=sqlite_url, wechat_url=sandbox.url)) as running:
        address = httpx.URL(running.url)
        for half in (
            b"POST /login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
            b"POST /log",
            b"\x00\xff\r\n\r\n",
        ):
            with socket.create_connection((address.host, address.port or 0)) as client:
                client.sendall(half)

        assert running.log_in(sandbox.code())["token_type"] == "Bearer"
        assert running.process.stop() == 0
