"""Follow changes of users while a session starts."""

from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from application.ports.session_store import SessionStore
from domain.errors import StoreUnavailable, WxLoginError
from domain.event import SYSTEM
from domain.session import EndReason, Session
from domain.user import User


async def follow_changes(
    store: SessionStore, session: Session, finding: Awaitable[User], now: datetime
) -> tuple[User, Session]:
    """Return the user and the new session, after a block or a merge that did not see the session.

    `finding` finds the user again. If it raises an error, the session ends, and the error is raised. If the user was
    merged, the session moves.
    """
    try:
        user = await finding
    except WxLoginError:
        with suppress(StoreUnavailable):  # no one has the token of this session
            await store.end([session], EndReason.ENDED, now, SYSTEM)
        raise
    if user.id != session.user_id:
        await store.move(session.user_id, user.id)  # if it fails, no one has the token of this session
    return user, replace(session, user_id=user.id)
