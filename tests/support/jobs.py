"""The worker's queue, as another program uses it: with plain taskiq."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Sentinel
from taskiq import AsyncBroker
from taskiq.kicker import AsyncKicker
from taskiq.serializers import JSONSerializer
from taskiq_redis import (
    RedisAsyncClusterResultBackend,
    RedisAsyncResultBackend,
    RedisAsyncSentinelResultBackend,
    RedisStreamBroker,
    RedisStreamClusterBroker,
    RedisStreamSentinelBroker,
)

QUEUE = "wxlogin"


def run_job(redis_url: str, name: str, **arguments: Any) -> Any:
    """Queue a job, wait for its end, and return its result."""
    return asyncio.run(_run(redis_url, name, arguments))


def queue_job(redis_url: str, name: str, **arguments: Any) -> str:
    """Queue a job, and return its id."""
    return asyncio.run(_queue(redis_url, name, arguments))


def result_of_job(redis_url: str, task_id: str, seconds: float) -> Any:
    """Wait for the result of a queued job, and return it."""
    return asyncio.run(_result(redis_url, task_id, seconds))


def _broker(redis_url: str) -> AsyncBroker:
    parts = urlsplit(redis_url)
    hosts = [(host, int(port)) for host, port in (each.split(":") for each in parts.netloc.split(","))]
    match parts.scheme:
        case "redis+cluster":
            node = "redis://{}:{}".format(*hosts[0])
            cluster = RedisStreamClusterBroker(node, queue_name=QUEUE)
            return cluster.with_result_backend(RedisAsyncClusterResultBackend(node, serializer=JSONSerializer()))
        case "redis+sentinel":
            master = parts.path.strip("/")
            sentinel = RedisStreamSentinelBroker(hosts, master, queue_name=QUEUE)
            return sentinel.with_result_backend(
                RedisAsyncSentinelResultBackend(hosts, master, serializer=JSONSerializer())
            )
        case _:
            broker = RedisStreamBroker(redis_url, queue_name=QUEUE)
            return broker.with_result_backend(RedisAsyncResultBackend(redis_url, serializer=JSONSerializer()))


async def _close(broker: AsyncBroker) -> None:
    await broker.shutdown()
    for each in (broker, broker.result_backend):
        if isinstance(sentinel := getattr(each, "sentinel", None), Sentinel):
            await sentinel.aclose()  # taskiq-redis 1.2.4 does not close it


async def _run(redis_url: str, name: str, arguments: dict[str, Any]) -> Any:
    broker = _broker(redis_url)
    await broker.startup()
    task: Any = await AsyncKicker(name, broker, {}).kiq(**arguments)
    result = await task.wait_result(timeout=20)
    await _close(broker)
    assert not result.is_err, result.error
    return result.return_value


async def _queue(redis_url: str, name: str, arguments: dict[str, Any]) -> str:
    broker = _broker(redis_url)
    await broker.startup()
    task: Any = await AsyncKicker(name, broker, {}).kiq(**arguments)
    await _close(broker)
    return str(task.task_id)


async def _result(redis_url: str, task_id: str, seconds: float) -> Any:
    broker = _broker(redis_url)
    await broker.startup()
    try:
        async with asyncio.timeout(seconds):
            while not await broker.result_backend.is_result_ready(task_id):  # noqa: ASYNC110  # another process sets it
                await asyncio.sleep(0.05)
        return (await broker.result_backend.get_result(task_id)).return_value
    finally:
        await _close(broker)
