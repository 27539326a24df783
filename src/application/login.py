"""Log a mini-program's user in."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from application.ports.clock import Clock
from application.ports.identity_provider import IdentityProvider
from application.ports.session_store import SessionStore
from application.ports.user_repository import UserRepository
from domain.device import UNKNOWN_DEVICE, Device
from domain.errors import NotFound, StoreUnavailable, Unauthenticated, UserBlocked, WxLoginError
from domain.event import SYSTEM
from domain.identity import AppId, Identity, LoginCode, choose_app, code_may_be_spent
from domain.session import EndReason, Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from domain.user import User


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """The code of wx.login(), and the appid, which is needed if several apps are configured."""

    code: str | None = field(default=None, repr=False)
    appid: str | None = None


@dataclass(frozen=True, slots=True)
class LoginContext:
    """The context of a login: the device, the appid in the Referer header, and the client's previous token.

    The client can forge all of it.
    """

    device: Device = UNKNOWN_DEVICE
    referer_appid: str | None = None
    previous_token: str = field(default="", repr=False)


NO_CONTEXT = LoginContext()

ATTEMPTS = 3
"""How many times a login starts a session if its user is erased meanwhile."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The result of a login: the only object with the token in clear text. `replaced` counts the sessions it ended.

    `phone_error` is why a phone number was not bound in the same call: see LoginWithPhone.
    """

    token: SessionToken
    session: Session
    user: User
    is_new: bool
    replaced: int
    phone_error: WxLoginError | None = None


class LoginUseCase:
    """Turn a login code into a session.

    - The app is the one that the request names, else the one in its Referer, else the only configured one.
    - Only WeChat says who the user is. A code works once, so it is sent to WeChat at most once.
    - Each (appid, openid) belongs to one user, and each unionid to one user across apps.
    - A blocked user gets no session, and neither does an account with the unionid of a blocked user.
    - The session has the unionid of this login, or else the stored one.
    - Each login starts a session with a new random token. Beyond the limit, the oldest sessions end.
    - The session of the token that the client had before ends, if it is this user's.
    - When WeChat or a store fails after the code was sent, the error asks for a new code: this one may be spent.
    - If the user is blocked or merged during the login, the new session ends or moves, or the login fails.
    - If a login fails after its session was stored, the sessions that it replaced stay ended: that of the client, too.
    - If the user is erased during the login, the session ends, and another one starts for the new user, or the login
      fails.

    Raises subclasses of WxLoginError only.
    """

    def __init__(
        self,
        identities: IdentityProvider,
        users: UserRepository,
        sessions: SessionStore,
        *,
        apps: frozenset[AppId],
        policy: SessionPolicy,
        clock: Clock,
    ) -> None:
        self._identities = identities
        self._users = users
        self._sessions = sessions
        self._apps = apps
        self._policy = policy
        self._clock = clock

    async def __call__(self, request: LoginRequest, context: LoginContext = NO_CONTEXT) -> LoggedIn:
        """Log in with `request.code`."""
        code = LoginCode(request.code or "")
        appid = choose_app(self._apps, request.appid, context.referer_appid)
        with code_may_be_spent():
            return await self._log_in(code, appid, context)

    async def _log_in(self, code: LoginCode, appid: AppId, context: LoginContext) -> LoggedIn:
        identity, session_key = await self._identities.exchange(code, appid)
        for attempt in range(ATTEMPTS):
            with suppress(NotFound):  # the user was erased meanwhile: the same person is a new user now
                login = await self._start_session(identity, session_key, context)
                return replace(login, is_new=login.is_new or attempt > 0)
        raise StoreUnavailable("The user was erased several times during the login")

    async def _start_session(self, identity: Identity, session_key: SessionKey, context: LoginContext) -> LoggedIn:
        now = self._clock()
        user, is_new = await self._find_user(identity, now)
        token = SessionToken.generate()
        known = replace(identity, unionid=identity.unionid or user.unionid)
        session = Session.start(token, user.id, known, context.device, self._policy, now)
        previous = await self._previous_session(context.previous_token, user.id, now)
        replaced = await self._sessions.start(session, session_key, self._policy.per_user, previous)
        find_again = partial(self._find_again, identity, now)
        user, session = await follow_changes(self._sessions, session, find_again, now)
        return LoggedIn(token, session, user, is_new, replaced)

    async def _find_user(self, identity: Identity, now: datetime) -> tuple[User, bool]:
        user, is_new = await self._users.find_or_create(identity, now)
        if user.blocked_at:
            raise UserBlocked(user_id=user.id)
        return user, is_new

    async def _previous_session(self, token: str, user_id: str, now: datetime) -> Session | None:
        """Return the session of the token if it is live and this user's."""
        if not token:
            return None
        # An error would waste the code, and the previous session expires by itself.
        with suppress(Unauthenticated, StoreUnavailable):
            found = await self._sessions.find(SessionToken(token).session_id)
            if isinstance(found, Session) and found.user_id == user_id and found.is_live(now):
                return found
        return None

    async def _find_again(self, identity: Identity, now: datetime, user_id: str) -> User:
        """Find the user again, because a change after the first time did not see the new session.

        Raises NotFound if the user with the id was erased.
        """
        user, _ = await self._find_user(identity, now)
        if user.id != user_id:
            await self._users.get(user_id)
        return user


async def follow_changes(
    store: SessionStore, session: Session, find_again: Callable[[str], Awaitable[User]], now: datetime
) -> tuple[User, Session]:
    """Check the user again after the session was stored, and apply a block, a merge or an erasure that ran in between.

    Return the user and the session. `find_again` finds the user of the id again. If it raises an error, the session
    ends, and the error is raised; NotFound means that the user was erased. If the user was merged, the session moves,
    until nothing changes any more.
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
