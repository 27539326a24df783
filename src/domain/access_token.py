"""Access tokens, with which an app calls WeChat. All processes share one token for each app."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

RENEWAL = timedelta(minutes=4)
"""How long before its expiry a token is renewed. WeChat issues a new one in the last five minutes, and both are valid
until the old one expires."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access_token of one app. `expires_at` is UTC."""

    value: str = field(repr=False)
    expires_at: datetime

    def is_live(self, now: datetime) -> bool:
        """Return whether a call may use it."""
        return now < self.expires_at

    def is_due(self, now: datetime) -> bool:
        """Return whether it is time to fetch the next one."""
        return now >= self.expires_at - RENEWAL


@dataclass(frozen=True, slots=True)
class Refusal:
    """The error for which WeChat issued no token, and until when (UTC) no process tries again. `code` names it."""

    code: str
    detail: str
    until: datetime
    errcode: int | None = None
    rid: str | None = None


@dataclass(frozen=True, slots=True)
class AccessTokenState:
    """The newest access token of an app, and why the last fetch failed."""

    token: AccessToken | None = None
    refusal: Refusal | None = None
