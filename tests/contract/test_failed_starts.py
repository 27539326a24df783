"""Starts of sessions that fail halfway: no one has the token, so what Redis has stored of the session is deleted."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from redis.exceptions import ConnectionError as BrokenConnection

from adapters.redis.client import create_client
from adapters.redis.connections import ANSWER_SECONDS, RedisClient
from adapters.redis.records import set_of
from adapters.redis.session_store import RedisSessionStore
from application.ports.session_store import SessionStore
from domain.errors import StoreUnavailable
from domain.event import EventPolicy, EventType
from domain.session import Session
from domain.session_key import SessionKey
from support.clock import Clock
from support.events import Kept
from support.places import every_redis, open_environment, redis_and_cluster
from support.servers import redis_server
from support.sessions import KEYS, Scenario
from support.stores import open_redis

pytestmark = pytest.mark.anyio

AUDITED = EventPolicy(audit_sessions=True)
KEY = SessionKey("a key")
NO_LIMIT = 0
MOST_COMMANDS = 20
"""More commands than a start has."""

OpenStore = Callable[[RedisClient, Sequence[str], EventPolicy], tuple[SessionStore, object]]


@every_redis
async def test_a_start_without_a_member_leaves_no_record(scenario: Scenario, session_place: str) -> None:
    """When Redis stores the record, but does not add it to the user's list, the record is deleted."""
    await check_refused_member(scenario, session_place)


async def check_refused_member(scenario: Scenario, place: str) -> None:
    """Check the promise with a list that Redis cannot add to."""
    session = scenario.new(await scenario.user())
    async with create_client(place) as redis:
        await redis.set(set_of(session.user_id), "a text, and no sorted set")
        with pytest.raises(StoreUnavailable):
            await scenario.store.start(session, KEY, NO_LIMIT)
        await redis.delete(set_of(session.user_id))

    assert await scenario.store.find(session.id) is None
    assert await scenario.environment.at_rest(session) == b""


@redis_and_cluster
@pytest.mark.parametrize("lost", ["the command", "the answer"])
async def test_a_start_that_fails_at_any_command_leaves_no_session(
    scenario: Scenario, session_place: str, lost: str
) -> None:
    """Whichever command or answer is lost, a failed start leaves no session, and each event of a start has an end."""
    await check_each_command(scenario, session_place, lost, open_redis)


async def check_each_command(scenario: Scenario, place: str, lost: str, open_store: OpenStore) -> None:
    """Check the promise for each command of a start."""
    user_id, failed = await scenario.user(), list[Session]()
    async with create_client(place) as redis:
        store, _ = open_store(redis, KEYS, AUDITED)
        assert isinstance(store, RedisSessionStore)
        for number in range(MOST_COMMANDS):
            session, fails = scenario.new(user_id), Fails(number, lost)
            with pytest.MonkeyPatch.context() as patch:
                fails.at(patch, redis)
                try:
                    await store.start(session, KEY, NO_LIMIT)
                except StoreUnavailable:
                    failed.append(session)
            if not fails.has_failed:
                break
    kept = Kept()
    await scenario.environment.events.relay(kept.add)
    ids = {each.id for each in failed}
    started, ended = (
        sorted(event.session_id or "" for event in kept.events if event.type is kind and event.session_id in ids)
        for kind in (EventType.SESSION_STARTED, EventType.SESSION_ENDED)
    )

    assert failed
    assert [each for each in failed if await scenario.store.find(each.id) is not None] == []
    assert await scenario.ids_of(user_id) == {session.id}
    assert started == ended


class Fails:
    """A connection that breaks at one command or pipeline, before it is sent or after it was executed."""

    def __init__(self, number: int, lost: str) -> None:
        self._left = number
        self._lost = lost
        self.has_failed = False

    def at(self, patch: pytest.MonkeyPatch, redis: RedisClient) -> None:
        """Break the connections of this client."""
        open_pipeline = redis.pipeline

        def pipeline(**options: Any) -> Any:
            opened = open_pipeline(**options)
            patch.setattr(opened, "execute", partial(self._call, opened.execute))
            return opened

        patch.setattr(redis, "execute_command", partial(self._call, redis.execute_command))
        patch.setattr(redis, "pipeline", pipeline)

    async def _call(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self._left -= 1
        is_broken = self._left == -1
        self.has_failed |= is_broken
        if is_broken and self._lost == "the command":
            raise BrokenConnection
        answer = await call(*arguments, **options)
        if is_broken:
            raise BrokenConnection
        return answer


async def test_a_failed_start_waits_for_no_deletion(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis does not answer at all, the deletion delays the error by DISCARD_SECONDS at most."""
    monkeypatch.setattr("adapters.redis.session_store.DISCARD_SECONDS", 0.01)
    with redis_server() as server:
        async with open_environment(f"redis://127.0.0.1:{server.port}/0") as environment:
            scenario = Scenario(environment, clock)
            user_id = await scenario.user()
            await scenario.start(user_id)
            server.send(signal.SIGSTOP)
            began = asyncio.get_running_loop().time()
            with pytest.raises(StoreUnavailable):
                await scenario.start(user_id)
            took = asyncio.get_running_loop().time() - began
            server.send(signal.SIGCONT)

    assert ANSWER_SECONDS <= took < 2 * ANSWER_SECONDS
