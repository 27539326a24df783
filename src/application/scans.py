"""Scan to log in on a website: start a scan, show it on the phone, answer it, and redeem it for a session."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from application.login import follow_changes
from application.polls import Polls
from application.ports.clock import Clock
from application.ports.device_grant_store import DeviceGrantStore
from application.ports.session_store import SessionStore
from application.ports.user_repository import UserRepository
from application.rate_limits import ScanQuotas
from application.scan_pictures import ScanPictures
from domain.device import Device
from domain.device_grant import (
    NO_SCENE,
    SCENE,
    DeviceCode,
    DeviceGrant,
    GrantState,
    MatchNumbers,
    PollRefusal,
    generate_user_code,
)
from domain.errors import NotFound, SessionEnded, UserBlocked
from domain.event import SYSTEM, Cause
from domain.identity import AppId, choose_app
from domain.session import EndedSession, EndReason, Session, SessionPolicy, SessionToken
from domain.user import User


@dataclass(frozen=True, slots=True)
class StartedScan:
    """A new scan: the only object with the device code in clear text."""

    code: DeviceCode
    user_code: str
    grant: DeviceGrant


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The session of a website, and its token in clear text. `replaced` counts the sessions that it ended."""

    token: SessionToken
    session: Session
    replaced: int


class Scans:
    """Log a browser in by a phone.

    - The service makes the scene and the device code. The picture has the scene only, which redeems nothing.
    - The first user who looks is the only one who can answer. All others, and all after the answer, get NotFound.
    - A user looks before they answer, and a wrong number denies.
    - One poll of one client gets one session, of the user and the account of the approving session.
    - If the approving session has ended by then, or the user is blocked, the answer is a denial for good. If that
      happens while the session starts, it ends again. A session that only gave way to newer ones is no log-out.
    - The grant is taken before the session starts. A failure after that costs a new scan, never a second session.
    - The session_key of the account stays as it is: a scan brings none.

    Every method may raise StoreUnavailable.
    """

    def __init__(
        self,
        grants: DeviceGrantStore,
        sessions: SessionStore,
        users: UserRepository,
        pictures: ScanPictures,
        quotas: ScanQuotas,
        *,
        apps: frozenset[AppId],
        with_numbers: bool,
        policy: SessionPolicy,
        clock: Clock,
    ) -> None:
        self._grants = grants
        self._sessions = sessions
        self._users = users
        self._pictures = pictures
        self._quotas = quotas
        self._apps = apps
        self._with_numbers = with_numbers
        self._policy = policy
        self._clock = clock
        self._polls = Polls()

    async def start(
        self,
        client_id: str,
        browser: Device,
        appid: str | None = None,
        *,
        apps: Collection[AppId] | None = None,
        network: str | None = None,
    ) -> StartedScan:
        """Start a scan of a client, which may use `apps`, or all if None. `network` is the browser's.

        Raises AppUnknown and RateLimited.
        """
        app = choose_app(self._apps if apps is None else self._apps.intersection(apps), appid, None)
        await self._quotas.take_start(client_id, network)
        code = DeviceCode.generate()
        numbers = MatchNumbers.generate() if self._with_numbers else None
        grant = DeviceGrant.start(code, client_id, app, browser, numbers, self._clock())
        await self._grants.add(grant)
        return StartedScan(code, generate_user_code(), grant)

    async def look(self, session: Session, scene: str, network: str | None) -> DeviceGrant:
        """Return what the website asks, and tie it to the session's user. Raises NotFound and RateLimited."""
        await self._quotas.take_look(session.user_id, network)
        now = self._clock()
        grant = await self._find(scene)
        seen = grant.look(session, now)
        if grant.state is GrantState.NEW and not await self._grants.replace(grant, seen):
            return (await self._find(scene)).look(session, now)  # another look came first
        return seen

    async def answer(
        self, session: Session, scene: str, number: str | None, network: str | None, cause: Cause, *, approve: bool
    ) -> DeviceGrant:
        """Approve or deny, and return the grant: denied if the number is wrong.

        Raises NotFound, RateLimited and, if the number is missing, RequestInvalid.
        """
        await self._quotas.take_look(session.user_id, network)
        grant = await self._find(scene)
        now = self._clock()
        answered = grant.answer(session, number, now, approve=approve)
        event = answered.answered_event(cause, now)
        if not await self._grants.replace(grant, answered, event):
            raise NotFound("There is no such scan")
        return answered

    async def picture(self, scene: str) -> tuple[bytes, int]:
        """Return the picture of an open grant, and the seconds until it expires.

        It is drawn once, also for concurrent calls of several processes.

        Raises NotFound, and what Platform raises.
        """
        now = self._clock()
        grant = await self._find(scene)
        if not grant.is_open(now):
            raise NotFound("There is no such scan")
        picture = await self._pictures.get(grant)
        return picture, int((grant.expires_at - now).total_seconds())

    def refuse_from_memory(self, client_id: str, code: DeviceCode) -> PollRefusal | None:
        """Return why a poll gets no session, as far as this process knows without its store; else None.

        A poll that comes too early is refused so, and one of a grant that was pending a moment ago (see `watch`). Each
        process measures for itself.
        """
        return self._polls.refuse((client_id, code), self._clock())

    async def redeem(self, client_id: str, code: DeviceCode) -> Redeemed | PollRefusal:
        """Return the session of an approved grant, once; else why there is none. Asks the store."""
        now = self._clock()
        grant = await self._grants.find(code.scene)
        if grant is None or now >= grant.retain_until or not grant.is_of(client_id, code):
            return PollRefusal.INVALID_GRANT
        redeemed = grant.redeem(now)
        if isinstance(redeemed, PollRefusal):
            if redeemed.is_pending:
                self._polls.count((client_id, code), redeemed, now, grant.expires_at)
            return redeemed
        return await self._start_session(grant, redeemed, now)

    async def watch(self) -> None:
        """Read which of the polled grants are pending, so that their polls need not."""
        now = self._clock()
        if recent := self._polls.recent(now):
            self._polls.confirm(await self._grants.find_pending(recent), now)

    async def _find(self, scene: str) -> DeviceGrant:
        """Return the grant. A text that is no scene costs the same read as one that is unknown. Raises NotFound."""
        grant = await self._grants.find(scene if SCENE.fullmatch(scene) else NO_SCENE)
        if grant is None:
            raise NotFound("There is no such scan")
        return grant

    async def _start_session(self, grant: DeviceGrant, redeemed: DeviceGrant, now: datetime) -> Redeemed | PollRefusal:
        approving = await self._find_live(grant.session_id or "", now)
        user = await self._find_user(approving.user_id) if approving else None
        if approving is None or user is None:
            denied = grant.withdraw()  # a poll never succeeds after a denial
            await self._grants.replace(grant, denied, denied.answered_event(SYSTEM, now))
            return PollRefusal.ACCESS_DENIED
        if not await self._grants.replace(grant, redeemed):
            return PollRefusal.INVALID_GRANT
        token = SessionToken.generate()
        session = Session.start(token, user.id, approving.identity, grant.browser, self._policy, now)
        replaced = await self._sessions.start(session, None, self._policy.per_user)
        find_again = partial(self._find_again, approving.id)
        try:
            _, session = await follow_changes(self._sessions, session, find_again, now)
        except (NotFound, UserBlocked, SessionEnded):
            return PollRefusal.ACCESS_DENIED
        return Redeemed(token, session, replaced)

    async def _find_again(self, approving_id: str, user_id: str) -> User:
        """Find the user again, because a block, a log-out or a merge after the first time did not see the new session.

        Raises NotFound, UserBlocked, and SessionEnded after a log-out of the approving session.
        """
        user = await self._users.get(user_id)
        if user.blocked_at:
            raise UserBlocked(user_id=user.id)
        approving = await self._sessions.find(approving_id)
        if isinstance(approving, EndedSession) and approving.reason is EndReason.ENDED:
            raise SessionEnded
        return user

    async def _find_live(self, session_id: str, now: datetime) -> Session | None:
        """Return the session if it is live."""
        found = await self._sessions.find(session_id)
        return found if isinstance(found, Session) and found.is_live(now) else None

    async def _find_user(self, user_id: str) -> User | None:
        """Return the user, or who they were merged into; None if blocked or unknown."""
        with suppress(NotFound):
            user = await self._users.get(user_id)
            return None if user.blocked_at else user
        return None
