"""The contract suites of PushStore, LoginFailures and Events fail on an adapter with a bug: each bug is caught."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest
from redis.exceptions import RedisError
from sqlalchemy import Connection, delete, insert

from adapters.memory.events import MemoryEvents
from adapters.memory.login_failures import MemoryLoginFailures
from adapters.memory.push_store import MemoryPushStore
from adapters.redis.connections import map_redis_errors
from adapters.redis.push_store import RedisPushStore
from adapters.sql.database import Database
from adapters.sql.events import SqlEvents, _purge_batch
from adapters.sql.login_failures import SqlLoginFailures, _row
from adapters.sql.tables import login_failures
from contract import test_events as events_suite
from contract import test_login_failures as failures_suite
from contract import test_push_store as push_suite
from domain.event import Event, EventPolicy, EventQuery
from domain.login_failure import LoginFailure
from domain.push import Push
from support.clock import Clock

pytestmark = pytest.mark.anyio

CAUGHT = (AssertionError, pytest.fail.Exception)
"""What a test of a suite raises if its promise is broken."""

Promise = Callable[..., Awaitable[None]]
"""A test of a suite."""


class ForgetsPushes(MemoryPushStore):
    """A store that does not remember what was handled."""

    async def mark_handled(self, push_id: str, retention: timedelta) -> None:
        """See PushStore."""


class RemembersAll(MemoryPushStore):
    """A store that takes every push for handled after the first."""

    async def was_handled(self, push_id: str) -> bool:
        """See PushStore."""
        return len(self._handled) > 0


class RemembersForever(MemoryPushStore):
    """A store that forgets nothing."""

    async def mark_handled(self, push_id: str, retention: timedelta) -> None:
        """See PushStore."""
        await super().mark_handled(push_id, timedelta(days=1000))


class LosesWhatIsRead(MemoryPushStore):
    """A store that drops a push when it is read, and loses it if the reader fails."""

    async def postponed(self) -> list[Push]:
        """See PushStore."""
        read = await super().postponed()
        self._postponed.clear()
        return read


class KeepsPushesTwice(MemoryPushStore):
    """A store that keeps a push as often as it is postponed."""

    async def postpone(self, push: Push) -> bool:
        """See PushStore."""
        self._postponed[f"{push.id} {len(self._postponed)}"] = push
        return False


class RemovesAllPushes(MemoryPushStore):
    """A store that removes every push."""

    async def remove(self, push: Push) -> None:
        """See PushStore."""
        self._postponed.clear()


class ClaimsSafety(MemoryPushStore):
    """A store of one process that says that a push is safe."""

    async def postpone(self, push: Push) -> bool:
        """See PushStore."""
        await super().postpone(push)
        return True


@pytest.mark.parametrize(
    ("store", "promise"),
    [
        (ForgetsPushes, push_suite.test_a_handled_push_is_remembered),
        (RemembersAll, push_suite.test_a_handled_push_is_remembered),
        (LosesWhatIsRead, push_suite.test_a_postponed_push_is_kept_until_it_is_removed),
        (KeepsPushesTwice, push_suite.test_a_postponed_push_is_kept_until_it_is_removed),
        (RemovesAllPushes, push_suite.test_a_postponed_push_is_kept_until_it_is_removed),
        (ClaimsSafety, push_suite.test_a_store_says_whether_it_outlives_the_process),
    ],
)
async def test_the_suite_of_push_stores_catches(store: type[MemoryPushStore], promise: Promise, clock: Clock) -> None:
    """A store with a planted bug fails the test of the promise that the bug breaks."""
    with pytest.raises(CAUGHT):
        await promise(store(clock), clock)


async def test_a_memory_that_never_forgets_is_caught(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in memory that keeps what it remembers fails the test of its time."""
    monkeypatch.setattr(push_suite, "MemoryPushStore", RemembersForever)
    with pytest.raises(CAUGHT):
        await push_suite.test_the_memory_of_a_process_forgets(clock)


class WithoutExpiry(RedisPushStore):
    """A store that fills Redis."""

    async def mark_handled(self, push_id: str, retention: timedelta) -> None:
        """See PushStore."""
        with map_redis_errors():
            await self._redis.set(f"wxlogin:push:{push_id}", 1)


class UntranslatedRedis(RedisPushStore):
    """A store that raises the exceptions of redis-py."""

    async def remove(self, push: Push) -> None:
        """See PushStore."""
        await self._redis.hdel("wxlogin:pushes", push.id)


async def test_a_push_without_an_expiry_is_caught(
    redis_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fills Redis fails the test of the expiry."""
    monkeypatch.setattr(push_suite, "RedisPushStore", WithoutExpiry)
    with pytest.raises(CAUGHT):
        await push_suite.test_what_is_remembered_expires(redis_url, clock)


async def test_an_error_of_redis_is_caught(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that raises the exception of its library fails the test of a Redis that is away."""
    monkeypatch.setattr(push_suite, "RedisPushStore", UntranslatedRedis)
    with pytest.raises(RedisError):
        await push_suite.test_a_redis_that_is_away_is_unavailable("redis", clock, tmp_path=None)


class Overwrites(MemoryLoginFailures):
    """Counts that a later call overwrites."""

    async def add(self, counts: Mapping[LoginFailure, int]) -> None:
        """See LoginFailures."""
        self._counts |= counts


class IgnoresErrcode(MemoryLoginFailures):
    """Counts that do not tell errcodes apart."""

    async def add(self, counts: Mapping[LoginFailure, int]) -> None:
        """See LoginFailures."""
        for failure, count in counts.items():
            await super().add({replace(failure, errcode=None): count})


class IgnoresUnknownApps(MemoryLoginFailures):
    """Counts without the failures whose app is not known."""

    async def add(self, counts: Mapping[LoginFailure, int]) -> None:
        """See LoginFailures."""
        await super().add({failure: count for failure, count in counts.items() if failure.app})


class ReturnsAll(MemoryLoginFailures):
    """Counts that return every minute."""

    async def since(self, minute: datetime) -> dict[LoginFailure, int]:
        """See LoginFailures."""
        return dict(self._counts)


class PurgesTheMinute(MemoryLoginFailures):
    """Counts whose purge deletes the minute itself, too."""

    async def purge(self, before: datetime) -> int:
        """See LoginFailures."""
        return await super().purge(before + timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("failures", "promise"),
    [
        (Overwrites, failures_suite.test_counts_are_added_up),
        (IgnoresErrcode, failures_suite.test_counts_are_added_up),
        (ReturnsAll, failures_suite.test_earlier_minutes_are_left_out_and_purged),
        (PurgesTheMinute, failures_suite.test_earlier_minutes_are_left_out_and_purged),
    ],
)
async def test_the_suite_of_login_failures_catches(failures: type[MemoryLoginFailures], promise: Promise) -> None:
    """Counts with a planted bug fail the test of the promise that the bug breaks."""
    with pytest.raises(CAUGHT):
        await promise(failures(), "wx0123456789abcdef")


async def test_failures_that_are_not_counted_are_caught() -> None:
    """Counts that omit the failures of unknown apps fail the test of them."""
    with pytest.raises(KeyError):
        await failures_suite.test_failures_without_an_app_are_counted(IgnoresUnknownApps())


class ReadsThenWrites(SqlLoginFailures):
    """Counts that are read in one transaction, and written in another."""

    async def add(self, counts: Mapping[LoginFailure, int]) -> None:
        """See LoginFailures."""
        before = await self.since(failures_suite.MINUTE)
        rows = [_row(failure, before.get(failure, 0) + count) for failure, count in counts.items()]

        def write(connection: Connection) -> None:
            connection.execute(delete(login_failures).where(login_failures.c.app == rows[0]["app"]))
            connection.execute(insert(login_failures), rows)

        await self._database.write(write)


class AddsOneByOne(SqlLoginFailures):
    """Counts that are each added in a transaction of their own."""

    async def add(self, counts: Mapping[LoginFailure, int]) -> None:
        """See LoginFailures."""
        for failure, count in counts.items():
            await super().add({failure: count})


async def test_counts_that_are_added_in_part_are_caught(sqlite_url: str) -> None:
    """Counts of which a failed call leaves some fail the test of all or none."""
    async with Database(sqlite_url) as database:
        with pytest.raises(CAUGHT):
            await failures_suite.test_a_call_adds_all_counts_or_none(AddsOneByOne(database), "wx0123456789abcdef")


async def test_counts_that_are_lost_are_caught(sqlite_url: str) -> None:
    """Counts that lose one of two concurrent calls fail the test of concurrent processes."""
    async with Database(sqlite_url) as database:
        with pytest.raises(CAUGHT):
            await failures_suite.test_concurrent_processes_lose_no_count(
                ReadsThenWrites(database), "wx0123456789abcdef"
            )


class AddsAgain(MemoryEvents):
    """Events that a repeated call adds again."""

    async def add(self, events: Sequence[Event]) -> None:
        """See Events."""
        await super().add(events)
        self._audited |= {f"{event.id} {len(self._audited)}": event for event in events}


class AuditsAll(MemoryEvents):
    """Events that are all in the audit trail, whatever the policy says."""

    def __init__(self, policy: EventPolicy) -> None:
        super().__init__(replace(policy, audit_sessions=True))


class DeliversToAll(MemoryEvents):
    """Events that every endpoint receives."""

    def __init__(self, policy: EventPolicy) -> None:
        super().__init__(replace(policy, subscriptions=dict.fromkeys(policy.subscriptions, ("*",))))


class DeliversWithoutReason(MemoryEvents):
    """Events whose deliveries have no reason."""

    async def add(self, events: Sequence[Event]) -> None:
        """See Events."""
        await super().add(events)
        self.deliveries = {
            key: replace(each, event=replace(each.event, reason=None)) for key, each in self.deliveries.items()
        }


class CutsTimes(MemoryEvents):
    """Events whose times are whole seconds."""

    async def add(self, events: Sequence[Event]) -> None:
        """See Events."""
        await super().add([replace(event, time=event.time.replace(microsecond=0)) for event in events])


class FindsOldestFirst(MemoryEvents):
    """Events that are found in the order of their ids."""

    async def find(self, query: EventQuery) -> list[Event]:
        """See Events."""
        return (await super().find(query))[::-1]


class FindsAll(MemoryEvents):
    """Events that are found by the user alone."""

    async def find(self, query: EventQuery) -> list[Event]:
        """See Events."""
        return await super().find(EventQuery(query.user_id, before=query.before, limit=query.limit))


class PagesByTime(MemoryEvents):
    """Events whose pages skip those of the same time."""

    async def find(self, query: EventQuery) -> list[Event]:
        """See Events."""
        before = (query.before[0], "") if query.before else None
        return await super().find(replace(query, before=before))


class PurgesTheTime(MemoryEvents):
    """Events whose purge deletes those of the time itself, too."""

    async def purge(self, before: datetime) -> int:
        """See Events."""
        return await super().purge(before + timedelta(microseconds=1))


class PurgesDeliveries(MemoryEvents):
    """Events whose purge deletes what webhooks have to deliver."""

    async def purge(self, before: datetime) -> int:
        """See Events."""
        self.deliveries.clear()
        return await super().purge(before)


@pytest.mark.parametrize(
    ("events", "promise"),
    [
        (AddsAgain, events_suite.test_an_event_is_added_once),
        (AuditsAll, events_suite.test_the_policy_says_what_is_audited),
        (DeliversToAll, events_suite.test_the_policy_says_what_is_delivered),
        (DeliversWithoutReason, events_suite.test_the_policy_says_what_is_delivered),
        (CutsTimes, events_suite.test_an_event_is_found_unchanged),
        (FindsOldestFirst, events_suite.test_events_are_found_newest_first),
        (FindsAll, events_suite.test_every_filter_applies),
        (PurgesTheTime, events_suite.test_a_purge_deletes_what_is_older),
        (PurgesDeliveries, events_suite.test_a_purge_needs_no_deliveries_to_be_done),
    ],
)
async def test_the_suite_of_events_catches(
    events: type[MemoryEvents], promise: Promise, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events with a planted bug fail the test of the promise that the bug breaks."""
    monkeypatch.setattr(events_suite, "MemoryEvents", events)
    with pytest.raises(CAUGHT):
        await promise("memory", clock)


def test_pages_that_skip_events_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events whose pages lose those of the same time fail the test of pages."""
    monkeypatch.setattr(events_suite, "MemoryEvents", PagesByTime)
    with pytest.raises(CAUGHT):
        events_suite.test_pages_have_each_event_once(user_place="memory")


class PurgesOneBatch(SqlEvents):
    """Events whose purge stops after one batch."""

    async def purge(self, before: datetime) -> int:
        """See Events."""
        count, _ = await self._database.write(partial(_purge_batch, before=before))
        return count


async def test_a_purge_that_stops_early_is_caught(
    sqlite_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events whose purge leaves old ones fail the test of a purge."""
    monkeypatch.setattr(events_suite, "SqlEvents", PurgesOneBatch)
    async with Database(sqlite_url) as database:
        with pytest.raises(CAUGHT):
            await events_suite.test_a_purge_deletes_what_is_older(database, clock)
