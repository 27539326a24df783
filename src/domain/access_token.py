"""What lets an app call WeChat: one token an app, which every process shares."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

RENEWAL = timedelta(minutes=4)
"""A token is renewed when less than this is left of it. WeChat gives a new one in the last five minutes, and both work
until the old one's end: nobody has to wait."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access_token of one app. `expires_at` is UTC."""

    value: str = field(repr=False)
    expires_at: datetime

    def is_live(self, now: datetime) -> bool:
        """Whether a call may carry it."""
        return now < self.expires_at

    def is_due(self, now: datetime) -> bool:
        """Whether it is time to ask for the next one."""
        return now >= self.expires_at - RENEWAL


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no new token, and until when (UTC) nobody asks again. `code` is an error's."""

    code: str
    detail: str
    until: datetime
    errcode: int | None = None
    rid: str | None = None


@dataclass(frozen=True, slots=True)
class TokenState:
    """What is known of an app's access token: the newest one, and why asking for the next failed."""

    token: AccessToken | None = None
    refusal: Refusal | None = None
