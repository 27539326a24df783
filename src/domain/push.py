"""WeChat's message push: the events about users, and what each makes this service forget."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import NAMESPACE_URL, uuid5

from domain.identity import AppId

WINDOW = timedelta(minutes=10)
"""How far the signed timestamp of a push may be from the present. WeChat repeats a push within 15 seconds."""


class PushType(StrEnum):
    """The events that concern this service, by WeChat's names.

    https://developers.weixin.qq.com/miniprogram/security/basic/listen.html
    """

    CONSENT_REVOKED = "user_authorization_revoke"
    ACCOUNT_CANCELLED = "user_authorization_cancellation"
    PROFILE_MODIFIED = "user_info_modified"


NAME_AND_AVATAR = frozenset({"name", "avatar"})

FIELDS_OF_CONSENT = {6: NAME_AND_AVATAR, 8: frozenset({"phone"}), 19: NAME_AND_AVATAR, 20: NAME_AND_AVATAR}
"""The fields that each number of RevokeInfo covers. The others cover nothing that is stored here."""


class PushRefused(Exception):
    """The push is not WeChat's, or cannot be read. `reason` is a word for the log: the sender does not learn it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PushNotForwarded(Exception):
    """The address that other events are forwarded to did not accept one."""


@dataclass(frozen=True, slots=True)
class RawPush:
    """A push as it came, with the query of its URL."""

    query: str = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """An event that WeChat sent. `revoked` has the numbers of RevokeInfo. `type` is None if it does not concern users.

    `id` is the same for a repeat.
    """

    id: str
    appid: AppId
    name: str
    time: datetime
    type: PushType | None = None
    openid: str | None = field(default=None, repr=False)
    revoked: tuple[int, ...] = ()

    def event_id(self, number: int) -> str:
        """Return the id of the event about the consent with this number: the same for a repeat of the push."""
        return id_of(self.id, str(number))


def id_of(*parts: str) -> str:
    """Return an id that depends on the parts only (a UUID of version 5)."""
    return str(uuid5(NAMESPACE_URL, "\n".join(("urn:wxlogin:push", *parts))))


class PushOutcome(StrEnum):
    """The outcome of a push."""

    FORGOTTEN = "forgotten"
    ERASED = "erased"
    RECORDED = "recorded"
    FORWARDED = "forwarded"
    IGNORED = "ignored"
    REPEATED = "repeated"
    UNKNOWN_USER = "unknown_user"
    OUTDATED = "outdated"
    POSTPONED = "postponed"


@dataclass(frozen=True, slots=True)
class Handled:
    """A push and its outcome. `user_id` is there if the account is known."""

    push: Push
    outcome: PushOutcome
    user_id: str | None = None
