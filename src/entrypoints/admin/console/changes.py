"""Changes of a user: a page asks, and its form makes the change."""

import re
from dataclasses import replace
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from application.administration import Administration
from domain.admin import Scope
from domain.errors import NotFound
from domain.event import Cause
from domain.session import Session
from entrypoints.admin.access import log_change, needs
from entrypoints.admin.console.access import AnyRequest
from entrypoints.admin.console.page import Done, redirect, render
from entrypoints.admin.console.users import user_path
from entrypoints.admin.users import REASON


async def reason_of(request: AnyRequest) -> str:
    """Return the reason that the form gives, or ""."""
    return str((await request.form()).get("reason", "")).strip()


def is_reason(reason: str) -> bool:
    """Return whether the audit trail takes this reason."""
    return bool(re.fullmatch(REASON, reason))


async def _ask(
    request: AnyRequest, page: str, administration: Administration, user_id: str, reason: str | None = None
) -> Response[Any]:
    """Return the page that asks for a change and its reason. A `reason` was sent before, and is not taken."""
    user, wrong = await administration.get(user_id), None if reason is None else "reason_wrong"
    return render(request, page, 400 if wrong else 200, user=user, reason=reason or "", wrong=wrong)


@get("/users/{user_id:str}/block", **needs(Scope.WRITE))
async def ask_block(
    request: AnyRequest, user_id: FromPath[str], administration: NamedDependency[Administration]
) -> Response[Any]:
    """Ask whether to block the user, and why."""
    return await _ask(request, "block.html", administration, user_id)


@post("/users/{user_id:str}/block", **needs(Scope.WRITE))
async def block(
    request: AnyRequest,
    user_id: FromPath[str],
    administration: NamedDependency[Administration],
    cause: NamedDependency[Cause],
) -> Response[Any]:
    """Block the user."""
    reason = await reason_of(request)
    if not is_reason(reason):
        return await _ask(request, "block.html", administration, user_id, reason)
    cause = replace(cause, reason=reason)
    ended = await administration.block(user_id, cause)
    log_change("user_blocked", cause, user_id=user_id, sessions=ended)
    return redirect(request, user_path(user_id), Done("done_blocked", ended))


@get("/users/{user_id:str}/unblock", **needs(Scope.WRITE))
async def ask_unblock(
    request: AnyRequest, user_id: FromPath[str], administration: NamedDependency[Administration]
) -> Response[Any]:
    """Ask whether to unblock the user."""
    return await _ask(request, "unblock.html", administration, user_id)


@post("/users/{user_id:str}/unblock", **needs(Scope.WRITE))
async def unblock(
    request: AnyRequest,
    user_id: FromPath[str],
    administration: NamedDependency[Administration],
    cause: NamedDependency[Cause],
) -> Response[Any]:
    """Unblock the user."""
    reason = await reason_of(request)
    if reason and not is_reason(reason):
        return await _ask(request, "unblock.html", administration, user_id, reason)
    cause = replace(cause, reason=reason or None)
    await administration.unblock(user_id, cause)
    log_change("user_unblocked", cause, user_id=user_id)
    return redirect(request, user_path(user_id), Done("done_unblocked"))


async def _session_of(administration: Administration, user_id: str, session_id: str) -> Session | None:
    """Return the live session of the user, or None: a form of one user ends no session of another."""
    sessions = await administration.sessions_of(user_id)
    return next((session for session in sessions if session.id == session_id), None)


@get("/users/{user_id:str}/sessions/{session_id:str}/end", **needs(Scope.WRITE))
async def ask_end(
    request: AnyRequest,
    user_id: FromPath[str],
    session_id: FromPath[str],
    administration: NamedDependency[Administration],
) -> Response[Any]:
    """Ask whether to end the session."""
    user = await administration.get(user_id)
    if not (session := await _session_of(administration, user.id, session_id)):
        return redirect(request, user_path(user.id), Done("done_gone"))
    return render(request, "end.html", user=user, session=session)


@post("/users/{user_id:str}/sessions/{session_id:str}/end", **needs(Scope.WRITE))
async def end(
    request: AnyRequest,
    user_id: FromPath[str],
    session_id: FromPath[str],
    administration: NamedDependency[Administration],
    cause: NamedDependency[Cause],
) -> Response[Any]:
    """End the session."""
    done = Done("done_gone")
    if await _session_of(administration, user_id, session_id):
        try:
            session = await administration.end_session(session_id, cause)
        except NotFound:  # it ended meanwhile
            return redirect(request, user_path(user_id), done)
        appid = session.identity.appid.value
        log_change("logout", cause, user_id=session.user_id, session_id=session.id, appid=appid)
        done = Done("done_ended")
    return redirect(request, user_path(user_id), done)


@get("/users/{user_id:str}/sessions/end", **needs(Scope.WRITE))
async def ask_end_all(
    request: AnyRequest, user_id: FromPath[str], administration: NamedDependency[Administration]
) -> Response[Any]:
    """Ask whether to end all sessions of the user."""
    user = await administration.get(user_id)
    sessions = await administration.sessions_of(user.id)
    if not sessions:
        return redirect(request, user_path(user.id), Done("done_ended_all"))
    return render(request, "end_all.html", user=user, sessions=sessions)


@post("/users/{user_id:str}/sessions/end", **needs(Scope.WRITE))
async def end_all(
    request: AnyRequest,
    user_id: FromPath[str],
    administration: NamedDependency[Administration],
    cause: NamedDependency[Cause],
) -> Response[Any]:
    """End all sessions of the user."""
    ended = await administration.end_sessions(user_id, cause)
    log_change("logout_everywhere", cause, user_id=user_id, sessions=ended)
    return redirect(request, user_path(user_id), Done("done_ended_all", ended))


HANDLERS = [ask_block, block, ask_unblock, unblock, ask_end, end, ask_end_all, end_all]
