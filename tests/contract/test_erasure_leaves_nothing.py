"""After an erasure, nothing that WeChat or the user gave is stored anywhere, with sessions in every store."""

import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import update
from sqlalchemy.engine import make_url

from adapters.sql.device_grant_store import SqlDeviceGrantStore
from adapters.sql.tables import sessions, webhook_deliveries
from domain.device import Device
from domain.device_grant import DeviceCode, DeviceGrant
from domain.event import CLI, Cause
from domain.identity import AppId, Identity
from domain.session import EndReason, Session
from domain.user import PhoneNumber, ProfileChange
from support.clock import Clock
from support.installation import Installation, checkpoint, open_installation, with_unionid
from support.users import APP, OTHER_APP

pytestmark = pytest.mark.anyio


class Person(NamedTuple):
    """Somebody whose data is unlike that of anybody else."""

    openids: tuple[str, str, str]
    unionids: tuple[str, str]
    phones: tuple[str, str]
    name: str
    avatar: str
    address: str
    agent: str

    def traces(self) -> list[bytes]:
        """Return what must not be left."""
        texts = [*self.openids, *self.unionids, *self.phones, self.name, self.avatar, self.address, self.agent]
        return [text.encode() for text in texts]


@pytest.fixture
def person() -> Person:
    """A person who no other test knows."""
    some = secrets.token_hex(6)
    number = f"{secrets.randbelow(10**9):09}"
    return Person(
        (f"oA{some}", f"oB{some}", f"oC{some}"),
        (f"uA{some}", f"uB{some}"),
        (f"+8613{number}", f"+8615{number}"),
        f"小明{some}",
        f"https://example.com/{some}.png",
        f"2001:db8::{some[:4]}:{some[4:8]}",
        f"MicroMessenger/{some}",
    )


@pytest.fixture(params=["database", "redis", "redis-cluster"])
async def installation(request: pytest.FixtureRequest, database_url: str, clock: Clock) -> AsyncIterator[Installation]:
    """A new database of each kind, with sessions in it, in Redis, or in a cluster."""
    fixtures = {"redis": "redis_url", "redis-cluster": "redis_cluster_url"}
    redis_url = request.getfixturevalue(fixtures[request.param]) if request.param in fixtures else None
    async with open_installation(database_url, redis_url, clock, [APP, OTHER_APP]) as opened:
        yield opened


async def live(installation: Installation, person: Person, *, merged: bool) -> str:
    """Do all that leaves traces of the person, and return the id of the user."""
    clock, users = installation.clock, installation.users
    device = Device(person.agent, person.address)
    first = Identity(APP, person.openids[0], person.unionids[0])
    await installation.log_in(first, device)
    clock.advance(days=8)  # the first session expires unused
    login = await installation.log_in(first, device)
    replaced = await installation.log_in(first, device)
    await installation.store.end([replaced.session], EndReason.REPLACED, clock.now, Cause.user(person.address))
    change = ProfileChange(person.name, person.avatar)
    await users.change_profile(login.user.id, change, clock.now)
    await users.bind_phone(login.user.id, PhoneNumber(person.phones[0]), clock.now, Cause.user(person.address))
    await installation.log_in(Identity(OTHER_APP, person.openids[1], person.unionids[0]), device)
    await _scan(installation, login.user.id, login.session.id, person)
    if not merged:
        return login.user.id
    later = await installation.log_in(Identity(APP, person.openids[2]), device)
    await users.bind_phone(later.user.id, PhoneNumber(person.phones[1]), clock.now, Cause.user(person.address))
    await installation.log_in(with_unionid(later.session.identity, person.unionids[0]), device)  # a conflict
    await installation.log_in(with_unionid(first, person.unionids[1]), device)  # another one
    await installation.merge(login.user.id, later.user.id, CLI, frozenset({"phone"}))
    return later.user.id


async def _scan(installation: Installation, user_id: str, session_id: str, person: Person) -> None:
    """Approve a scan on a computer of the person."""
    grants, clock = SqlDeviceGrantStore(installation.database), installation.clock
    code = DeviceCode.generate()
    grant = DeviceGrant.start(code, "shop", AppId(APP.value), Device(person.agent, person.address), None, clock.now)
    session = await installation.store.find(session_id)
    assert isinstance(session, Session)
    await grants.add(grant)
    await grants.replace(grant, grant.look(session, clock.now))


@pytest.mark.parametrize("merged", [False, True], ids=["one user", "a merged user"])
@pytest.mark.parametrize("relayed", [False, True], ids=["before the relay", "after the relay"])
async def test_nothing_is_left(installation: Installation, person: Person, merged: bool, relayed: bool) -> None:
    """No table and no key of Redis has an openid, a unionid, a number, a name, a picture, an address or a device."""
    user_id = await live(installation, person, merged=merged)
    if relayed:
        await installation.relay()
    before = await installation.stored()
    await installation.own_data.erase(user_id, Cause.user(person.address))
    await installation.relay()
    left = await installation.stored()

    missing = [trace for trace in person.traces()[:1] if trace not in before]
    assert missing == []
    assert [trace for trace in person.traces() if trace in left] == []
    assert user_id.encode() in left  # the audit trail


async def test_records_of_a_newer_release_are_erased(database_url: str, person: Person, clock: Clock) -> None:
    """An erasure removes events about the user that this release cannot read: they may have the address."""
    async with open_installation(database_url, None, clock, [APP]) as installation:
        login = await installation.log_in(Identity(APP, person.openids[0]), Device(person.agent, person.address))
        newer = json.dumps({"id": "1", "type": ["a list"], "ip": person.address})
        started = update(sessions).values(started_event=newer)
        await installation.database.write(lambda connection: connection.execute(started))
        is_theirs = webhook_deliveries.c.user_id == login.user.id
        changed = update(webhook_deliveries).where(is_theirs).values(event=newer)
        await installation.database.write(lambda connection: connection.execute(changed))
        before = await installation.stored()
        await installation.own_data.erase(login.user.id, Cause.user())
        left = await installation.stored()

    assert person.address.encode() in before
    assert [trace for trace in person.traces() if trace in left] == []


def bytes_of(file: Path) -> bytes:
    """Return the bytes of a database's file, and of the files beside it."""
    return b"".join(each.read_bytes() for each in sorted(file.parent.glob(f"{file.name}*")))


async def test_the_file_of_sqlite_has_nothing_left(sqlite_url: str, person: Person, clock: Clock) -> None:
    """After a checkpoint, no byte of the person is in the database's file, nor in the log beside it."""
    file = Path(make_url(sqlite_url).database or "")
    async with open_installation(sqlite_url, None, clock, [APP, OTHER_APP]) as installation:
        user_id = await live(installation, person, merged=True)
        await checkpoint(installation.database)
        before = bytes_of(file)
        await installation.own_data.erase(user_id, Cause.user(person.address))
        await installation.relay()
        await checkpoint(installation.database)
        left = bytes_of(file)

    assert person.name.encode() in before
    assert len(left) >= len(before)
    assert [trace for trace in person.traces() if trace in left] == []
