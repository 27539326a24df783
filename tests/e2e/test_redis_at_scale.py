"""The service with Redis Cluster and Redis Sentinel, and a failover under load."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from support.jobs import run_job
from support.load import CHECK, CHECK_ENDED, LOG_IN, load
from support.processes import Environment, Sandbox, Service, environment, run, running
from support.servers import wait_until
from support.topologies import Topology, redis_cluster, redis_sentinel, replicate

Open = Callable[..., AbstractContextManager[Service]]

PATIENCE_SECONDS = 6.0
"""The longest time that a client may wait for an answer, also during a failover."""
TOPOLOGIES = {"cluster": lambda: redis_cluster(replicas=1), "sentinel": redis_sentinel}

on_both = pytest.mark.parametrize("kind", ["cluster", "sentinel"])


@pytest.fixture
def redis_url(kind: str, request: pytest.FixtureRequest) -> str:
    """The URL of the cluster, or of the sentinels."""
    return str(request.getfixturevalue(f"redis_{kind}_url"))


@pytest.fixture
def env(redis_url: str, sandbox: Sandbox, sqlite_url: str) -> Environment:
    """The settings of an installation with its sessions there."""
    return environment(database_url=sqlite_url, wechat_url=sandbox.url, redis_url=redis_url)


@on_both
def test_sessions_work_on_cluster_and_sentinel(kind: str, redis_url: str, open_service: Open, sandbox: Sandbox) -> None:
    """A login, the check, the list of sessions and a log-out work as with a single Redis."""
    with open_service(redis_url=redis_url) as service:
        logins = [service.log_in(sandbox.code(openid=f"o{kind}")) for _ in range(3)]
        first, *_, last = [{"Authorization": f"Bearer {login['token']}"} for login in logins]
        devices = service.http.get("/v1/sessions", headers=first).json()["sessions"]
        ended = service.http.delete("/v1/sessions/current", headers=last)

        assert {device["id"] for device in devices} == {login["session"]["id"] for login in logins}
        assert ended.status_code == 204
        assert [service.auth(login["token"]).status_code for login in logins] == [204, 204, 401]
        assert service.http.get("/readyz").json()["checks"]["session store"] == "ok"


@on_both
def test_the_doctor_checks_cluster_and_sentinel(env: Environment) -> None:
    """`wxlogin doctor` checks the masters."""
    assert run("migrate", env=env).returncode == 0
    examined = run("doctor", env=env)

    assert examined.returncode == 0, examined.stdout
    assert "redis answers" in examined.stdout


@pytest.mark.parametrize(
    "url", ["redis://h:1?no_such=1", "redis+cluster://h:1?no_such=1", "redis+sentinel://h:1/m?ssl=1&x=2"]
)
def test_an_unknown_option_is_refused(url: str, sqlite_url: str) -> None:
    """An unknown option of a Redis client ends with status 5 and the name of the setting."""
    examined = run("doctor", env=environment(database_url=sqlite_url, redis_url=url))

    assert examined.returncode == 5
    assert "WXLOGIN_REDIS_URL" in examined.stdout
    assert "h:1" not in examined.stdout


@on_both
def test_jobs_run_on_cluster_and_sentinel(redis_url: str, env: Environment, sandbox: Sandbox) -> None:
    """The worker reads its queue there."""
    assert run("migrate", env=env).returncode == 0
    with running("worker", env=env) as worker:
        worker.event("working")

        assert "token" in run_job(redis_url, "wxlogin.login", code=sandbox.code())


@pytest.fixture
def topology(kind: str) -> Iterator[Topology]:
    """Servers that the test may kill."""
    with TOPOLOGIES[kind]() as started:
        yield started


@on_both
def test_a_failover_changes_no_session(topology: Topology, open_service: Open, sandbox: Sandbox) -> None:
    """During a failover, clients get 503 at worst.

    Afterwards no live session is lost, no ended one is live, no client waits for too long, and no process restarts.
    """
    with open_service(redis_url=topology.url) as service, load(service.url, sandbox) as clients:
        live, ended = ([service.log_in(sandbox.code())["token"] for _ in range(24)] for _ in range(2))
        for token in ended:
            service.http.delete("/v1/sessions/current", headers=bearer(token)).raise_for_status()
        replicate(topology)
        tally, began = clients.tally, time.monotonic()
        for steps in ([CHECK], [CHECK], [CHECK_ENDED]):
            clients.add(steps, live, ended)
        newcomer = clients.add([LOG_IN])
        wait_until(lambda: tally.all_good_since(began, [CHECK, CHECK_ENDED, LOG_IN]), "load")
        topology.shards[0][0].kill()
        wait_until(lambda: CHECK in {step for step, _, _ in tally.refused}, "the failure")
        wait_until(lambda: all(service.auth(token).status_code == 204 for token in live), "the fail-over")
        healed = time.monotonic()
        wait_until(lambda: tally.all_good_since(healed, [LOG_IN]), "logins")
        clients.stop()
        after = [service.auth(token).status_code for token in ended]

        assert tally.wrong == []
        assert {code for _, _, code in tally.refused} == {"store_unavailable"}
        assert not tally.broken
        assert tally.slowest < PATIENCE_SECONDS
        assert set(after) == {401}
        assert service.auth([*newcomer.live][-1]).status_code == 204


def bearer(token: str) -> dict[str, str]:
    """Return the Authorization header of a token."""
    return {"Authorization": f"Bearer {token}"}
