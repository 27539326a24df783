"""Delete what expired from the database while a service or a worker runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from domain.login_failure import RETENTION
from entrypoints.container import Container, distinct
from entrypoints.log import log
from entrypoints.periodic import random_pause, repeating

PERIOD_SECONDS = 600.0
"""How often a process purges sessions and the audit trail, on average."""

GRANT_PERIOD_SECONDS = 30.0
"""How often a process purges device grants, on average: a minute at most after their retention, they are gone."""

LOG_PERIOD_SECONDS = 30.0
"""How often a process empties SQLite's log, on average: an erasure leaves it as it is while another process reads."""


@asynccontextmanager
async def purging(container: Container) -> AsyncIterator[None]:
    """Purge sessions, device grants, the audit trail and counts of failed logins periodically while the block runs.

    It also empties SQLite's log, which has what was erased.

    The pauses are random, also the first ones, so that processes that start together purge at different times. It is
    safe if several purge at once.
    """
    grants, clock = container.sql_device_grants(), container.clock()
    # sessions may have been in the database before they were elsewhere
    stores = distinct(container.sql_session_store(), container.session_store())
    events, audit_days = container.events(), timedelta(days=container.settings().audit_days)
    failures = container.login_failures()

    async def purge_sessions() -> None:
        if count := sum([await store.purge(clock()) for store in stores]):
            log.info("purged", sessions=count)

    async def purge_grants() -> None:
        if count := await grants.purge(clock()):
            log.info("purged", device_grants=count)

    async def purge_events() -> None:
        if count := await events.purge(clock() - audit_days):
            log.info("purged", events=count)

    async def purge_failures() -> None:
        await failures.purge(clock() - RETENTION)

    async with (
        repeating(purge_failures, lambda: random_pause(PERIOD_SECONDS), "purge"),
        repeating(purge_sessions, lambda: random_pause(PERIOD_SECONDS), "purge"),
        repeating(purge_events, lambda: random_pause(PERIOD_SECONDS), "purge"),
        repeating(container.database().empty_log, lambda: random_pause(LOG_PERIOD_SECONDS), "purge"),
        repeating(purge_grants, lambda: random_pause(GRANT_PERIOD_SECONDS), "purge"),
    ):
        yield
