"""The response bodies of HTTP, CLI and worker."""

from datetime import datetime
from typing import Self

import msgspec
from msgspec import UNSET, UnsetType

from application.login import LoggedIn
from domain.event import Event, EventType
from domain.session import Session
from domain.session_key import EncryptKey
from domain.user import UnionIdConflict, User
from entrypoints.problems import Problem


class SecretStruct(msgspec.Struct, frozen=True):
    """A body that contains a secret. Its `repr` is the name of its class."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class SessionResponse(msgspec.Struct, frozen=True):
    """A session, as its user sees it.

    `user_agent` is the User-Agent if the session store keeps it, else the same as `device`.
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
        """Return the body for `session`. `current`: the request is of this session."""
        return cls(
            session.id,
            current,
            session.created_at,
            session.last_seen_at,
            session.idle_expires_at,
            session.expires_at,
            session.device.user_agent,
            session.device.ip,
            session.device.label,
        )


class SessionList(msgspec.Struct, frozen=True):
    """A user's live sessions, newest first."""

    sessions: list[SessionResponse]

    @classmethod
    def of(cls, sessions: list[Session], *, current: str | None = None) -> Self:
        """Return the body for `sessions`. `current`: the id of the session of the request."""
        return cls([SessionResponse.of(session, current=session.id == current) for session in sessions])


class LoggedInUser(msgspec.Struct, frozen=True):
    """The user of a login. `phone` is there if the login brought a `phone_code`."""

    id: str
    is_new: bool
    name: str
    avatar: str
    phone: str | UnsetType | None = UNSET


class LoginResponse(SecretStruct, frozen=True):
    """The result of a login. No other body contains the token.

    `phone_error` is there if the login brought a `phone_code` and the phone number could not be bound.
    """

    token: str
    token_type: str
    session: SessionResponse
    user: LoggedInUser
    phone_error: Problem | UnsetType = UNSET

    @classmethod
    def of(cls, login: LoggedIn, *, with_phone: bool = False) -> Self:
        """Return the body for `login`. `with_phone`: it brought a phone code."""
        profile = login.user.profile
        phone = login.user.phone if with_phone else UNSET
        user = LoggedInUser(login.user.id, login.is_new, profile.name, profile.avatar, phone)
        problem = Problem.of(login.phone_error) if login.phone_error else UNSET
        return cls(login.token.value, "Bearer", SessionResponse.of(login.session, current=True), user, problem)


class AccountResponse(msgspec.Struct, frozen=True):
    """A user's account in one mini-program."""

    appid: str
    openid: str


class UserResponse(msgspec.Struct, frozen=True):
    """A user, as they see themselves."""

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
    accounts: list[AccountResponse]
    unionid: str | None

    @classmethod
    def of(cls, user: User) -> Self:
        """Return the body for `user`."""
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
            [AccountResponse(account.appid.value, account.openid) for account in user.accounts],
            user.unionid,
        )


class EncryptKeyResponse(SecretStruct, frozen=True):
    """A key for the user's own data. `encrypt_key` is base64; the client uses the text `iv` unchanged."""

    version: int
    encrypt_key: str
    iv: str
    created_at: datetime
    expires_at: datetime


class EncryptKeyList(msgspec.Struct, frozen=True):
    """The keys for the user's own data, newest first."""

    keys: list[EncryptKeyResponse]

    @classmethod
    def of(cls, keys: list[EncryptKey]) -> Self:
        """Return the body for `keys`."""
        return cls([EncryptKeyResponse(key.version, key.key, key.iv, key.created_at, key.expires_at) for key in keys])


class ConflictResponse(msgspec.Struct, frozen=True):
    """A unionid of `user_id` that belongs to `other_user_id`; null: the user had another unionid before."""

    user_id: str
    unionid: str
    other_user_id: str | None


class ConflictList(msgspec.Struct, frozen=True):
    """The conflicts that `wxlogin users merge` resolves."""

    conflicts: list[ConflictResponse]

    @classmethod
    def of(cls, conflicts: list[UnionIdConflict]) -> Self:
        """Return the body for `conflicts`."""
        return cls([ConflictResponse(each.user_id, each.unionid, each.other_user_id) for each in conflicts])


class AdminUser(UserResponse, frozen=True):
    """A user, as operators see them: with the time of a block."""

    blocked_at: datetime | None

    @classmethod
    def of(cls, user: User) -> Self:
        """Return the body for `user`."""
        return cls(**msgspec.structs.asdict(UserResponse.of(user)), blocked_at=user.blocked_at)


class AdminUserList(msgspec.Struct, frozen=True):
    """Users, newest first."""

    users: list[AdminUser]


class EventResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event of the audit trail. What is not known is absent."""

    id: str
    time: datetime
    type: EventType
    actor: str
    user_id: str | None = None
    session_id: str | None = None
    app: str | None = None
    ip: str | None = None
    reason: str | None = None

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return the body for `event`."""
        return cls(*(getattr(event, name) for name in cls.__struct_fields__))


class EventList(msgspec.Struct, frozen=True):
    """Events of the audit trail, newest first."""

    events: list[EventResponse]
