"""Check dependencies."""

from abc import abstractmethod
from typing import Protocol


class Probe(Protocol):
    """Checks whether a dependency of the service answers."""

    name: str

    @abstractmethod
    async def check(self) -> None:
        """Raise StoreUnavailable if it does not answer."""
