"""The worker loses no job when it or Redis is killed."""

import asyncio
import json
import signal

import pytest
from redis import Redis

from domain.device import UNKNOWN_DEVICE
from domain.identity import AppId, Identity
from domain.session import Session, SessionToken
from domain.session_key import SessionKey
from entrypoints import purge
from entrypoints.container import open_container
from entrypoints.settings import Settings
from entrypoints.worker import run_worker
from support.clock import Clock
from support.jobs import queue_job, result_of_job, run_job
from support.processes import APPID, KEY, SECRET, Environment, Sandbox, environment, run, running
from support.servers import redis_server, wait_until


@pytest.fixture
def env(sandbox: Sandbox, own_redis_url: str, sqlite_url: str) -> Environment:
    """The settings of a worker with its own queue."""
    return environment(
        database_url=sqlite_url, wechat_url=sandbox.url, redis_url=own_redis_url, wechat_timeout_seconds="2"
    )


def test_a_killed_workers_job_is_finished_by_the_next(env: Environment, sandbox: Sandbox, own_redis_url: str) -> None:
    """When a worker is killed during a job, the next worker finishes the job, even on an idle queue."""
    code = sandbox.code()
    calls = sandbox.call_count()
    sandbox.fail(delay_seconds=1.5, status=500)
    with running("worker", env=env) as first:
        first.event("working")
        job = queue_job(own_redis_url, "wxlogin.login", code=code)
        wait_until(lambda: sandbox.call_count() > calls, "the job")
        first.stop(signal.SIGKILL)

    with running("worker", env=env) as second:
        second.event("working")
        body = result_of_job(own_redis_url, job, seconds=30)

        assert body["token_type"] == "Bearer"
        assert _entries(own_redis_url) == 0


def test_a_stopped_worker_finishes_its_job(env: Environment, sandbox: Sandbox, own_redis_url: str) -> None:
    """After SIGTERM the worker finishes its job, and ends with status 0."""
    code = sandbox.code()
    calls = sandbox.call_count()
    sandbox.fail(delay_seconds=1)
    with running("worker", env=env) as worker:
        worker.event("working")
        job = queue_job(own_redis_url, "wxlogin.login", code=code)
        wait_until(lambda: sandbox.call_count() > calls, "the job")
        status = worker.stop(signal.SIGTERM)

    assert status == 0
    assert "token" in result_of_job(own_redis_url, job, seconds=1)


def test_a_job_that_was_queued_before_any_worker_ran_is_done(
    env: Environment, sandbox: Sandbox, own_redis_url: str
) -> None:
    """A job that was queued before the first worker started is finished."""
    job = queue_job(own_redis_url, "wxlogin.login", code=sandbox.code())

    with running("worker", env=env):
        assert "token" in result_of_job(own_redis_url, job, seconds=20)


def test_jobs_end_all_sessions_of_a_user(env: Environment, sandbox: Sandbox, own_redis_url: str) -> None:
    """wxlogin.end_all_sessions ends all sessions of a user and returns their number. Wrong input is a problem."""
    with running("worker", env=env):
        user_id = run_job(own_redis_url, "wxlogin.login", code=sandbox.code())["user"]["id"]

        ended = run_job(own_redis_url, "wxlogin.end_all_sessions", user_id=user_id, reason="session_ended")
        again = run_job(own_redis_url, "wxlogin.end_all_sessions", user_id=user_id)
        wrong = run_job(own_redis_url, "wxlogin.end_all_sessions", user_id=user_id, reason="a whim")
        number = run_job(own_redis_url, "wxlogin.login", code=5)

    assert (ended, again) == ({"ended": 1}, {"ended": 0})
    assert (wrong["code"], number["code"]) == ("request_invalid", "request_invalid")


def test_a_worker_continues_after_redis_restarts(sandbox: Sandbox, sqlite_url: str) -> None:
    """When Redis is killed and started again, the worker continues."""
    with redis_server() as redis:
        url = f"redis://127.0.0.1:{redis.port}/0"
        env = environment(database_url=sqlite_url, wechat_url=sandbox.url, redis_url=url)
        with running("worker", env=env) as worker:
            worker.event("working")
            redis.kill()
            worker.event("store_unavailable")
            redis.start()

            assert "token" in run_job(url, "wxlogin.login", code=sandbox.code())


@pytest.mark.anyio
async def test_a_worker_purges_old_sessions_in_the_database(
    own_redis_url: str, sqlite_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker purges sessions in the database, from before there was a Redis, when their retention is over."""
    monkeypatch.setattr(purge, "PERIOD_SECONDS", 0.005)
    given = {"appid": APPID, "app_secret": SECRET, "encryption_keys": KEY, "redis_url": own_redis_url}
    settings = Settings.model_validate(given | {"database_url": sqlite_url})
    async with open_container(settings, clock=clock) as container:
        identity = Identity(AppId(APPID), "oAnn")
        user, _ = await container.user_repository().find_or_create(identity, clock.now)
        session = Session.start(SessionToken.generate(), user.id, identity, UNKNOWN_DEVICE, settings.policy, clock.now)
        store = container.sql_session_store()
        await store.start(session, SessionKey("a key"), 0)
        clock.advance(days=14)
        stop = asyncio.Event()
        worker = asyncio.create_task(run_worker(settings, container, stop))
        async with asyncio.timeout(10):
            while await store.find(session.id):  # noqa: ASYNC110  # a database sends no notification
                await asyncio.sleep(0.01)
        stop.set()
        await worker


def test_a_result_is_json(env: Environment, sandbox: Sandbox, own_redis_url: str) -> None:
    """The result of a job in Redis is JSON, so that its reader runs no code from it."""
    with running("worker", env=env), Redis.from_url(own_redis_url) as redis:
        job = queue_job(own_redis_url, "wxlogin.login", code=sandbox.code())
        body = result_of_job(own_redis_url, job, seconds=20)

        assert json.loads(redis.get(job))["return_value"] == body
        assert 0 < redis.ttl(job) <= 60


def test_a_worker_without_redis_names_the_setting(sqlite_url: str) -> None:
    """Without Redis the worker ends with status 5 and the name of the setting."""
    done = run("worker", env=environment(database_url=sqlite_url))

    assert done.returncode == 5
    assert "WXLOGIN_REDIS_URL" in done.stderr


def _entries(redis_url: str) -> int:
    with Redis.from_url(redis_url) as redis:
        return int(redis.xlen("wxlogin"))
