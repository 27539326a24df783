"""Logins of users during a block or a merge of these users, on every SessionStore."""

import asyncio
import secrets
from collections.abc import Awaitable, Sequence

import pytest

from adapters.memory.identity_provider import MemoryIdentityProvider
from application.block import BlockUsers
from application.login import LoggedIn, LoginRequest, LoginUseCase
from application.merge import MergeUsers
from application.sessions import Sessions
from domain.errors import StoreUnavailable, UserBlocked
from domain.event import SYSTEM
from domain.identity import Identity
from support.places import WITHOUT_SENTINEL, each_place
from support.sessions import APP, POLICY, Scenario, after

pytestmark = [pytest.mark.anyio, each_place(WITHOUT_SENTINEL)]

TURNS = range(0, 60, 4)
"""The numbers of event loop turns that a change waits, so that it meets the logins at every stage."""


class Service:
    """The use cases on the stores under test."""

    def __init__(self, scenario: Scenario) -> None:
        users, clock = scenario.environment.users, scenario.clock
        self.wechat = MemoryIdentityProvider()
        self.sessions = Sessions(scenario.store, policy=POLICY, clock=clock)
        self.login = LoginUseCase(self.wechat, users, scenario.store, apps=frozenset({APP}), policy=POLICY, clock=clock)
        self.block = BlockUsers(users, self.sessions, clock=clock)
        self.merge = MergeUsers(users, scenario.store, self.sessions, clock=clock)

    async def log_in(self, identity: Identity) -> LoggedIn:
        """Log in as a user of WeChat."""
        return await self.login(LoginRequest(self.wechat.issue(identity).value))

    async def log_in_during(
        self, identities: Sequence[Identity], change: Awaitable[object], turns: int
    ) -> list[LoggedIn]:
        """Log in five times with each identity during a change, and return the logins that succeeded."""

        async def changed() -> None:
            await change

        logins = [self.log_in(each) for each in identities for _ in range(5)]
        outcomes = await asyncio.gather(*logins, after(turns, changed()), return_exceptions=True)
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
