"""What users may see and say of themselves."""

from application.ports import Clock, UserRepository
from domain.user import ProfileChange, User


class Users:
    """Profiles. Every method raises NotFound and StoreUnavailable."""

    def __init__(self, users: UserRepository, *, clock: Clock) -> None:
        self._users = users
        self._clock = clock

    async def get(self, user_id: str) -> User:
        """The user with all accounts."""
        return await self._users.get(user_id)

    async def change_profile(self, user_id: str, change: ProfileChange) -> User:
        """The user after the change; `updated_at` tells of real ones only."""
        if not change.fields():
            return await self.get(user_id)
        return await self._users.change_profile(user_id, change, self._clock())
