"""`wxlogin worker`: the use cases, from a queue on Redis Streams."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq import AckableMessage, TaskiqScheduler
from taskiq.api import run_scheduler_task
from taskiq.receiver import Receiver
from taskiq.schedule_sources import LabelScheduleSource
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from entrypoints.container import Container, open_container, require_migrated
from entrypoints.jobs import Body, Jobs
from entrypoints.log import configure_logging, log
from entrypoints.settings import Settings, load_settings, missing

QUEUE = "wxlogin"
RESULT_SECONDS = 60
POLL_MILLISECONDS = 1000
JOB_SECONDS = 7.0
"""The longest a job may take beyond its call to WeChat: a store answers within three seconds or not at all."""


class JobBroker(RedisStreamBroker):
    """RedisStreamBroker, but a dead worker's jobs are claimed on an idle queue too, and a done job leaves the stream.

    Upstream looks for unacknowledged jobs only after new ones, and never deletes an entry (taskiq-redis 1.2.4).
    """

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """First what a dead worker left, then what is new."""
        async with Redis(connection_pool=self.connection_pool) as redis:
            while True:
                _, left, *_ = await redis.xautoclaim(
                    self.queue_name,
                    self.consumer_group_name,
                    self.consumer_name,
                    min_idle_time=self.idle_timeout,
                )
                new: Any = await redis.xreadgroup(
                    self.consumer_group_name,
                    self.consumer_name,
                    {self.queue_name: ">"},
                    count=self.count,
                    block=self.block,
                )
                for entry, fields in [*left, *(new[0][1] if new else [])]:
                    yield AckableMessage(data=fields[b"data"], ack=self._ack_generator(entry, self.queue_name))

    def _ack_generator(self, id: str, queue_name: str) -> Callable[[], Awaitable[None]]:  # noqa: A002  # upstream's name
        async def acknowledge() -> None:
            async with Redis(connection_pool=self.connection_pool) as redis, redis.pipeline() as pipeline:
                pipeline.xack(queue_name, self.consumer_group_name, id)
                pipeline.xdel(queue_name, id)
                await pipeline.execute()

        return acknowledge


def create_broker(settings: Settings, jobs: Jobs) -> JobBroker:
    """The broker that knows the jobs. A job is acknowledged when its result is stored."""
    if settings.redis_url is None:
        raise missing("redis_url", "the worker's queue lives in Redis")
    url = settings.redis_url.get_secret_value()
    job_seconds = settings.wechat_timeout_seconds + JOB_SECONDS
    broker = JobBroker(
        url,
        queue_name=QUEUE,
        consumer_id="0",
        xread_block=POLL_MILLISECONDS,
        idle_timeout=round((job_seconds + 1) * 1000),
        socket_timeout=5.0,
        socket_connect_timeout=1.0,
    ).with_result_backend(RedisAsyncResultBackend(url, result_ex_time=RESULT_SECONDS))

    @broker.task("wxlogin.login", timeout=job_seconds)
    async def login(code: object = None, appid: object = None) -> Body:
        return await jobs.login(code, appid)

    @broker.task("wxlogin.end_all_sessions", timeout=job_seconds)
    async def end_all_sessions(user_id: object = None, reason: object = "session_ended") -> Body:
        return await jobs.end_all_sessions(user_id, reason)

    @broker.task("wxlogin.purge_sessions", timeout=job_seconds, schedule=[{"cron": "*/10 * * * *"}])
    async def purge_sessions() -> Body:
        return await jobs.purge_sessions()

    return broker


def work() -> None:
    """Work until SIGTERM or Ctrl-C, and finish what was begun. Raises SettingsError and StoreUnavailable."""
    settings = load_settings().require_app()
    configure_logging(settings)
    logging.getLogger("taskiq").setLevel(logging.CRITICAL)  # it logs whole messages, and a message holds a code
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    async with open_container(settings) as container:
        await require_migrated(container)
        await run_worker(settings, container, stop)
    log.info("stopped")


async def run_worker(settings: Settings, container: Container, stop: asyncio.Event) -> None:
    """Work until `stop` is set; when Redis goes away, wait for it."""
    broker = create_broker(settings, Jobs(container))
    scheduler = asyncio.create_task(_schedule(broker))
    log.info("working", queue=QUEUE)
    try:
        with ThreadPoolExecutor(max_workers=1) as executor:
            while not stop.is_set():
                await _listen(broker, executor, stop)
    finally:
        scheduler.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await scheduler
        await broker.shutdown()


async def _listen(broker: JobBroker, executor: ThreadPoolExecutor, stop: asyncio.Event) -> None:
    broker.is_worker_process = True
    receiver = Receiver(broker, executor, validate_params=False, max_async_tasks=100, max_async_tasks_jitter=0)
    try:
        await receiver.listen(stop)
    except* (RedisError, OSError) as group:
        log.error("store_unavailable", where="worker", cause=str(group.exceptions[0])[:200])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=1)


async def _schedule(broker: JobBroker) -> None:
    scheduler = TaskiqScheduler(broker, sources=[LabelScheduleSource(broker)])
    while True:
        try:
            await run_scheduler_task(scheduler)
        except (RedisError, OSError):
            await asyncio.sleep(1)
