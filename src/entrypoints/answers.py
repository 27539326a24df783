"""What the entrypoints answer with: section 3.2 of the contract, the same from HTTP, CLI and worker."""

from datetime import datetime
from typing import Self

import msgspec

from application.login import LoggedIn
from domain.device import device_label
from domain.session import Session
from domain.session_key import EncryptKey
from domain.user import UnionIdConflict, User


class SecretStruct(msgspec.Struct, frozen=True):
    """A body that holds a secret. Its `repr` is its name alone."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class SessionAnswer(msgspec.Struct, frozen=True):
    """One session, as its user may see it.

    `user_agent` is the client's own text where the session store keeps it, else `device`.
    """

    id: str
    current: bool
    created_at: datetime
    last_seen_at: datetime
    idle_expires_at: datetime
    expires_at: datetime
    user_agent: str | None
    ip: str | None
    device: str | None

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
            device_label(session.client.user_agent),
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


class LoginAnswer(SecretStruct, frozen=True):
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


class EncryptKeyAnswer(SecretStruct, frozen=True):
    """One key of a user's own data: `encrypt_key` is base64, `iv` the text that the client uses as it is."""

    version: int
    encrypt_key: str
    iv: str
    created_at: datetime
    expires_at: datetime


class EncryptKeyList(msgspec.Struct, frozen=True):
    """The keys of a user's own data, newest first."""

    keys: list[EncryptKeyAnswer]

    @classmethod
    def of(cls, keys: list[EncryptKey]) -> Self:
        """The answer for `keys`."""
        return cls([EncryptKeyAnswer(key.version, key.key, key.iv, key.created_at, key.expires_at) for key in keys])


class ConflictAnswer(msgspec.Struct, frozen=True):
    """A unionid that an account of `user_id` showed, and whose it is; null: they had another one before."""

    user_id: str
    unionid: str
    other_user_id: str | None


class ConflictList(msgspec.Struct, frozen=True):
    """What `wxlogin users merge` resolves."""

    conflicts: list[ConflictAnswer]

    @classmethod
    def of(cls, conflicts: list[UnionIdConflict]) -> Self:
        """The answer for `conflicts`."""
        return cls([ConflictAnswer(each.user_id, each.unionid, each.other_user_id) for each in conflicts])
