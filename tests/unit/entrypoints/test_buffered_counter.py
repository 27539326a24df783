"""Counting in plain integers, of which the library learns later."""

import asyncio
import timeit
from threading import Thread

import pytest
from prometheus_client import CollectorRegistry, Counter

from entrypoints import buffered_counter
from entrypoints.buffered_counter import BufferedCounter, flushing

pytestmark = pytest.mark.anyio


class Buffered:
    """A buffered counter, and what the library knows of it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        counter = Counter("things_total", "Things.", ["kind"], registry=self._registry)
        self.counter = BufferedCounter(counter, ["a", "b"])
        self.counts = self.counter.counts

    def told(self, kind: str) -> float | None:
        """Return what a scrape tells."""
        return self._registry.get_sample_value("things_total", {"kind": kind})

    async def tells(self, kind: str, number: int) -> bool:
        """Whether a scrape tells that number within a few seconds."""
        for _ in range(500):
            if self.told(kind) == number:
                return True
            await asyncio.sleep(0.01)
        return False


@pytest.fixture
def buffered() -> Buffered:
    """Nothing has been counted yet."""
    return Buffered()


def test_each_label_starts_at_0(buffered: Buffered) -> None:
    """Each value of the label is there from the start."""
    assert (buffered.told("a"), buffered.told("b")) == (0, 0)


def test_a_count_is_told_once(buffered: Buffered) -> None:
    """What was counted is told after a flush, and another flush adds nothing."""
    buffered.counts["b"] += 3
    before = buffered.told("b")
    for _ in range(2):
        buffered.counter.flush()
    once = buffered.told("b")
    buffered.counts["b"] += 1
    buffered.counter.flush()

    assert (before, once, buffered.told("b"), buffered.told("a")) == (0, 3, 4, 0)


def test_threads_that_flush_lose_nothing_and_count_nothing_twice(buffered: Buffered) -> None:
    """One thread counts while others flush, as they do at a scrape: the total is exact."""
    counting = True

    def flush() -> None:
        while counting:
            buffered.counter.flush()

    threads = [Thread(target=flush) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50_000):
        buffered.counts["a"] += 1
    counting = False
    for thread in threads:
        thread.join()
    buffered.counter.flush()

    assert buffered.told("a") == 50_000


def test_to_count_costs_a_fraction_of_the_librarys_count(buffered: Buffered) -> None:
    """A count on the hottest path takes less than half of what the library's counter takes, in one process."""
    plain = Counter("others_total", "Others.", ["kind"], registry=None).labels("a")

    def count() -> None:
        buffered.counts["a"] += 1

    ours, theirs = (min(timeit.repeat(each, number=2000, repeat=20)) for each in (count, plain.inc))

    assert ours < theirs / 2


async def test_a_count_is_flushed_again_and_again(buffered: Buffered, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the block lasts, what is counted is told soon after."""
    monkeypatch.setattr(buffered_counter, "FLUSH_SECONDS", 0.005)
    async with flushing(buffered.counter):
        for number in (1, 2):
            buffered.counts["a"] += 1

            assert await buffered.tells("a", number)


async def test_the_last_count_is_flushed_when_the_block_ends(buffered: Buffered) -> None:
    """Whoever stops in order has told everything, and leaves nothing at work."""
    before = asyncio.all_tasks()
    async with flushing(buffered.counter):
        buffered.counts["a"] += 2

    assert buffered.told("a") == 2
    assert asyncio.all_tasks() == before
