"""Store device grants."""

from abc import abstractmethod
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Protocol

from domain.device_grant import DeviceGrant, GrantState
from domain.event import Event


class DeviceGrantStore(Protocol):
    """Stores device grants and their pictures, for all processes. Every method may raise StoreUnavailable.

    Grants and pictures are kept until `retain_until`, or until the purge after it.
    """

    @abstractmethod
    async def add(self, grant: DeviceGrant) -> None:
        """Store a new grant."""

    @abstractmethod
    async def find(self, scene: str) -> DeviceGrant | None:
        """Return the grant with this scene, or None."""

    @abstractmethod
    async def find_pending(self, scenes: Collection[str]) -> dict[str, GrantState]:
        """Return those of the scenes whose grants no one has answered, with their states. They may have expired."""

    @abstractmethod
    async def replace(self, old: DeviceGrant, new: DeviceGrant, event: Event | None = None) -> bool:
        """Store `new` in place of `old` if the stored grant has the state of `old`, and return whether it had.

        Writes the event of the change with it.

        Atomic: of concurrent calls from one state, one returns True.
        """

    @abstractmethod
    async def find_picture(self, scene: str) -> bytes | None:
        """Return the picture with this scene in it, or None."""

    @abstractmethod
    async def acquire_drawing(self, scene: str, now: datetime, lease: timedelta) -> bool:
        """Take the lease to draw the picture, and return whether the caller has it now. It expires after `lease`.

        False if there is no such grant, or if its picture is stored.
        """

    @abstractmethod
    async def save_picture(self, scene: str, picture: bytes) -> None:
        """Store the picture of a grant. Does nothing if there is no such grant."""

    @abstractmethod
    async def purge(self, now: datetime) -> int:
        """Delete grants past their retention, and return how many; 0 in stores that expire them by themselves."""
