"""Work that is repeated: errors end nothing, and what is left is flushed at the end."""

import asyncio

import pytest

from domain.errors import StoreUnavailable
from entrypoints.periodic import attempt, flushing, random_pause, repeating

pytestmark = pytest.mark.anyio


class Work:
    """Work that raises the errors in turn, and then succeeds. `done` is set after so many calls."""

    def __init__(self, *errors: Exception, calls: int = 0) -> None:
        self._errors = list(errors)
        self._expected = calls
        self.calls = 0
        self.done = asyncio.Event()

    async def __call__(self) -> None:
        """Do the work once."""
        self.calls += 1
        if self.calls == self._expected:
            self.done.set()
        if self._errors:
            raise self._errors.pop(0)


@pytest.mark.parametrize("error", [StoreUnavailable("The database is away"), ValueError("a defect")])
async def test_an_error_does_not_end_the_repetition(error: Exception) -> None:
    """Work that failed is done again, whether the store or a defect is the cause."""
    work = Work(error, error, calls=3)

    async with repeating(work, lambda: 0, "test"):
        await asyncio.wait_for(work.done.wait(), 60)


async def test_nothing_is_repeated_after_the_block() -> None:
    """The work ends with the block."""
    work = Work(calls=1)
    async with repeating(work, lambda: 0, "test"):
        await asyncio.wait_for(work.done.wait(), 60)
    calls = work.calls

    for _ in range(20):
        await asyncio.sleep(0)

    assert work.calls == calls


@pytest.mark.parametrize("error", [None, StoreUnavailable("The database is away"), ValueError("a defect")])
async def test_flush_runs_once_more_at_the_end(error: Exception | None) -> None:
    """What was counted since the last flush is not lost, and an error of the flush does not stop the service's end."""
    work = Work(*[error] if error else [])

    async with flushing(work, 3600, "test"):
        assert work.calls == 0

    assert work.calls == 1


async def test_flush_runs_also_after_an_error_of_the_block() -> None:
    """A block that fails keeps its error, and the counts are still flushed."""
    work = Work()

    with pytest.raises(KeyError):
        async with flushing(work, 3600, "test"):
            raise KeyError

    assert work.calls == 1


async def test_attempt_tells_whether_work_succeeded() -> None:
    """The caller knows whether to do the work again."""
    work = Work(StoreUnavailable("The database is away"), ValueError("a defect"))

    assert [await attempt(work, "test") for _ in range(3)] == [False, False, True]


def test_pauses_differ() -> None:
    """Processes that start together do not work together: pauses are random, up to twice the average."""
    pauses = {random_pause(10) for _ in range(100)}

    assert len(pauses) > 1
    assert all(0 <= pause <= 20 for pause in pauses)
