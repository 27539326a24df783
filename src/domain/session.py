"""Sessions: their tokens, how long they live, and why they end."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NoReturn, Self

from domain.device import Device
from domain.errors import SessionEnded, SessionExpired, SessionReplaced, TokenInvalid, TokenMissing
from domain.event import Cause, Event, EventType
from domain.identity import Identity

REASON_RETENTION = timedelta(days=7)
"""How long, at most, a store retains why a session is over."""


TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class SessionToken:
    """The token of a session, which only the client has: 256 random bits in base64url. No store contains it.

    Raises TokenMissing if it is empty, and TokenInvalid if it does not have the form of a token.
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.value:
            raise TokenMissing
        if not TOKEN.fullmatch(self.value):
            raise TokenInvalid

    @classmethod
    def generate(cls) -> Self:
        """Return a new token from the operating system's random source."""
        return cls(secrets.token_urlsafe(32))

    @property
    def session_id(self) -> str:
        """Return the id of the session: half of the token's SHA-256 in hex. It does not reveal the token."""
        return hashlib.sha256(self.value.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """The lifetimes of sessions, and the number that a user may have (0: no limit)."""

    idle: timedelta = timedelta(days=7)
    max_age: timedelta = timedelta(days=30)
    per_user: int = 12

    @property
    def touch_interval(self) -> timedelta:
        """Return how old `last_seen_at` may be before it is updated, so that not every request writes."""
        return min(timedelta(minutes=1), self.idle / 100)


class EndReason(StrEnum):
    """The reason why a session was ended before it expired."""

    ENDED = "session_ended"
    REPLACED = "session_replaced"


@dataclass(frozen=True, slots=True)
class EndedSession:
    """The reason why a session was ended, retained until `retain_until`."""

    reason: EndReason
    retain_until: datetime

    @classmethod
    def of(cls, reason: EndReason, now: datetime, expires_at: datetime) -> Self:
        """Return it for a session that ends now, retained until `expires_at` but for 7 days at most."""
        return cls(reason, min(expires_at, now + REASON_RETENTION))

    def require_live(self, now: datetime) -> NoReturn:
        """Raise SessionEnded or SessionReplaced; TokenInvalid after `retain_until`."""
        if now >= self.retain_until:
            raise TokenInvalid
        raise SessionReplaced if self.reason is EndReason.REPLACED else SessionEnded


@dataclass(frozen=True, slots=True)
class Session:
    """One login of one user on one device. All times are UTC; `id` is public."""

    id: str
    user_id: str
    identity: Identity
    device: Device
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
        device: Device,
        policy: SessionPolicy,
        now: datetime,
    ) -> Self:
        """Return a new session that `token` opens."""
        expires_at = now + policy.max_age
        return cls(
            id=token.session_id,
            user_id=user_id,
            identity=identity,
            device=device,
            created_at=now,
            last_seen_at=now,
            idle_expires_at=min(now + policy.idle, expires_at),
            expires_at=expires_at,
        )

    def is_live(self, now: datetime) -> bool:
        """Return whether the session has not expired. A session that was ended is an EndedSession."""
        return now < self.idle_expires_at

    def require_live(self, now: datetime) -> Self:
        """Return the session itself. Raises SessionExpired if it expired, and TokenInvalid after `retain_until`."""
        if self.is_live(now):
            return self
        raise SessionExpired if now < self.retain_until else TokenInvalid

    def touch(self, policy: SessionPolicy, now: datetime) -> Self:
        """Return the session as used at `now`."""
        return replace(self, last_seen_at=now, idle_expires_at=min(now + policy.idle, self.expires_at))

    def end(self, reason: EndReason, now: datetime) -> EndedSession:
        """Return what a store retains when the session ends now."""
        return EndedSession.of(reason, now, self.expires_at)

    def started_event(self) -> Event:
        """Return the event of its start."""
        return self._event(EventType.SESSION_STARTED, Cause.user(self.device.ip), self.created_at)

    def ended_event(self, reason: EndReason, now: datetime, cause: Cause) -> Event:
        """Return the event of its end."""
        return self._event(EventType.SESSION_ENDED, cause, now, reason.value)

    def _event(self, kind: EventType, cause: Cause, now: datetime, reason: str | None = None) -> Event:
        app = self.identity.appid.value
        return Event.of(kind, cause, now, user_id=self.user_id, session_id=self.id, app=app, reason=reason)

    @property
    def retain_until(self) -> datetime:
        """Return when a store may delete it. Until then its token is answered with SessionExpired."""
        return self.idle_expires_at + REASON_RETENTION


def beyond_limit(sessions: Iterable[Session], limit: int, now: datetime) -> list[Session]:
    """Return the oldest live sessions beyond `limit` (0: no limit)."""
    live = sorted((s for s in sessions if s.is_live(now)), key=lambda s: (s.created_at, s.id), reverse=True)
    return live[limit:] if limit else []
