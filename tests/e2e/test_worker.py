"""The worker loses no job, whatever happens to it or to Redis."""

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
    """Settings of a worker with a queue of its own."""
    return environment(
        database_url=sqlite_url, wechat_url=sandbox.url, redis_url=own_redis_url, wechat_timeout_seconds="2"
    )


def test_a_killed_workers_job_is_finished_by_the_next(env: Environment, sandbox: Sandbox, own_redis_url: str) -> None:
    """A job whose worker gets SIGKILL half-way is finished by the next worker, on an otherwise idle queue."""
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
    """SIGTERM lets the job in hand finish, then the worker ends with status 0."""
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
    """A queue may fill before the first worker starts."""
    job = queue_job(own_redis_url, "wxlogin.login", code=sandbox.code())

    with running("worker", env=env):
        assert "token" in result_of_job(own_redis_url, job, seconds=20)


def test_jobs_end_all_sessions_of_a_user(env: Environment, sandbox: Sandbox, own_redis_url: str) -> None:
    """wxlogin.end_all_sessions logs a user out everywhere and says of how many sessions; bad input is a problem."""
    with running("worker", env=env):
        user_id = run_job(own_redis_url, "wxlogin.login", code=sandbox.code())["user"]["id"]

        ended = run_job(own_redis_url, "wxlogin.end_all_sessions", user_id=user_id, reason="session_ended")
        again = run_job(own_redis_url, "wxlogin.end_all_sessions", user_id=user_id)
        wrong = run_job(own_redis_url, "wxlogin.end_all_sessions", user_id=user_id, reason="a whim")
        number = run_job(own_redis_url, "wxlogin.login", code=5)

    assert (ended, again) == ({"ended": 1}, {"ended": 0})
    assert (wrong["code"], number["code"]) == ("request_invalid", "request_invalid")


def test_a_worker_waits_for_redis_to_come_back(sandbox: Sandbox, sqlite_url: str) -> None:
    """When Redis dies and returns, the worker goes on by itself."""
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
async def test_a_worker_purges_what_sessions_left_in_the_database(
    own_redis_url: str, sqlite_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions that lived in the database before there was a Redis are dropped when they are forgotten."""
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
            while await store.find(session.id):  # noqa: ASYNC110  # a database tells nobody
                await asyncio.sleep(0.01)
        stop.set()
        await worker


def test_a_result_is_json(env: Environment, sandbox: Sandbox, own_redis_url: str) -> None:
    """What the worker leaves in Redis is JSON, which runs nothing in the program that reads it."""
    with running("worker", env=env), Redis.from_url(own_redis_url) as redis:
        job = queue_job(own_redis_url, "wxlogin.login", code=sandbox.code())
        body = result_of_job(own_redis_url, job, seconds=20)

        assert json.loads(redis.get(job))["return_value"] == body
        assert 0 < redis.ttl(job) <= 60


def test_a_worker_without_redis_says_what_is_missing(sqlite_url: str) -> None:
    """Without a queue there is nothing to work on: exit status 5, and the setting's name."""
    done = run("worker", env=environment(database_url=sqlite_url))

    assert done.returncode == 5
    assert "WXLOGIN_REDIS_URL" in done.stderr


def _entries(redis_url: str) -> int:
    with Redis.from_url(redis_url) as redis:
        return int(redis.xlen("wxlogin"))
