"""Store sessions in Redis 6.2 or newer: one key for each session, one set for each user. Works on clusters.

    wxlogin:s:<session id>  the record, until its retention ends
    wxlogin:e:<session id>  the reason why it was ended, until its retention ends
    wxlogin:u:<user id>     a sorted set of the user's sessions and session_keys: adapters/redis/records.py

The member of a session has 28 bytes, so that the members of a set sort by age:

    0 to 5    when the session was created, in milliseconds since 1970, big-endian
    6 to 11   when it expires, likewise
    12 to 27  its id

Commands of several calls interleave, and a node of a cluster can fail between two commands. What keeps sessions right
is the order of the commands in each call, and what a script compares:

- `start` writes the record before the member, and returns after both. So each session whose token a client has is in a
  set of its user for as long as it lives: `list_for_user` depends on it.
- `end` writes the reason before it deletes the record. So a `find` that misses the record finds the reason.
- `end` deletes the record before the member. So an `end` that failed can be repeated: `list_for_user` still has it.
- `find` reads the record, then the reason. It is right only because of the order in `end`.
- `touch` overwrites an existing record of the expected user, and nothing else. So it revives no session that `end` has
  deleted, and takes none back that `move` has given away.
- `touch` adds the member, then reads the record, and removes the member if the session ended or moved. So it leaves no
  member behind an `end` or a `move` that came in between.
- `move` adds the member to the second set, overwrites the record, and removes the member from the first set. So a
  caller that lists the first user and then the second misses no session: UserSessions depends on it.
- `end` reads the user in the record that it deletes, and removes the member from that user's set, too. So a session
  that `move` gave away after the caller read it leaves no member.
- `erase` deletes keys and expired sessions, then live ones, and the caller's session in a round trip of its own after
  all that. So the caller's token works until nothing else is left.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from redis.asyncio import RedisCluster

from adapters.redis.connections import Command, RedisClient, map_redis_errors, run, run_all
from adapters.redis.key_vault import RedisKeyVault
from adapters.redis.reader import create_reader
from adapters.redis.records import (
    KEEP_UNTIL_FUNCTION,
    OWNER_FUNCTION,
    decode_ended,
    decode_session,
    encode_ended,
    encode_session,
    from_micros,
    millis,
    seconds,
    set_of,
)
from adapters.redis.session_events import EventStreams, encode_event
from application.ports.events import Publish, ignore
from application.ports.session_store import SessionStore
from domain.errors import StoreUnavailable
from domain.event import DEFAULT_POLICY, SYSTEM, Cause, Event, EventPolicy, EventType
from domain.session import REASON_RETENTION, EndedSession, EndReason, Session
from domain.session_key import SessionKey

RETENTION_SECONDS = int(REASON_RETENTION.total_seconds())

ADD_SCRIPT = f"""{KEEP_UNTIL_FUNCTION}
local set, member, host_now, idle_expires_at, retain_until_millis, limit = KEYS[1], unpack(ARGV)
local redis_now = redis.call('TIME')[1]
redis.call('ZREMRANGEBYSCORE', set, '(-' .. redis_now, '(' .. redis_now - {RETENTION_SECONDS})
redis.call('ZADD', set, idle_expires_at, member)
keep_until(set, retain_until_millis)
if limit == '0' or redis.call('ZCOUNT', set, host_now, '+inf') <= tonumber(limit) then return {{}} end
return redis.call('ZRANGEBYSCORE', set, host_now, '+inf')
"""
"""Adds the member of a session, and removes those of keys and of sessions whose records are past their time by Redis's
clock. An expired session stays in the set for as long as its record does, so that an erasure finds the record.
Returns the members of all sessions that are live by the host's clock if they exceed the limit, else none."""

OVERWRITE_SCRIPT = f"""{OWNER_FUNCTION}
local record = redis.call('GET', KEYS[1])
if record and owner_of(record) == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
end
return record
"""
"""Overwrites the record of a session if it exists and belongs to the user, and returns the old record."""

START_SCRIPT = """
redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[2])
redis.call('XADD', KEYS[2], '*', 'event', ARGV[3])
"""
"""Stores the record of a new session, and its event."""

END_SCRIPT = f"""{OWNER_FUNCTION}
local record = redis.call('GETDEL', KEYS[1])
if record then
    local user, app = owner_of(record)
    redis.call('XADD', KEYS[2], '*', 'event', ARGV[1], 'user', user, 'app', app)
end
return record
"""
"""Deletes the record of a session, and returns it. Stores the event with the user and the app of the record."""

NO_LIMIT = 0

DISCARD_SECONDS = 1.0
"""How long a login that failed waits for the deletion of what it has stored, in seconds."""

MILLIS_BYTES = 6


@dataclass(frozen=True, slots=True)
class End:
    """A session that ends: its user, its member of the user's set, what is retained of it, and its event."""

    user_id: str
    member: bytes
    ended: EndedSession
    event: Event


class RedisSessionStore(SessionStore):
    """A SessionStore on Redis."""

    def __init__(
        self,
        redis: RedisClient,
        vault: RedisKeyVault,
        policy: EventPolicy = DEFAULT_POLICY,
        publish: Publish = ignore,
    ) -> None:
        self._redis = redis
        self._reader = create_reader(redis)
        self._vault = vault
        self._streams = EventStreams(redis)
        self._writes_starts = policy.wants(EventType.SESSION_STARTED)
        self._writes_ends = policy.wants(EventType.SESSION_ENDED)
        self._publish = publish

    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """See SessionStore."""
        event = session.started_event()
        commands = [
            self._start_command(session, event),
            *([self._vault.replace_command(session, key, session.created_at)] if key else []),
            _add_command(session, session.created_at, limit),
        ]
        hints = self._streams.hints([name_of(session.id)]) if self._writes_starts else []
        try:
            with map_redis_errors():
                answers = await run_all(self._redis, [commands, *hints])
        except StoreUnavailable:
            await self._discard(session)
            raise
        members = answers[0][-1]
        self._publish([event])
        replaced = [_member(previous)] if previous else []
        if limit:
            replaced += sorted(set(members).difference(replaced))[:-limit]
        now, cause = session.created_at, Cause.user(session.device.ip)
        ends = [_replaced(session.user_id, member, now, cause) for member in replaced]
        with suppress(StoreUnavailable):
            return await self._end_members(ends)
        return 0

    async def _discard(self, session: Session) -> None:
        """Delete what a start that failed has stored of the session, if Redis answers soon: its user's set may lack it.

        Retains no reason, because no one has the token, and so depends on one node of a cluster only.
        """
        _, delete, remove = self._end_commands(_end(session, EndReason.ENDED, session.created_at, SYSTEM))
        hints = self._streams.hints([name_of(session.id)]) if self._writes_ends else []
        with suppress(StoreUnavailable), map_redis_errors():
            async with asyncio.timeout(DISCARD_SECONDS):
                await run_all(self._redis, [[delete, remove], *hints])

    async def find(self, session_id: str) -> Session | EndedSession | None:
        """See SessionStore."""
        with map_redis_errors():
            if stored := await self._reader.get(name_of(session_id)):
                return decode_session(session_id, stored)
            ended = await self._reader.get(_ended_name(session_id))
        return decode_ended(ended) if ended else None

    async def touch(self, session: Session) -> None:
        """See SessionStore."""
        before = await self._touch(session)
        if before and before.user_id != session.user_id:  # a merge has moved it since it was read
            await self._touch(replace(session, user_id=before.user_id))

    async def _touch(self, session: Session) -> Session | None:
        """Overwrite the session if it exists and is its user's, and return what was stored before."""
        name, arguments = name_of(session.id), (session.user_id, encode_session(session), millis(session.retain_until))
        with map_redis_errors():
            record = await self._redis.eval(OVERWRITE_SCRIPT, 1, name, *arguments)
            before = _decoded(session.id, record)
            if before is None or before.user_id != session.user_id:
                return before
            # added again, because a login may have removed the member as expired: Redis's clock may be ahead of ours
            _, record = await run(self._redis, [_add_command(session, session.last_seen_at, NO_LIMIT), ("GET", name)])
            after = _decoded(session.id, record)
            if after is None or after.user_id != session.user_id:  # it ended or moved meanwhile
                await self._redis.zrem(set_of(session.user_id), _member(session))
        return before

    async def list_for_user(self, user_id: str) -> list[Session]:
        """See SessionStore. Includes a session of which a move has changed the set or the record, and not yet both."""
        return [session for session in (await self._find_members(user_id)).values() if session]

    async def _find_members(self, user_id: str) -> dict[bytes, Session | None]:
        """Return the members of the user's set with their sessions; None if the record is gone."""
        with map_redis_errors():
            [members] = await run(self._redis, [("ZRANGEBYSCORE", set_of(user_id), 0, "+inf")])
            ids = [_id(member) for member in members]
            stored = await self._reader.get_many([name_of(session_id) for session_id in ids])
        return {
            member: decode_session(session_id, record) if record else None
            for member, session_id, record in zip(members, ids, stored, strict=True)
        }

    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime, cause: Cause) -> int:
        """See SessionStore."""
        return await self._end_members([_end(session, reason, now, cause) for session in sessions])

    async def _end_members(self, ends: Sequence[End]) -> int:
        """End sessions, and return how many had not ended before.

        After a failure it can be repeated, because members are removed last.
        """
        names = [name_of(_id(end.member)) for end in ends]
        hints = self._streams.hints(names) if self._writes_ends else []
        with map_redis_errors():
            answers = await run_all(self._redis, [*map(self._end_commands, ends), *hints])
            deleted = [record for _set, record, _removed in answers[: len(ends)]]
            await run_all(self._redis, list(_remove_moved_members(ends, deleted)))
        ended = [_completed(end, record) for end, record in zip(ends, deleted, strict=True) if record]
        if ended:
            self._publish(ended)
        return len(ended)

    def _start_command(self, session: Session, event: Event) -> Command:
        name, record, until = name_of(session.id), encode_session(session), millis(session.retain_until)
        if not self._writes_starts:
            return ("SET", name, record, "PXAT", until)
        return ("EVAL", START_SCRIPT, 2, name, self._streams.stream_for(name), record, until, encode_event(event))

    def _end_commands(self, end: End) -> list[Command]:
        session_id, ended = _id(end.member), end.ended
        name = name_of(session_id)
        delete: Command = ("GETDEL", name)
        if self._writes_ends:
            delete = ("EVAL", END_SCRIPT, 2, name, self._streams.stream_for(name), encode_event(end.event))
        return [
            ("SET", _ended_name(session_id), encode_ended(ended), "PXAT", millis(ended.retain_until), "NX"),
            delete,
            ("ZREM", set_of(end.user_id), end.member),
        ]

    async def move(self, from_id: str, into_id: str) -> None:
        """See SessionStore."""
        moving = await self.list_for_user(from_id)
        await self._vault.copy(from_id, into_id)
        for session in moving:
            moved = replace(session, user_id=into_id)
            member, arguments = _member(session), (from_id, encode_session(moved), millis(session.retain_until))
            with map_redis_errors():
                _, record, _ = await run(
                    self._redis,
                    [
                        _add_command(moved, session.created_at, NO_LIMIT),
                        ("EVAL", OVERWRITE_SCRIPT, 1, name_of(session.id), *arguments),
                        ("ZREM", set_of(from_id), member),
                    ],
                )
                before = _decoded(session.id, record)
                if before is None or before.user_id not in (from_id, into_id):  # it ended or moved elsewhere meanwhile
                    await self._redis.zrem(set_of(into_id), member)

    async def erase(self, user_id: str, now: datetime, cause: Cause, last: str | None = None) -> int:
        """See SessionStore.

        Removes each member after its record, so that a repeat after a failure finds what is left. Does not delete the
        set: a merge may be adding members, whose records would not be found any more.
        """
        user_set, quiet = set_of(user_id), cause.without_address()
        await self._vault.erase(user_id, ())
        ends: list[End] = []
        deletions: list[list[Command]] = []
        for member, session in (await self._find_members(user_id)).items():
            if session and session.user_id == user_id and session.is_live(now):
                ends.append(_end(session, EndReason.ENDED, now, quiet))
            elif session is None or session.user_id == user_id:  # else it was moved from here
                deletions.append([("DEL", name_of(_id(member))), ("ZREM", user_set, member)])
        with map_redis_errors():
            await run_all(self._redis, deletions)
        ended = await self._end_members([end for end in ends if _id(end.member) != last])
        return ended + await self._end_members([end for end in ends if _id(end.member) == last])

    async def purge(self, now: datetime) -> int:  # noqa: ARG002  # Redis drops keys by itself
        """See SessionStore."""
        return 0

    async def check(self) -> None:
        """See SessionStore. Sends PING to the server, or to each master of a cluster."""
        with map_redis_errors():
            if isinstance(self._redis, RedisCluster):
                await self._redis.ping(target_nodes=RedisCluster.PRIMARIES)
            else:
                await self._redis.ping()


def name_of(session_id: str) -> str:
    """Return the name under which Redis keeps a session."""
    return f"wxlogin:s:{session_id}"


def _ended_name(session_id: str) -> str:
    return f"wxlogin:e:{session_id}"


def _member(session: Session) -> bytes:
    created_at, expires_at = millis(session.created_at), millis(session.expires_at)
    times = created_at.to_bytes(MILLIS_BYTES, "big") + expires_at.to_bytes(MILLIS_BYTES, "big")
    return times + bytes.fromhex(session.id)


def _id(member: bytes) -> str:
    return member[2 * MILLIS_BYTES :].hex()


def _expires_at(member: bytes) -> datetime:
    return from_micros(int.from_bytes(member[MILLIS_BYTES : 2 * MILLIS_BYTES], "big") * 1000)


def _decoded(session_id: str, record: bytes | None) -> Session | None:
    return decode_session(session_id, record) if record else None


def _add_command(session: Session, now: datetime, limit: int) -> Command:
    retain_until = millis(session.expires_at + REASON_RETENTION)
    times = (seconds(now), seconds(session.idle_expires_at), retain_until)
    return ("EVAL", ADD_SCRIPT, 1, set_of(session.user_id), _member(session), *times, limit)


def _end(session: Session, reason: EndReason, now: datetime, cause: Cause) -> End:
    ended, event = session.end(reason, now), session.ended_event(reason, now, cause)
    return End(session.user_id, _member(session), ended, event)


def _replaced(user_id: str, member: bytes, now: datetime, cause: Cause) -> End:
    """Return the end of a session that a login replaces."""
    reason = EndReason.REPLACED
    event = Event.of(EventType.SESSION_ENDED, cause, now, user_id=user_id, session_id=_id(member), reason=reason.value)
    return End(user_id, member, EndedSession.of(reason, now, _expires_at(member)), event)


def _completed(end: End, record: bytes) -> Event:
    """Return the event of an end with the user and the app of the session's record."""
    session = decode_session(_id(end.member), record)
    return replace(end.event, user_id=session.user_id, app=session.identity.appid.value)


def _remove_moved_members(ends: Sequence[End], deleted: Sequence[bytes | None]) -> Iterator[list[Command]]:
    """Yield the commands that remove the members of sessions that were moved to another user meanwhile."""
    for end, record in zip(ends, deleted, strict=True):
        session = _decoded(_id(end.member), record)
        if session and session.user_id != end.user_id:
            yield [("ZREM", set_of(session.user_id), end.member)]
