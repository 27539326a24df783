"""/admin/v1/audit: the audit trail."""

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from application.administration import Administration
from domain.admin import Scope
from domain.event import EventQuery, EventType
from entrypoints.admin.access import needs
from entrypoints.admin.queries import Limit, refuse_others, time_of
from entrypoints.cursors import decode_event_cursor, encode_cursor
from entrypoints.http.dependencies import CallerRequest
from entrypoints.responses import EventResponse


class EventPage(msgspec.Struct, frozen=True):
    """Events of the audit trail, newest first, and the cursor of the next page; null on the last page."""

    events: list[EventResponse]
    next: str | None


@get("/audit", **needs(Scope.READ))
async def find_events(
    request: CallerRequest,
    administration: NamedDependency[Administration],
    user: FromQuery[str | None] = None,
    type: FromQuery[str | None] = None,  # noqa: A002  # the name of the parameter
    actor: FromQuery[str | None] = None,
    since: FromQuery[str | None] = None,
    limit: FromQuery[Limit] = 50,
    cursor: FromQuery[str | None] = None,
) -> EventPage:
    """Return the events that match, newest first; without a filter, all of them."""
    refuse_others(request, "user", "type", "actor", "since")
    before = decode_event_cursor(cursor) if cursor is not None else None
    start = time_of(since) if since is not None else None
    kind = EventType.named(type) if type is not None else None
    found = await administration.find_events(EventQuery(user, kind, actor, start, before, limit + 1))
    page = found[:limit]
    last = (page[-1].time, page[-1].id) if len(found) > limit else None
    return EventPage([EventResponse.of(event) for event in page], encode_cursor(last) if last else None)


HANDLERS = (find_events,)
