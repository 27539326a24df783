"""Sessions in a Redis whose servers fail, and on hosts whose clocks differ.

Every live session is in its user's list.
"""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from functools import partial
from itertools import count

import pytest
from sqlalchemy import Connection, text

from adapters.redis.client import create_client
from adapters.redis.records import set_of
from adapters.redis.session_store import name_of
from adapters.sql.database import Database
from domain.errors import StoreUnavailable
from domain.event import SYSTEM
from domain.session import REASON_RETENTION, EndReason, Session, SessionPolicy
from domain.session_key import SessionKey
from support.clock import Clock
from support.interruptions import TrappedCluster
from support.places import each_place, every_redis, open_environment
from support.servers import redis_server
from support.sessions import KEYS, POLICY, Scenario
from support.topologies import Topology, quiet_garbage, redis_cluster, replicate, shard_of
from support.traps import Trap

pytestmark = pytest.mark.anyio


@pytest.fixture
def topology() -> Iterator[Topology]:
    """A cluster that the test may stop: three masters, each with a replica."""
    with quiet_garbage(), redis_cluster(replicas=1) as started:
        yield started


@pytest.fixture
async def on_cluster(topology: Topology, clock: Clock) -> AsyncIterator[Scenario]:
    """A session store on the cluster."""
    async with open_environment(topology.url) as environment:
        yield Scenario(environment, clock)


@pytest.fixture
async def on_trapped(trapped: TrappedCluster, clock: Clock) -> AsyncIterator[Scenario]:
    """A session store on the cluster whose masters stop answering."""
    with quiet_garbage():
        async with open_environment(trapped.url) as environment:
            yield Scenario(environment, clock)


REFUSE_ENDS = """
    CREATE TRIGGER refuse_ends BEFORE UPDATE OF end_reason ON sessions BEGIN SELECT RAISE(ABORT, 'refused'); END
"""


def execute(connection: Connection, statement: str) -> None:
    """Execute a statement of SQL."""
    connection.execute(text(statement))


async def until_it_works(call: Callable[[], Awaitable[object]]) -> int:
    """Repeat a call until the store answers, and return how often it did not."""
    refused = 0
    while True:
        try:
            await call()
        except StoreUnavailable:
            refused += 1
            await asyncio.sleep(0.05)
        else:
            return refused


async def test_a_log_out_everywhere_that_fails_halfway_can_be_repeated(
    on_cluster: Scenario, topology: Topology
) -> None:
    """When one master dies, a log-out everywhere raises StoreUnavailable.

    Repeated until it succeeds, it ends every session.
    """
    scenario, master = on_cluster, topology.shards[0][0]
    user_id = await scenario.user()
    started = [await scenario.start(user_id) for _ in range(30)]
    await asyncio.to_thread(replicate, topology)

    async def end_all() -> None:
        await scenario.store.end(
            await scenario.store.list_for_user(user_id), EndReason.ENDED, scenario.clock.now, SYSTEM
        )

    known = await scenario.store.list_for_user(user_id)
    master.kill()
    with pytest.raises(StoreUnavailable):
        await scenario.store.end(known, EndReason.ENDED, scenario.clock.now, SYSTEM)
    await until_it_works(end_all)

    left = [session for session in started if isinstance(await scenario.store.find(session.id), Session)]
    assert left == []
    assert await scenario.store.list_for_user(user_id) == []


async def test_every_live_session_is_in_its_users_list(on_cluster: Scenario, topology: Topology) -> None:
    """When the end of sessions fails because one master stops, every session that stays live is in its user's list."""
    scenario, master = on_cluster, topology.shards[1][0]
    users = [await scenario.user() for _ in range(6)]
    started = [await scenario.start(user_id) for user_id in users for _ in range(6)]
    master.send(signal.SIGSTOP)
    with pytest.raises(StoreUnavailable):
        await scenario.store.end(started, EndReason.ENDED, scenario.clock.now, SYSTEM)
    master.send(signal.SIGCONT)
    await until_it_works(lambda: asyncio.gather(*map(scenario.store.list_for_user, users)))

    alive = {session.id for session in started if isinstance(await scenario.store.find(session.id), Session)}
    assert alive <= set().union(*[await scenario.ids_of(user_id) for user_id in users])


async def user_on(scenario: Scenario, shard: int) -> str:
    """Create a user whose set is on this shard, and return its id."""
    while shard_of(set_of(user_id := await scenario.user())) != shard:
        pass
    return user_id


def session_on(scenario: Scenario, user_id: str, shard: int) -> Session:
    """Return a session whose record is on this shard when it is stored."""
    while shard_of(name_of((session := scenario.new(user_id)).id)) != shard:
        pass
    return session


async def until_it_succeeds(call: Callable[[], Awaitable[object]], master: Trap, step: int) -> bool:
    """Repeat a call during the death of a master, which begins at this step and ends after the second failure.

    Returns whether the master died.
    """
    master.arm(step)
    try:
        for failures in count(1):
            try:
                await call()
            except StoreUnavailable:
                if failures > 1:
                    master.disarm()
            else:
                break
    finally:
        died = master.disarm()
    return died


async def live_sessions_in(scenario: Scenario, sessions: list[Session]) -> list[Session]:
    """Return those of the sessions that are live. Each of them is in the list of its user."""
    found = [await scenario.store.find(session.id) for session in sessions]
    live = [session for session in found if isinstance(session, Session)]
    assert [each.id for each in live if each.id not in await scenario.ids_of(each.user_id)] == []
    return live


@pytest.mark.parametrize("shard", [0, 1, 2])
async def test_an_end_can_be_repeated_whenever_a_master_dies(
    on_trapped: Scenario, trapped: TrappedCluster, shard: int
) -> None:
    """Whenever one master dies during an end, the end that is repeated until it succeeds ends every session."""
    scenario, master = on_trapped, trapped.traps[shard]
    for step in count():
        user_id = await user_on(scenario, 0)
        sessions = [session_on(scenario, user_id, each) for each in (1, 2)]
        for session in sessions:
            await scenario.store.start(session, None, 0)

        async def end_all(user_id: str = user_id) -> None:
            listed = await scenario.store.list_for_user(user_id)
            await scenario.store.end(listed, EndReason.ENDED, scenario.clock.now, SYSTEM)

        died = await until_it_succeeds(end_all, master, step)

        assert await live_sessions_in(scenario, sessions) == []
        assert await scenario.ids_of(user_id) == set()
        if not died:
            break

    assert step > 1  # it died before a command, and before its answer


@pytest.mark.parametrize("shard", [0, 1, 2])
async def test_a_move_can_be_repeated_whenever_a_master_dies(
    on_trapped: Scenario, trapped: TrappedCluster, shard: int
) -> None:
    """Whenever one master dies during a move, the move that is repeated until it succeeds moves the session.

    The session is in the list of its new user.
    """
    scenario, master = on_trapped, trapped.traps[shard]
    for step in count():
        one, into = await user_on(scenario, 0), await user_on(scenario, 1)
        session = session_on(scenario, one, 2)
        await scenario.store.start(session, SessionKey("a key"), 0)
        died = await until_it_succeeds(partial(scenario.store.move, one, into), master, step)

        assert [each.user_id for each in await live_sessions_in(scenario, [session])] == [into]
        assert await scenario.ids_of(one) == set()
        if not died:
            break

    assert step > 1


@pytest.mark.parametrize("shard", [0, 1, 2])
async def test_a_replacement_leaves_no_session_unlisted_whenever_a_master_dies(
    on_trapped: Scenario, trapped: TrappedCluster, shard: int
) -> None:
    """Whenever one master dies during a login that replaces sessions, each live session is in its user's list."""
    scenario, master = on_trapped, trapped.traps[shard]
    for step in count():
        user_id = await user_on(scenario, 0)
        old = [session_on(scenario, user_id, each) for each in (1, 2)]
        for session in old:
            await scenario.store.start(session, None, 0)
        scenario.clock.advance(seconds=1)
        new = session_on(scenario, user_id, 1)
        login = partial(scenario.store.start, new, SessionKey("a key"), 1, old[1])
        died = await until_it_succeeds(login, master, step)
        live = await live_sessions_in(scenario, [*old, new])

        assert new in live
        if not died:
            break

    assert live == [new]
    assert step > 1


@every_redis
async def test_a_start_succeeds_when_redis_cannot_end_the_previous_session(
    scenario: Scenario, session_place: str
) -> None:
    """When Redis fails after the new session is stored, the login succeeds."""
    previous = await scenario.start()
    async with create_client(session_place) as redis:
        await redis.delete(name_of(previous.id))
        await redis.rpush(name_of(previous.id), "what no GETDEL can read")
    session = scenario.new(previous.user_id)
    ended = await scenario.store.start(session, SessionKey("a key"), 1, previous)

    assert ended == 0
    assert await scenario.store.find(session.id) == session


@each_place(["sqlite"])
async def test_a_start_succeeds_when_the_database_cannot_end_the_previous_session(
    scenario: Scenario, session_place: str
) -> None:
    """When the database fails after the new session is stored, the login succeeds.

    The next login ends both sessions.
    """
    previous = await scenario.start()
    session, later = scenario.new(previous.user_id), scenario.new(previous.user_id)
    async with Database(session_place) as database:
        await database.write(partial(execute, statement=REFUSE_ENDS))
        ended = await scenario.store.start(session, SessionKey("a key"), 1, previous)
        await database.write(partial(execute, statement="DROP TRIGGER refuse_ends"))

    assert (ended, await scenario.ids_of(previous.user_id)) == (0, {previous.id, session.id})
    assert await scenario.store.start(later, SessionKey("a key"), 1) == 2


@every_redis
async def test_a_host_whose_clock_is_ahead_removes_no_live_session(scenario: Scenario) -> None:
    """A login on a host whose clock is ahead deletes no session that is live by the store's clock.

    The clock is ahead by more than a session's retention. An expired session stays in the list for that long anyway.
    """
    user_id = await scenario.user()
    short = SessionPolicy(idle=timedelta(minutes=1))
    session = await scenario.start(user_id, policy=short)
    ahead, _ = scenario.environment.open(KEYS)
    scenario.clock.now += short.idle + REASON_RETENTION + timedelta(minutes=5)
    login = scenario.new(user_id)
    await ahead.start(login, SessionKey("another key"), 0)

    assert await scenario.ids_of(user_id) == {session.id, login.id}


@every_redis
async def test_a_touch_lists_a_session_again(scenario: Scenario, session_place: str) -> None:
    """When the user's list has lost a live session, the next touch adds it again, to a list that expires."""
    user_id = await scenario.user()
    session = await scenario.start(user_id)
    async with create_client(session_place) as redis:
        await redis.delete(set_of(user_id))
        before = await scenario.ids_of(user_id)
        await scenario.store.touch(session.touch(POLICY, scenario.clock.advance(minutes=2)))
        expires_in = await redis.pttl(set_of(user_id))

    assert (before, await scenario.ids_of(user_id)) == (set(), {session.id})
    assert expires_in > 0


async def test_lookups_of_unknown_sessions_store_nothing_in_redis() -> None:
    """Two hundred thousand lookups of random ids take no memory in Redis, except for client buffers."""
    with redis_server() as server:
        async with (
            open_environment(f"redis://127.0.0.1:{server.port}/0") as environment,
            create_client(f"redis://127.0.0.1:{server.port}/0") as redis,
        ):
            store, _ = environment.open(KEYS)
            await store.find(secrets.token_hex(16))
            before = (await redis.info("memory"))["used_memory_dataset"]
            for _ in range(200):
                tokens = [secrets.token_hex(16) for _ in range(1000)]
                assert await asyncio.gather(*map(store.find, tokens)) == [None] * 1000
            grown = (await redis.info("memory"))["used_memory_dataset"] - before

            assert await redis.dbsize() == 0
            assert (await redis.info("stats"))["tracking_total_keys"] == 0
            assert grown < 2_000_000
