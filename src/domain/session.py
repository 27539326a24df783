"""A login that lasts: its token, when it lives, and why it ended."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NoReturn, Self

from domain.errors import SessionEnded, SessionExpired, SessionReplaced, TokenInvalid, TokenMissing
from domain.identity import Identity

REASON_KEPT = timedelta(days=7)
"""How long it is remembered, at most, why a session is over."""


TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class SessionToken:
    """What the client holds: 256 random bits, URL-safe. It is stored nowhere.

    Raises TokenMissing when it is empty and TokenInvalid when it cannot be a token of ours.
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.value:
            raise TokenMissing
        if not TOKEN.fullmatch(self.value):
            raise TokenInvalid

    @classmethod
    def generate(cls) -> Self:
        """A new one, from the system's randomness."""
        return cls(secrets.token_urlsafe(32))

    @property
    def session_id(self) -> str:
        """The session's public name: half of the token's SHA-256 in hex. Nobody gets from it to the token."""
        return session_id_of(self.value)


def session_id_of(token: str) -> str:
    """What the session would be called that such a token opens, if it is one."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """How long sessions live, and how many of them a user may have (0: any number)."""

    idle: timedelta = timedelta(days=7)
    max_age: timedelta = timedelta(days=30)
    per_user: int = 12

    @property
    def touch_interval(self) -> timedelta:
        """How old `last_seen_at` may grow before it is written anew, so that not every request is a write."""
        return min(timedelta(minutes=1), self.idle / 100)


@dataclass(frozen=True, slots=True)
class Client:
    """The device a login comes from, as far as the request tells."""

    user_agent: str | None = None
    ip: str | None = None


UNKNOWN_CLIENT = Client()
"""The device of a login that came from no request."""


class EndReason(StrEnum):
    """Why a session is over before its time."""

    ENDED = "session_ended"
    REPLACED = "session_replaced"


@dataclass(frozen=True, slots=True)
class EndedSession:
    """What is left of a session: why it is over, until `forget_at`."""

    reason: EndReason
    forget_at: datetime

    @classmethod
    def of(cls, reason: EndReason, now: datetime, expires_at: datetime) -> Self:
        """The rest of a session that ends now: the reason, for as long as it would have lived, at most seven days."""
        return cls(reason, min(expires_at, now + REASON_KEPT))

    def live(self, now: datetime) -> NoReturn:
        """It is not: raises SessionEnded or SessionReplaced, and TokenInvalid once the reason is forgotten."""
        if now >= self.forget_at:
            raise TokenInvalid
        raise SessionReplaced if self.reason is EndReason.REPLACED else SessionEnded


@dataclass(frozen=True, slots=True)
class Session:
    """One login of one user on one device. All times are UTC; `id` is public."""

    id: str
    user_id: str
    identity: Identity
    client: Client
    created_at: datetime
    last_seen_at: datetime
    idle_expires_at: datetime
    expires_at: datetime

    @classmethod
    def start(
        cls,
        token: SessionToken,
        user_id: str,
        identity: Identity,
        client: Client,
        policy: SessionPolicy,
        now: datetime,
    ) -> Self:
        """The session that `token` opens."""
        expires_at = now + policy.max_age
        return cls(
            id=token.session_id,
            user_id=user_id,
            identity=identity,
            client=client,
            created_at=now,
            last_seen_at=now,
            idle_expires_at=min(now + policy.idle, expires_at),
            expires_at=expires_at,
        )

    def is_live(self, now: datetime) -> bool:
        """Whether it still logs its user in."""
        return now < self.idle_expires_at

    def live(self, now: datetime) -> Self:
        """Itself. Raises SessionExpired when it is over, and TokenInvalid once that is forgotten."""
        if self.is_live(now):
            return self
        raise SessionExpired if now < self.forget_at else TokenInvalid

    def touch(self, policy: SessionPolicy, now: datetime) -> Self:
        """The same session, seen just now."""
        return replace(self, last_seen_at=now, idle_expires_at=min(now + policy.idle, self.expires_at))

    def end(self, reason: EndReason, now: datetime) -> EndedSession:
        """What is left when it ends now."""
        return EndedSession.of(reason, now, self.expires_at)

    @property
    def forget_at(self) -> datetime:
        """When a store may drop it: until then its token is told that it expired."""
        return self.idle_expires_at + REASON_KEPT


def beyond_limit(sessions: Iterable[Session], limit: int, now: datetime) -> list[Session]:
    """The live ones that have to give way, the oldest, when a user may have `limit` (0: any number)."""
    live = sorted((s for s in sessions if s.is_live(now)), key=lambda s: s.created_at, reverse=True)
    return live[limit:] if limit else []
