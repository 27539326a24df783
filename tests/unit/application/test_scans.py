"""Scan to log in: the use cases, on ports in memory."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.memory.device_grant_store import MemoryDeviceGrantStore
from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.platform import MemoryPlatform
from adapters.memory.rate_limiter import MemoryRateLimiter
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.polls import FRESH, RECENT, Polls
from application.ports.events import Publish
from application.rate_limits import LOOKS_OF_ADDRESS, LOOKS_OF_USER, SCANS_OF_ADDRESS, SCANS_OF_CLIENT, ScanQuotas
from application.scan_pictures import ScanPictures, ScanTarget
from application.scans import Redeemed, Scans, StartedScan
from domain.device import UNKNOWN_DEVICE, Device
from domain.device_grant import LIFETIME, RETENTION, DeviceCode, DeviceGrant, GrantState, PollRefusal
from domain.errors import (
    AppUnknown,
    IdentityProviderUnavailable,
    NotFound,
    RateLimited,
    RequestInvalid,
    StoreUnavailable,
)
from domain.event import SYSTEM, Cause, Event, EventType
from domain.identity import AppId, Identity
from domain.session import EndedSession, EndReason, Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from support.clock import Clock

pytestmark = pytest.mark.anyio

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
BROWSER = Device("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0", "203.0.113.7")
LEASE = timedelta(seconds=7)
PENDING = PollRefusal.AUTHORIZATION_PENDING


class Grants(MemoryDeviceGrantStore):
    """Grants in memory, which count reads, and fail before or after a change."""

    def __init__(self, publish: Publish) -> None:
        super().__init__(publish)
        self.finds = self.waits = 0
        self.fails: str = ""

    async def find(self, scene: str) -> DeviceGrant | None:
        """See DeviceGrantStore."""
        self.finds += 1
        found = await super().find(scene)
        await asyncio.sleep(0)  # others run, as while a server answers
        return found

    async def acquire_drawing(self, scene: str, now: datetime, lease: timedelta) -> bool:
        """See DeviceGrantStore."""
        acquired = await super().acquire_drawing(scene, now, lease)
        self.waits += not acquired
        return acquired

    async def replace(self, old: DeviceGrant, new: DeviceGrant, event: Event | None = None) -> bool:
        """See DeviceGrantStore."""
        if self.fails == "before":
            raise StoreUnavailable
        replaced = await super().replace(old, new, event)
        if self.fails == "after":
            raise StoreUnavailable
        return replaced


class Sessions(MemorySessionStore):
    """Sessions in memory, whose start fails, or runs something else just before."""

    def __init__(self, vault: MemoryKeyVault) -> None:
        super().__init__(vault)
        self.before_start: Callable[[], Any] | None = None
        self.fails = False

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore."""
        if self.fails:
            raise StoreUnavailable
        if self.before_start:
            await self.before_start()
        return await super().start(session, key, limit, previous)


class Drawing(MemoryPlatform):
    """A platform that draws when it is let, or fails."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.let.set()
        self.error: Exception | None = None

    async def draw_code(self, appid: AppId, scene: str, page: str, env_version: str) -> bytes:
        """See Platform."""
        picture = await super().draw_code(appid, scene, page, env_version)
        await self.let.wait()
        if self.error:
            raise self.error
        return picture


@dataclass
class World:
    """The use cases with their ports."""

    clock: Clock
    policy: SessionPolicy = field(default_factory=SessionPolicy)
    with_numbers: bool = True

    def __post_init__(self) -> None:
        self.events: list[Event] = []
        self.grants = Grants(self.events.extend)
        self.users, self.vault = MemoryUserRepository(), MemoryKeyVault()
        self.sessions, self.platform = Sessions(self.vault), Drawing()
        self.limiter = MemoryRateLimiter(self.clock)
        self.pictures = self.new_pictures()
        self.scans = self.new_scans(self.pictures)

    def another_process(self) -> Scans:
        """Return the use cases as another process has them, on the same stores."""
        return self.new_scans(self.new_pictures())

    def new_pictures(self) -> ScanPictures:
        """Return the pictures of one process."""
        return ScanPictures(self.grants, self.platform, ScanTarget(), lease=LEASE, clock=self.clock)

    def new_scans(self, pictures: ScanPictures) -> Scans:
        """Return the use cases of one process."""
        return Scans(
            self.grants,
            self.sessions,
            self.users,
            pictures,
            ScanQuotas(self.limiter),
            apps=frozenset({APP, OTHER_APP}),
            with_numbers=self.with_numbers,
            policy=self.policy,
            clock=self.clock,
        )

    async def log_in(self, name: str = "ann", unionid: str | None = None) -> Session:
        """Return a new session of the user, whose session_key is stored."""
        identity = Identity(APP, f"o{name}", unionid)
        user, _ = await self.users.find_or_create(identity, self.clock.now)
        token = SessionToken.generate()
        session = Session.start(token, user.id, identity, UNKNOWN_DEVICE, self.policy, self.clock.now)
        await self.sessions.start(session, SessionKey("key of ann"), self.policy.per_user)
        return session

    async def start(self, client: str = "shop") -> StartedScan:
        """Start a scan."""
        return await self.scans.start(client, BROWSER, APP.value)

    async def approve(self, scan: StartedScan, session: Session) -> DeviceGrant:
        """Look at the scan, and approve it."""
        await self.scans.look(session, scan.grant.scene, None)
        number = scan.grant.numbers.shown if scan.grant.numbers else None
        return await self.scans.answer(session, scan.grant.scene, number, None, Cause.user(), approve=True)

    async def poll(self, scan: StartedScan, client: str = "shop", seconds: float = 2) -> Redeemed | PollRefusal:
        """Poll after some seconds, by default as late as the client has to."""
        self.clock.advance(seconds=seconds)
        return self.scans.refuse_from_memory(client, scan.code) or await self.scans.redeem(client, scan.code)


@pytest.fixture
def world(clock: Clock) -> World:
    """The use cases."""
    return World(clock)


async def redeem(world: World, scan: StartedScan) -> Redeemed:
    """Poll an approved scan."""
    redeemed = await world.poll(scan)
    assert isinstance(redeemed, Redeemed)
    return redeemed


async def test_an_approved_scan_is_a_session_of_the_same_user(world: World) -> None:
    """The website's session has the approver's user and account, the browser's device, and is among their devices."""
    ann, scan = await world.log_in(unionid="u-ann"), await world.start()
    await world.approve(scan, ann)
    redeemed = await redeem(world, scan)
    session = await world.sessions.find(redeemed.token.session_id)

    assert session == redeemed.session
    assert isinstance(session, Session)
    assert (session.user_id, session.identity, session.device) == (ann.user_id, ann.identity, BROWSER)
    assert {each.id for each in await world.sessions.list_for_user(ann.user_id)} == {ann.id, session.id}


async def test_a_pending_scan_is_authorization_pending(world: World) -> None:
    """Before the answer each poll in time is authorization_pending. From the first look on it says so."""
    ann, scan = await world.log_in(), await world.start()
    before = await world.poll(scan)
    await world.scans.look(ann, scan.grant.scene, None)
    after = [await world.poll(scan) for _ in range(2)]

    assert before is PollRefusal.AUTHORIZATION_PENDING
    assert after == [PollRefusal.SCANNED] * 2
    assert all(each.is_pending for each in (before, PollRefusal.SCANNED))


async def test_a_refused_look_is_no_scan(world: World) -> None:
    """A look that ties no user, because it is of another app, is not seen by polls."""
    ann, scan = await world.log_in(), await world.start()
    with pytest.raises(NotFound):
        await world.scans.look(replace(ann, identity=replace(ann.identity, appid=OTHER_APP)), scan.grant.scene, None)

    assert await world.poll(scan) is PollRefusal.AUTHORIZATION_PENDING


async def test_memory_hides_a_look_until_the_next_watch(world: World) -> None:
    """Polls from memory say scanned after the next watch, without a read, whatever the watch before it saw."""
    ann, scan = await world.log_in(), await world.start()
    await world.poll(scan)
    world.clock.advance(seconds=1.9)
    await world.scans.watch()
    await world.scans.look(ann, scan.grant.scene, None)
    before = world.scans.refuse_from_memory("shop", scan.code)
    world.clock.advance(seconds=1)
    await world.scans.watch()
    reads = world.grants.finds
    after = await world.poll(scan, seconds=1)

    assert (before, after) == (PollRefusal.AUTHORIZATION_PENDING, PollRefusal.SCANNED)
    assert world.grants.finds == reads


async def test_memory_hides_a_look_for_a_moment_only(world: World) -> None:
    """Without another watch, a poll asks the store when FRESH is over, and says scanned."""
    ann, scan = await world.log_in(), await world.start()
    await world.poll(scan)
    await world.scans.watch()
    await world.scans.look(ann, scan.grant.scene, None)

    assert await world.poll(scan, seconds=max(FRESH.total_seconds(), 1.5)) is PollRefusal.SCANNED


async def test_a_look_that_is_known_stays_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that read before the look does not take back what a poll has said after it."""
    ann, scan = await world.log_in(), await world.start()
    await world.poll(scan)
    find_pending = world.grants.find_pending

    async def find_slowly(scenes: set[str]) -> dict[str, GrantState]:
        found = await find_pending(scenes)
        await world.scans.look(ann, scan.grant.scene, None)
        await world.scans.redeem("shop", scan.code)
        return found

    monkeypatch.setattr(world.grants, "find_pending", find_slowly)
    world.clock.advance(seconds=1.9)
    await world.scans.watch()

    assert await world.poll(scan, seconds=1.5) is PollRefusal.SCANNED


async def test_an_early_poll_reads_nothing(world: World) -> None:
    """A poll that comes too early is slow_down, without a look into the store."""
    scan = await world.start()
    await world.poll(scan)
    reads = world.grants.finds

    assert [await world.poll(scan, seconds=0) for _ in range(3)] == [PollRefusal.SLOW_DOWN] * 3
    assert world.grants.finds == reads


async def test_another_client_does_not_slow_the_right_one_down(world: World) -> None:
    """Polls with the wrong code or of the wrong client do not count against the right one."""
    scan, other = await world.start(), await world.start()
    await world.poll(scan)
    forged = replace(scan, code=replace(scan.code, secret=other.code.secret))
    wrong = [await world.poll(scan, "cafe", 1.9), await world.poll(forged, seconds=0)]

    assert wrong == [PollRefusal.INVALID_GRANT] * 2
    assert await world.poll(scan, seconds=0.1) is PollRefusal.AUTHORIZATION_PENDING


async def test_polls_of_watched_grants_read_nothing(world: World) -> None:
    """After a watch, polls in time are pending without a look into the store, for a moment, and then it is asked."""
    scan = await world.start()
    await world.poll(scan)
    world.clock.advance(seconds=1.9)
    await world.scans.watch()
    reads = world.grants.finds
    fresh = await world.poll(scan, seconds=0.1)
    reads_meanwhile = world.grants.finds - reads
    stale = await world.poll(scan)

    assert (fresh, reads_meanwhile) == (PollRefusal.AUTHORIZATION_PENDING, 0)
    assert (stale, world.grants.finds) == (PollRefusal.AUTHORIZATION_PENDING, reads + 1)


async def test_a_watch_sees_an_answer(world: World) -> None:
    """A poll after a watch that saw an approval gets the token, whatever an earlier watch saw."""
    ann, scan = await world.log_in(), await world.start()
    await world.poll(scan)
    world.clock.advance(seconds=1.9)
    await world.scans.watch()
    await world.approve(scan, ann)
    await world.scans.watch()

    assert isinstance(await world.poll(scan, seconds=0.1), Redeemed)


async def test_an_expired_grant_is_not_pending(world: World) -> None:
    """No poll is pending by memory after the expiry."""
    scan = await world.start()
    world.clock.now = scan.grant.expires_at - timedelta(seconds=2)
    await world.poll(scan, seconds=0)
    world.clock.advance(seconds=1.9)
    await world.scans.watch()

    assert await world.poll(scan, seconds=0.1) is PollRefusal.EXPIRED_TOKEN


async def test_only_grants_that_are_polled_are_watched(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch reads the grants of the last seconds' polls, and nothing if there is none."""
    watched: list[set[str]] = []

    async def find_pending(scenes: set[str]) -> dict[str, GrantState]:
        watched.append(scenes)
        return dict.fromkeys(scenes, GrantState.NEW)

    monkeypatch.setattr(world.grants, "find_pending", find_pending)
    polled, forgotten = await world.start(), await world.start()
    await world.scans.watch()
    await world.poll(forgotten)
    world.clock.now += RECENT
    await world.poll(polled, seconds=0)
    await world.scans.watch()

    assert watched == [{polled.grant.scene}]


async def test_old_polls_are_forgotten(clock: Clock) -> None:
    """A process forgets the pollers of expired grants when it next reads which are pending."""
    polls, late = Polls(), DeviceCode.generate()
    for _ in range(100):
        polls.count(("shop", DeviceCode.generate()), PENDING, clock.now, clock.now + LIFETIME)
    clock.now += LIFETIME
    polls.count(("shop", late), PENDING, clock.now, clock.now + LIFETIME)

    assert polls.recent(clock.now) == {late.scene}
    assert len(polls) == 1


REFUSED: dict[str, Callable[[World, StartedScan, Session], Any]] = {
    "logged out": lambda world, _, ann: world.sessions.end([ann], EndReason.ENDED, world.clock.now, SYSTEM),
    "blocked": lambda world, _, ann: world.users.block(ann.user_id, world.clock.now, SYSTEM),
}
"""What withdraws an approval."""

withdrawals = pytest.mark.parametrize("withdraw", REFUSED.values(), ids=REFUSED)


@withdrawals
async def test_an_approval_is_withdrawn_until_the_poll(world: World, withdraw: Callable[..., Any]) -> None:
    """A log-out of the approving session, or a block, between approval and poll is a denial for good."""
    ann, scan = await world.log_in(), await world.start()
    await world.approve(scan, ann)
    await withdraw(world, scan, ann)
    refusals = [await world.poll(scan)]
    await world.users.unblock(ann.user_id, world.clock.now, SYSTEM)
    refusals.append(await world.poll(scan))

    assert refusals == [PollRefusal.ACCESS_DENIED] * 2
    assert [each.id for each in await world.sessions.list_for_user(ann.user_id) if each.id != ann.id] == []


@withdrawals
async def test_an_approval_is_withdrawn_during_the_poll(world: World, withdraw: Callable[..., Any]) -> None:
    """A log-out or a block while the session starts ends the new session, and the poll is access_denied."""
    ann, scan = await world.log_in(), await world.start()
    await world.approve(scan, ann)
    world.sessions.before_start = lambda: withdraw(world, scan, ann)

    assert await world.poll(scan) is PollRefusal.ACCESS_DENIED
    assert [each.id for each in await world.sessions.list_for_user(ann.user_id) if each.id != ann.id] == []


async def test_a_merge_during_the_poll_moves_the_session(world: World) -> None:
    """When the user is merged while the session starts, the session is of the user they were merged into."""
    ann, bob, scan = await world.log_in(), await world.log_in("bob"), await world.start()
    await world.approve(scan, ann)

    async def merge() -> None:
        await world.users.merge(ann.user_id, bob.user_id, frozenset(), world.clock.now, SYSTEM)
        await world.sessions.move(ann.user_id, bob.user_id)

    world.sessions.before_start = merge
    redeemed = await redeem(world, scan)

    assert redeemed.session.user_id == bob.user_id
    assert redeemed.session in await world.sessions.list_for_user(bob.user_id)


async def test_the_limit_of_sessions_holds(clock: Clock) -> None:
    """With one session a user, the website's session ends the phone's, which is no log-out."""
    world = World(clock, policy=SessionPolicy(per_user=1))
    ann, scan = await world.log_in(), await world.start()
    await world.approve(scan, ann)
    redeemed = await redeem(world, scan)
    phone = await world.sessions.find(ann.id)

    assert redeemed.replaced == 1
    assert isinstance(phone, EndedSession)
    assert phone.reason is EndReason.REPLACED
    assert await world.sessions.list_for_user(ann.user_id) == [redeemed.session]


async def test_the_session_key_stays_as_it_is(world: World) -> None:
    """A scan brings no session_key: data of the client is decrypted in the new session with the account's own key."""
    ann, scan = await world.log_in(), await world.start()
    await world.approve(scan, ann)
    before = await world.vault.get(ann)
    redeemed = await redeem(world, scan)

    assert await world.vault.get(redeemed.session) == before
    assert before.current == SessionKey("key of ann")


async def test_concurrent_polls_get_one_token(world: World) -> None:
    """Of polls in two processes at once, one gets a token and the other one invalid_grant."""
    ann, scan = await world.log_in(), await world.start()
    await world.approve(scan, ann)
    processes = [world.another_process() for _ in range(5)]
    polls = await asyncio.gather(*(each.redeem("shop", scan.code) for each in processes))

    assert [poll for poll in polls if isinstance(poll, PollRefusal)] == [PollRefusal.INVALID_GRANT] * 4
    assert len(await world.sessions.list_for_user(ann.user_id)) == 2


async def test_a_store_that_fails_before_the_take_costs_nothing(world: World) -> None:
    """When the grant cannot be taken, the poll fails, and the next one gets the token."""
    ann, scan = await world.log_in(), await world.start()
    await world.approve(scan, ann)
    world.grants.fails = "before"
    with pytest.raises(StoreUnavailable):
        await world.poll(scan)
    world.grants.fails = ""

    assert isinstance(await world.poll(scan), Redeemed)


async def test_a_lost_answer_to_the_take_costs_the_scan(world: World) -> None:
    """When it is unknown whether the grant was taken, no session starts, and the next poll is invalid_grant."""
    ann, scan = await world.log_in(), await world.start()
    await world.approve(scan, ann)
    world.grants.fails = "after"
    with pytest.raises(StoreUnavailable):
        await world.poll(scan)
    world.grants.fails = ""

    assert await world.poll(scan) is PollRefusal.INVALID_GRANT
    assert await world.sessions.list_for_user(ann.user_id) == [ann]


async def test_a_session_that_does_not_start_costs_the_scan(world: World) -> None:
    """When the session store fails after the take, the grant is spent: a second session is worse than a second scan."""
    ann, scan = await world.log_in(), await world.start()
    await world.approve(scan, ann)
    world.sessions.fails = True
    with pytest.raises(StoreUnavailable):
        await world.poll(scan)
    world.sessions.fails = False

    assert await world.poll(scan) is PollRefusal.INVALID_GRANT
    assert await world.sessions.list_for_user(ann.user_id) == [ann]


async def test_the_first_look_of_two_at_once_ties(world: World) -> None:
    """Of two users who look at once, one sees the scan, and for the other one it does not exist."""
    ann, bob, scan = await world.log_in(), await world.log_in("bob"), await world.start()
    looks = [world.scans.look(session, scan.grant.scene, None) for session in (ann, bob)]
    seen = await asyncio.gather(*looks, return_exceptions=True)

    assert sorted(type(each).__name__ for each in seen) == ["DeviceGrant", "NotFound"]


async def test_a_stale_look_ties_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that read the scan before another user's look sees nothing; one of the same user sees it."""
    ann, bob, scan = await world.log_in(), await world.log_in("bob"), await world.start()
    find = world.grants.find

    async def find_late(scene: str) -> DeviceGrant | None:
        monkeypatch.setattr(world.grants, "find", find)
        stale = await find(scene)
        await world.scans.look(ann, scene, None)
        return stale

    monkeypatch.setattr(world.grants, "find", find_late)
    with pytest.raises(NotFound):
        await world.scans.look(bob, scan.grant.scene, None)
    assert (await world.scans.look(ann, scan.grant.scene, None)).user_id == ann.user_id


async def test_two_answers_at_once_are_one(world: World) -> None:
    """Of an approval and a refusal at once, one counts, and for the other one the scan does not exist."""
    ann, scan = await world.log_in(), await world.start()
    seen = await world.scans.look(ann, scan.grant.scene, None)
    await world.grants.replace(seen, replace(seen, state=GrantState.DENIED))
    number = scan.grant.numbers.shown if scan.grant.numbers else None

    with pytest.raises(NotFound):
        await world.scans.answer(ann, scan.grant.scene, number, None, Cause.user(), approve=True)
    assert await world.poll(scan) is PollRefusal.ACCESS_DENIED


async def test_without_numbers_a_consent_is_enough(clock: Clock) -> None:
    """With numbers off, no number is generated, and none is needed."""
    world = World(clock, with_numbers=False)
    ann, scan = await world.log_in(), await world.start()
    await world.approve(scan, ann)

    assert scan.grant.numbers is None
    assert isinstance(await world.poll(scan), Redeemed)


async def test_a_missing_number_keeps_the_scan(world: World) -> None:
    """An approval without a number is request_invalid, and the user can still answer."""
    ann, scan = await world.log_in(), await world.start()
    await world.scans.look(ann, scan.grant.scene, None)
    with pytest.raises(RequestInvalid):
        await world.scans.answer(ann, scan.grant.scene, None, None, Cause.user(), approve=True)

    assert (await world.approve(scan, ann)).state is GrantState.APPROVED


@pytest.mark.parametrize(
    "scene", ["", "x", "x" * 23, "x" * 22, "\x00" * 22, "扫" * 22, "\ud800" * 22, "../../v1/sessions"]
)
async def test_an_unknown_scene_is_not_found(world: World, scene: str) -> None:
    """A scene of any bytes that is none is not found, for looks, answers and pictures."""
    ann = await world.log_in()
    for call in (
        world.scans.look(ann, scene, None),
        world.scans.answer(ann, scene, "42", None, Cause.user(), approve=True),
        world.scans.picture(scene),
    ):
        with pytest.raises(NotFound):
            await call


async def test_a_scan_is_gone_after_its_retention(world: World) -> None:
    """A scan is expired_token for a minute after its expiry, and then it is unknown."""
    scan = await world.start()
    world.clock.now += LIFETIME
    expired = await world.poll(scan, seconds=0)
    world.clock.now += RETENTION

    assert expired is PollRefusal.EXPIRED_TOKEN
    assert await world.poll(scan, seconds=0) is PollRefusal.INVALID_GRANT


async def test_a_client_starts_scans_of_its_apps(world: World) -> None:
    """The app of a scan is one of the client's: the one it names, or its only one."""
    only = await world.scans.start("shop", BROWSER, apps={OTHER_APP})

    assert only.grant.appid == OTHER_APP
    for appid, apps in ((APP.value, {OTHER_APP}), ("wx9", None), (None, None)):
        with pytest.raises(AppUnknown):
            await world.scans.start("shop", BROWSER, appid, apps=apps)


async def refused_at(call: Callable[[], Any], bound: int) -> int:
    """Return the number of the first call that is rate-limited."""
    for number in range(bound + 2):
        try:
            await call()
        except RateLimited:
            return number
        except NotFound:
            pass
    return -1


async def refusals_of(call: Callable[[], Any], calls: int) -> Counter[type[Exception]]:
    """Return how often the calls raise each error."""
    raised = Counter[type[Exception]]()
    for _ in range(calls):
        with pytest.raises((NotFound, RateLimited)) as caught:
            await call()
        raised[caught.type] += 1
    return raised


async def test_open_scans_are_limited_by_client_and_by_address(world: World) -> None:
    """A client has so many open scans, and a network so many of all clients. Others are not limited by them."""

    async def start(client: str, network: str | None) -> None:
        await world.scans.start(client, BROWSER, APP.value, network=network)

    assert await refused_at(lambda: start("shop", "203.0.113.7"), SCANS_OF_ADDRESS.quota) == SCANS_OF_ADDRESS.quota
    await start("shop", "203.0.113.8")
    assert await refused_at(lambda: start("cafe", None), SCANS_OF_CLIENT.quota) == SCANS_OF_CLIENT.quota
    await start("shop", None)


async def test_guesses_are_limited_by_user_and_by_address(world: World) -> None:
    """Ten thousand guesses of a scene or a number are refused after the first, without a look into the store."""
    ann, bob = await world.log_in(), await world.log_in("bob")

    async def guess(session: Session, network: str) -> None:
        await world.scans.look(session, "x" * 22, network)

    async def guess_number(session: Session, network: str) -> None:
        await world.scans.answer(session, "x" * 22, "42", network, Cause.user(), approve=True)

    scenes = await refusals_of(lambda: guess(ann, "203.0.113.7"), 10_000)
    numbers = await refusals_of(lambda: guess_number(ann, "203.0.113.8"), 10_000)
    reads = world.grants.finds
    for number in range(LOOKS_OF_ADDRESS.quota):
        with pytest.raises(NotFound):
            await guess(replace(bob, user_id=str(number)), "203.0.113.9")
    with pytest.raises(RateLimited):
        await guess(bob, "203.0.113.9")

    assert scenes == {NotFound: LOOKS_OF_USER.quota, RateLimited: 10_000 - LOOKS_OF_USER.quota}
    assert numbers == {RateLimited: 10_000}
    assert reads == LOOKS_OF_USER.quota
    assert world.grants.finds == reads + LOOKS_OF_ADDRESS.quota


async def test_guesses_of_one_user_leave_the_address_to_others(world: World) -> None:
    """What the limit of a user refuses takes nothing from a carrier's address: another user's first look succeeds."""
    ann, bob, scan = await world.log_in(), await world.log_in("bob"), await world.start()
    await refusals_of(lambda: world.scans.look(ann, "x" * 22, "203.0.113.7"), 2 * LOOKS_OF_ADDRESS.quota)

    assert await world.scans.look(bob, scan.grant.scene, "203.0.113.7")


async def test_the_event_of_an_answer_has_the_address_of_its_request(world: World, clock: Clock) -> None:
    """The audit trail has the address that an answer came from, which is not that of the login."""
    ann, scan = await world.log_in(), await world.start()
    await world.scans.look(ann, scan.grant.scene, None)
    await world.scans.answer(ann, scan.grant.scene, None, None, Cause.user("203.0.113.66"), approve=False)

    assert [(event.type, event.ip) for event in world.events] == [(EventType.SCAN_DENIED, "203.0.113.66")]


async def test_a_picture_is_drawn_once_for_all_processes(world: World, clock: Clock) -> None:
    """A thousand requests in three processes at once, and those after it, are one call to WeChat."""
    scan = await world.start()
    world.platform.let.clear()
    processes = [world.scans, world.another_process(), world.another_process()]
    requests = [asyncio.create_task(each.picture(scan.grant.scene)) for each in processes for _ in range(334)]
    while not world.platform.drawn:  # noqa: ASYNC110  # a list sends no notification
        await asyncio.sleep(0)
    world.platform.let.set()
    pictures = {picture for picture, _ in await asyncio.gather(*requests)}
    again, seconds = await processes[2].picture(scan.grant.scene)
    clock.advance(seconds=30)

    assert pictures == {again}
    assert f"release pages/scan/scan?scene={scan.grant.scene}".encode() in again
    assert (seconds, (await world.scans.picture(scan.grant.scene))[1]) == (120, 90)
    assert world.platform.drawn == [scan.grant.scene]


async def test_a_drawing_that_fails_is_tried_again_after_its_lease(world: World) -> None:
    """All who wait for a drawing get its error. For the length of the lease WeChat is not asked again."""
    scan = await world.start()
    world.platform.error = IdentityProviderUnavailable()
    waiting = [world.scans.picture(scan.grant.scene) for _ in range(10)]
    failed = await asyncio.gather(*waiting, return_exceptions=True)
    world.platform.error = None
    early = asyncio.create_task(world.scans.picture(scan.grant.scene))
    while not world.grants.waits:  # noqa: ASYNC110  # a number sends no notification
        await asyncio.sleep(0)
    drawn_meanwhile = len(world.platform.drawn)
    world.clock.now += LEASE

    assert {type(each) for each in failed} == {IdentityProviderUnavailable}
    assert drawn_meanwhile == 1
    assert scan.grant.scene.encode() in (await early)[0]


async def test_a_drawing_of_a_dead_process_is_given_up(world: World) -> None:
    """Who waits for another process waits for two leases at most, and then draws or fails."""
    scan = await world.start()
    await world.grants.acquire_drawing(scan.grant.scene, world.clock.now, 10 * LEASE)
    waiting = asyncio.create_task(world.scans.picture(scan.grant.scene))
    while not world.grants.waits:  # noqa: ASYNC110  # a number sends no notification
        await asyncio.sleep(0)
    world.clock.now += 2 * LEASE

    with pytest.raises(IdentityProviderUnavailable):
        await waiting


async def test_those_who_wait_for_a_drawing_try_to_draw_once_a_lease(world: World) -> None:
    """While another process has the lease, a waiting process writes nothing: it only reads, and seldom."""
    scan = await world.start()
    await world.grants.acquire_drawing(scan.grant.scene, world.clock.now, 10 * LEASE)
    waiting = [asyncio.create_task(world.scans.picture(scan.grant.scene)) for _ in range(100)]
    while not world.grants.waits:  # noqa: ASYNC110  # a number sends no notification
        await asyncio.sleep(0)
    await asyncio.sleep(0.5)
    tried = world.grants.waits
    world.clock.now += 2 * LEASE
    failed = await asyncio.gather(*waiting, return_exceptions=True)

    assert (tried, world.grants.waits) == (1, 2)
    assert {type(each) for each in failed} == {IdentityProviderUnavailable}


async def test_a_closing_service_cancels_drawings(world: World) -> None:
    """No drawing runs after aclose."""
    scan = await world.start()
    world.platform.let.clear()
    waiting = asyncio.create_task(world.scans.picture(scan.grant.scene))
    while not world.platform.drawn:  # noqa: ASYNC110  # a list sends no notification
        await asyncio.sleep(0)
    await world.pictures.aclose()

    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("state", [GrantState.APPROVED, GrantState.DENIED, GrantState.REDEEMED])
async def test_an_answered_scan_has_no_picture(world: World, state: GrantState) -> None:
    """The picture of a scan that was answered is not found, and neither is that of an expired one."""
    answered, expired = await world.start(), await world.start()
    await world.grants.replace(answered.grant, replace(answered.grant, state=state))
    with pytest.raises(NotFound):
        await world.scans.picture(answered.grant.scene)
    world.clock.now += LIFETIME
    with pytest.raises(NotFound):
        await world.scans.picture(expired.grant.scene)
    assert world.platform.drawn == []
