"""`wxlogin healthcheck`, as probes of containers use it."""

from urllib.parse import urlsplit

import pytest

from support.processes import Environment, Sandbox, environment, run, service
from support.proxy import How, proxy
from support.servers import free_port


@pytest.fixture
def env(sandbox: Sandbox, sqlite_url: str) -> Environment:
    """The settings of a service on SQLite."""
    return environment(database_url=sqlite_url, wechat_url=sandbox.url)


@pytest.mark.parametrize("ready", [[], ["--ready"]], ids=["health", "readiness"])
def test_a_running_service_is_healthy(env: Environment, ready: list[str]) -> None:
    """The command exits with 0 and prints nothing, also where the environment names an HTTP proxy."""
    with service(env=env) as running:
        port = str(urlsplit(running.url).port)
        proxied = {"http_proxy": f"http://127.0.0.1:{free_port()}"}
        checked = run("healthcheck", "--port", port, *ready, env=proxied)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_no_service_is_unhealthy() -> None:
    """If nothing listens, the command exits with 4 and says so."""
    checked = run("healthcheck", "--port", str(free_port()), env={})

    assert (checked.returncode, checked.stdout) == (4, "")
    assert "no service answers" in checked.stderr
    assert "Traceback" not in checked.stderr


def test_a_service_without_its_store_is_alive_but_not_ready(sandbox: Sandbox, redis_url: str, sqlite_url: str) -> None:
    """While Redis is away, the health check passes, and the readiness check exits with 4 and names the store."""
    server = urlsplit(redis_url)
    with proxy((str(server.hostname), server.port or 6379)) as redis:
        url = f"redis://127.0.0.1:{redis.port}{server.path}"
        with service(env=environment(database_url=sqlite_url, wechat_url=sandbox.url, redis_url=url)) as running:
            redis.become(How.REFUSING)
            port = str(urlsplit(running.url).port)
            alive, ready = [run("healthcheck", "--port", port, *flags, env={}) for flags in ([], ["--ready"])]

    assert (alive.returncode, ready.returncode) == (0, 4)
    assert "session store" in ready.stderr
