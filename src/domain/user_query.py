"""Searches for users."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UserQuery:
    """A search for the users that match every field that is not None, newest first.

    The id of a merged user finds the user that they were merged into. `before` is a user's id: only those who come
    after that user in this order are returned.
    """

    openid: str | None = None
    phone: str | None = None
    unionid: str | None = None
    id: str | None = None
    before: str | None = None
    limit: int = 50
