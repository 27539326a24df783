"""Delete what expired from the database while a service or a worker runs."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from application.scans import GrantPurge
from application.sessions import Sessions
from domain.errors import StoreUnavailable
from entrypoints.container import Container
from entrypoints.log import log, log_error

PERIOD_SECONDS = 600.0
"""How often a process purges sessions, on average."""

GRANT_PERIOD_SECONDS = 30.0
"""How often a process purges device grants, on average: a minute at most after their retention, they are gone."""


@asynccontextmanager
async def purging_all(container: Container) -> AsyncIterator[None]:
    """Purge sessions and device grants periodically while the block runs."""
    async with (
        purging(container.database_sessions(), "sessions", PERIOD_SECONDS),
        purging(container.grant_purge(), "device_grants", GRANT_PERIOD_SECONDS),
    ):
        yield


@asynccontextmanager
async def purging(purged: Sessions | GrantPurge, name: str, period: float) -> AsyncIterator[None]:
    """Purge periodically while the block runs. Errors are logged, and the next purge tries again.

    The pauses are random, also the first one, so that processes that start together purge at different times. It is
    safe if several purge at once.
    """
    task = asyncio.create_task(_purge(purged, name, period))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _purge(purged: Sessions | GrantPurge, name: str, period: float) -> None:
    while True:
        await asyncio.sleep(random.uniform(0, 2 * period))  # noqa: S311  # no secret
        try:
            if count := await purged.purge():
                log.info("purged", **{name: count})
        except StoreUnavailable as error:
            log_error(error, "purge")
        except Exception as error:  # noqa: BLE001  # a defect here ends no service
            log.error("defect", where="purge", exc_info=error)
