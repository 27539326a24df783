"""Device grants in the memory of this process, for tests and for embedding."""

from collections.abc import Collection
from datetime import datetime, timedelta

from application.ports.device_grant_store import DeviceGrantStore
from application.ports.events import Publish, ignore
from domain.device_grant import PENDING, DeviceGrant, GrantState
from domain.event import Event


class MemoryDeviceGrantStore(DeviceGrantStore):
    """A DeviceGrantStore of one process. It publishes its events, and keeps none."""

    def __init__(self, publish: Publish = ignore) -> None:
        self._publish = publish
        self._grants: dict[str, DeviceGrant] = {}
        self._pictures: dict[str, bytes] = {}
        self._leases: dict[str, datetime] = {}

    async def add(self, grant: DeviceGrant) -> None:
        """See DeviceGrantStore."""
        self._grants[grant.scene] = grant

    async def find(self, scene: str) -> DeviceGrant | None:
        """See DeviceGrantStore."""
        return self._grants.get(scene)

    async def find_pending(self, scenes: Collection[str]) -> dict[str, GrantState]:
        """See DeviceGrantStore."""
        states = {scene: self._grants[scene].state for scene in scenes if scene in self._grants}
        return {scene: state for scene, state in states.items() if state in PENDING}

    async def replace(self, old: DeviceGrant, new: DeviceGrant, event: Event | None = None) -> bool:
        """See DeviceGrantStore."""
        stored = self._grants.get(old.scene)
        if stored is None or stored.state is not old.state:
            return False
        self._grants[old.scene] = new
        if event:
            self._publish([event])
        return True

    async def find_picture(self, scene: str) -> bytes | None:
        """See DeviceGrantStore."""
        return self._pictures.get(scene)

    async def acquire_drawing(self, scene: str, now: datetime, lease: timedelta) -> bool:
        """See DeviceGrantStore."""
        if scene not in self._grants or scene in self._pictures or now < self._leases.get(scene, now):
            return False
        self._leases[scene] = now + lease
        return True

    async def save_picture(self, scene: str, picture: bytes) -> None:
        """See DeviceGrantStore."""
        if scene in self._grants:
            self._pictures[scene] = picture

    async def purge(self, now: datetime) -> int:
        """See DeviceGrantStore."""
        past = [scene for scene, grant in self._grants.items() if now >= grant.retain_until]
        for scene in past:
            del self._grants[scene]
            self._pictures.pop(scene, None)
            self._leases.pop(scene, None)
        return len(past)
