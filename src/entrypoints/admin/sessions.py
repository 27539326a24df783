"""/admin/v1/sessions and /admin/v1/users/{id}/sessions: list and end sessions."""

import msgspec
from litestar import delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from application.administration import Administration
from domain.admin import Scope
from domain.event import Cause
from entrypoints.admin.access import log_change, needs
from entrypoints.responses import SessionList


class Ended(msgspec.Struct, frozen=True):
    """The number of ended sessions."""

    ended: int


@get("/users/{user_id:str}/sessions", **needs(Scope.READ))
async def list_sessions(user_id: FromPath[str], administration: NamedDependency[Administration]) -> SessionList:
    """Return the user's live sessions, newest first."""
    return SessionList.of(await administration.sessions_of(user_id))


@delete("/users/{user_id:str}/sessions", **needs(Scope.WRITE))
async def end_sessions(
    user_id: FromPath[str], administration: NamedDependency[Administration], cause: NamedDependency[Cause]
) -> Ended:
    """End all sessions of the user."""
    ended = await administration.end_sessions(user_id, cause)
    log_change("logout_everywhere", cause, user_id=user_id, sessions=ended)
    return Ended(ended)


@delete("/sessions/{session_id:str}", **needs(Scope.WRITE))
async def end_session(
    session_id: FromPath[str], administration: NamedDependency[Administration], cause: NamedDependency[Cause]
) -> Ended:
    """End one session."""
    session = await administration.end_session(session_id, cause)
    log_change("logout", cause, user_id=session.user_id, session_id=session.id, appid=session.identity.appid.value)
    return Ended(1)


HANDLERS = (list_sessions, end_sessions, end_session)
