"""A session store under test, and users with sessions in it."""

import asyncio
import uuid
from collections.abc import Awaitable
from datetime import timedelta

from cryptography.fernet import Fernet

from domain.device import Device
from domain.identity import AppId, Identity
from domain.session import EndedSession, EndReason, Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from support.clock import Clock
from support.stores import StoreEnvironment

APP = AppId("wx0000000000000001")
POLICY = SessionPolicy(idle=timedelta(days=7), max_age=timedelta(days=30))
KEYS = [Fernet.generate_key().decode()]
PHONE = Device("MicroMessenger/8.0 微信 👩\N{ZERO WIDTH JOINER}👧 Ünïcode", "2001:db8::1")


class Scenario:
    """A store, and users with sessions in it."""

    def __init__(self, environment: StoreEnvironment, clock: Clock) -> None:
        self.environment = environment
        self.clock = clock
        self.store, self.vault = environment.open(KEYS)

    async def user(self) -> str:
        """Create a user, and return its id."""
        user, _ = await self.environment.users.find_or_create(Identity(APP, f"o{uuid.uuid4().hex}"), self.clock.now)
        return user.id

    async def start(
        self, user_id: str | None = None, *, limit: int = 0, device: Device = PHONE, policy: SessionPolicy = POLICY
    ) -> Session:
        """Start a session now, of a new user unless one is given."""
        session = self.new(user_id or await self.user(), device, policy)
        await self.store.start(session, SessionKey(f"key of {session.id}"), limit)
        return session

    def new(self, user_id: str, device: Device = PHONE, policy: SessionPolicy = POLICY) -> Session:
        """Return a session that is not stored."""
        identity = Identity(APP, f"o{user_id}", f"u{user_id}")
        return Session.start(SessionToken.generate(), user_id, identity, device, policy, self.clock.now)

    async def reason(self, session: Session) -> EndReason | None:
        """Return why the session is over, or None if it is not."""
        found = await self.store.find(session.id)
        return found.reason if isinstance(found, EndedSession) else None

    async def ids_of(self, user_id: str) -> set[str]:
        """Return the ids of the user's sessions that have not ended."""
        return {session.id for session in await self.store.list_for_user(user_id)}


async def after(pauses: int, call: Awaitable[object]) -> None:
    """Make the call after other tasks had that many turns."""
    for _ in range(pauses):
        await asyncio.sleep(0)
    await call


async def start_some(scenario: Scenario, user_id: str, number: int, limit: int) -> list[Session]:
    """Start that many sessions of a user, one second apart."""
    sessions = []
    for _ in range(number):
        sessions.append(await scenario.start(user_id, limit=limit))
        scenario.clock.advance(seconds=1)
    return sessions
