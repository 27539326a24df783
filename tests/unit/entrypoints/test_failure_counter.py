"""Counts of failed logins in this process, until the store has them."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import pytest

from adapters.memory.login_failures import MemoryLoginFailures
from domain.errors import CodeUsed, RequestInvalid, StoreUnavailable
from domain.login_failure import RETENTION, LoginFailure
from entrypoints import failure_counter
from entrypoints.failure_counter import MAX_KINDS, FailureCounter, flushing_failures
from support.clock import Clock

pytestmark = pytest.mark.anyio


class Flaky(MemoryLoginFailures):
    """Counts that can be unavailable or slow."""

    def __init__(self) -> None:
        super().__init__()
        self.is_available = True
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def add(self, counts: Mapping[LoginFailure, int]) -> None:
        """Add, or raise StoreUnavailable, after `goes_on` is set."""
        await self.goes_on.wait()
        if not self.is_available:
            raise StoreUnavailable
        await super().add(counts)


@pytest.fixture
def store() -> Flaky:
    """The counts of all processes."""
    return Flaky()


@pytest.fixture
def counter(store: Flaky, clock: Clock) -> FailureCounter:
    """The counts of this process."""
    return FailureCounter(store, clock)


async def stored(store: Flaky, clock: Clock) -> dict[tuple[str | None, str, int | None], int]:
    """Return the stored counts, without their minutes."""
    counts = await store.since(clock.now - timedelta(days=1))
    return {(each.app, each.code, each.errcode): count for each, count in counts.items()}


async def test_failures_are_counted_by_minute_app_code_and_errcode(
    counter: FailureCounter, store: Flaky, clock: Clock
) -> None:
    """A flush adds the numbers of failures by minute, app, code and errcode. A defect is internal_error."""
    counter.count("wx1", CodeUsed(errcode=40163))
    counter.count("wx1", CodeUsed(errcode=40163))
    counter.count(None, ValueError("a defect"))
    await counter.flush()
    await counter.flush()

    assert await stored(store, clock) == {("wx1", "code_used", 40163): 2, (None, "internal_error", None): 1}
    assert {each.minute for each in await store.since(clock.now - timedelta(days=1))} == {
        clock.now.replace(second=0, microsecond=0)
    }


async def test_a_store_that_fails_loses_nothing(counter: FailureCounter, store: Flaky, clock: Clock) -> None:
    """Counts that could not be added are added by the next flush, with those that came meanwhile."""
    store.is_available = False
    counter.count("wx1", CodeUsed())
    with pytest.raises(StoreUnavailable):
        await counter.flush()
    counter.count("wx1", CodeUsed())
    store.is_available = True
    await counter.flush()

    assert await stored(store, clock) == {("wx1", "code_used", None): 2}


async def test_failures_during_a_flush_are_kept(counter: FailureCounter, store: Flaky, clock: Clock) -> None:
    """What is counted while a flush waits for the store is added by the next one, once."""
    store.goes_on.clear()
    counter.count("wx1", CodeUsed())
    flush = asyncio.create_task(counter.flush())
    await asyncio.sleep(0)
    counter.count("wx1", CodeUsed())
    store.goes_on.set()
    await flush
    await counter.flush()

    assert await stored(store, clock) == {("wx1", "code_used", None): 2}


async def test_memory_is_bounded(counter: FailureCounter, store: Flaky, clock: Clock) -> None:
    """While the store does not answer, different failures are counted up to a limit, and those known go on."""
    for errcode in range(1, MAX_KINDS + 100):
        counter.count("wx1", CodeUsed(errcode=errcode))
    counter.count("wx1", CodeUsed(errcode=1))
    await counter.flush()
    counts = await stored(store, clock)

    assert len(counts) == MAX_KINDS
    assert counts["wx1", "code_used", 1] == 2


async def test_old_failures_are_dropped(counter: FailureCounter, store: Flaky, clock: Clock) -> None:
    """Counts that could not be added for longer than they would be kept are dropped."""
    store.is_available = False
    counter.count("wx1", CodeUsed())
    clock.advance(seconds=RETENTION.total_seconds() + 60)
    with pytest.raises(StoreUnavailable):
        await counter.flush()
    store.is_available = True
    await counter.flush()

    assert await stored(store, clock) == {}


async def test_counts_are_flushed_while_the_block_runs_and_at_its_end(
    counter: FailureCounter, store: Flaky, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts are added during the block, and the last ones at its end, also when a flush was under way."""
    monkeypatch.setattr(failure_counter, "FLUSH_SECONDS", 0.001)
    async with flushing_failures(counter):
        counter.count("wx1", CodeUsed())
        while not await stored(store, clock):  # noqa: ASYNC110  # a store sends no notification
            await asyncio.sleep(0.001)
        store.goes_on.clear()
        counter.count("wx1", RequestInvalid())
        await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.01, store.goes_on.set)

    assert await stored(store, clock) == {("wx1", "code_used", None): 1, ("wx1", "request_invalid", None): 1}


async def test_a_stop_without_the_store_raises_nothing(counter: FailureCounter, store: Flaky) -> None:
    """A stop while the store does not answer succeeds."""
    store.is_available = False
    async with flushing_failures(counter):
        counter.count("wx1", CodeUsed())
