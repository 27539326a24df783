"""Profiles, phone numbers and unionids of users."""

from dataclasses import replace

from application.ports.clock import Clock
from application.ports.platform import Platform
from application.ports.user_repository import UserRepository
from domain.errors import UserBlocked
from domain.event import Cause
from domain.identity import PhoneCode, code_may_be_spent
from domain.session import Session
from domain.user import Payment, ProfileChange, User


class Users:
    """Reads and changes users. Every method may raise NotFound and StoreUnavailable."""

    def __init__(self, users: UserRepository, platform: Platform, *, clock: Clock) -> None:
        self._users = users
        self._platform = platform
        self._clock = clock

    async def get(self, user_id: str) -> User:
        """Return the user with all accounts."""
        return await self._users.get(user_id)

    async def change_profile(self, user_id: str, change: ProfileChange) -> User:
        """Change the profile, and return the user. An empty change does not change `updated_at`."""
        if not change.fields():
            return await self.get(user_id)
        return await self._users.change_profile(user_id, change, self._clock())

    async def bind_phone(self, session: Session, code: str, cause: Cause) -> User:
        """Set the phone number behind a code of the phone button, and return the user. The code works once.

        Raises CodeMissing, RequestInvalid, CodeInvalid, WatermarkMismatch, what Platform raises and, where a number may
        have one user only, PhoneTaken. Then the code is spent, too.
        """
        phone_code = PhoneCode(code)
        with code_may_be_spent():
            number = await self._platform.phone_number(phone_code, session.identity)
            return await self._users.bind_phone(session.user_id, number, self._clock(), cause)

    async def add_unionid(self, session: Session, payment: Payment) -> User:
        """Add the unionid that WeChat returns for a user who paid, and return the user.

        Records a conflict if the unionid is another user's. Raises NotFound if WeChat knows no such payment of the last
        five minutes, UserBlocked if the unionid is a blocked user's, and what Platform raises.
        """
        unionid = await self._platform.unionid_of(session.identity, payment)
        user = await self._users.add_unionid(replace(session.identity, unionid=unionid), self._clock())
        if user.blocked_at:
            raise UserBlocked(user_id=user.id)
        return await self._users.get(session.user_id)
