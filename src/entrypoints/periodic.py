"""Work that is repeated while a service or a worker runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from domain.errors import StoreUnavailable
from entrypoints.log import log, log_error


@asynccontextmanager
async def repeating(
    work: Callable[[], Awaitable[object]], pause: Callable[[], float], where: str
) -> AsyncIterator[None]:
    """Repeat `work` while the block runs, each time after `pause()` seconds.

    Errors are logged with `where`, and end neither the block nor the repetition.
    """
    task = asyncio.create_task(_repeat(work, pause, where))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _repeat(work: Callable[[], Awaitable[object]], pause: Callable[[], float], where: str) -> None:
    while True:
        await asyncio.sleep(pause())
        try:
            await work()
        except StoreUnavailable as error:
            log_error(error, where)
        except Exception as error:  # noqa: BLE001  # a defect here ends no service
            log.error("defect", where=where, exc_info=error)
