"""The service or a command is killed with SIGKILL between a change and its event.

Afterwards each change has its event in the audit trail, once, and no event is without its change. What is between a
process and its store is cut: the nth part of data is lost, and the process that sent or awaited it is killed, for
growing n until everything passes. SQLite is in the process, which is killed there at its nth statement or commit.

With Redis that is every step. SQLite and a cluster have more: there it is every third, and every fifth of PostgreSQL
and MariaDB. The numbers are odd, so that requests are lost as often as answers.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis import Redis
from sqlalchemy import Connection, make_url, text

from adapters.sql.database import Database
from support.devices import Device
from support.faults import address_of_database
from support.kill_steps import KILL_FILE, SqliteTrap
from support.places import DATABASES
from support.processes import Environment, Sandbox, Service, environment, running, service
from support.proxy import proxy
from support.servers import create_database, migrate_database, redis_server, sqlite_url, wait_until
from support.topologies import redis_cluster
from support.traps import Trap

pytestmark = pytest.mark.timeout(900)  # a busy machine takes seconds for each start of a killed service

MOST_STEPS = 300
"""More steps than all changes of a user have."""

RELAY_SECONDS = 30.0
"""More than the lease of a relay that was killed."""

STREAM, HINTS = "wxlogin:events", "wxlogin:events:hints"


@dataclass
class Found:
    """The users and sessions that exist, and how many events of each type the audit trail has about each."""

    users: set[str]
    phones: set[str]
    blocked: set[str]
    sessions: set[str]
    ended: set[str]
    events: Counter[tuple[str, str]]

    def due(self) -> Counter[tuple[str, str]]:
        """Return the events of these users and sessions: each once."""
        changes = {
            "user.created": self.users,
            "user.phone_bound": self.phones,
            "user.blocked": self.blocked,
            "session.started": self.sessions,
            "session.ended": self.ended,
        }
        return Counter((kind, about) for kind, ids in changes.items() for about in ids)


@dataclass
class Stores:
    """The stores of an installation, and the trap between them and the processes with the settings `trapped`."""

    env: Environment
    trapped: Environment
    trap: Trap | SqliteTrap
    stride: int
    """How many steps are between two kills."""
    removal: bytes
    """What is in the command with which the relay removes the events that it has added."""
    redis_ports: list[int] = field(default_factory=list)

    def find(self) -> Found:
        """Return what exists."""
        users, phones, blocked, sessions, ended, events = self._query()
        if self.redis_ports:
            live, reasons = self.redis_ids("wxlogin:s:*"), self.redis_ids("wxlogin:e:*")
            sessions, ended = live | reasons, reasons - live
        return Found(users, phones, blocked, sessions, ended, events)

    def is_relayed(self) -> bool:
        """Return whether no event waits to be relayed."""
        if self.redis_ports:
            return not self.streams()
        return self._read("SELECT id FROM sessions WHERE has_events = 1") == []

    def streams(self) -> set[str]:
        """Return the names of the streams of events."""
        return {name for name in self.redis_names(f"{STREAM}*") if name not in (HINTS, f"{STREAM}:relay")}

    def stranded(self) -> set[str]:
        """Return the names of a cluster's streams without a hint."""
        hinted: set[str] = set()
        for port in self.redis_ports:
            with Redis(port=port, decode_responses=True) as redis, suppress(Exception):
                hinted |= redis.smembers(HINTS)
        return self.streams() - hinted

    def redis_names(self, pattern: str) -> set[str]:
        """Return the names of the keys of all nodes that match."""
        names: set[str] = set()
        for port in self.redis_ports:
            with Redis(port=port, decode_responses=True) as redis:
                names |= set(redis.scan_iter(pattern, count=1000))
        return names

    def redis_ids(self, pattern: str) -> set[str]:
        """Return the last part of these names."""
        return {name.rpartition(":")[2] for name in self.redis_names(pattern)}

    def _query(self) -> tuple[set[str], set[str], set[str], set[str], set[str], Counter[tuple[str, str]]]:
        users = self._read("SELECT id, phone, blocked_at FROM users")
        sessions = self._read("SELECT id, end_reason FROM sessions")
        events = self._read("SELECT type, COALESCE(session_id, user_id), COUNT(*) FROM audit_events GROUP BY 1, 2")
        return (
            {row[0] for row in users},
            {row[0] for row in users if row[1]},
            {row[0] for row in users if row[2]},
            {row[0] for row in sessions},
            {row[0] for row in sessions if row[1]},
            Counter({(row[0], row[1]): row[2] for row in events}),
        )

    def _read(self, query: str) -> list[Any]:
        return asyncio.run(_read(self.env["WXLOGIN_DATABASE_URL"], query))


async def _read(url: str, query: str) -> list[Any]:
    def rows(connection: Connection) -> list[Any]:
        return list(connection.execute(text(query)))

    async with Database(url) as database:
        return await database.read(rows)


def settings(sandbox: Sandbox, **stores: str) -> Environment:
    """Return the settings of a service that audits sessions, of which a user has one."""
    return environment(wechat_url=sandbox.url, audit_sessions="true", sessions_per_user="1", **stores)


Open = Callable[[pytest.FixtureRequest, Sandbox, Path], AbstractContextManager[Stores]]


@contextmanager
def on_sqlite(_: pytest.FixtureRequest, sandbox: Sandbox, directory: Path) -> Iterator[Stores]:
    """Use SQLite."""
    url, trap = sqlite_url(directory), SqliteTrap(directory / "step")
    migrate_database(url)
    env = settings(sandbox, database_url=url)
    yield Stores(env, env | {KILL_FILE: str(trap.file)}, trap, stride=3, removal=b"SET started_event")


@contextmanager
def on_server(request: pytest.FixtureRequest, sandbox: Sandbox, _: Path, fixture: str) -> Iterator[Stores]:
    """Use a new database of the server of this fixture."""
    url = create_database(request.getfixturevalue(fixture))
    migrate_database(url)
    with proxy(address_of_database(url)) as between:
        here = make_url(url).set(host="127.0.0.1", port=between.port).difference_update_query(["host"])
        trap = Trap()
        trap.watch(between)
        env = settings(sandbox, database_url=url)
        trapped = settings(sandbox, database_url=here.render_as_string(hide_password=False))
        yield Stores(env, trapped, trap, stride=5, removal=b"SET started_event")


@contextmanager
def on_redis(_: pytest.FixtureRequest, sandbox: Sandbox, directory: Path) -> Iterator[Stores]:
    """Use Redis for sessions."""
    url, trap = sqlite_url(directory), Trap()
    migrate_database(url)
    with redis_server() as redis, proxy(("127.0.0.1", redis.port)) as between:
        trap.watch(between)
        urls = [f"redis://127.0.0.1:{port}/0" for port in (redis.port, between.port)]
        env, trapped = (settings(sandbox, database_url=url, redis_url=redis_url) for redis_url in urls)
        yield Stores(env, trapped, trap, stride=1, removal=b"XDEL", redis_ports=[redis.port])


@contextmanager
def on_cluster(_: pytest.FixtureRequest, sandbox: Sandbox, directory: Path) -> Iterator[Stores]:
    """Use a Redis Cluster for sessions. It sends clients to the proxies before its nodes."""
    url, trap = sqlite_url(directory), Trap()
    migrate_database(url)
    with ExitStack() as stack:

        def announce(port: int) -> int:
            between = stack.enter_context(proxy(("127.0.0.1", port)))
            trap.watch(between)
            return between.port

        cluster = stack.enter_context(redis_cluster(announce=announce))
        ports = [server.port for [server] in cluster.shards]
        env = settings(sandbox, database_url=url, redis_url=cluster.url)
        yield Stores(env, env, trap, stride=3, removal=b"XDEL", redis_ports=ports)


PLACES: dict[str, Open] = {
    "sqlite": on_sqlite,
    "redis": on_redis,
    "redis-cluster": on_cluster,
    **{
        name: partial(on_server, fixture=fixture)
        for name, fixture in [("postgresql", "postgres"), ("mariadb", "mariadb")]
        if name in DATABASES
    },
}


@pytest.fixture(params=PLACES)
def stores(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Stores]:
    """The stores under test."""
    with PLACES[request.param](request, sandbox, tmp_path) as opened:
        yield opened


@dataclass
class Installation:
    """A service that a test kills and starts again, and the users who log in there."""

    stores: Stores
    sandbox: Sandbox
    stack: ExitStack
    answered: set[str] = field(default_factory=set)
    """The sessions whose clients have an answer."""

    def __post_init__(self) -> None:
        if isinstance(self.stores.trap, Trap):
            self.stores.trap.strike = lambda: self.service.process.kill()
        self.revive()

    def revive(self) -> None:
        """Start the service, in place of the one before."""
        self.stack.close()
        self.service: Service = self.stack.enter_context(service(env=self.stores.trapped))

    def log_in(self, openid: str) -> Device:
        """Log a device in."""
        device = Device(self.service, self.sandbox.code(openid=openid))
        self.answered.add(device.id)
        return device

    def change_everything(self) -> None:
        """Log a new user in, log in again, which replaces a session, bind a phone, and log out."""
        openid = f"o{secrets.token_hex(13)}"
        self.log_in(openid)
        device = self.log_in(openid)
        device.send("PUT", "/v1/me/phone", json={"code": self.sandbox.phone_code()}).raise_for_status()
        device.send("DELETE", "/v1/sessions/current").raise_for_status()

    def is_killed_during(self, change: Callable[[], None], step: int, marker: bytes = b"") -> bool:
        """Make a change with a kill at this step, and return whether it was reached."""
        self.stores.trap.arm(step, marker)
        try:
            change()
        except (httpx2.HTTPError, AssertionError):
            if not self.stores.trap.struck:
                raise
        return self.stores.trap.disarm()


def check(stores: Stores) -> Found:
    """Check that each change has its event, once all events are relayed, and no event is without its change."""
    wait_until(stores.is_relayed, "the relay", RELAY_SECONDS)
    found = stores.find()

    assert found.events == found.due()
    return found


def test_a_kill_at_any_step_of_a_change_leaves_its_event(stores: Stores, sandbox: Sandbox) -> None:
    """A login, one that replaces a session, a phone number and a log-out have their events, or did not happen."""
    kills = 0
    with ExitStack() as stack:
        users = Installation(stores, sandbox, stack)
        for step in range(0, MOST_STEPS, stores.stride):
            users.change_everything()  # opens the connections, so that the steps are those of the changes
            if not users.is_killed_during(users.change_everything, step):
                break
            kills += 1
            users.revive()
        found = check(stores)

    assert step < MOST_STEPS - stores.stride
    assert kills >= 8
    assert users.answered < found.sessions  # some sessions started, and their answers were lost
    assert found.ended < found.sessions
    assert len(found.phones) < len(found.users)


def test_a_kill_at_any_step_of_a_block_leaves_its_event(stores: Stores, sandbox: Sandbox) -> None:
    """`wxlogin users block` leaves the events of the block and of the ended session, or did not change them."""
    kills = 0
    with service(env=stores.env) as running_service:
        for step in range(0, MOST_STEPS, stores.stride):
            user = running_service.log_in(sandbox.code(openid=f"o{secrets.token_hex(13)}"))["user"]["id"]
            with running("users", "block", user, env=stores.trapped) as command:
                if isinstance(stores.trap, Trap):
                    stores.trap.strike = command.process.kill
                stores.trap.arm(step)
                status = command.wait()
            if not stores.trap.disarm():
                break
            kills += status == -9
    with service(env=stores.env):  # at its start, a relay searches a cluster for events whose hint was lost
        found = check(stores)

    assert status == 0
    assert kills >= 3
    assert user in found.blocked
    assert len(found.blocked) + len(found.ended) < 2 * len(found.users)


def test_a_kill_between_add_and_remove_relays_each_event_once(stores: Stores, sandbox: Sandbox) -> None:
    """A relay that is killed after it added events, and before it removed them, leads to no second event."""
    with ExitStack() as stack:
        users = Installation(stores, sandbox, stack)
        stores.trap.arm(0, stores.removal)
        users.log_in(f"o{secrets.token_hex(13)}")
        wait_until(lambda: stores.trap.struck, "the relay")
        was_removed, added = stores.is_relayed(), stores.find().events
        stores.trap.disarm()
        users.revive()
        found = check(stores)

    assert not was_removed
    assert ("session.started", *users.answered) in added
    assert found.sessions == users.answered


def test_a_lost_hint_on_a_cluster_loses_no_event(
    request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A kill after an event was written, and before the hint that says where, loses no event."""
    with on_cluster(request, sandbox, tmp_path) as stores, ExitStack() as stack:
        users = Installation(stores, sandbox, stack)
        for _ in range(MOST_STEPS):
            users.is_killed_during(users.change_everything, 0, b"SADD")
            if stranded := stores.stranded():
                break
            users.revive()  # the hint was on its way before the event
        users.revive()
        check(stores)

    assert stranded
