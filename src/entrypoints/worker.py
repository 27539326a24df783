"""`wxlogin worker`: run jobs from a queue on Redis Streams."""

import asyncio
import logging
import signal
import socket
import uuid
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

from redis.exceptions import RedisError, ResponseError
from taskiq import AckableMessage, AsyncBroker, BrokerMessage, TaskiqResult
from taskiq.receiver import Receiver
from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisAsyncResultBackend

from entrypoints.container import Container, RedisClient, open_container, require_migrated
from entrypoints.deliver import delivering
from entrypoints.failure_counter import flushing_failures
from entrypoints.jobs import Body, Jobs
from entrypoints.log import configure_logging, log
from entrypoints.metrics_port import open_metrics_port, serving_metrics
from entrypoints.purge import purging
from entrypoints.relay import relaying
from entrypoints.settings import Settings, load_settings, missing

QUEUE = "wxlogin"
GROUP = "taskiq"
"""Upstream's consumer group."""
BATCH = 100
ACKNOWLEDGE = "redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]); redis.call('XDEL', KEYS[1], ARGV[2])"
RESULT_SECONDS = 60
POLL_MILLISECONDS = 1000
JOB_SECONDS = 7.0
"""The longest a login may take beyond its call to WeChat: a store answers within three seconds or not at all."""


class JobBroker(AsyncBroker):
    """The queue of taskiq's RedisStreamBroker, on every kind of Redis. See docs/decisions/0006-job-queue.md."""

    def __init__(self, redis: RedisClient, idle_seconds: float) -> None:
        super().__init__()
        self._redis = redis
        self._idle_milliseconds = round(idle_seconds * 1000)
        self._consumer = uuid.uuid4().hex

    async def startup(self) -> None:
        """Start, also with jobs that were queued before the first worker ran."""
        await super().startup()
        with suppress(ResponseError):  # the group is there already
            await self._redis.xgroup_create(QUEUE, GROUP, id="0", mkstream=True)

    async def kick(self, message: BrokerMessage) -> None:
        """Queue a job."""
        await self._redis.xadd(QUEUE, {b"data": message.message})

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Yield the jobs that a dead worker left, then new ones."""
        while True:
            _, left, *_ = await self._redis.xautoclaim(QUEUE, GROUP, self._consumer, self._idle_milliseconds)
            new: Any = await self._redis.xreadgroup(
                GROUP, self._consumer, {QUEUE: ">"}, count=BATCH, block=POLL_MILLISECONDS
            )
            for entry, fields in [*left, *(new[0][1] if new else [])]:
                yield AckableMessage(data=fields[b"data"], ack=partial(self._acknowledge, entry))

    async def _acknowledge(self, entry: bytes) -> None:
        await self._redis.eval(ACKNOWLEDGE, 1, QUEUE, GROUP, entry)


class JobResults(RedisAsyncResultBackend[Any]):
    """Results as JSON in the keys of taskiq's RedisAsyncResultBackend, on every kind of Redis.

    taskiq's default is pickle, with which anyone who can write to Redis runs code in the program that reads.
    """

    def __init__(self, redis: RedisClient) -> None:
        super().__init__("redis://", result_ex_time=RESULT_SECONDS, serializer=JSONSerializer())
        self._redis = redis

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        """Store the result for a minute."""
        await self._redis.set(task_id, self.serializer.dumpb(result.model_dump(mode="json")), ex=RESULT_SECONDS)


def create_broker(settings: Settings, redis: RedisClient, jobs: Jobs) -> JobBroker:
    """Return the broker with the jobs. A job is acknowledged after its result is stored."""
    job_seconds = settings.wechat_timeout_seconds + JOB_SECONDS + settings.phone_limit.total_seconds()
    broker = JobBroker(redis, job_seconds + 1).with_result_backend(JobResults(redis))

    @broker.task("wxlogin.login", timeout=job_seconds)
    async def login(code: object = None, appid: object = None, phone_code: object = None) -> Body:
        return await jobs.login(code, appid, phone_code)

    @broker.task("wxlogin.end_all_sessions", timeout=job_seconds)
    async def end_all_sessions(user_id: object = None, reason: object = "session_ended") -> Body:
        return await jobs.end_all_sessions(user_id, reason)

    return broker


def work(host: str, metrics_port: int | None) -> None:
    """Run jobs until SIGTERM or Ctrl-C, and finish those under way. Serve metrics on a port, if given.

    Raises SettingsError and StoreUnavailable.
    """
    settings = load_settings().require_app()
    if settings.redis_url is None:
        raise missing("redis_url", "the worker's queue lives in Redis")
    configure_logging(settings)
    logging.getLogger("taskiq").setLevel(logging.CRITICAL)  # it logs whole messages, and a message holds a code
    metrics_listener = None if metrics_port is None else open_metrics_port(host, metrics_port)
    asyncio.run(_work(settings, metrics_listener))


async def _work(settings: Settings, metrics_listener: socket.socket | None) -> None:
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    async with open_container(settings) as container:
        await require_migrated(container)
        with nullcontext() if metrics_listener is None else serving_metrics(container.metrics(), metrics_listener):
            await run_worker(settings, container, stop)
    log.info("stopped")


async def run_worker(settings: Settings, container: Container, stop: asyncio.Event) -> None:
    """Run jobs until `stop` is set. While Redis is away, wait for it."""
    broker = create_broker(settings, container.redis(), Jobs(container))
    log.info("working", queue=QUEUE)
    try:
        async with (
            purging(container),
            relaying(container),
            delivering(container),
            flushing_failures(container.failure_counter()),
        ):
            with ThreadPoolExecutor(max_workers=1) as executor:
                while not stop.is_set():
                    await _listen(broker, executor, stop)
    finally:
        await broker.shutdown()


async def _listen(broker: JobBroker, executor: ThreadPoolExecutor, stop: asyncio.Event) -> None:
    broker.is_worker_process = True
    receiver = Receiver(broker, executor, validate_params=False, max_async_tasks=100, max_async_tasks_jitter=0)
    try:
        await receiver.listen(stop)
    except* (RedisError, OSError) as group:
        log.error("store_unavailable", where="worker", cause=str(group.exceptions[0])[:200])
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=1)
