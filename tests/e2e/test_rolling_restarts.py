"""Two instances behind a gateway, restarted one after the other."""

from functools import partial
from pathlib import Path

import pytest

from support import gateways, plain_http
from support.processes import Running, Sandbox, environment
from support.restarts import assert_none_lost, check, clients, login
from support.servers import accepts, free_port, migrate_database, wait_until


@pytest.mark.parametrize("name", gateways.FOUND)
def test_two_instances_behind_a_gateway_are_restarted_in_turn(
    name: str, sandbox: Sandbox, redis_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    """With the example configurations, a rolling restart loses no request and delays none for more than two seconds."""
    migrate_database(sqlite_url)
    stores = {"redis_url": redis_url, "database_url": sqlite_url}
    env = environment(
        **stores, wechat_url=sandbox.url, trusted_proxies="127.0.0.1", drain_seconds="6"
    )  # a health check takes up to 5 on a busy machine
    ports = [free_port(), free_port()]
    with gateways.backend() as backend, gateways.gateway(name, tmp_path, ports[0], backend.port, other=ports[1]) as url:
        instances = [_instance(env, port) for port in ports]
        try:
            wait_until(lambda: plain_http.fetch(f"{url}/v1/sessions").status_code == 401, "the gateway to see them")
            token = plain_http.fetch(f"{url}/v1/sessions", "POST", json={"code": sandbox.code()}).json()["token"]
            with clients(url, check(token, "/orders", b"http/1.1 200"), login()) as seen:
                for index, port in enumerate(ports):
                    wait_until(partial(seen.has_answered, seen.answered + 200), "requests")
                    assert instances[index].stop() == 0
                    instances[index] = _instance(env, port)
                wait_until(partial(seen.has_answered, seen.answered + 200), "requests")
        finally:
            for instance in instances:
                instance.kill()
                instance.wait()

    assert_none_lost(seen)


def _instance(env: dict[str, str], port: int) -> Running:
    """Run a service on this port, and wait until it accepts connections."""
    started = Running("serve", "--port", str(port), "--workers", "2", env=env)
    started.event("serving")
    wait_until(lambda: accepts(port), "serve")
    return started
