"""What every kind of database offers to the repositories: work on a connection, in a transaction or without one."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.pool import Pool

T = TypeVar("T")
Work = Callable[[Connection], T]
"""Statements that belong together. It blocks, or seems to: a greenlet or a thread waits in its place."""

CALL_SECONDS = 3.0
"""The longest that one repository method may take, waiting for a connection and giving one up included."""

CLOSE_SECONDS = 0.5
"""How much of it is for the server to stop what it is doing, when a call took too long."""


class Connections(Protocol):
    """A pool or two, and how work gets onto one of their connections."""

    pools: Sequence[Pool]
    size: int
    reads_at_once: bool
    """Whether reading waits for nothing, so that there is nothing to put a limit to."""

    @abstractmethod
    async def read(self, work: Work[T]) -> T:
        """Run it without a transaction: no BEGIN and no ROLLBACK, two round trips less."""

    @abstractmethod
    async def write(self, work: Work[T]) -> T:
        """Run it in a transaction."""

    @abstractmethod
    async def write_one(self, work: Work[T]) -> T:
        """Run it, one statement, which is a transaction by itself."""

    @abstractmethod
    async def close(self) -> None:
        """Close the pool."""
