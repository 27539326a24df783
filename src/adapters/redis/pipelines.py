"""Run several commands, on one Redis or on a cluster."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import RedisCluster

from adapters.redis.client import Client

Command = tuple[Any, ...]
"""The name of a Redis command and its arguments: text, bytes and numbers."""


async def run(redis: Client, *sequences: Sequence[Command]) -> list[list[Any]]:
    """Run the commands of each sequence in their order, and return their answers. Raises the first error.

    One Redis gets all of them in one round trip. On a cluster the sequences run side by side, and an error ends its
    own sequence: what comes after it is not sent. No command is running any more when this returns.
    """
    if not sequences:
        return []
    if isinstance(redis, RedisCluster):
        outcomes = await asyncio.gather(*(_in_order(redis, each) for each in sequences), return_exceptions=True)
        return [_answers(outcome) for outcome in outcomes]
    pipeline = redis.pipeline(transaction=False)
    for sequence in sequences:
        for command in sequence:
            pipeline.execute_command(*command)
    answers = iter(await pipeline.execute())
    return [[next(answers) for _ in sequence] for sequence in sequences]


async def _in_order(cluster: RedisCluster, commands: Sequence[Command]) -> list[Any]:
    return [await cluster.execute_command(*command) for command in commands]


def _answers(outcome: list[Any] | BaseException) -> list[Any]:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
