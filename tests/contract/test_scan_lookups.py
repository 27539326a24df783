"""A scan that is not the user's costs the same work, whatever the reason: no time tells one reason from another."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from adapters.memory.rate_limiter import MemoryRateLimiter
from adapters.redis.client import create_client
from adapters.redis.device_grant_store import RedisDeviceGrantStore
from adapters.sql.database import Database
from adapters.sql.device_grant_store import SqlDeviceGrantStore
from application.ports.device_grant_store import DeviceGrantStore
from application.scans import Scans
from domain.device_grant import DeviceCode, DeviceGrant, GrantState, MatchNumbers
from domain.errors import NotFound
from domain.event import Cause
from domain.rate_limit import Allowance, RateLimit
from domain.session import Session
from support.clock import Clock
from support.places import DATABASES, TECHNOLOGIES
from unit.application.test_scans import APP, BROWSER, OTHER_APP, World

pytestmark = pytest.mark.anyio

NUMBERS = MatchNumbers("42", ("17", "42", "83"))

Work = Callable[[], Awaitable[Counter[str]]]
"""A function that returns which commands or statements the store has had so far."""


class CountingLimiter(MemoryRateLimiter):
    """A rate limiter that counts what it is asked."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked: Counter[str] = Counter()

    async def take(self, limit: RateLimit, key: str) -> Allowance:
        """See RateLimiter."""
        self.asked[limit.name] += 1
        return await super().take(limit, key)


@contextmanager
def counted_statements() -> Iterator[Counter[str]]:
    """Count the statements on all databases of this process, by their text."""
    statements: Counter[str] = Counter()

    def count(*called: Any) -> None:
        statements[called[2]] += 1

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", count)


@asynccontextmanager
async def in_redis(url: str) -> AsyncIterator[tuple[DeviceGrantStore, Work]]:
    """Open a store in Redis, which counts commands by itself."""
    async with create_client(url) as redis:

        async def work() -> Counter[str]:
            stats: Any = await redis.info("commandstats")
            return Counter({name: each["calls"] for name, each in stats.items() if name != "cmdstat_info"})

        yield RedisDeviceGrantStore(redis), work


@asynccontextmanager
async def in_database(url: str) -> AsyncIterator[tuple[DeviceGrantStore, Work]]:
    """Open a store in a database."""
    async with Database(url) as database:
        with counted_statements() as statements:

            async def work() -> Counter[str]:
                return statements.copy()

            yield SqlDeviceGrantStore(database), work


@pytest.fixture(params=["redis", *DATABASES], scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The place of grants. The Redis is this module's own, because it counts the commands of all."""
    if request.param == "redis":
        return str(request.getfixturevalue("own_redis_url"))
    return TECHNOLOGIES[request.param].find(request, tmp_path_factory.mktemp("lookups"))


@pytest.fixture
async def store(place: str) -> AsyncIterator[tuple[DeviceGrantStore, Work]]:
    """A store, and what it has had to do."""
    async with in_redis(place) if place.startswith("redis") else in_database(place) as opened:
        yield opened


def kinds(ann: Session, now: datetime) -> dict[str, DeviceGrant]:
    """Return a grant of each kind that is not Ann's to see."""
    new = DeviceGrant.start(DeviceCode.generate(), "shop", APP, BROWSER, NUMBERS, now)
    before = now - timedelta(minutes=2)
    past = replace(new, created_at=before, expires_at=now)
    made = {
        "of another user": replace(new, state=GrantState.SEEN, user_id="bob"),
        "of another app": replace(new, appid=OTHER_APP),
        "expired": past,
        "expired after her look": replace(past, state=GrantState.SEEN, user_id=ann.user_id),
        "approved": replace(new, state=GrantState.APPROVED, user_id=ann.user_id, session_id=ann.id),
        "approved by another user": replace(new, state=GrantState.APPROVED, user_id="bob", session_id="0" * 32),
        "denied": replace(new, state=GrantState.DENIED, user_id=ann.user_id),
        "redeemed": replace(new, state=GrantState.REDEEMED, user_id="bob", session_id="0" * 32),
    }
    return {kind: replace(grant, scene=DeviceCode.generate().scene) for kind, grant in made.items()}


MALFORMED = ["", "x", "x" * 23, "\x00" * 22, "扫" * 22, "\ud800" * 22, "../../v1/sessions", "x" * 5000]

Call = Callable[[Scans, Session, str], Awaitable[object]]

CALLS: dict[str, Call] = {
    "look": lambda scans, ann, scene: scans.look(ann, scene, "203.0.113.7"),
    "approval": lambda scans, ann, scene: scans.answer(ann, scene, "42", "203.0.113.7", Cause.user(), approve=True),
    "approval without a number": lambda scans, ann, scene: scans.answer(
        ann, scene, None, None, Cause.user(), approve=True
    ),
    "refusal": lambda scans, ann, scene: scans.answer(ann, scene, None, "203.0.113.7", Cause.user(), approve=False),
    "picture": lambda scans, _, scene: scans.picture(scene),
}

HAS_PICTURE = {"of another user", "of another app"}
"""Open grants: who has the scene has the picture, too."""


@pytest.mark.parametrize("call", CALLS)
async def test_all_that_is_not_found_costs_the_same(
    store: tuple[DeviceGrantStore, Work], clock: Clock, call: str
) -> None:
    """Foreign, expired, answered, unknown and malformed scenes fail alike after the same commands to all stores."""
    grants, work = store
    world = World(clock)
    ann = await world.log_in()
    limiter = world.limiter = CountingLimiter(clock)
    world.grants = grants  # type: ignore[assignment]  # a real store in place of the one in memory
    scans = world.new_scans(world.new_pictures())
    made = kinds(ann, clock.now)
    for grant in made.values():
        await grants.add(grant)
    scenes = {kind: grant.scene for kind, grant in made.items()}
    scenes |= {"unknown": DeviceCode.generate().scene} | {f"malformed {text[:9]!a}": text for text in MALFORMED}
    done: dict[str, tuple[Any, ...]] = {}
    for kind, scene in scenes.items():
        if call == "picture" and kind in HAS_PICTURE:
            continue
        before, asked = await work(), limiter.asked.copy()
        with pytest.raises(NotFound) as refused:
            await CALLS[call](scans, ann, scene)
        done[kind] = (str(refused.value), await work() - before, limiter.asked - asked)

    assert len(done) >= 12
    assert {kind: what for kind, what in done.items() if what != done["unknown"]} == {}
    assert done["unknown"][1].total() == 1
