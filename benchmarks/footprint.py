"""`python -m benchmarks.footprint`: the memory of sessions in Redis, and how long its commands block all others."""

import argparse
import asyncio
import base64
import secrets
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from uuid import uuid4

from redis import Redis
from rich.console import Console
from rich.table import Table

from adapters.redis.client import create_client
from adapters.redis.key_vault import RedisKeyVault
from adapters.redis.session_store import RedisSessionStore
from benchmarks.servers import SERVER_CORE, pin
from benchmarks.sessions import APPID, open_store
from benchmarks.stores import redis_urls
from domain.device import Device
from domain.event import SYSTEM
from domain.identity import AppId, Identity
from domain.session import EndReason, Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey

USER_AGENTS = [
    "Mozilla/5.0 (Linux; Android 13; V2241A Build/TP1A.220624.014; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/116.0.0.0 Mobile Safari/537.36 XWEB/1160117 MMWEBSDK/20240301 MMWEBID/8230 "
    "MicroMessenger/8.0.48.2580(0x28003036) WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64 "
    "MiniProgramEnv/android",
    "Mozilla/5.0 (Linux; Android 12; PGKM10 Build/SP1A.210812.016; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/111.0.5563.116 Mobile Safari/537.36 XWEB/1110017 MMWEBSDK/20230604 MMWEBID/4126 "
    "MicroMessenger/8.0.38.2400(0x28002639) WeChat/arm64 Weixin NetType/5G Language/zh_CN ABI/arm64 "
    "MiniProgramEnv/android",
    "Mozilla/5.0 (Linux; Android 14; 23127PN0CC Build/UKQ1.230804.001; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/130.0.6723.103 Mobile Safari/537.36 XWEB/1300333 MMWEBSDK/20241202 MMWEBID/5071 "
    "MicroMessenger/8.0.56.2800(0x28003853) WeChat/arm64 Weixin NetType/4G Language/zh_CN ABI/arm64 "
    "MiniProgramEnv/android",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 "
    "MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/zh_CN",
]
"""The User-Agents of three Android phones and an iPhone, as their mini-programs send them."""

PER_USER = (1, 3, 12)
MANY = 1_000
"""The number of sessions of the user whose commands are timed."""

TRIES = 100
REENCRYPTED = 10_000
"""The number of sessions during the timing of the scan, whose steps take the same time among millions."""

AT_ONCE = 240


def sessions(per_user: int, *, unionid: bool) -> Iterator[Session]:
    """Yield sessions without end, so many of each user, from one phone."""
    for user_agent in cycle(USER_AGENTS):
        user_id, now = str(uuid4()), datetime.now(UTC)
        identity = Identity(AppId(APPID), wechat_id(), wechat_id() if unionid else None)
        device = Device(user_agent, ".".join(map(str, secrets.token_bytes(4))))
        for _ in range(per_user):
            yield Session.start(SessionToken.generate(), user_id, identity, device, SessionPolicy(), now)


def wechat_id() -> str:
    """Return 28 characters, as WeChat's ids have."""
    return f"o{secrets.token_urlsafe(21)[1:]}"


def new_key() -> SessionKey:
    """Return a session_key in the form of WeChat's."""
    return SessionKey(base64.b64encode(secrets.token_bytes(16)).decode())


async def fill(store: RedisSessionStore, started: Iterator[Session], number: int) -> None:
    """Start so many of the sessions. Consecutive sessions of one user have the same session_key."""
    key, user_id = new_key(), ""
    while number > 0:
        starts = []
        for session in islice(started, min(number, AT_ONCE)):
            if session.user_id != user_id:
                key, user_id = new_key(), session.user_id
            starts.append(store.start(session, key, 0))
        await asyncio.gather(*starts)
        number -= len(starts)


async def bytes_a_session(url: str, per_user: int, number: int, *, unionid: bool) -> float:
    """Return the growth of `used_memory` for each session."""
    with Redis.from_url(url) as redis:
        redis.flushdb()
        before = used_memory(redis)
        async with create_client(url) as client:
            await fill(open_store(client)[0], sessions(per_user, unionid=unionid), number)
        grown = (used_memory(redis) - before) / number
        redis.flushdb()
    return grown


def used_memory(redis: Redis) -> int:
    """Return the used memory in bytes, after Redis has freed memory in the background."""
    time.sleep(2)
    return int(redis.info("memory")["used_memory"])


class Timed:
    """The times of commands in Redis's SLOWLOG, by operation and command name, in microseconds."""

    def __init__(self, redis: Redis) -> None:
        self.times: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._redis = redis

    async def __call__(self, what: str, *calls: Awaitable[object]) -> None:
        """Await the calls one after the other."""
        self._redis.slowlog_reset()
        self._redis.config_set("slowlog-log-slower-than", 0)
        for call in calls:
            await call
        self._redis.config_set("slowlog-log-slower-than", -1)
        for entry in self._redis.slowlog_get(1_000_000):
            name = entry["command"].split(maxsplit=1)[0].decode().upper()
            if name not in ("SLOWLOG", "CONFIG", "CLIENT", "HELLO", "PING"):
                self.times[what, name].append(entry["duration"])


async def time_commands(url: str, others: int) -> Timed:
    """Time the commands for a user with many sessions among many others, for every operation of the service."""
    with Redis.from_url(url) as redis:
        redis.config_set("slowlog-max-len", 100_000)
        timed = Timed(redis)
        async with create_client(url) as client:
            store, vault = open_store(client)
            single = sessions(1, unionid=True)
            await fill(store, single, REENCRYPTED)
            await timed("re-encryption", vault.reencrypt())
            await fill(store, single, others - REENCRYPTED)
            await walk(timed, store, vault)
        redis.flushdb()
    return timed


async def walk(timed: Timed, store: RedisSessionStore, vault: RedisKeyVault) -> None:
    """Run all operations of the service for a user with many sessions."""
    mine, into = sessions(10 * MANY, unionid=True), str(uuid4())
    await fill(store, mine, MANY)
    new = list(islice(mine, TRIES))
    await timed("login, no limit", *(store.start(each, new_key(), 0) for each in new))
    await timed("check of a token", *(store.find(each.id) for each in new))
    await timed("check, the first in a minute", *(store.touch(each) for each in new))
    await timed("session_key", *(vault.get(each) for each in new))
    await timed("reset of the session_key", *(vault.replace(each, new_key(), each.created_at) for each in new))
    await timed("logout", *(store.end([each], EndReason.ENDED, each.created_at, SYSTEM) for each in new))
    await timed(f"login, limit {MANY:,} reached", *(store.start(each, new_key(), MANY) for each in islice(mine, TRIES)))
    user_id, now = new[0].user_id, new[0].created_at
    await timed("list of the sessions", *(store.list_for_user(user_id) for _ in range(TRIES)))
    await timed("merge", store.move(user_id, into))
    await timed("logout everywhere", store.end(await store.list_for_user(into), EndReason.ENDED, now, SYSTEM))


def show_memory(grown: dict[tuple[int, bool], float]) -> None:
    table = Table(title="Bytes for each session in Redis, everything included")
    for column in ("sessions of a user", "without a unionid", "with one"):
        table.add_column(column, justify="right")
    for per_user in PER_USER:
        table.add_row(str(per_user), *(f"{grown[per_user, unionid]:,.0f}" for unionid in (False, True)))
    Console().print(table)


def show_times(timed: Timed) -> None:
    """Print the longest command of each operation."""
    table = Table(title=f"The longest command of a user with {MANY:,} sessions, µs")
    for column in ("", "command", "number", "median", "99 %", "slowest"):
        table.add_column(column, justify="left" if column in ("", "command") else "right")
    for what in dict.fromkeys(what for what, _ in timed.times):
        longest, times = max(
            ((name, sorted(times)) for (its, name), times in timed.times.items() if its == what),
            key=lambda named: median(named[1]),
        )
        of_hundred = times[len(times) * 99 // 100 - 1]
        table.add_row(what, longest, f"{len(times):,}", f"{median(times):,.0f}", f"{of_hundred:,}", f"{times[-1]:,}")
    Console(width=None if Console().is_terminal else 100).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--sessions", type=int, default=300_000, help="whose memory is measured (300,000)")
    parser.add_argument("--others", type=int, default=1_000_000, help="sessions there while commands are timed")
    chosen = parser.parse_args()
    pin(SERVER_CORE)  # a Redis of the benchmark runs on another core, because SLOWLOG also counts waiting time
    grown = {}
    with TemporaryDirectory(prefix="wxlogin-bench-") as folder, redis_urls(Path(folder), 1) as [url]:
        with Redis.from_url(url) as redis:
            server = redis.info()
        print(f"Redis {server['redis_version']}, {server['mem_allocator']}", file=sys.stderr)
        for per_user in PER_USER:
            for unionid in (False, True):
                print(f"{chosen.sessions:,} sessions, {per_user} for each user", file=sys.stderr)
                measured = bytes_a_session(url, per_user, chosen.sessions, unionid=unionid)
                grown[per_user, unionid] = asyncio.run(measured)
        show_memory(grown)
        print(f"{chosen.others:,} sessions beside one user's {MANY:,}", file=sys.stderr)
        show_times(asyncio.run(time_commands(url, chosen.others)))


if __name__ == "__main__":
    main()
