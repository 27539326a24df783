"""Draw the picture of each scan once."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from application.ports.clock import Clock
from application.ports.device_grant_store import DeviceGrantStore
from application.ports.platform import Platform
from application.shared_tasks import SharedTasks
from domain.device_grant import DeviceGrant
from domain.errors import IdentityProviderUnavailable, StoreUnavailable

WAIT_SECONDS = 0.1
"""How soon a process checks whether another process has drawn the picture. Each pause is twice the one before."""

MAX_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ScanTarget:
    """The page of the mini-program that a scan opens, and the version of the mini-program."""

    page: str = "pages/scan/scan"
    env_version: str = "release"


class ScanPictures:
    """The pictures of device grants. `lease` is the maximum time of a drawing."""

    def __init__(
        self, grants: DeviceGrantStore, platform: Platform, target: ScanTarget, *, lease: timedelta, clock: Clock
    ) -> None:
        self._grants = grants
        self._platform = platform
        self._target = target
        self._lease = lease
        self._clock = clock
        self._drawings: SharedTasks[str, bytes] = SharedTasks()

    async def get(self, grant: DeviceGrant) -> bytes:
        """Return the picture of an open grant. It is drawn once, also for concurrent calls of several processes.

        Raises what Platform raises, and StoreUnavailable.
        """
        if picture := await self._grants.find_picture(grant.scene):
            return picture
        return await self._drawings.wait(grant.scene, lambda: self._draw(grant))

    async def aclose(self) -> None:
        """Cancel the drawings under way."""
        await self._drawings.aclose()

    async def _draw(self, grant: DeviceGrant) -> bytes:
        """Draw with the lease, else wait for the process that has it. After a failure its lease is the pause."""
        began = self._clock()
        for lease_ends in (began + self._lease, began + 2 * self._lease):
            if await self._grants.acquire_drawing(grant.scene, self._clock(), self._lease):
                target = self._target
                picture = await self._platform.draw_code(grant.appid, grant.scene, target.page, target.env_version)
                with suppress(StoreUnavailable):  # it is drawn again for the next request
                    await self._grants.save_picture(grant.scene, picture)
                return picture
            if stored := await self._wait_for_picture(grant.scene, lease_ends):
                return stored
        raise IdentityProviderUnavailable("Another process has been drawing the picture for too long")

    async def _wait_for_picture(self, scene: str, until: datetime) -> bytes | None:
        """Return the picture of another process, or None if there is none by then."""
        pause = WAIT_SECONDS
        while self._clock() < until:
            if picture := await self._grants.find_picture(scene):
                return picture
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_WAIT_SECONDS)
        return await self._grants.find_picture(scene)
