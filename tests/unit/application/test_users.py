"""What users may see and say of themselves."""

from dataclasses import replace

import pytest

from adapters.memory.user_repository import MemoryUserRepository
from application.users import Users
from domain.errors import NotFound
from domain.identity import AppId, Identity
from domain.user import Profile, ProfileChange
from support.clock import Clock

pytestmark = pytest.mark.anyio

ANN = Identity(AppId("wx0000000000000001"), "oAnn", "uAnn")


@pytest.fixture
def use_case(users: MemoryUserRepository, clock: Clock) -> Users:
    """The use case."""
    return Users(users, clock=clock)


async def test_a_user_is_shown_with_all_accounts(use_case: Users, users: MemoryUserRepository, clock: Clock) -> None:
    """A user has an empty profile at first, and the accounts of all apps."""
    elsewhere = replace(ANN, appid=AppId("wx0000000000000002"))
    user, _ = await users.find_or_create(ANN, clock.now)
    await users.find_or_create(elsewhere, clock.now)

    shown = await use_case.get(user.id)

    assert shown.accounts == (ANN, elsewhere)
    assert shown.profile == Profile()


async def test_a_profile_is_changed_now(use_case: Users, users: MemoryUserRepository, clock: Clock) -> None:
    """A change sets the fields it names and the time of the change, keeps the rest, and is there to stay."""
    user, _ = await users.find_or_create(ANN, clock.now)
    await use_case.change_profile(user.id, ProfileChange(name="Ann", city="上海"))
    now = clock.advance(hours=1)

    changed = await use_case.change_profile(user.id, ProfileChange(name="安"))

    assert changed.profile == Profile(name="安", city="上海")
    assert changed.updated_at == now
    assert changed.created_at == user.created_at
    assert await use_case.get(user.id) == changed


async def test_nobody_is_not_found(use_case: Users) -> None:
    """A user that is not there is NotFound, to see and to change."""
    with pytest.raises(NotFound):
        await use_case.get("nobody")
    with pytest.raises(NotFound):
        await use_case.change_profile("nobody", ProfileChange(name="Ann"))
