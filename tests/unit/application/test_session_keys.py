"""The session_key of a session's account: whether it is valid at WeChat, and its reset."""

import pytest

from adapters.memory.events import MemoryEvents
from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.platform import MemoryPlatform
from adapters.memory.user_repository import MemoryUserRepository
from application.session_keys import SessionKeys
from domain.device import UNKNOWN_DEVICE
from domain.errors import DataUndecryptable, NotFound
from domain.event import CLI, DEFAULT_POLICY, EventQuery, EventType
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from domain.session_key import KeyRing, Reencrypted, SessionKey
from support.clock import Clock

pytestmark = pytest.mark.anyio

ANN = Identity(AppId("wx0000000000000001"), "oAnn", "uAnn")
OURS, THEIRS = SessionKey("a" * 22 + "=="), SessionKey("b" * 22 + "==")


@pytest.fixture
def session_keys(
    vault: MemoryKeyVault, platform: MemoryPlatform, users: MemoryUserRepository, events: MemoryEvents, clock: Clock
) -> SessionKeys:
    """The use case."""
    return SessionKeys(vault, platform, users, events, clock=clock)


@pytest.fixture
def events() -> MemoryEvents:
    """The audit trail."""
    return MemoryEvents(DEFAULT_POLICY)


@pytest.fixture
async def session(users: MemoryUserRepository, clock: Clock) -> Session:
    """Ann's session."""
    ann, _ = await users.find_or_create(ANN, clock.now)
    return Session.start(SessionToken.generate(), ann.id, ANN, UNKNOWN_DEVICE, SessionPolicy(), clock.now)


async def keep(vault: MemoryKeyVault, session: Session, key: SessionKey = OURS) -> None:
    """Store this key for Ann."""
    await vault.replace(session, key, session.created_at)


@pytest.mark.parametrize(("wechats", "is_current"), [(OURS, True), (THEIRS, False)], ids=["the same", "another"])
async def test_a_key_is_current_when_wechat_has_the_same(
    session_keys: SessionKeys,
    session: Session,
    vault: MemoryKeyVault,
    platform: MemoryPlatform,
    clock: Clock,
    wechats: SessionKey,
    is_current: bool,
) -> None:
    """The newest stored key is current only when WeChat has the same key."""
    await keep(vault, session, THEIRS)
    await keep(vault, session, OURS)
    platform.keys[ANN.appid, ANN.openid] = wechats

    assert await session_keys.is_current(session) is is_current


async def test_a_missing_key_is_not_current(
    session_keys: SessionKeys, session: Session, platform: MemoryPlatform
) -> None:
    """Without a readable stored key, the key is not current."""
    platform.keys[ANN.appid, ANN.openid] = OURS

    assert await session_keys.is_current(session) is False


async def test_a_reset_stores_the_new_key_and_the_previous_one(
    session_keys: SessionKeys, session: Session, vault: MemoryKeyVault, platform: MemoryPlatform, clock: Clock
) -> None:
    """A reset stores WeChat's new key as current and the old key as previous, for data that is already encrypted."""
    await keep(vault, session)
    platform.keys[ANN.appid, ANN.openid] = OURS
    now = clock.advance(hours=1)
    await session_keys.reset(session)
    new = platform.keys[ANN.appid, ANN.openid]

    assert new != OURS
    assert await vault.get(session) == KeyRing(new, OURS, now)
    assert await session_keys.is_current(session)


@pytest.mark.parametrize("is_kept", [True, False], ids=["void", "lost"])
async def test_a_key_that_is_not_wechats_cannot_be_reset(
    session_keys: SessionKeys,
    session: Session,
    vault: MemoryKeyVault,
    platform: MemoryPlatform,
    clock: Clock,
    is_kept: bool,
) -> None:
    """Without the key that WeChat has, a reset raises DataUndecryptable and changes nothing."""
    platform.keys[ANN.appid, ANN.openid] = THEIRS
    if is_kept:
        await keep(vault, session)

    with pytest.raises(DataUndecryptable):
        await session_keys.reset(session)
    assert platform.keys[ANN.appid, ANN.openid] == THEIRS
    if is_kept:
        assert await vault.get(session) == KeyRing(OURS)


async def test_the_clients_own_keys_need_the_session_key(
    session_keys: SessionKeys, session: Session, vault: MemoryKeyVault, platform: MemoryPlatform, clock: Clock
) -> None:
    """The keys for the user's own data need a current session_key. Otherwise the call raises DataUndecryptable."""
    await keep(vault, session)
    with pytest.raises(DataUndecryptable):
        await session_keys.encrypt_keys(session)
    platform.keys[ANN.appid, ANN.openid] = OURS

    assert [key.version for key in await session_keys.encrypt_keys(session)] == [1]


async def test_a_reencryption_reports_its_counts(session_keys: SessionKeys, events: MemoryEvents) -> None:
    """A re-encryption without stored keys reports no keys, and is in the audit trail with these counts."""
    reencrypted = await session_keys.reencrypt(CLI)
    [event] = await events.find(EventQuery())

    assert reencrypted == Reencrypted(done=0, lost=0)
    assert (event.type, event.actor, event.reason) == (EventType.KEY_REENCRYPTED, "cli", "0 encrypted, 0 lost")


async def test_a_reset_during_an_erasure_leaves_no_key(
    session_keys: SessionKeys,
    session: Session,
    vault: MemoryKeyVault,
    platform: MemoryPlatform,
    users: MemoryUserRepository,
    clock: Clock,
) -> None:
    """A new key that arrives after the erasure of its user is deleted, and the call finds no user."""
    await keep(vault, session)
    platform.keys[ANN.appid, ANN.openid] = OURS
    await users.erase(session.user_id, clock.now, CLI)
    with pytest.raises(NotFound):
        await session_keys.reset(session)
    with pytest.raises(DataUndecryptable):
        await vault.get(session)
