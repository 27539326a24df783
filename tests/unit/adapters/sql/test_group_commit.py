"""Which callers share a transaction, and what each of them is told of it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from adapters.sql.connections import Work
from adapters.sql.group_commit import TOGETHER, GroupCommit

pytestmark = pytest.mark.anyio


class Book:
    """Keeps lines, one transaction after the other, once it is open."""

    def __init__(self) -> None:
        self.transactions: list[list[Any]] = []
        self.opened = asyncio.Event()
        self.is_full = False

    async def transact(self, works: Sequence[Work[Any]]) -> list[Any]:
        """See GroupCommit."""
        await self.opened.wait()
        lines = [work(None) for work in works]  # type: ignore[arg-type]  # these works need no connection
        if self.is_full:
            raise OSError("disk full")
        self.transactions.append(lines)
        return lines


@pytest.fixture
def book() -> Book:
    """Where is written."""
    return Book()


@pytest.fixture
def write(book: Book) -> GroupCommit:
    """How."""
    return GroupCommit(book.transact)


def line(text: object) -> Callable[[object], object]:
    """Work that writes, or fails."""

    def work(_connection: object) -> object:
        if isinstance(text, Exception):
            raise text
        return text

    return work


async def write_all(book: Book, write: GroupCommit, *texts: object) -> list[object]:
    """One after the other calls, and after the first is under way the book opens; what each caller is told."""
    calls = []
    for text in texts:
        calls.append(asyncio.create_task(write(line(text))))
        await asyncio.sleep(0)
    book.opened.set()
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_what_queues_up_shares_a_transaction(book: Book, write: GroupCommit) -> None:
    """All that is to be written while a transaction is under way is in the next one, and each caller gets its own."""
    told = await write_all(book, write, "a", "b", "c", "d")

    assert told == ["a", "b", "c", "d"]
    assert book.transactions == [["a"], ["b", "c", "d"]]


async def test_a_transaction_has_its_limit(book: Book, write: GroupCommit) -> None:
    """No transaction becomes longer than TOGETHER, and none is lost that is left over."""
    told = await write_all(book, write, *range(2 * TOGETHER + 2))

    assert told == list(range(2 * TOGETHER + 2))
    assert [len(lines) for lines in book.transactions] == [1, TOGETHER, TOGETHER, 1]


async def test_a_failure_is_its_callers_alone(book: Book, write: GroupCommit) -> None:
    """Whoever shares a transaction with work that fails has theirs committed all the same, once."""
    failure = ValueError("no such user")
    told = await write_all(book, write, "a", "b", failure, "c")

    assert told == ["a", "b", failure, "c"]
    assert sorted(text for lines in book.transactions for text in lines) == ["a", "b", "c"]


async def test_nobody_is_told_of_a_commit_that_failed(book: Book, write: GroupCommit) -> None:
    """When nothing can be committed every caller gets the error, and the next call is served once it can."""
    book.is_full = True
    told = await write_all(book, write, "a", "b", "c")
    book.is_full = False

    assert [type(each) for each in told] == [OSError, OSError, OSError]
    assert await write(line("d")) == "d"
    assert book.transactions == [["d"]]


async def test_work_that_is_given_up_is_not_done(book: Book, write: GroupCommit) -> None:
    """A caller that gave up before its turn has written nothing, and keeps nobody else from writing."""
    calls = [asyncio.create_task(write(line(text))) for text in "abc"]
    await asyncio.sleep(0)
    calls[1].cancel()
    book.opened.set()
    told = await asyncio.gather(*calls, return_exceptions=True)

    assert isinstance(told[1], asyncio.CancelledError)
    assert [told[0], told[2]] == ["a", "c"]
    assert sorted(text for lines in book.transactions for text in lines) == ["a", "c"]
