"""Users in the memory of this process, for tests and for embedding."""

from dataclasses import asdict, replace
from datetime import datetime

from uuid_utils import uuid7

from application.ports.events import Publish, ignore
from application.ports.user_repository import UserRepository
from domain.errors import NotFound, PhoneTaken
from domain.event import Cause, Event, EventType
from domain.identity import Identity
from domain.own_data import REVOCABLE_FIELDS, ConflictRecord, Erasure, MergeRecord, UserRecords
from domain.user import PhoneNumber, Profile, ProfileChange, UnionIdConflict, User, merge, was_merged
from domain.user_query import UserQuery


class MemoryUserRepository(UserRepository):
    """A UserRepository of one process. It publishes its events, and keeps none."""

    def __init__(self, publish: Publish = ignore, *, unique_phones: bool = False) -> None:
        self._publish = publish
        self._unique_phones = unique_phones
        self._erased: dict[str, Erasure] = {}
        self._users: dict[str, User] = {}
        self._merged: dict[str, MergeRecord] = {}
        self._revocations: set[str] = set()
        self._merged_into: dict[str, str] = {}
        self._conflicts: dict[tuple[str, str], UnionIdConflict] = {}

    async def find_or_create(self, identity: Identity, now: datetime) -> tuple[User, bool]:
        """See UserRepository."""
        user = self._owner_of_account(identity)
        if user is not None:
            return self._with_unionid(user, identity, now), False
        user = self._owner_of_unionid(identity.unionid)
        is_new = user is None
        if user is None:
            user = User(str(uuid7()), Profile(), now, now, unionid=identity.unionid)
        self._users[user.id] = replace(user, accounts=(*user.accounts, identity))
        if is_new:
            self._publish_login(EventType.USER_CREATED, user.id, identity, now)
        return self._users[user.id], is_new

    async def add_unionid(self, identity: Identity, now: datetime) -> User:
        """See UserRepository."""
        user = self._owner_of_account(identity)
        if user is None:
            raise NotFound
        return self._with_unionid(user, identity, now)

    async def find_account(self, identity: Identity) -> User | None:
        """See UserRepository."""
        return self._owner_of_account(identity)

    async def get(self, user_id: str) -> User:
        """See UserRepository."""
        user_id = self._merged_into.get(user_id, user_id)
        if user_id not in self._users:
            raise NotFound("There is no such user")
        return self._users[user_id]

    async def find_users(self, query: UserQuery) -> list[User]:
        """See UserRepository."""
        user_id = self._merged_into.get(query.id, query.id) if query.id else query.id
        wanted = replace(query, id=user_id)
        found = [user for user in self._users.values() if _matches(user, wanted)]
        return sorted(found, key=lambda user: user.id, reverse=True)[: query.limit]

    async def ids_of(self, user_id: str) -> list[str]:
        """See UserRepository."""
        user = await self.get(user_id)
        return [old for old, new in self._merged_into.items() if new == user.id] + [user.id]

    async def change_profile(self, user_id: str, change: ProfileChange, now: datetime) -> User:
        """See UserRepository."""
        user = await self.get(user_id)
        profile = replace(user.profile, **change.fields())
        self._users[user.id] = replace(user, profile=profile, updated_at=now)
        return self._users[user.id]

    async def bind_phone(self, user_id: str, phone: PhoneNumber, now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        user = await self.get(user_id)
        others = [each for each in self._users.values() if each.id != user.id]
        if self._unique_phones and any(each.phone == phone.value for each in others):
            raise PhoneTaken
        self._users[user.id] = replace(user, phone=phone.value, updated_at=now)
        self._publish([Event.of(EventType.USER_PHONE_BOUND, cause, now, user_id=user.id)])
        return self._users[user.id]

    async def revoke_consent(
        self, user_id: str, fields: frozenset[str], now: datetime, cause: Cause, event_id: str | None = None
    ) -> User | None:
        """See UserRepository."""
        user = await self.get(user_id)
        if event_id in self._revocations:
            return None
        if fields & REVOCABLE_FIELDS:
            profile = replace(user.profile, **dict.fromkeys(fields & {"name", "avatar"}, ""))
            phone = None if "phone" in fields else user.phone
            self._users[user.id] = replace(user, profile=profile, phone=phone, updated_at=now)
        reason = cause.reason or ",".join(sorted(fields))
        event = Event.of(EventType.USER_CONSENT_REVOKED, cause, now, user_id=user.id, reason=reason)
        self._revocations.add(event_id or event.id)
        self._publish([replace(event, id=event_id or event.id)])
        return self._users[user.id]

    async def block(self, user_id: str, now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        user = await self.get(user_id)
        if user.blocked_at:
            return user
        self._users[user.id] = replace(user, blocked_at=now)
        self._publish([Event.of(EventType.USER_BLOCKED, cause, now, user_id=user.id)])
        return self._users[user.id]

    async def unblock(self, user_id: str, now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        user = await self.get(user_id)
        if user.blocked_at:
            self._users[user.id] = replace(user, blocked_at=None)
            self._publish([Event.of(EventType.USER_UNBLOCKED, cause, now, user_id=user.id)])
        return self._users[user.id]

    async def merge(self, from_id: str, into_id: str, discard: frozenset[str], now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        one, into = await self.get(from_id), await self.get(into_id)
        if was_merged(from_id, into_id, one, into):
            return into
        self._users[into.id] = merge(one, into, discard, now)
        del self._users[one.id]
        self._merged[one.id] = MergeRecord(one.id, now, asdict(one))
        earlier = {old: into.id for old, new in self._merged_into.items() if new == one.id}
        self._merged_into |= {one.id: into.id, **earlier}
        self._conflicts = self._settled(one.id, into.id)
        self._publish([Event.of(EventType.USER_MERGED, cause, now, user_id=into.id, reason=f"from {one.id}")])
        return self._users[into.id]

    def _settled(self, one: str, into: str) -> dict[tuple[str, str], UnionIdConflict]:
        """Return the conflicts after a merge."""
        own = (into, self._users[into].unionid)
        renamed = [
            UnionIdConflict(
                into if c.user_id == one else c.user_id, c.unionid, into if c.other_user_id == one else c.other_user_id
            )
            for c in self._conflicts.values()
        ]
        left = {(c.user_id, c.unionid): c for c in renamed if c.user_id != c.other_user_id}
        return {key: conflict for key, conflict in left.items() if key != own}

    async def records_of(self, user_id: str) -> UserRecords:
        """See UserRepository."""
        user = await self.get(user_id)
        own = [conflict for conflict in self._conflicts.values() if conflict.user_id == user.id]
        merged = [self._merged[old] for old, new in self._merged_into.items() if new == user.id]
        return UserRecords(
            user,
            (user.created_at,) * len(user.accounts),
            tuple(ConflictRecord(each.unionid, each.other_user_id, user.updated_at) for each in own),
            tuple(merged),
        )

    async def erase(self, user_id: str, now: datetime, cause: Cause) -> Erasure:
        """See UserRepository."""
        if user_id in self._erased:
            return self._erased[user_id]
        user = await self.get(user_id)
        former = sorted(old for old, new in self._merged_into.items() if new == user.id)
        ids = (user.id, *former)
        del self._users[user.id]
        for each in former:
            del self._merged[each], self._merged_into[each]
        self._conflicts = {
            key: each for key, each in self._conflicts.items() if user.id not in (each.user_id, each.other_user_id)
        }
        self._erased |= dict.fromkeys(ids, Erasure(ids, (), is_new=False))
        self._publish(
            [
                Event.of(
                    EventType.USER_ERASED,
                    cause.without_address(),
                    now,
                    user_id=each,
                    reason=None if each == user.id else f"with {user.id}",
                )
                for each in ids
            ]
        )
        return Erasure(ids, user.accounts, is_new=True)

    async def conflicts(self) -> list[UnionIdConflict]:
        """See UserRepository."""
        return list(self._conflicts.values())

    def _publish_login(
        self, kind: EventType, user_id: str, identity: Identity, now: datetime, reason: str | None = None
    ) -> None:
        event = Event.of(kind, Cause.user(), now, user_id=user_id, app=identity.appid.value, reason=reason)
        self._publish([event])

    def _owner_of_account(self, identity: Identity) -> User | None:
        wanted = (identity.appid, identity.openid)
        return next(
            (user for user in self._users.values() if wanted in [(a.appid, a.openid) for a in user.accounts]),
            None,
        )

    def _owner_of_unionid(self, unionid: str | None) -> User | None:
        return next((user for user in self._users.values() if unionid and user.unionid == unionid), None)

    def _with_unionid(self, user: User, identity: Identity, now: datetime) -> User:
        if identity.unionid is None or identity.unionid == user.unionid:
            return user
        other = self._owner_of_unionid(identity.unionid)
        if user.unionid is None and other is None:
            self._users[user.id] = replace(user, unionid=identity.unionid, updated_at=now)
            self._publish_login(EventType.USER_UNIONID_ADDED, user.id, identity, now)
            return self._users[user.id]
        conflict = UnionIdConflict(user.id, identity.unionid, other.id if other else None)
        if self._conflicts.get((user.id, identity.unionid)) != conflict:
            self._conflicts[user.id, identity.unionid] = conflict
            with_user = f"with {other.id}" if other else None
            self._publish_login(EventType.USER_UNIONID_CONFLICT, user.id, identity, now, with_user)
        return user.with_block_of(other)


def _matches(user: User, query: UserQuery) -> bool:
    return (
        (query.openid is None or query.openid in [account.openid for account in user.accounts])
        and query.phone in (None, user.phone)
        and query.unionid in (None, user.unionid)
        and query.id in (None, user.id)
        and (query.before is None or user.id < query.before)
    )
