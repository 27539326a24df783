"""Users in a database, whose constraints assign each account to one user."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError
from uuid_utils import uuid7

from adapters.sql.database import ConcurrentChange, Database
from adapters.sql.event_writer import EventWriter
from adapters.sql.tables import accounts, audit_events, unionid_conflicts, users
from adapters.sql.upsert import insert_new
from adapters.sql.user_erasure import erase_rows
from adapters.sql.user_merge import lock, lock_current, merge_rows, merged_ids, merged_into
from adapters.sql.user_records import read_records
from application.ports.events import Publish, ignore
from application.ports.user_repository import UserRepository
from domain.errors import NotFound, PhoneTaken, StoreUnavailable
from domain.event import DEFAULT_POLICY, Cause, Event, EventPolicy, EventType
from domain.identity import AppId, Identity
from domain.own_data import Erasure, UserRecords
from domain.user import PROFILE_LIMITS, PhoneNumber, Profile, ProfileChange, UnionIdConflict, User, was_merged
from domain.user_query import UserQuery


class SqlUserRepository(UserRepository):
    """A UserRepository on SQLite, PostgreSQL, MariaDB or MySQL."""

    def __init__(
        self,
        database: Database,
        policy: EventPolicy = DEFAULT_POLICY,
        publish: Publish = ignore,
        *,
        unique_phones: bool = False,
    ) -> None:
        self._database = database
        self._policy = policy
        self._unique_phones = unique_phones
        self._events = EventWriter(database, policy, publish)

    async def find_or_create(self, identity: Identity, now: datetime) -> tuple[User, bool]:
        """See UserRepository."""
        user = await self._database.read(partial(_owner_of_account, identity=identity))
        if user is None:
            return await self._events.write(partial(_create, identity=identity, now=now))
        if identity.unionid not in (None, user.unionid):
            user = await self._events.write(partial(_add_unionid, identity=identity, now=now))
        return user, False

    async def add_unionid(self, identity: Identity, now: datetime) -> User:
        """See UserRepository."""
        return await self._events.write(partial(_add_unionid, identity=identity, now=now, absent=NotFound))

    async def find_account(self, identity: Identity) -> User | None:
        """See UserRepository."""
        return await self._database.read(partial(_owner_of_account, identity=identity))

    async def get(self, user_id: str) -> User:
        """See UserRepository."""
        return await self._database.read(partial(_get, user_id=user_id))

    async def find_users(self, query: UserQuery) -> list[User]:
        """See UserRepository."""
        return await self._database.read(partial(_find_users, query=query))

    async def ids_of(self, user_id: str) -> list[str]:
        """See UserRepository."""
        return await self._database.read(partial(_ids_of, user_id=user_id))

    async def change_profile(self, user_id: str, change: ProfileChange, now: datetime) -> User:
        """See UserRepository."""
        values = {**change.fields(), "updated_at": now}
        return await self._database.write(partial(_change, user_id=user_id, values=values))

    async def bind_phone(self, user_id: str, phone: PhoneNumber, now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        bind = _bind_unique_phone if self._unique_phones else _bind_phone
        return await self._events.write(partial(bind, user_id=user_id, phone=phone, now=now, cause=cause))

    async def revoke_consent(
        self, user_id: str, fields: frozenset[str], now: datetime, cause: Cause, event_id: str | None = None
    ) -> User | None:
        """See UserRepository."""
        work = partial(_revoke, user_id=user_id, fields=fields, now=now, cause=cause, event_id=event_id)
        return await self._events.write(work)

    async def block(self, user_id: str, now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        return await self._events.write(partial(_block, user_id=user_id, now=now, cause=cause))

    async def unblock(self, user_id: str, now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        return await self._events.write(partial(_unblock, user_id=user_id, now=now, cause=cause))

    async def merge(self, from_id: str, into_id: str, discard: frozenset[str], now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        work = partial(_merge, from_id=from_id, into_id=into_id, discard=discard, now=now, cause=cause)
        return await self._events.write(work)

    async def records_of(self, user_id: str) -> UserRecords:
        """See UserRepository."""
        return await self._database.read(lambda connection: read_records(connection, _get(connection, user_id)))

    async def erase(self, user_id: str, now: datetime, cause: Cause) -> Erasure:
        """See UserRepository."""
        work = partial(erase_rows, user_id=user_id, policy=self._policy, now=now, cause=cause)
        erasure = await self._events.write(work)
        with suppress(StoreUnavailable):  # the purge empties the log later
            await self._database.empty_log()
        return erasure

    async def conflicts(self) -> list[UnionIdConflict]:
        """See UserRepository."""
        return await self._database.read(_conflicts)


PROFILE = attrgetter(*PROFILE_LIMITS)

OWNER_OF_ACCOUNT = (
    select(users).join(accounts).where(accounts.c.appid == bindparam("appid"), accounts.c.openid == bindparam("openid"))
)
"""The statement of every login. Building a statement takes as long as running it, so it is built once."""


def _owner_of_account(connection: Connection, identity: Identity) -> User | None:
    row = connection.execute(OWNER_OF_ACCOUNT, _account(identity)).first()
    return _user(row) if row else None


def _owner_of_unionid(connection: Connection, unionid: str | None) -> User | None:
    if unionid is None:
        return None
    row = connection.execute(select(users).where(users.c.unionid == unionid)).first()
    return _user(row) if row else None


def _create(connection: Connection, events: list[Event], identity: Identity, now: datetime) -> tuple[User, bool]:
    """Add the account to the user with its unionid, or to a new user. Return the user, and whether it is new."""
    user = User(str(uuid7()), Profile(), created_at=now, updated_at=now, unionid=identity.unionid)
    is_new = insert_new(connection, users, _row(user))
    owner = user if is_new else _owner_of_unionid(connection, identity.unionid)
    if owner is None:
        raise ConcurrentChange
    if insert_new(connection, accounts, {**_account(identity), "user_id": owner.id, "created_at": now}):
        if is_new:
            events.append(_by_login(EventType.USER_CREATED, owner.id, identity, now))
        return owner, is_new
    if is_new:  # another login of this account was faster
        connection.execute(delete(users).where(users.c.id == user.id))
    return _add_unionid(connection, events, identity, now), False


def _by_login(kind: EventType, user_id: str, identity: Identity, now: datetime, reason: str | None = None) -> Event:
    return Event.of(kind, Cause.user(), now, user_id=user_id, app=identity.appid.value, reason=reason)


def _add_unionid(
    connection: Connection,
    events: list[Event],
    identity: Identity,
    now: datetime,
    absent: type[Exception] = ConcurrentChange,
) -> User:
    """Return the account's user after adding the unionid. Records a conflict if it cannot be added.

    Raises `absent` if there is no such account.
    """
    user = _owner_of_account(connection, identity)
    if user is None:
        raise absent
    if identity.unionid in (None, user.unionid):
        return user
    owner = _owner_of_unionid(connection, identity.unionid)
    if owner and owner.id == user.id:  # another login of this account was faster
        return owner
    if user.unionid or owner:
        conflict = UnionIdConflict(user.id, identity.unionid, owner.id if owner else None)
        if _record_conflict(connection, conflict, now):
            with_user = f"with {owner.id}" if owner else None
            events.append(_by_login(EventType.USER_UNIONID_CONFLICT, user.id, identity, now, with_user))
        return user.with_block_of(owner)
    without_unionid = update(users).where(users.c.id == user.id, users.c.unionid.is_(None))
    if not connection.execute(without_unionid.values(unionid=identity.unionid, updated_at=now)).rowcount:
        raise ConcurrentChange
    events.append(_by_login(EventType.USER_UNIONID_ADDED, user.id, identity, now))
    return replace(user, unionid=identity.unionid, updated_at=now)


def _record_conflict(connection: Connection, conflict: UnionIdConflict, now: datetime) -> bool:
    """Record the conflict, and return whether it is new, or with another user than before."""
    same = (unionid_conflicts.c.user_id == conflict.user_id) & (unionid_conflicts.c.unionid == conflict.unionid)
    other_user_id = unionid_conflicts.c.other_user_id
    known = connection.execute(select(other_user_id).where(same)).first()
    if known and known.other_user_id == conflict.other_user_id:
        return False
    lock(connection, conflict.user_id)  # of concurrent logins, one records it
    row = {
        "user_id": conflict.user_id,
        "unionid": conflict.unionid,
        "other_user_id": conflict.other_user_id,
        "created_at": now,
    }
    if insert_new(connection, unionid_conflicts, row):
        return True
    changed = update(unionid_conflicts).where(same, other_user_id.is_distinct_from(conflict.other_user_id))
    return connection.execute(changed.values(other_user_id=conflict.other_user_id)).rowcount == 1


def _get(connection: Connection, user_id: str) -> User:
    row = connection.execute(select(users).where(users.c.id == user_id)).first()
    if row is None:
        if merged_id := merged_into(connection, user_id):
            return _get(connection, merged_id)
        raise NotFound("There is no such user")
    owned = select(accounts).where(accounts.c.user_id == row.id).order_by(accounts.c.created_at, accounts.c.openid)
    return _user(row, connection.execute(owned).all())


def _find_users(connection: Connection, query: UserQuery) -> list[User]:
    if query.id and (merged_id := merged_into(connection, query.id)):
        query = replace(query, id=merged_id)
    rows = connection.execute(search(query)).all()
    owned = select(accounts).where(accounts.c.user_id.in_([row.id for row in rows]))
    by_user = defaultdict[str, list[Row[Any]]](list)
    for account in connection.execute(owned.order_by(accounts.c.created_at, accounts.c.openid)):
        by_user[account.user_id].append(account)
    return [_user(row, by_user[row.id]) for row in rows]


def search(query: UserQuery) -> Select[Any]:
    """Return the statement that finds users. Ids are in the order of their creation, and each filter has an index."""
    statement = select(users).order_by(users.c.id.desc()).limit(query.limit)
    for column, value in ((users.c.phone, query.phone), (users.c.unionid, query.unionid), (users.c.id, query.id)):
        if value is not None:
            statement = statement.where(column == value)
    if query.openid is not None:
        statement = statement.where(users.c.id.in_(select(accounts.c.user_id).where(accounts.c.openid == query.openid)))
    if query.before is not None:
        statement = statement.where(users.c.id < query.before)
    return statement


def _ids_of(connection: Connection, user_id: str) -> list[str]:
    if connection.scalar(select(users.c.id).where(users.c.id == user_id)):
        return [*merged_ids(connection, user_id), user_id]
    if merged_id := merged_into(connection, user_id):
        return _ids_of(connection, merged_id)
    raise NotFound("There is no such user")


def _change(connection: Connection, user_id: str, values: dict[str, Any]) -> User:
    changed = connection.execute(update(users).where(users.c.id == user_id).values(values)).rowcount
    if not changed and (merged_id := merged_into(connection, user_id)):
        return _change(connection, merged_id, values)
    return _get(connection, user_id)


def _bind_phone(
    connection: Connection, events: list[Event], user_id: str, phone: PhoneNumber, now: datetime, cause: Cause
) -> User:
    user = _change(connection, user_id, {"phone": phone.value, "unique_phone": None, "updated_at": now})
    events.append(Event.of(EventType.USER_PHONE_BOUND, cause, now, user_id=user.id))
    return user


def _bind_unique_phone(
    connection: Connection, events: list[Event], user_id: str, phone: PhoneNumber, now: datetime, cause: Cause
) -> User:
    """Bind a number that no other user has. The read finds numbers from before they were unique."""
    current = lock_current(connection, user_id)
    has_phone = select(users.c.id).where(users.c.phone == phone.value, users.c.id != current)
    if connection.execute(has_phone.limit(1)).first():
        raise PhoneTaken
    values = {"phone": phone.value, "unique_phone": phone.value, "updated_at": now}
    try:
        user = _change(connection, current, values)
    except IntegrityError:
        raise PhoneTaken from None  # the driver's text has the number
    events.append(Event.of(EventType.USER_PHONE_BOUND, cause, now, user_id=user.id))
    return user


def _revoke(
    connection: Connection,
    events: list[Event],
    user_id: str,
    fields: frozenset[str],
    now: datetime,
    cause: Cause,
    event_id: str | None,
) -> User | None:
    lock(connection, user_id)
    known = select(audit_events.c.id).where(audit_events.c.id == event_id).with_for_update()
    if event_id and connection.execute(known).first():
        return None
    emptied: dict[str, Any] = dict.fromkeys(fields & {"name", "avatar"}, "")
    if "phone" in fields:
        emptied |= {"phone": None, "unique_phone": None}
    user = _change(connection, user_id, {**emptied, "updated_at": now}) if emptied else _get(connection, user_id)
    reason = cause.reason or ",".join(sorted(fields))
    event = Event.of(EventType.USER_CONSENT_REVOKED, cause, now, user_id=user.id, reason=reason)
    events.append(replace(event, id=event_id or event.id))
    return user


def _block(connection: Connection, events: list[Event], user_id: str, now: datetime, cause: Cause) -> User:
    current, is_blocked = _lock_block(connection, user_id)
    if is_blocked:
        return _get(connection, current)
    events.append(Event.of(EventType.USER_BLOCKED, cause, now, user_id=current))
    return _change(connection, current, {"blocked_at": now})


def _unblock(connection: Connection, events: list[Event], user_id: str, now: datetime, cause: Cause) -> User:
    current, is_blocked = _lock_block(connection, user_id)
    if not is_blocked:
        return _get(connection, current)
    events.append(Event.of(EventType.USER_UNBLOCKED, cause, now, user_id=current))
    return _change(connection, current, {"blocked_at": None})


def _lock_block(connection: Connection, user_id: str) -> tuple[str, bool]:
    """Lock the user's row, and return the user's id and whether they are blocked. Raises NotFound."""
    current = lock_current(connection, user_id)
    blocked_at = select(users.c.blocked_at).where(users.c.id == current).with_for_update()
    return current, connection.scalar(blocked_at) is not None


def _merge(
    connection: Connection,
    events: list[Event],
    from_id: str,
    into_id: str,
    discard: frozenset[str],
    now: datetime,
    cause: Cause,
) -> User:
    lock(connection, from_id, into_id)
    one, into = _get(connection, from_id), _get(connection, into_id)
    if was_merged(from_id, into_id, one, into):
        return into
    merge_rows(connection, one, into, discard, now)
    events.append(Event.of(EventType.USER_MERGED, cause, now, user_id=into.id, reason=f"from {one.id}"))
    return _get(connection, into.id)


def _conflicts(connection: Connection) -> list[UnionIdConflict]:
    rows = connection.execute(select(unionid_conflicts).order_by(unionid_conflicts.c.created_at))
    return [UnionIdConflict(row.user_id, row.unionid, row.other_user_id) for row in rows]


def _account(identity: Identity) -> dict[str, str]:
    return {"appid": identity.appid.value, "openid": identity.openid}


def _user(row: Row[Any], owned: Sequence[Row[Any]] = ()) -> User:
    return User(
        id=row.id,
        profile=Profile(*PROFILE(row)),
        created_at=row.created_at,
        updated_at=row.updated_at,
        unionid=row.unionid,
        phone=row.phone,
        blocked_at=row.blocked_at,
        accounts=tuple(Identity(AppId(account.appid), account.openid) for account in owned),
    )


def _row(user: User) -> dict[str, Any]:
    profile = {field: getattr(user.profile, field) for field in PROFILE_LIMITS}
    times = {"created_at": user.created_at, "updated_at": user.updated_at}
    return {"id": user.id, "unionid": user.unionid, "phone": user.phone, **profile, **times}
