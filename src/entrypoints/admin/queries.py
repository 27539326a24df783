"""The parameters of searches."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar.params import Parameter

from domain.errors import RequestInvalid
from entrypoints.http.dependencies import CallerRequest

MAX_LIMIT = 200

Limit = Annotated[int, Parameter(ge=1, le=MAX_LIMIT)]
"""How many entries a page has at most."""


def plus_of(value: str | None) -> str | None:
    """Return the value with its plus sign, which a query string that does not escape it turns into a blank."""
    return "+" + value[1:] if value and value.startswith(" ") else value


def time_of(value: str) -> datetime:
    """Return the time of a text in RFC 3339, in UTC. Raises RequestInvalid, also without an offset from UTC."""
    try:
        time: datetime = msgspec.convert(value.replace(" ", "+"), Annotated[datetime, msgspec.Meta(tz=True)])
        return time.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise RequestInvalid("since must be a time of RFC 3339, such as 2026-11-29T08:00:00Z") from None


def refuse_others(request: CallerRequest, *filters: str) -> None:
    """Raise RequestInvalid for a parameter that is no filter: a misspelt one would match everything."""
    known = {*filters, "limit", "cursor"}
    if unknown := sorted(set(request.query_params) - known):
        raise RequestInvalid(f"There is no filter {', '.join(unknown)}. There are {', '.join(sorted(known))}")
