"""Events: what changed, when, and who changed it.

An event contains no data from WeChat or the user, except the IP address.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Self
from uuid import uuid4

from domain.errors import RequestInvalid


class EventType(StrEnum):
    """The type of a change. Programs of users depend on these texts: they never change their meaning.

    A type of a newer release, which another process wrote, is kept as its text.
    """

    USER_CREATED = "user.created"
    USER_PHONE_BOUND = "user.phone_bound"
    USER_UNIONID_ADDED = "user.unionid_added"
    USER_UNIONID_CONFLICT = "user.unionid_conflict"
    USER_BLOCKED = "user.blocked"
    USER_UNBLOCKED = "user.unblocked"
    USER_MERGED = "user.merged"
    USER_ERASED = "user.erased"
    USER_CONSENT_REVOKED = "user.consent_revoked"
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    SCAN_APPROVED = "scan.approved"
    SCAN_DENIED = "scan.denied"
    KEY_REENCRYPTED = "key.reencrypted"

    @classmethod
    def _missing_(cls, value: object) -> "EventType | None":
        """Return a type of a newer release."""
        if not isinstance(value, str):
            return None
        newer = str.__new__(cls, value)
        newer._name_ = newer._value_ = value
        return newer

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the type of this release with that name. Raises RequestInvalid."""
        if name not in set(cls):
            raise RequestInvalid(f"There is no type {name}. There are {', '.join(cls)}")
        return cls(name)

    @property
    def is_about_sessions(self) -> bool:
        """Return whether such events are made only where someone asks for them: there are many."""
        return self.startswith("session.")


ACTOR_LENGTH = 255
"""The longest actor, in characters."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The actor of a change, the address of the actor, and the reason.

    The actor is `user`, `admin:<name>`, `client:<id>`, `cli`, `wechat` or `system`.
    """

    actor: str
    ip: str | None = None
    reason: str | None = None

    def without_address(self) -> Self:
        """Return the same cause without its address."""
        return replace(self, ip=None)

    @classmethod
    def user(cls, ip: str | None = None) -> Self:
        """Return the user as the cause."""
        return cls("user", ip)

    @classmethod
    def client(cls, client_id: str, ip: str | None = None) -> Self:
        """Return an OAuth client as the cause. A long id is cut, and blanks at its end are dropped."""
        return cls(f"client:{client_id}"[:ACTOR_LENGTH].rstrip(), ip)

    @classmethod
    def admin(cls, name: str, ip: str | None = None, reason: str | None = None) -> Self:
        """Return the owner of an admin key as the cause."""
        return cls(f"admin:{name}", ip, reason)


CLI = Cause("cli")
WECHAT = Cause("wechat")
SYSTEM = Cause("system")


@dataclass(frozen=True, slots=True)
class Event:
    """One change. `time` is UTC; `reason` is a code or a short text, never personal data."""

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
    def of(
        cls,
        type: EventType,  # noqa: A002  # the name of the field
        cause: Cause,
        now: datetime,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        app: str | None = None,
        reason: str | None = None,
    ) -> Self:
        """Return a new event with an id of its own. `reason` overrides the reason of the cause."""
        return cls(str(uuid4()), now, type, cause.actor, user_id, session_id, app, cause.ip, reason or cause.reason)

    @property
    def has_address_of_user(self) -> bool:
        """Return whether it has an address that is not the address of an operator."""
        return self.ip is not None and not self.actor.startswith("admin:")

    def without_address(self) -> Self:
        """Return the event without its address."""
        return replace(self, ip=None)

    def without_address_of_user(self) -> Self:
        """Return the event as it is kept after an erasure of its user."""
        return self.without_address() if self.has_address_of_user else self


@dataclass(frozen=True, slots=True)
class EventPolicy:
    """The events that the audit trail keeps, and those that each webhook endpoint receives.

    `subscriptions` has the patterns of types, such as `session.*`, by the id of the endpoint.
    """

    audit_sessions: bool = False
    subscriptions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def audits(self, type: EventType) -> bool:  # noqa: A002  # the name of the field
        """Return whether events of the type are kept in the audit trail."""
        return self.audit_sessions or not type.is_about_sessions

    def subscribers(self, type: EventType) -> list[str]:  # noqa: A002  # as above
        """Return the ids of the endpoints that are sent events of the type."""
        return [
            endpoint
            for endpoint, patterns in self.subscriptions.items()
            if any(fnmatchcase(type, pattern) for pattern in patterns)
        ]

    def wants(self, type: EventType) -> bool:  # noqa: A002  # as above
        """Return whether events of the type are written anywhere."""
        return self.audits(type) or bool(self.subscribers(type))


DEFAULT_POLICY = EventPolicy()
"""The audit trail has all events but those about sessions, and there is no webhook."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """A search in the audit trail: for the events that match every field that is not None.

    `before` is the id and the time of an event: those after it in the order newest first.
    """

    user_id: str | None = None
    type: str | None = None
    actor: str | None = None
    since: datetime | None = None
    before: tuple[datetime, str] | None = None
    limit: int = 100
