"""The data that users can read and change about themselves."""

from dataclasses import replace
from datetime import datetime

import pytest

from adapters.memory.platform import MemoryPlatform
from adapters.memory.user_repository import MemoryUserRepository
from application.users import Users
from domain.device import UNKNOWN_DEVICE
from domain.errors import CodeInvalid, CodeMissing, NotFound, RequestInvalid, Retry, StoreUnavailable
from domain.event import SYSTEM, Cause
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from domain.user import Payment, PhoneNumber, Profile, ProfileChange, UnionIdConflict, User
from support.clock import Clock

pytestmark = pytest.mark.anyio

ANN = Identity(AppId("wx0000000000000001"), "oAnn", "uAnn")
BOB = Identity(AppId("wx0000000000000001"), "oBob")
NUMBER, OTHER_NUMBER = PhoneNumber("+8613800000000"), PhoneNumber("+12025550123")
PAYMENT = Payment(transaction_id="4200001234")


@pytest.fixture
def use_case(users: MemoryUserRepository, platform: MemoryPlatform, clock: Clock) -> Users:
    """The use case."""
    return Users(users, platform, clock=clock)


class Forgetful(MemoryUserRepository):
    """A repository that fails when a phone number is stored."""

    async def bind_phone(self, user_id: str, phone: PhoneNumber, now: datetime, cause: Cause) -> User:  # stores nothing
        """See UserRepository."""
        raise StoreUnavailable


async def log_in(users: MemoryUserRepository, clock: Clock, identity: Identity = BOB) -> Session:
    """Return a new session of this identity's user."""
    user, _ = await users.find_or_create(identity, clock.now)
    return Session.start(SessionToken.generate(), user.id, identity, UNKNOWN_DEVICE, SessionPolicy(), clock.now)


async def test_a_user_is_shown_with_all_accounts(use_case: Users, users: MemoryUserRepository, clock: Clock) -> None:
    """A user has the accounts of all apps, and at first an empty profile."""
    elsewhere = replace(ANN, appid=AppId("wx0000000000000002"))
    user, _ = await users.find_or_create(ANN, clock.now)
    await users.find_or_create(elsewhere, clock.now)

    shown = await use_case.get(user.id)

    assert shown.accounts == (ANN, elsewhere)
    assert shown.profile == Profile()


async def test_a_profile_is_changed(use_case: Users, users: MemoryUserRepository, clock: Clock) -> None:
    """A change stores the named fields and the time of the change, and does not change the other fields."""
    user, _ = await users.find_or_create(ANN, clock.now)
    await use_case.change_profile(user.id, ProfileChange(name="Ann", city="上海"))
    now = clock.advance(hours=1)

    changed = await use_case.change_profile(user.id, ProfileChange(name="安"))

    assert changed.profile == Profile(name="安", city="上海")
    assert changed.updated_at == now
    assert changed.created_at == user.created_at
    assert await use_case.get(user.id) == changed


async def test_an_unknown_user_is_not_found(use_case: Users) -> None:
    """An unknown user raises NotFound for reads and changes."""
    with pytest.raises(NotFound):
        await use_case.get("nobody")
    with pytest.raises(NotFound):
        await use_case.change_profile("nobody", ProfileChange(name="Ann"))


async def test_a_phone_number_is_bound(
    use_case: Users, users: MemoryUserRepository, platform: MemoryPlatform, clock: Clock
) -> None:
    """The phone number of a code replaces the user's previous number, and changes nothing else."""
    session = await log_in(users, clock)
    await use_case.bind_phone(session, platform.issue_phone_code(OTHER_NUMBER, BOB.appid).value, SYSTEM)
    before = await users.get(session.user_id)
    now = clock.advance(hours=1)

    bound = await use_case.bind_phone(session, platform.issue_phone_code(NUMBER, BOB.appid).value, SYSTEM)

    assert bound == replace(before, phone=NUMBER.value, updated_at=now)
    assert await use_case.get(session.user_id) == bound


async def test_a_phone_code_works_once(
    use_case: Users, users: MemoryUserRepository, platform: MemoryPlatform, clock: Clock
) -> None:
    """A used, unknown or foreign phone code raises CodeInvalid and binds no number."""
    session = await log_in(users, clock)
    used = platform.issue_phone_code(NUMBER, BOB.appid)
    await use_case.bind_phone(session, used.value, SYSTEM)
    before = await users.get(session.user_id)
    elsewhere = platform.issue_phone_code(OTHER_NUMBER, AppId("wx0000000000000002"))
    for code in (used.value, elsewhere.value, "never-given"):
        with pytest.raises(CodeInvalid):
            await use_case.bind_phone(session, code, SYSTEM)

    assert await users.get(session.user_id) == before


@pytest.mark.parametrize(
    ("code", "error"), [("", CodeMissing), ("no code", RequestInvalid), ("c" * 513, RequestInvalid)]
)
async def test_a_malformed_phone_code_is_refused(
    use_case: Users, users: MemoryUserRepository, clock: Clock, code: str, error: type[Exception]
) -> None:
    """A missing phone code raises CodeMissing, and a malformed one raises RequestInvalid."""
    with pytest.raises(error, match="phone button"):
        await use_case.bind_phone(await log_in(users, clock), code, SYSTEM)


async def test_a_merged_users_session_binds_the_phone_of_the_remaining_user(
    use_case: Users, users: MemoryUserRepository, platform: MemoryPlatform, clock: Clock
) -> None:
    """A number that is bound in a session from before a merge belongs to the remaining user."""
    session = await log_in(users, clock)
    ann = await log_in(users, clock, ANN)
    await users.merge(session.user_id, ann.user_id, frozenset(), clock.now, SYSTEM)

    bound = await use_case.bind_phone(session, platform.issue_phone_code(NUMBER, BOB.appid).value, SYSTEM)

    assert (bound.id, bound.phone) == (ann.user_id, NUMBER.value)
    assert await use_case.get(session.user_id) == await use_case.get(ann.user_id) == bound


async def test_the_unionid_of_a_payment_is_added_to_the_user(
    use_case: Users, users: MemoryUserRepository, platform: MemoryPlatform, clock: Clock
) -> None:
    """The unionid that WeChat returns for a payment is added to the user."""
    session = await log_in(users, clock)
    platform.payments[(BOB.appid, BOB.openid), PAYMENT] = "uBob"
    now = clock.advance(minutes=1)

    user = await use_case.add_unionid(session, PAYMENT)

    assert (user.id, user.unionid, user.updated_at) == (session.user_id, "uBob", now)
    assert await use_case.get(session.user_id) == user


async def test_another_users_unionid_of_a_payment_is_a_conflict(
    use_case: Users, users: MemoryUserRepository, platform: MemoryPlatform, clock: Clock
) -> None:
    """A unionid of another user changes neither user, and records a conflict for an operator."""
    owner, session = await log_in(users, clock, ANN), await log_in(users, clock)
    before = [await users.get(each.user_id) for each in (owner, session)]
    platform.payments[(BOB.appid, BOB.openid), PAYMENT] = "uAnn"

    user = await use_case.add_unionid(session, PAYMENT)

    assert user == before[1]
    assert [await users.get(each.user_id) for each in (owner, session)] == before
    assert await users.conflicts() == [UnionIdConflict(session.user_id, "uAnn", owner.user_id)]


async def test_an_unknown_payment_is_not_found(
    use_case: Users, users: MemoryUserRepository, platform: MemoryPlatform, clock: Clock
) -> None:
    """A payment that is unknown or belongs to another user raises NotFound, and adds no unionid."""
    session = await log_in(users, clock)
    platform.payments[(BOB.appid, "oSomebodyElse"), PAYMENT] = "uElse"
    with pytest.raises(NotFound):
        await use_case.add_unionid(session, PAYMENT)

    assert (await users.get(session.user_id)).unionid is None


async def test_a_phone_code_may_be_used_when_the_store_fails(platform: MemoryPlatform, clock: Clock) -> None:
    """When the store fails after the code is used, the error says that a new code is needed."""
    users = Forgetful()
    session = await log_in(users, clock)
    code = platform.issue_phone_code(NUMBER, BOB.appid)
    with pytest.raises(StoreUnavailable) as failed:
        await Users(users, platform, clock=clock).bind_phone(session, code.value, SYSTEM)

    assert failed.value.retry is Retry.NEW_CODE
