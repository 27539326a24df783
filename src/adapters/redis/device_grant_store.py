"""Device grants in Redis: one key for each, which expires with its retention. Works on clusters.

wxlogin:g:<scene>   a hash of these fields:
    state           the state, which a change compares
    record          all of the grant, as MessagePack
    picture         the picture, once it is drawn
    drawing_until   when the lease to draw it ends, in milliseconds since 1970 by Redis's clock
"""

from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec

from adapters.redis.connections import Command, RedisClient, map_redis_errors, run_all
from adapters.redis.records import millis
from adapters.redis.session_events import EventStreams, encode_event
from application.ports.device_grant_store import DeviceGrantStore
from application.ports.events import Publish, ignore
from domain.device import Device
from domain.device_grant import PENDING, DeviceGrant, GrantState, MatchNumbers
from domain.errors import StoreUnavailable
from domain.event import Event
from domain.identity import AppId

ADD_SCRIPT = """
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'record', ARGV[2])
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
"""
"""Adds a grant. Two commands could leave a key that never expires."""

REPLACE_SCRIPT = """
if redis.call('HGET', KEYS[1], 'state') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'record', ARGV[3])
if ARGV[4] then redis.call('XADD', KEYS[2], '*', 'event', ARGV[4]) end
return 1
"""
"""Replaces a grant if it has this state, stores the event of the change if there is one, and returns whether it had."""

ACQUIRE_SCRIPT = """
local found = redis.call('HMGET', KEYS[1], 'state', 'picture', 'drawing_until')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if not found[1] or found[2] or now < (tonumber(found[3]) or 0) then return 0 end
redis.call('HSET', KEYS[1], 'drawing_until', string.format('%d', now + ARGV[1]))
return 1
"""
"""Takes the lease to draw, and returns whether it is the caller's."""

SAVE_SCRIPT = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'picture', ARGV[1]) end"
"""Stores the picture, unless the key expired: a new key would never expire."""

PENDING_BYTES = {state.value.encode(): state for state in PENDING}

MILLISECOND = timedelta(milliseconds=1)


class GrantRecord(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A device grant."""

    secret_hash: str
    client_id: str
    appid: str
    user_agent: str | None
    ip: str | None
    number: str | None
    choices: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    state: GrantState
    user_id: str | None
    session_id: str | None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(GrantRecord)


class RedisDeviceGrantStore(DeviceGrantStore):
    """A DeviceGrantStore on Redis, for all processes and hosts that share it."""

    def __init__(self, redis: RedisClient, publish: Publish = ignore) -> None:
        self._redis = redis
        self._streams = EventStreams(redis)
        self._publish = publish

    async def add(self, grant: DeviceGrant) -> None:
        """See DeviceGrantStore."""
        arguments = (grant.state.value, _encode(grant), millis(grant.retain_until))
        with map_redis_errors():
            await self._redis.eval(ADD_SCRIPT, 1, _name(grant.scene), *arguments)

    async def find(self, scene: str) -> DeviceGrant | None:
        """See DeviceGrantStore."""
        with map_redis_errors():
            record = await self._redis.execute_command("HGET", _name(scene), "record")
        return _decode(scene, record) if record else None

    async def find_pending(self, scenes: Collection[str]) -> dict[str, GrantState]:
        """See DeviceGrantStore."""
        reads: list[list[Command]] = [[("HGET", _name(scene), "state")] for scene in scenes]
        with map_redis_errors():
            answers = await run_all(self._redis, reads)
        states = {scene: PENDING_BYTES.get(state) for scene, [state] in zip(scenes, answers, strict=True)}
        return {scene: state for scene, state in states.items() if state}

    async def replace(self, old: DeviceGrant, new: DeviceGrant, event: Event | None = None) -> bool:
        """See DeviceGrantStore."""
        name = _name(old.scene)
        keys = (name, self._streams.stream_for(name)) if event else (name,)
        arguments = (old.state.value, new.state.value, _encode(new), *([encode_event(event)] if event else []))
        replace: Command = ("EVAL", REPLACE_SCRIPT, len(keys), *keys, *arguments)
        with map_redis_errors():
            [replaced], *_ = await run_all(self._redis, [[replace], *self._streams.hints([name] if event else [])])
        if replaced and event:
            self._publish([event])
        return bool(replaced)

    async def find_picture(self, scene: str) -> bytes | None:
        """See DeviceGrantStore."""
        with map_redis_errors():
            picture: bytes | None = await self._redis.execute_command("HGET", _name(scene), "picture")
        return picture

    async def acquire_drawing(self, scene: str, now: datetime, lease: timedelta) -> bool:  # noqa: ARG002  # Redis has a clock
        """See DeviceGrantStore."""
        with map_redis_errors():
            return bool(await self._redis.eval(ACQUIRE_SCRIPT, 1, _name(scene), lease // MILLISECOND))

    async def save_picture(self, scene: str, picture: bytes) -> None:
        """See DeviceGrantStore."""
        with map_redis_errors():
            await self._redis.eval(SAVE_SCRIPT, 1, _name(scene), picture)

    async def purge(self, now: datetime) -> int:  # noqa: ARG002  # Redis drops keys by itself
        """See DeviceGrantStore."""
        return 0


def _name(scene: str) -> str:
    return f"wxlogin:g:{scene}"


def _encode(grant: DeviceGrant) -> bytes:
    return _encoder.encode(
        GrantRecord(
            grant.secret_hash,
            grant.client_id,
            grant.appid.value,
            grant.browser.user_agent,
            grant.browser.ip,
            grant.numbers.shown if grant.numbers else None,
            grant.numbers.choices if grant.numbers else (),
            grant.created_at,
            grant.expires_at,
            grant.state,
            grant.user_id,
            grant.session_id,
        )
    )


def _decode(scene: str, stored: bytes) -> DeviceGrant:
    try:
        record = _decoder.decode(stored)
    except msgspec.MsgspecError:
        raise StoreUnavailable("Redis holds a record of a newer release of wxlogin, or a damaged one") from None
    return DeviceGrant(
        scene,
        record.secret_hash,
        record.client_id,
        AppId(record.appid),
        Device(record.user_agent, record.ip),
        MatchNumbers(record.number, record.choices) if record.number else None,
        record.created_at,
        record.expires_at,
        record.state,
        record.user_id,
        record.session_id,
    )
