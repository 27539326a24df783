"""Delete expired sessions from the database while a service or a worker runs."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from application.sessions import Sessions
from domain.errors import StoreUnavailable
from entrypoints.log import log, log_error

PERIOD_SECONDS = 600.0
"""How often a process purges, on average."""


@asynccontextmanager
async def purging(sessions: Sessions) -> AsyncIterator[None]:
    """Purge periodically while the block runs. Errors are logged, and the next purge tries again.

    The pauses are random, also the first one, so that processes that start together purge at different times. It is
    safe if several purge at once.
    """
    task = asyncio.create_task(_purge(sessions))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _purge(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(random.uniform(0, 2 * PERIOD_SECONDS))  # noqa: S311  # no secret
        try:
            if purged := await sessions.purge():
                log.info("purged", sessions=purged)
        except StoreUnavailable as error:
            log_error(error, "purge")
        except Exception as error:  # noqa: BLE001  # a defect here ends no service
            log.error("defect", where="purge", exc_info=error)
