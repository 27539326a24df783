"""What the entrypoints answer with: section 3.2 of the contract, the same from HTTP, CLI and worker."""

from datetime import datetime
from typing import Self

import msgspec

from application.login import LoggedIn
from domain.session import Session
from domain.user import User


class SessionAnswer(msgspec.Struct, frozen=True):
    """One session, as its user may see it."""

    id: str
    current: bool
    created_at: datetime
    last_seen_at: datetime
    idle_expires_at: datetime
    expires_at: datetime
    user_agent: str | None
    ip: str | None

    @classmethod
    def of(cls, session: Session, *, current: bool) -> Self:
        """The answer for `session`; `current`: it is the one that asks."""
        return cls(
            session.id,
            current,
            session.created_at,
            session.last_seen_at,
            session.idle_expires_at,
            session.expires_at,
            session.client.user_agent,
            session.client.ip,
        )


class SessionList(msgspec.Struct, frozen=True):
    """A user's live sessions, newest first."""

    sessions: list[SessionAnswer]

    @classmethod
    def of(cls, sessions: list[Session], *, current: str | None = None) -> Self:
        """The answer for `sessions`; `current`: the id of the one that asks."""
        return cls([SessionAnswer.of(session, current=session.id == current) for session in sessions])


class LoggedInUser(msgspec.Struct, frozen=True):
    """The user of a login."""

    id: str
    is_new: bool
    name: str
    avatar: str


class LoginAnswer(msgspec.Struct, frozen=True):
    """What a login gives. The token is in no other answer."""

    token: str
    token_type: str
    session: SessionAnswer
    user: LoggedInUser

    @classmethod
    def of(cls, login: LoggedIn) -> Self:
        """The answer for `login`."""
        profile = login.user.profile
        user = LoggedInUser(login.user.id, login.is_new, profile.name, profile.avatar)
        return cls(login.token.value, "Bearer", SessionAnswer.of(login.session, current=True), user)


class AccountAnswer(msgspec.Struct, frozen=True):
    """Who a user is in one mini-program."""

    appid: str
    openid: str


class UserAnswer(msgspec.Struct, frozen=True):
    """A user, as they may see themselves."""

    id: str
    name: str
    avatar: str
    language: str
    province: str
    city: str
    country: str
    phone: str | None
    created_at: datetime
    updated_at: datetime
    accounts: list[AccountAnswer]
    unionid: str | None

    @classmethod
    def of(cls, user: User) -> Self:
        """The answer for `user`."""
        profile = user.profile
        return cls(
            user.id,
            profile.name,
            profile.avatar,
            profile.language,
            profile.province,
            profile.city,
            profile.country,
            user.phone,
            user.created_at,
            user.updated_at,
            [AccountAnswer(account.appid.value, account.openid) for account in user.accounts],
            user.unionid,
        )
