"""The data that is stored about a user, and the result of an erasure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.event import Event
from domain.identity import Identity
from domain.session import EndReason, Session
from domain.user import User

REVOCABLE_FIELDS = frozenset({"phone", "name", "avatar"})
"""The fields for which a user can revoke their consent."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erased user: their id, the ids of the users that were merged into them, and their accounts.

    `is_new` is false if the user had been erased before. Then `accounts` is empty, because they are erased.
    """

    ids: tuple[str, ...]
    accounts: tuple[Identity, ...]
    is_new: bool


@dataclass(frozen=True, slots=True)
class MergeRecord:
    """The record of a user that was merged into another one. `user` has the fields of that time."""

    user_id: str
    merged_at: datetime
    user: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConflictRecord:
    """A unionid of the user that could not be stored, the user who has it, if any, and the time of the login."""

    unionid: str
    other_user_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session that is stored. `end_reason` is None if it has not ended; it may have expired."""

    session: Session
    end_reason: EndReason | None = None


@dataclass(frozen=True, slots=True)
class ScanRecord:
    """A scan of the user that is stored: the website's name and device, and when it started and how far it is."""

    client_id: str
    appid: str
    user_agent: str | None
    ip: str | None
    created_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class UserRecords:
    """All that is stored about a user where users are stored.

    `accounts_since` has the time of the first login of each account, in the order of `user.accounts`. `merges` are in
    the order of their times. `sessions` and `scans` are those that are stored with the users. `waiting` are the events
    that wait for a webhook, each once. They may be in the audit trail, too.
    """

    user: User
    accounts_since: tuple[datetime, ...] = ()
    conflicts: tuple[ConflictRecord, ...] = ()
    merges: tuple[MergeRecord, ...] = ()
    sessions: tuple[SessionRecord, ...] = ()
    scans: tuple[ScanRecord, ...] = ()
    waiting: tuple[Event, ...] = ()
