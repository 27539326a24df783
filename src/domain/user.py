"""Who somebody is to us."""

import re
from dataclasses import dataclass
from datetime import datetime

from domain.errors import RequestInvalid
from domain.identity import Identity


@dataclass(frozen=True, slots=True)
class Profile:
    """What users say of themselves. Empty text means: nothing said."""

    name: str = ""
    avatar: str = ""
    language: str = ""
    province: str = ""
    city: str = ""
    country: str = ""


PROFILE_LIMITS = {"name": 64, "avatar": 1024, "language": 32, "province": 64, "city": 64, "country": 64}
"""The greatest length of each profile field, in characters."""


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """The fields to change; None leaves one as it is.

    Raises RequestInvalid for text that is too long or has control characters.
    """

    name: str | None = None
    avatar: str | None = None
    language: str | None = None
    province: str | None = None
    city: str | None = None
    country: str | None = None

    def __post_init__(self) -> None:
        for field_name, text in self.fields().items():
            limit = PROFILE_LIMITS[field_name]
            if len(text) > limit:
                raise RequestInvalid(f"{field_name} is longer than {limit} characters")
            if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text):
                raise RequestInvalid(f"{field_name} has control characters")

    def fields(self) -> dict[str, str]:
        """Only what changes."""
        named = {field_name: getattr(self, field_name) for field_name in PROFILE_LIMITS}
        return {field_name: text for field_name, text in named.items() if text is not None}


@dataclass(frozen=True, slots=True)
class User:
    """A person, whatever apps they come from. All times are UTC."""

    id: str
    profile: Profile
    created_at: datetime
    updated_at: datetime
    unionid: str | None = None
    phone: str | None = None
    accounts: tuple[Identity, ...] = ()


@dataclass(frozen=True, slots=True)
class UnionIdConflict:
    """An account of `user_id` showed a unionid that is `other_user_id`'s, or, if None, not the one it had before."""

    user_id: str
    unionid: str
    other_user_id: str | None
