"""Follow changes of users while a session starts."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from application.ports.session_store import SessionStore
from domain.errors import NotFound, StoreUnavailable, WxLoginError
from domain.event import SYSTEM
from domain.session import EndReason, Session
from domain.user import User


async def follow_changes(
    store: SessionStore, session: Session, find_again: Callable[[str], Awaitable[User]], now: datetime
) -> tuple[User, Session]:
    """Return the user and the new session, after a change of users that did not see the session.

    `find_again` finds the user of the id again. If it raises an error, the session ends, and the error is raised;
    NotFound means that the user was erased. If the user was merged, the session moves, until nothing changes any more.
    """
    while True:
        try:
            user = await find_again(session.user_id)
        except WxLoginError as error:
            with suppress(StoreUnavailable):  # no one has the token of this session
                await store.end([session], EndReason.ENDED, now, SYSTEM)
                if isinstance(error, NotFound):  # the erasure did not see what came with the session
                    await store.erase(session.user_id, now, SYSTEM)
            raise
        if user.id == session.user_id:
            return user, session
        await store.move(session.user_id, user.id)  # if it fails, no one has the token of this session
        session = replace(session, user_id=user.id)
