"""Users in this process's memory: for tests and for embedding."""

import uuid
from dataclasses import replace
from datetime import datetime

from application.ports import UserRepository
from domain.errors import NotFound
from domain.identity import Identity
from domain.user import Profile, ProfileChange, UnionIdConflict, User


class MemoryUserRepository(UserRepository):
    """A UserRepository of one process."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._conflicts: dict[tuple[str, str], UnionIdConflict] = {}

    async def find_or_create(self, identity: Identity, now: datetime) -> tuple[User, bool]:
        """See UserRepository."""
        user = self._owner_of_account(identity)
        if user is not None:
            return self._with_unionid(user, identity, now), False
        user = self._owner_of_unionid(identity.unionid)
        is_new = user is None
        if user is None:
            user = User(str(uuid.uuid4()), Profile(), now, now, unionid=identity.unionid)
        self._users[user.id] = replace(user, accounts=(*user.accounts, identity))
        return self._users[user.id], is_new

    async def get(self, user_id: str) -> User:
        """See UserRepository."""
        if user_id not in self._users:
            raise NotFound("There is no such user")
        return self._users[user_id]

    async def change_profile(self, user_id: str, change: ProfileChange, now: datetime) -> User:
        """See UserRepository."""
        user = await self.get(user_id)
        profile = replace(user.profile, **change.fields())
        self._users[user_id] = replace(user, profile=profile, updated_at=now)
        return self._users[user_id]

    async def conflicts(self) -> list[UnionIdConflict]:
        """See UserRepository."""
        return list(self._conflicts.values())

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
            return self._users[user.id]
        conflict = UnionIdConflict(user.id, identity.unionid, other.id if other else None)
        self._conflicts[user.id, identity.unionid] = conflict
        return user
