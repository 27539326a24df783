"""Device grants in a database: one row for each."""

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from adapters.sql.database import BATCH, Database
from adapters.sql.event_writer import EventWriter
from adapters.sql.tables import device_grants
from application.ports.device_grant_store import DeviceGrantStore
from application.ports.events import Publish, ignore
from domain.device import Device
from domain.device_grant import PENDING, DeviceGrant, GrantState, MatchNumbers
from domain.event import DEFAULT_POLICY, Event, EventPolicy
from domain.identity import AppId

COLUMNS = [column for column in device_grants.c if column.name not in ("picture", "drawing_until")]
"""All that a poll reads. A picture has up to a megabyte."""

INSERT = insert(device_grants)


class SqlDeviceGrantStore(DeviceGrantStore):
    """A DeviceGrantStore on the database of the users. Leases use the clocks of the hosts, which must agree."""

    def __init__(self, database: Database, policy: EventPolicy = DEFAULT_POLICY, publish: Publish = ignore) -> None:
        self._database = database
        self._events = EventWriter(database, policy, publish)

    async def add(self, grant: DeviceGrant) -> None:
        """See DeviceGrantStore."""
        await self._database.write_one(lambda connection: connection.execute(INSERT, _row(grant)))

    async def find(self, scene: str) -> DeviceGrant | None:
        """See DeviceGrantStore."""
        row = await self._database.read(partial(_find, scene=scene))
        return _grant(row) if row else None

    async def find_pending(self, scenes: Collection[str]) -> dict[str, GrantState]:
        """See DeviceGrantStore."""
        listed, pending = list(scenes), dict[str, GrantState]()
        for start in range(0, len(listed), BATCH):
            pending |= await self._database.read(partial(_find_pending, scenes=listed[start : start + BATCH]))
        return pending

    async def replace(self, old: DeviceGrant, new: DeviceGrant, event: Event | None = None) -> bool:
        """See DeviceGrantStore."""
        if event is None:
            return await self._database.write_one(partial(_replace, old=old, new=new))
        return await self._events.write(partial(_replace_with_event, old=old, new=new, event=event))

    async def find_picture(self, scene: str) -> bytes | None:
        """See DeviceGrantStore."""
        return await self._database.read(partial(_find_picture, scene=scene))

    async def acquire_drawing(self, scene: str, now: datetime, lease: timedelta) -> bool:
        """See DeviceGrantStore."""
        return await self._database.write_one(partial(_acquire, scene=scene, now=now, until=now + lease))

    async def save_picture(self, scene: str, picture: bytes) -> None:
        """See DeviceGrantStore."""
        await self._database.write_one(partial(_save_picture, scene=scene, picture=picture))

    async def purge(self, now: datetime) -> int:
        """See DeviceGrantStore."""
        return await self._database.write(partial(_purge, now=now))


def _find(connection: Connection, scene: str) -> Row[Any] | None:
    return connection.execute(select(*COLUMNS).where(device_grants.c.scene == scene)).first()


def _find_pending(connection: Connection, scenes: list[str]) -> dict[str, GrantState]:
    grant = device_grants.c
    is_pending = grant.scene.in_(scenes) & grant.state.in_([state.value for state in PENDING])
    rows = connection.execute(select(grant.scene, grant.state).where(is_pending))
    return {scene: GrantState(state) for scene, state in rows}


def _replace(connection: Connection, old: DeviceGrant, new: DeviceGrant) -> bool:
    unchanged = (device_grants.c.scene == old.scene) & (device_grants.c.state == old.state.value)
    changes = {"state": new.state.value, "user_id": new.user_id, "session_id": new.session_id}
    return connection.execute(update(device_grants).where(unchanged).values(changes)).rowcount == 1


def _replace_with_event(
    connection: Connection, events: list[Event], old: DeviceGrant, new: DeviceGrant, event: Event
) -> bool:
    replaced = _replace(connection, old, new)
    if replaced:
        events.append(event)
    return replaced


def _find_picture(connection: Connection, scene: str) -> bytes | None:
    return connection.scalar(select(device_grants.c.picture).where(device_grants.c.scene == scene))


def _acquire(connection: Connection, scene: str, now: datetime, until: datetime) -> bool:
    grant = device_grants.c
    is_free = grant.drawing_until.is_(None) | (grant.drawing_until <= now)
    row = update(device_grants).where(grant.scene == scene, grant.picture.is_(None), is_free)
    return connection.execute(row.values(drawing_until=until)).rowcount == 1


def _save_picture(connection: Connection, scene: str, picture: bytes) -> None:
    connection.execute(update(device_grants).where(device_grants.c.scene == scene).values(picture=picture))


def _purge(connection: Connection, now: datetime) -> int:
    return connection.execute(delete(device_grants).where(device_grants.c.retain_until <= now)).rowcount


def _row(grant: DeviceGrant) -> dict[str, Any]:
    return {
        "scene": grant.scene,
        "secret_hash": grant.secret_hash,
        "client_id": grant.client_id,
        "appid": grant.appid.value,
        "user_agent": grant.browser.user_agent,
        "ip": grant.browser.ip,
        "number": grant.numbers and grant.numbers.shown,
        "choices": grant.numbers and ",".join(grant.numbers.choices),
        "created_at": grant.created_at,
        "expires_at": grant.expires_at,
        "retain_until": grant.retain_until,
        "state": grant.state.value,
        "user_id": grant.user_id,
        "session_id": grant.session_id,
    }


def _grant(row: Row[Any]) -> DeviceGrant:
    return DeviceGrant(
        scene=row.scene,
        secret_hash=row.secret_hash,
        client_id=row.client_id,
        appid=AppId(row.appid),
        browser=Device(row.user_agent, row.ip),
        numbers=MatchNumbers(row.number, tuple(row.choices.split(","))) if row.number else None,
        created_at=row.created_at,
        expires_at=row.expires_at,
        state=GrantState(row.state),
        user_id=row.user_id,
        session_id=row.session_id,
    )
