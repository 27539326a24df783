"""Write events to Redis by the scripts that change something, and relay them.

    wxlogin:events            a stream: the events of one Redis
    wxlogin:events:{<key>}    on a cluster, a stream for each changed key, in the hash slot of that key: a script cannot
                              use keys of several slots
    wxlogin:events:hints      on a cluster, a set of the streams that have events
    wxlogin:events:relay      a lease: one process relays at a time

An entry has the event as JSON. If the change knew less than the session's record, the script adds `user` and `app`.
"""

import logging
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from redis.asyncio import RedisCluster

from adapters.redis.connections import Command, RedisClient, map_redis_errors, run_all
from application.ports.session_events import SessionEvents
from domain.event import Event

STREAM = "wxlogin:events"
HINTS = "wxlogin:events:hints"
LEASE = "wxlogin:events:relay"

BATCH = 500
"""How many events are relayed at once, from one stream."""

STREAMS_AT_ONCE = 200
"""How many streams of a cluster are read at once."""

LEASE_MILLIS = 10_000

CALLS_BETWEEN_SEARCHES = 600
"""After how many calls a cluster is searched for streams, in case the hint of one was lost."""

SCAN_COUNT = 1000
"""How many keys a node looks at in one step of the search, in about a millisecond."""

RELEASE_SCRIPT = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
"""Releases the lease of this holder."""

REMOVE_SCRIPT = """
redis.call('XDEL', KEYS[1], unpack(ARGV))
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[1]) end
"""
"""Removes entries of a stream, and the stream if it is empty."""

logger = logging.getLogger("wxlogin.session_events")

_decoder = msgspec.json.Decoder(Event)

Add = Callable[[Sequence[Event]], Awaitable[None]]


def encode_event(event: Event) -> bytes:
    """Return the event as it is in a stream."""
    return msgspec.json.encode(event)


class EventStreams:
    """The streams to which scripts write events."""

    def __init__(self, redis: RedisClient) -> None:
        self._is_cluster = isinstance(redis, RedisCluster)

    def stream_for(self, key: str) -> str:
        """Return the stream for the events of changes of `key`."""
        return f"{STREAM}:{{{key}}}" if self._is_cluster else STREAM

    def hints(self, keys: Sequence[str]) -> list[list[Command]]:
        """Return the commands that say where the events of changes of `keys` are. One Redis needs none."""
        return [[("SADD", HINTS, *map(self.stream_for, keys))]] if self._is_cluster and keys else []


class RedisSessionEvents(SessionEvents):
    """The SessionEvents of RedisSessionStore and RedisDeviceGrantStore.

    An event of a newer release that this one cannot read waits for a process of that release.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._has_warned = False
        self._holder = secrets.token_hex(16)
        self._hinted: set[str] = set()
        self._calls = 0

    async def relay(self, add: Add) -> int:
        """See SessionEvents. Returns 0 while another process relays."""
        with map_redis_errors():
            if not await self._redis.set(LEASE, self._holder, nx=True, px=LEASE_MILLIS):
                return 0
        try:
            streams, fresh = await self._streams()
            relayed = await self._relay(streams, add)
            self._hinted = fresh  # only now: a relay that failed reads the same streams again
            return relayed
        finally:
            with map_redis_errors():
                await self._redis.eval(RELEASE_SCRIPT, 1, LEASE, self._holder)

    async def _streams(self) -> tuple[list[str], set[str]]:
        """Return the streams to read, and those of them that were hinted now.

        A hint can arrive before its event, so each is used twice. Hints are removed before the streams are read, and so
        the hint of an event that arrives later stays.
        """
        if not isinstance(self._redis, RedisCluster):
            return [STREAM], set()
        self._calls += 1
        with map_redis_errors():
            if self._calls % CALLS_BETWEEN_SEARCHES == 1:
                found = self._redis.scan_iter(f"{STREAM}:{{*", count=SCAN_COUNT, _type="stream")
                return [_text(stream) async for stream in found], self._hinted
            hinted = {_text(stream) for stream in await self._redis.smembers(HINTS)}
            if hinted:
                await self._redis.srem(HINTS, *hinted)
        self._hinted |= hinted
        return sorted(self._hinted), hinted

    async def _relay(self, streams: Sequence[str], add: Add) -> int:
        relayed = 0
        for first in range(0, len(streams), STREAMS_AT_ONCE):
            starts = dict.fromkeys(streams[first : first + STREAMS_AT_ONCE], "-")
            while starts:
                found = await self._read(starts)
                events, readable = self._events_in(found)
                if events:
                    await add(events)
                    await self._remove(readable)
                relayed += len(events)
                starts = {
                    stream: f"({_text(entries[-1][0])}" for stream, entries in found.items() if len(entries) == BATCH
                }
        return relayed

    async def _read(self, starts: Mapping[str, str]) -> dict[str, list[Any]]:
        """Return the oldest entries of the streams that have some, from the given starts on."""
        reads: list[list[Command]] = [
            [("XRANGE", stream, start, "+", "COUNT", BATCH)] for stream, start in starts.items()
        ]
        with map_redis_errors():
            answers = await run_all(self._redis, reads)
        return {stream: entries for stream, [entries] in zip(starts, answers, strict=True) if entries}

    def _events_in(self, found: Mapping[str, Sequence[Any]]) -> tuple[list[Event], dict[str, list[Any]]]:
        """Return the events that this release can read, and the ids of their entries by stream."""
        events, readable = list[Event](), defaultdict[str, list[Any]](list)
        for stream, entries in found.items():
            for entry_id, fields in entries:
                try:
                    events.append(_event(fields))
                except (ValueError, LookupError):
                    self._warn(stream)
                else:
                    readable[stream].append(entry_id)
        return events, readable

    def _warn(self, stream: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("cannot read a record, which a newer release may have written: %s", stream)

    async def _remove(self, entries: Mapping[str, Sequence[Any]]) -> None:
        """Remove the entries with these ids, by stream."""
        removals: list[list[Command]] = [
            [("EVAL", REMOVE_SCRIPT, 1, stream, *entry_ids)] for stream, entry_ids in entries.items()
        ]
        with map_redis_errors():
            await run_all(self._redis, removals)


def _event(fields: Any) -> Event:
    """Return the event of an entry. Raises ValueError or LookupError for one of a newer release."""
    known = dict(zip(fields[::2], fields[1::2], strict=True)) if isinstance(fields, (list, tuple)) else fields
    event = _decoder.decode(known[b"event"])
    if b"user" in known:
        return replace(event, user_id=known[b"user"].decode(), app=known[b"app"].decode())
    return event


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
