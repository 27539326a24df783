"""Finding users, and looking at one."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from application.administration import Administration
from domain.admin import Scope
from domain.event import EventQuery, EventType
from domain.user import User
from domain.user_query import UserQuery
from entrypoints.admin.access import needs
from entrypoints.admin.console.access import HOME, AnyRequest
from entrypoints.admin.console.page import redirect, render
from entrypoints.admin.console.session import SignedIn
from entrypoints.admin.users import UserId
from entrypoints.cursors import decode_cursor, encode_cursor
from entrypoints.http.dependencies import address_of
from entrypoints.log import log

PAGE_SIZE = 50

EVENTS_SHOWN = 20

MAX_TERM = 128
"""The longest term, in characters: openids and unionids are shorter."""


def user_path(user_id: str) -> str:
    """Return the path of a user's page."""
    return f"{HOME}users/{user_id}"


def queries_for(term: str) -> Iterator[UserQuery]:
    """Yield the searches that a term may mean, most likely first. The first one that finds users counts.

    A number of eleven digits that begins with 1 is one of China. Blanks, hyphens and brackets in numbers are dropped.
    """
    term = unicodedata.normalize("NFKC", term).strip()
    if not term or len(term) > MAX_TERM:
        return
    if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", term):
        yield UserQuery(id=term.lower())
        return
    number = re.sub(r"[\s()\-.]", "", term)
    if re.fullmatch(r"\+\d{5,15}", number):
        yield UserQuery(phone=number)
    elif re.fullmatch(r"\d{5,17}", number):
        if re.fullmatch(r"1\d{10}", number):
            yield UserQuery(phone=f"+86{number}")
        yield UserQuery(phone=f"+{number.removeprefix('00')}")
    yield UserQuery(openid=term)
    yield UserQuery(unionid=term)


@get("/", **needs(Scope.READ))
async def list_users(
    request: AnyRequest, administration: NamedDependency[Administration], cursor: FromQuery[str | None] = None
) -> Response[Any]:
    """Show the newest users, and the search."""
    before = decode_cursor(cursor, UserId) if cursor else None
    found = await administration.find_users(UserQuery(before=before, limit=PAGE_SIZE + 1))
    page, more = found[:PAGE_SIZE], len(found) > PAGE_SIZE
    next_cursor = encode_cursor(page[-1].id) if more else None
    return render(
        request, "users.html", users=page, next=next_cursor, paged=cursor is not None, term="", found=None, more=False
    )


@get("/search", **needs(Scope.READ), sync_to_thread=False)
def restart_search(request: AnyRequest) -> Response[Any]:
    """Show the search: the address of its results has no term."""
    return redirect(request, HOME)


@post("/search", **needs(Scope.READ))
async def search(request: AnyRequest, administration: NamedDependency[Administration]) -> Response[Any]:
    """Show the only user that matches, or else a list. A POST leaves no phone number in an address or in a log."""
    form = await request.form()
    term = str(form.get("term", ""))
    found = await _first_found(administration, term)
    if len(found) == 1:
        return redirect(request, user_path(found[0].id))
    page, more = found[:PAGE_SIZE], len(found) > PAGE_SIZE
    return render(
        request, "users.html", users=page, next=None, paged=True, term=term[:MAX_TERM], found=len(page), more=more
    )


async def _first_found(administration: Administration, term: str) -> list[User]:
    for query in queries_for(term):
        if found := await administration.find_users(replace(query, limit=PAGE_SIZE + 1)):
            return found
    return []


@get("/users/{user_id:str}", **needs(Scope.READ))
async def show_user(
    request: AnyRequest,
    user_id: FromPath[str],
    administration: NamedDependency[Administration],
    signed_in: NamedDependency[SignedIn],
) -> Response[Any]:
    """Show a user with devices and trail. The log says who looked, because the phone number is there in full."""
    user = await administration.get(user_id)
    if user.id != user_id:
        return redirect(request, user_path(user.id))
    log.info("console_user_shown", by=f"admin:{signed_in.admin.name}", ip=address_of(request.scope), user_id=user.id)
    sessions = await administration.sessions_of(user.id)
    events = await administration.find_events(EventQuery(user_id=user.id, limit=EVENTS_SHOWN))
    blocks = [event for event in events if event.type is EventType.USER_BLOCKED]
    why = blocks[0].reason if blocks and user.blocked_at else None
    return render(request, "user.html", user=user, sessions=sessions, events=events, block_reason=why)


HANDLERS = [list_users, restart_search, search, show_user]
