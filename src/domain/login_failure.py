"""Failed logins, counted by minute and reason."""

from dataclasses import dataclass
from datetime import datetime, timedelta

RETENTION = timedelta(hours=2)
"""How long the counts are kept."""


@dataclass(frozen=True, slots=True)
class LoginFailure:
    """The key of a count: minute in UTC, app if known, code of the error, and errcode if any."""

    minute: datetime
    app: str | None
    code: str
    errcode: int | None
