"""What operators do, on adapters in memory."""

from datetime import timedelta

import pytest

from adapters.memory.events import MemoryEvents
from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.login_failures import MemoryLoginFailures
from adapters.memory.session_events import MemorySessionEvents
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.administration import Administration
from application.block import BlockUsers
from application.event_relay import EventRelay
from application.merge import MergeUsers
from application.own_data import OwnData
from application.sessions import Sessions
from application.user_sessions import UserSessions
from domain.device import UNKNOWN_DEVICE
from domain.errors import NotFound
from domain.event import CLI, Event, EventPolicy, EventQuery, EventType
from domain.login_failure import LoginFailure
from domain.session import Session, SessionPolicy, SessionToken
from domain.user_query import UserQuery
from support.clock import Clock
from support.users import made

pytestmark = pytest.mark.anyio


class Scenario:
    """The use case, and what it works on."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.users = MemoryUserRepository()
        self.events = MemoryEvents(EventPolicy())
        self.failures = MemoryLoginFailures()
        written = MemorySessionEvents()
        vault = MemoryKeyVault()
        self.store = MemorySessionStore(vault, written.publish)
        sessions = Sessions(self.store, policy=SessionPolicy(), clock=clock)
        user_sessions = UserSessions(self.store, self.users, clock=clock)
        self.administration = Administration(
            self.users,
            self.events,
            EventRelay([written], self.events),
            self.failures,
            sessions,
            user_sessions,
            BlockUsers(self.users, user_sessions, clock=clock),
            MergeUsers(self.users, self.store, user_sessions, clock=clock),
            OwnData(self.users, self.store, vault, self.events, clock=clock),
            clock=clock,
        )

    async def start(self, user_id: str) -> Session:
        """Start a session of a user."""
        user = await self.users.get(user_id)
        session = Session.start(
            SessionToken.generate(), user.id, user.accounts[0], UNKNOWN_DEVICE, SessionPolicy(), self.clock.now
        )
        await self.store.start(session, None, 0)
        return session


@pytest.fixture
def scenario(clock: Clock) -> Scenario:
    """Users, sessions, events and failures in memory."""
    return Scenario(clock)


async def test_a_merged_id_stands_for_the_remaining_user(scenario: Scenario) -> None:
    """The id of a merged user lists, ends and blocks the sessions of the remaining user."""
    admin = scenario.administration
    one, into = [await made(scenario.users, scenario.clock) for _ in range(2)]
    session = await scenario.start(one.id)
    merged = await admin.merge(one.id, into.id, frozenset(), CLI)
    listed = await admin.sessions_of(one.id)
    ended = await admin.end_sessions(one.id, CLI)
    await scenario.start(into.id)

    assert (merged.user.id, merged.sessions) == (into.id, 1)
    assert [each.id for each in listed] == [session.id]
    assert ended == 1
    assert await admin.block(one.id, CLI) == 1
    assert (await admin.get(one.id)).blocked_at
    assert (await admin.unblock(one.id, CLI)).blocked_at is None
    assert [user.id for user in await admin.find_users(UserQuery(id=one.id))] == [into.id]


async def test_an_unknown_user_is_not_found(scenario: Scenario) -> None:
    """Every call for a user or session that does not exist raises NotFound."""
    admin = scenario.administration
    for call in (
        admin.get("nobody"),
        admin.sessions_of("nobody"),
        admin.block("nobody", CLI),
        admin.unblock("nobody", CLI),
        admin.end_session("nothing", CLI),
        admin.end_sessions("nobody", CLI),
        admin.merge("nobody", "no-one", frozenset(), CLI),
    ):
        with pytest.raises(NotFound):
            await call


async def test_one_session_is_ended(scenario: Scenario) -> None:
    """One session ends, and the user's others stay."""
    user = await made(scenario.users, scenario.clock)
    ended, kept = [await scenario.start(user.id) for _ in range(2)]
    before = await scenario.administration.end_session(ended.id, CLI)

    assert before == ended
    assert [each.id for each in await scenario.administration.sessions_of(user.id)] == [kept.id]


async def test_the_audit_trail_is_read(scenario: Scenario) -> None:
    """The events that match are returned."""
    event = Event.of(EventType.USER_BLOCKED, CLI, scenario.clock.now, user_id="u")
    await scenario.events.add([event])

    assert await scenario.administration.find_events(EventQuery(user_id="u")) == [event]
    assert await scenario.administration.conflicts() == []


async def test_failed_logins_of_the_last_hour_are_returned(scenario: Scenario) -> None:
    """Failures of the last hour are returned, with the minute from which on they count, and older ones are not."""
    minute = scenario.clock.now.replace(second=0, microsecond=0)
    recent = LoginFailure(minute - timedelta(hours=1), "wx1", "code_used", 40163)
    old = LoginFailure(minute - timedelta(minutes=61), "wx1", "code_used", 40163)
    await scenario.failures.add({recent: 2, old: 3})

    assert await scenario.administration.failed_logins() == (recent.minute, {recent: 2})
