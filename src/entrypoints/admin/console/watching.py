"""Failed logins with their explanation, the newest logins, and the audit trail."""

from datetime import UTC, date, datetime, time
from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromQuery

from application.administration import Administration
from domain.admin import Scope
from domain.errors import RequestInvalid
from domain.event import Event, EventQuery, EventType
from entrypoints.admin.access import needs
from entrypoints.admin.console.access import AnyRequest
from entrypoints.admin.console.page import language_of, render
from entrypoints.admin.console.texts import errcodes_in_chinese
from entrypoints.admin.failures import FailedLogins, group
from entrypoints.cursors import decode_event_cursor, encode_cursor
from entrypoints.http.dependencies import runtime_of

LIVE_ROWS = 50

PAGE_SIZE = 50


@get("/failures", **needs(Scope.READ))
async def show_failures(request: AnyRequest, administration: NamedDependency[Administration]) -> Response[Any]:
    """Show the failed logins of the last hour by code and errcode, with their explanation."""
    since, counts = await administration.failed_logins()
    chinese = language_of(request) == "zh"
    failures = [(failed, _explanation(failed, chinese=chinese)) for failed in group(counts)]
    return render(request, "failures.html", since=since, failures=failures)


def _explanation(failed: FailedLogins, *, chinese: bool) -> tuple[str, str, str] | None:
    """Return the meaning, cause and hint of the errcode, if it is known."""
    if failed.meaning is None or failed.cause is None or failed.hint is None:
        return None
    known = errcodes_in_chinese().get(str(failed.errcode)) if chinese else None
    meaning, cause, hint = known or (failed.meaning, failed.cause, failed.hint)
    return meaning, cause, hint


async def _newest_logins(administration: Administration, *, sessions: bool) -> list[Event]:
    kind = EventType.SESSION_STARTED if sessions else EventType.USER_CREATED
    return await administration.find_events(EventQuery(type=kind, limit=LIVE_ROWS))


@get("/live", **needs(Scope.READ))
async def show_live(
    request: Request[Any, Any, State], administration: NamedDependency[Administration], state: State
) -> Response[Any]:
    """Show the newest logins. The script of the page asks for more."""
    sessions = runtime_of(state).container.settings().audit_sessions
    logins = await _newest_logins(administration, sessions=sessions)
    return render(request, "live.html", logins=logins, sessions=sessions)


@get("/live/rows", **needs(Scope.READ))
async def show_rows(
    request: Request[Any, Any, State], administration: NamedDependency[Administration], state: State
) -> Response[Any]:
    """Return the rows of the newest logins alone."""
    sessions = runtime_of(state).container.settings().audit_sessions
    return render(request, "rows.html", logins=await _newest_logins(administration, sessions=sessions))


@get("/audit", **needs(Scope.READ))
async def show_audit(
    request: AnyRequest,
    administration: NamedDependency[Administration],
    user: FromQuery[str] = "",
    type: FromQuery[str] = "",  # noqa: A002  # the name of the parameter
    actor: FromQuery[str] = "",
    since: FromQuery[str] = "",
    cursor: FromQuery[str] = "",
) -> Response[Any]:
    """Show the audit trail, newest first, as the filters say."""
    chosen = {"user": user.strip(), "type": type, "actor": actor.strip(), "since": since}
    kinds = [kind.value for kind in EventType]
    try:
        start = datetime.combine(date.fromisoformat(since), time(tzinfo=UTC)) if since else None
        kind = EventType.named(type) if type else None
    except (ValueError, RequestInvalid):
        chosen["since"] = ""
        return render(
            request, "audit.html", 400, events=[], next=None, chosen=chosen, kinds=kinds, wrong=True, paged=False
        )
    before = decode_event_cursor(cursor) if cursor else None
    query = EventQuery(chosen["user"] or None, kind, chosen["actor"] or None, start, before, PAGE_SIZE + 1)
    found = await administration.find_events(query)
    page = found[:PAGE_SIZE]
    following = encode_cursor((page[-1].time, page[-1].id)) if len(found) > PAGE_SIZE else None
    return render(
        request,
        "audit.html",
        events=page,
        next=following,
        chosen=chosen,
        kinds=kinds,
        wrong=False,
        paged=bool(cursor),
    )


HANDLERS = [show_failures, show_live, show_rows, show_audit]
