"""The contract suite of WebhookQueue fails on an adapter with a bug: each planted bug is caught."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update

from adapters.memory.webhook_queue import MemoryWebhookQueue
from adapters.sql.event_records import decode_event
from adapters.sql.schema import migrate
from adapters.sql.tables import webhook_deliveries
from adapters.sql.webhook_queue import SqlWebhookQueue
from application.ports.webhook_queue import WebhookQueue
from contract import test_webhook_queue as suite
from domain.webhook import Backlog, Delivery
from support.clock import Clock
from support.servers import sqlite_url

pytestmark = pytest.mark.anyio

Promise = Callable[[WebhookQueue, Clock], Awaitable[None]]
"""A test of the suite."""


class ClaimsWithoutLease(MemoryWebhookQueue):
    """A queue that gives a delivery to every claim."""

    async def claim(self, endpoint: str, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
        """See WebhookQueue."""
        return await super().claim(endpoint, now, timedelta(0), limit)


class LeasesForever(MemoryWebhookQueue):
    """A queue whose leases never end."""

    async def claim(self, endpoint: str, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
        """See WebhookQueue."""
        return await super().claim(endpoint, now, timedelta(days=1), limit)


class ClaimsInAnyOrder(MemoryWebhookQueue):
    """A queue that returns what was added first."""

    async def claim(self, endpoint: str, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
        """See WebhookQueue."""
        due = [each for each in self._waiting.values() if each.delivery.endpoint == endpoint and each.due_at <= now]
        for each in due[:limit]:
            each.due_at = now + lease
        return [each.delivery for each in due[:limit]]


class IgnoresEndpoint(MemoryWebhookQueue):
    """A queue that removes the event for all endpoints."""

    async def remove(self, deliveries: Sequence[Delivery]) -> None:
        """See WebhookQueue."""
        gone = {delivery.event.id for delivery in deliveries}
        self._waiting = {key: each for key, each in self._waiting.items() if key[1] not in gone}


class ForgetsAttempts(MemoryWebhookQueue):
    """A queue that does not count failures."""

    async def postpone(self, delivery: Delivery, until: datetime) -> None:
        """See WebhookQueue."""
        if each := self._waiting.get((delivery.endpoint, delivery.event.id)):
            each.due_at = until


class RepeatsAtOnce(MemoryWebhookQueue):
    """A queue that ignores when to repeat."""

    async def postpone(self, delivery: Delivery, until: datetime) -> None:
        """See WebhookQueue."""
        await super().postpone(delivery, delivery.event.time)


class BringsBack(MemoryWebhookQueue):
    """A queue that adds a removed delivery again when it is postponed."""

    async def postpone(self, delivery: Delivery, until: datetime) -> None:
        """See WebhookQueue."""
        self.add(delivery.endpoint, delivery.event)
        await super().postpone(delivery, until)


class RemovesAllOthers(MemoryWebhookQueue):
    """A queue that removes the new deliveries of an endpoint that another process has."""

    async def remove_others(self, endpoints: Collection[str], before: datetime) -> int:
        """See WebhookQueue."""
        return await super().remove_others(endpoints, before + timedelta(days=1))


class HidesClaimed(MemoryWebhookQueue):
    """A queue whose backlog has only what no one has claimed."""

    async def backlog(self) -> dict[str, Backlog]:
        """See WebhookQueue."""
        found = await super().backlog()
        return {endpoint: Backlog(each.waiting - 1, each.oldest) for endpoint, each in found.items()}


@pytest.mark.parametrize(
    ("queue", "promise"),
    [
        (ClaimsWithoutLease, suite.test_of_concurrent_claims_one_gets_each),
        (ClaimsWithoutLease, suite.test_a_lease_that_ends_gives_the_delivery_to_another),
        (LeasesForever, suite.test_a_lease_that_ends_gives_the_delivery_to_another),
        (ClaimsInAnyOrder, suite.test_the_longest_due_is_claimed_first),
        (IgnoresEndpoint, suite.test_endpoints_have_queues_of_their_own),
        (ForgetsAttempts, suite.test_a_postponed_delivery_comes_later),
        (RepeatsAtOnce, suite.test_a_postponed_delivery_comes_later),
        (BringsBack, suite.test_what_is_removed_does_not_come_back),
        (RemovesAllOthers, suite.test_old_deliveries_of_other_endpoints_are_removed),
        (HidesClaimed, suite.test_the_backlog_counts_what_waits),
    ],
    ids=lambda planted: planted.__name__,
)
async def test_the_suite_of_queues_catches(queue: type[MemoryWebhookQueue], promise: Promise, clock: Clock) -> None:
    """A queue with a planted bug fails the test of the promise that the bug breaks."""
    with pytest.raises(AssertionError):
        await promise(queue(), clock)


class ReadsThenLeases(SqlWebhookQueue):
    """A queue on a database that reads in one transaction and leases in another."""

    async def claim(self, endpoint: str, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
        """See WebhookQueue."""
        row = webhook_deliveries.c

        def read(connection: Connection) -> list[Delivery]:
            due = select(row.event, row.attempts).where(row.endpoint == endpoint, row.due_at <= now)
            found = connection.execute(due.order_by(row.due_at).limit(limit))
            return [Delivery(endpoint, decode_event(each.event), each.attempts) for each in found]

        def write(connection: Connection) -> None:
            ids = [delivery.event.id for delivery in claimed]
            connection.execute(update(webhook_deliveries).where(row.event_id.in_(ids)).values(due_at=now + lease))

        claimed = await self._database.read(read)
        await self._database.write(write)
        return claimed


async def test_a_claim_in_two_transactions_is_caught(tmp_path: Path, clock: Clock) -> None:
    """A queue whose claims are not atomic fails the test of concurrent claims."""
    url = sqlite_url(tmp_path)
    await _migrated(url)
    async with suite.open_queue(url) as queue:
        assert isinstance(queue, SqlWebhookQueue)
        with pytest.raises(AssertionError):
            await suite.test_of_concurrent_claims_one_gets_each(ReadsThenLeases(queue._database), clock)


async def _migrated(url: str) -> None:
    async with suite.open_queue(url) as queue:
        assert isinstance(queue, SqlWebhookQueue)
        await migrate(queue._database)
