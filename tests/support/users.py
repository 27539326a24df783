"""Users for the tests of repositories."""

import uuid

from application.ports.user_repository import UserRepository
from domain.identity import AppId, Identity
from domain.user import PhoneNumber, UnionIdConflict, User
from support.clock import Clock

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
NUMBER, OTHER_NUMBER = PhoneNumber("+8613800000000"), PhoneNumber("+12025550123")


def unique(prefix: str = "o") -> str:
    """Return an openid or a unionid that no other test uses."""
    return f"{prefix}{uuid.uuid4().hex}"


def somebody(appid: AppId = APP, unionid: str | None = None) -> Identity:
    """Return a new account."""
    return Identity(appid, unique(), unionid)


async def made(users: UserRepository, clock: Clock, identity: Identity | None = None) -> User:
    """Return the user of this identity, or of a new one, with all accounts."""
    user, _ = await users.find_or_create(identity or somebody(), clock.now)
    return await users.get(user.id)


async def conflicts_of(users: UserRepository, user: User) -> list[UnionIdConflict]:
    """Return the user's conflicts, among those of all tests."""
    return [conflict for conflict in await users.conflicts() if conflict.user_id == user.id]


def accounts_of(user: User) -> list[tuple[AppId, str]]:
    """Return the user's accounts, without unionids."""
    return [(account.appid, account.openid) for account in user.accounts]
