"""Deliver events to webhooks while a service or a worker runs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import chain, repeat

from application.webhooks import Lane
from entrypoints.container import Container
from entrypoints.log import log
from entrypoints.periodic import attempt, random_pause, repeating

STOP_SECONDS = 5.0
"""How long calls may take when the process stops. What is not finished is sent again by another process."""

RETRY_SECONDS = 1.0
"""The pause after an error of the database."""

MEASURE_SECONDS = 15.0
"""How often a process counts what waits."""

CLEAN_SECONDS = 600.0
"""How often a process removes what endpoints that are no longer configured did not get, on average."""

WHERE = "webhooks"


@asynccontextmanager
async def delivering(container: Container) -> AsyncIterator[None]:
    """Deliver events while the block runs, with a task for each endpoint.

    At the end of the block, calls under way have STOP_SECONDS to finish.
    """
    webhooks, metrics, clock = container.webhooks(), container.metrics(), container.clock()

    async def measure() -> None:
        for endpoint, backlog in await webhooks.backlog():
            age = (clock() - backlog.oldest).total_seconds() if backlog else 0.0
            metrics.webhooks_waiting(endpoint, backlog.waiting if backlog else 0, max(age, 0.0))

    async def clean() -> None:
        if count := await webhooks.remove_orphans():
            log.warning("webhooks_orphaned", deliveries=count)

    for lane in webhooks.lanes:
        metrics.webhook_configured(lane.endpoint)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_running(webhooks.lanes))
        await stack.enter_async_context(repeating(clean, lambda: random_pause(CLEAN_SECONDS), WHERE))
        if webhooks.lanes:
            pauses = chain([0.0], repeat(MEASURE_SECONDS))
            await stack.enter_async_context(repeating(measure, lambda: next(pauses), WHERE))
        yield


@asynccontextmanager
async def _running(lanes: Sequence[Lane]) -> AsyncIterator[None]:
    """Run the lanes while the block runs. At its end, calls under way have STOP_SECONDS to finish."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(_run(lane, stop)) for lane in lanes]
    try:
        yield
    finally:
        stop.set()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(lane.aclose() for lane in lanes))


async def _run(lane: Lane, stop: asyncio.Event) -> None:
    """Run the lane until `stop` is set, even after errors."""
    while not stop.is_set() and not await attempt(lambda: lane.run(stop), WHERE):
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), RETRY_SECONDS)
