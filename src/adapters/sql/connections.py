"""The interface of connection pools: run work on a connection, with or without a transaction."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.pool import Pool

T = TypeVar("T")
Work = Callable[[Connection], T]
"""Runs statements on a connection. It is synchronous: a greenlet or a thread waits for the database."""

CALL_SECONDS = 3.0
"""The time limit of one call of Database, including the wait for a connection and its closing."""

CLOSE_SECONDS = 0.5
"""The part of CALL_SECONDS in which the server may cancel a statement that took too long."""


class Connections(Protocol):
    """One or two connection pools."""

    pools: Sequence[Pool]
    size: int
    reads_at_once: bool
    """Whether reads do not wait, so that they need no time limit."""

    @abstractmethod
    async def read(self, work: Work[T]) -> T:
        """Run work without a transaction, which saves the round trips of BEGIN and ROLLBACK."""

    @abstractmethod
    async def write(self, work: Work[T]) -> T:
        """Run work in a transaction."""

    @abstractmethod
    async def write_one(self, work: Work[T]) -> T:
        """Run one statement in autocommit."""

    @abstractmethod
    async def empty_log(self) -> None:
        """Empty the log that is part of a database file, if there is one and no connection reads it now."""

    @abstractmethod
    async def close(self) -> None:
        """Close the pool."""
