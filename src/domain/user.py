"""Users, their profiles, and how two users are merged."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from domain.errors import RequestInvalid
from domain.identity import Identity


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile that users give of themselves. An empty text means that it is not set."""

    name: str = ""
    avatar: str = ""
    language: str = ""
    province: str = ""
    city: str = ""
    country: str = ""


PROFILE_LIMITS = {"name": 64, "avatar": 1024, "language": 32, "province": 64, "city": 64, "country": 64}
"""The maximum length of each profile field, in characters."""


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """The profile fields to change; None leaves a field unchanged.

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
        """Return the fields that change."""
        named = {field_name: getattr(self, field_name) for field_name in PROFILE_LIMITS}
        return {field_name: text for field_name, text in named.items() if text is not None}


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A phone number in E.164: `+`, country code, number, at most 15 digits. Raises ValueError."""

    value: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\+[1-9][0-9]{4,14}", self.value):
            raise ValueError("not a phone number in E.164")


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment, by WeChat's transaction_id or by the merchant's two numbers. Raises RequestInvalid without either."""

    transaction_id: str | None = None
    mch_id: str | None = None
    out_trade_no: str | None = None

    def __post_init__(self) -> None:
        if not self.transaction_id and not (self.mch_id and self.out_trade_no):
            raise RequestInvalid("send transaction_id, or mch_id and out_trade_no")
        for part in (self.transaction_id, self.mch_id, self.out_trade_no):
            if part is not None and not re.fullmatch(r"[!-~]{1,64}", part):
                raise RequestInvalid("transaction_id, mch_id and out_trade_no must be 1 to 64 printable characters")


@dataclass(frozen=True, slots=True)
class User:
    """A person, with their accounts in all apps. All times are UTC."""

    id: str
    profile: Profile
    created_at: datetime
    updated_at: datetime
    unionid: str | None = None
    phone: str | None = None
    accounts: tuple[Identity, ...] = ()
    blocked_at: datetime | None = None

    def with_block_of(self, other: "User | None") -> Self:
        """Return this user, blocked if `other` is. Both are the same person: they share a unionid."""
        return replace(self, blocked_at=self.blocked_at or other.blocked_at) if other else self


MERGED_FIELDS = (*PROFILE_LIMITS, "phone", "unionid")
"""The fields in which two users can differ."""


def merge(source: User, target: User, discard: frozenset[str], now: datetime) -> User:
    """Return `target` with the accounts of `source`, and with the fields that only `source` has.

    Raises RequestInvalid if a field differs and is not in `discard`, and if both are the same user.
    """
    if source.id == target.id:
        raise RequestInvalid("A user cannot be merged into themselves")
    if unknown := discard - set(MERGED_FIELDS):
        raise RequestInvalid(
            f"There is no {', '.join(sorted(unknown))} to discard; there is {', '.join(MERGED_FIELDS)}"
        )
    kept, offered = merged_fields(target), merged_fields(source)
    if refused := [name for name in lost_fields(source, target) if name not in discard]:
        raise RequestInvalid(
            f"The two users have different {', '.join(refused)}, and {source.id}'s would be lost; nothing was changed."
            f" Compare them with `wxlogin users show`. To drop {source.id}'s, run the command again with"
            f" {' '.join(f'--discard {name}' for name in refused)}"
        )
    fields = {name: kept[name] or offered[name] for name in MERGED_FIELDS}
    return replace(
        target,
        profile=Profile(**{name: fields[name] or "" for name in PROFILE_LIMITS}),
        phone=fields["phone"],
        unionid=fields["unionid"],
        accounts=(*target.accounts, *source.accounts),
        blocked_at=target.blocked_at or source.blocked_at,
        updated_at=now,
    )


def was_merged(source_id: str, target_id: str, source: User, target: User) -> bool:
    """Return whether `source_id` has been merged into `target_id` already, so that there is nothing to do.

    `source` and `target` are the users that the two ids find: for a merged user, the one they were merged into. Raises
    RequestInvalid if the merge was in the other direction or into another user.
    """
    if source_id == source.id:
        if target_id != target.id == source.id:
            raise RequestInvalid(f"{target_id} was merged into {source_id} before: there is nothing left to merge")
        return False
    if source.id != target.id:
        raise RequestInvalid(
            f"{source_id} was merged into {source.id} before. To merge that user,"
            f" run `wxlogin users merge {source.id} {target.id}`"
        )
    return True


def lost_fields(source: User, target: User) -> list[str]:
    """Return the fields whose values of `source` would be lost in a merge into `target`, because both have one."""
    kept, offered = merged_fields(target), merged_fields(source)
    return [name for name, value in offered.items() if value and kept[name] and value != kept[name]]


def merged_fields(user: User) -> dict[str, str | None]:
    """Return the fields in which two users can differ."""
    profile = {name: getattr(user.profile, name) for name in PROFILE_LIMITS}
    return {**profile, "phone": user.phone, "unionid": user.unionid}


@dataclass(frozen=True, slots=True)
class UnionIdConflict:
    """A unionid of `user_id` that could not be stored: it is that of `other_user_id`, or, if None, it has changed."""

    user_id: str
    unionid: str
    other_user_id: str | None
