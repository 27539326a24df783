"""Work that is repeated while a service or a worker runs."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from domain.errors import StoreUnavailable
from entrypoints.log import log, log_error

Work = Callable[[], Awaitable[object]]


@asynccontextmanager
async def repeating(work: Work, pause: Callable[[], float], where: str) -> AsyncIterator[None]:
    """Repeat `work` while the block runs, each time after `pause()` seconds.

    Errors are logged with `where`, and end neither the block nor the repetition.
    """
    task = asyncio.create_task(_repeat(work, pause, where))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def flushing(flush: Work, seconds: float, where: str) -> AsyncIterator[None]:
    """Repeat `flush` every so many seconds while the block runs, and once more at its end. Errors are logged."""
    try:
        async with repeating(flush, lambda: seconds, where):
            yield
    finally:
        await attempt(flush, where)


async def attempt(work: Work, where: str) -> bool:
    """Do the work, log its error with `where`, and return whether it succeeded."""
    try:
        await work()
    except StoreUnavailable as error:
        log_error(error, where)
    except Exception as error:  # noqa: BLE001  # a defect here ends no service
        log.error("defect", where=where, exc_info=error)
    else:
        return True
    return False


def random_pause(average: float) -> float:
    """Return a pause in seconds, so that processes that start together do not work together."""
    return random.uniform(0, 2 * average)  # noqa: S311  # no secret


async def _repeat(work: Work, pause: Callable[[], float], where: str) -> None:
    while True:
        await asyncio.sleep(pause())
        await attempt(work, where)
