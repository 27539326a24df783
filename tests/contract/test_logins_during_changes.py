"""Logins, blocks, merges and log-outs of the same users at once, on every SessionStore."""

import asyncio
import secrets
from collections.abc import Awaitable, Iterable, Sequence
from itertools import product

import pytest

from adapters.memory.identity_provider import MemoryIdentityProvider
from application.block import BlockUsers
from application.login import LoggedIn, LoginRequest, LoginUseCase
from application.merge import MergeUsers
from application.sessions import Sessions
from application.user_sessions import UserSessions
from domain.errors import StoreUnavailable, UserBlocked
from domain.event import SYSTEM
from domain.identity import Identity
from domain.session import Session
from support.places import WITHOUT_SENTINEL, each_place
from support.sessions import APP, POLICY, Scenario, after

pytestmark = [pytest.mark.anyio, each_place(WITHOUT_SENTINEL)]

TURNS = range(0, 60, 4)
"""The numbers of event loop turns that a change waits, so that it meets the logins at every stage."""


class Service:
    """The use cases on the stores under test."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        users, clock = scenario.environment.users, scenario.clock
        self.wechat = MemoryIdentityProvider()
        self.sessions = Sessions(scenario.store, policy=POLICY, clock=clock)
        self.login = LoginUseCase(self.wechat, users, scenario.store, apps=frozenset({APP}), policy=POLICY, clock=clock)
        self.user_sessions = UserSessions(scenario.store, users, clock=clock)
        self.block = BlockUsers(users, self.user_sessions, clock=clock)
        self.merge = MergeUsers(users, scenario.store, self.user_sessions, clock=clock)

    async def log_in(self, identity: Identity) -> LoggedIn:
        """Log in as a user of WeChat."""
        return await self.login(LoginRequest(self.wechat.issue(identity).value))

    async def log_in_some(self) -> tuple[list[list[LoggedIn]], tuple[str, str]]:
        """Log in as two new users, three times each. Return the logins of each, and the ids of the two."""
        one, two = [[await self.log_in(each) for _ in range(3)] for each in (new_identity(), new_identity())]
        return [one, two], (one[0].user.id, two[0].user.id)

    async def live(self, logins: Iterable[LoggedIn]) -> list[Session]:
        """Return the sessions of the logins that are live."""
        found = [await self.scenario.store.find(each.session.id) for each in logins]
        return [each for each in found if isinstance(each, Session)]

    async def log_in_during(
        self, identities: Sequence[Identity], change: Awaitable[object], turns: int
    ) -> list[LoggedIn]:
        """Log in five times with each identity during a change, and return the logins that succeeded."""

        logins = [self.log_in(each) for each in identities for _ in range(5)]
        outcomes = await asyncio.gather(*logins, after(turns, change), return_exceptions=True)
        assert [
            each for each in outcomes if not isinstance(each, LoggedIn | UserBlocked | StoreUnavailable | None)
        ] == []
        return [each for each in outcomes if isinstance(each, LoggedIn)]


@pytest.fixture
def service(scenario: Scenario) -> Service:
    """The use cases."""
    return Service(scenario)


def new_identity() -> Identity:
    """Return a WeChat user who has not logged in before."""
    return Identity(APP, f"o{secrets.token_hex(13)}")


@pytest.mark.parametrize("turns", TURNS)
async def test_no_session_survives_a_block(service: Service, turns: int) -> None:
    """A login during a block is refused, or its session ends."""
    identity = new_identity()
    user = (await service.log_in(identity)).user
    await service.log_in_during([identity], service.block.block(user.id, SYSTEM), turns)

    assert await service.sessions.list_for_user(user.id) == []


@pytest.mark.parametrize("turns", TURNS)
async def test_every_session_belongs_to_the_remaining_user(service: Service, turns: int) -> None:
    """Sessions of both users that start during a merge belong to the remaining user, and are in that user's list."""
    identities = [new_identity(), new_identity()]
    merged, into = [(await service.log_in(each)).user for each in identities]
    logins = await service.log_in_during(identities, service.merge(merged.id, into.id, SYSTEM), turns)
    owners = {(await service.sessions.authenticate(each.token.value)).user_id for each in logins}

    assert owners == {into.id}
    assert {each.session.id for each in logins} <= {each.id for each in await service.sessions.list_for_user(into.id)}
    assert await service.sessions.list_for_user(merged.id) == []


async def race(turns: int, first: Awaitable[object], second: Awaitable[object], *, swapped: bool) -> None:
    """Run both calls at once, one of them after that many turns."""
    early, late = (second, first) if swapped else (first, second)
    await asyncio.gather(after(0, early), after(turns, late))


ORDERS = [*product(range(0, 60, 6), (False, True), (0, 1))]
"""How many turns the later call waits, whether the merge is the later one, and whose id the other call has."""


async def test_no_session_survives_a_block_during_a_merge(service: Service) -> None:
    """After a block of either user during their merge, no session of the two is live, in whichever order they came."""
    for turns, swapped, whose in ORDERS:
        logins, ids = await service.log_in_some()
        merge, block = service.merge(*ids, SYSTEM), service.block.block(ids[whose], SYSTEM)
        await race(turns, merge, block, swapped=swapped)

        assert await service.live([*logins[0], *logins[1]]) == [], (turns, swapped, whose)
        assert await service.user_sessions.list_all(ids[1]) == []


async def test_a_log_out_everywhere_during_a_merge_ends_all_sessions_of_its_user(service: Service) -> None:
    """A log-out everywhere during a merge ends all sessions that its user had before."""
    for turns, swapped, whose in ORDERS:
        logins, ids = await service.log_in_some()
        merge, log_out = service.merge(*ids, SYSTEM), service.user_sessions.end_all(ids[whose], SYSTEM)
        await race(turns, merge, log_out, swapped=swapped)

        assert await service.live(logins[whose]) == [], (turns, swapped, whose)


async def test_a_log_out_everywhere_during_a_move_ends_all_sessions(service: Service) -> None:
    """A log-out everywhere by either id, while the sessions of merged users move, ends all sessions of both."""
    scenario = service.scenario
    for turns, swapped, whose in ORDERS:
        logins, ids = await service.log_in_some()
        await scenario.environment.users.merge(*ids, frozenset(), scenario.clock.now, SYSTEM)
        move, log_out = scenario.store.move(*ids), service.user_sessions.end_all(ids[whose], SYSTEM)
        await race(turns, move, log_out, swapped=swapped)

        assert await service.live([*logins[0], *logins[1]]) == [], (turns, swapped, whose)
        assert await service.user_sessions.list_all(ids[1]) == []


@pytest.mark.parametrize("whose", [0, 1], ids=["from", "into"])
@pytest.mark.parametrize("change", ["log-out everywhere", "block"])
async def test_an_interrupted_merge_hides_no_session(service: Service, whose: int, change: str) -> None:
    """When a merge stopped before the sessions moved, a block or a log-out everywhere by either id ends all of both."""
    logins, ids = await service.log_in_some()
    scenario = service.scenario
    await scenario.environment.users.merge(*ids, frozenset(), scenario.clock.now, SYSTEM)
    listed = [len(await service.user_sessions.list_all(each)) for each in ids]
    ended = await (service.block.block if change == "block" else service.user_sessions.end_all)(ids[whose], SYSTEM)

    assert (listed, ended) == ([6, 6], 6)
    assert await service.live([*logins[0], *logins[1]]) == []
