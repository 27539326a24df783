"""The worker's queue, as another program uses it: plain taskiq, nothing of ours."""

import asyncio
from typing import Any

from taskiq.kicker import AsyncKicker
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker


def run_job(redis_url: str, name: str, **arguments: Any) -> Any:
    """Queue a job, and wait for what it returns."""
    return asyncio.run(_run(redis_url, name, arguments))


def queue_job(redis_url: str, name: str, **arguments: Any) -> str:
    """Queue a job, and say its id."""
    return asyncio.run(_queue(redis_url, name, arguments))


def result_of_job(redis_url: str, task_id: str, seconds: float) -> Any:
    """Wait for what a queued job returns."""
    return asyncio.run(_result(redis_url, task_id, seconds))


def _broker(redis_url: str) -> RedisStreamBroker:
    broker = RedisStreamBroker(redis_url, queue_name="wxlogin")
    return broker.with_result_backend(RedisAsyncResultBackend(redis_url))


async def _run(redis_url: str, name: str, arguments: dict[str, Any]) -> Any:
    broker = _broker(redis_url)
    await broker.startup()
    task: Any = await AsyncKicker(name, broker, {}).kiq(**arguments)
    result = await task.wait_result(timeout=20)
    await broker.shutdown()
    assert not result.is_err, result.error
    return result.return_value


async def _queue(redis_url: str, name: str, arguments: dict[str, Any]) -> str:
    broker = _broker(redis_url)
    await broker.startup()
    task: Any = await AsyncKicker(name, broker, {}).kiq(**arguments)
    await broker.shutdown()
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
        await broker.shutdown()
