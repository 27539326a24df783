"""`python -m benchmarks.search`: the searches of the admin API among ten million users, on PostgreSQL.

Each search runs as the admin API runs it, and then each of its statements again with EXPLAIN (ANALYZE). It needs the
server of the tests, `make .venv/dev`, or one in TEST_POSTGRES_URL, on which it creates a database and drops it again.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, Engine, event, text

from benchmarks.servers import ROOT

sys.path.append(str(ROOT / "tests"))

from adapters.sql.database import Database
from adapters.sql.events import SqlEvents
from adapters.sql.user_repository import SqlUserRepository
from domain.event import EventPolicy, EventQuery, EventType
from domain.user_query import UserQuery
from support.many_users import DAYS, NEWEST, fill
from support.servers import create_database, drop_database, migrate_database, postgres_url

Search = Callable[[], Awaitable[object]]
Statement = tuple[str, Any]


@dataclass
class Times:
    """What one search took, in milliseconds: in the database, and as a call. `indexes` are those that it used."""

    database: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    indexes: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Person:
    """A user who is searched for."""

    id: str
    openid: str
    phone: str
    unionid: str


def choose(connection: Connection, users: int) -> Person:
    """Return a user who has a phone number, a unionid and events."""
    number = 6 * random.randint(1, users // 60)
    row = connection.execute(text(f"SELECT id(n), openid(n), phone(n), unionid(n) FROM (SELECT {number} AS n) AS one"))
    return Person(*row.one())


def searches(database: Database, person: Person) -> dict[str, Search]:
    """Return the searches of one round, by name."""
    repository, events = SqlUserRepository(database), SqlEvents(database, EventPolicy())
    before = (NEWEST - timedelta(days=DAYS * random.random()), "8")
    of_users = {
        "users, newest": UserQuery(),
        "users, a later page": UserQuery(before=person.id),
        "users by `openid`": UserQuery(openid=person.openid),
        "users by `phone`": UserQuery(phone=person.phone),
        "users by `unionid`": UserQuery(unionid=person.unionid),
        "users by `id`": UserQuery(id=person.id),
        "users by `phone`, none": UserQuery(phone="+8619999999999"),
        "users by `openid`, none": UserQuery(openid="oNobody"),
    }
    of_events = {
        "audit, newest": EventQuery(),
        "audit, a later page": EventQuery(before=before),
        "audit by `user`": EventQuery(user_id=person.id),
        "audit by `user` and `type`": EventQuery(user_id=person.id, type=EventType.USER_CREATED),
        "audit by `type`, frequent": EventQuery(type=EventType.SESSION_STARTED),
        "audit by `type`, rare": EventQuery(type=EventType.USER_BLOCKED),
        "audit by `type`, a later page": EventQuery(type=EventType.USER_BLOCKED, before=before),
        "audit by `actor`, frequent": EventQuery(actor="user"),
        "audit by `actor`, rare": EventQuery(actor="admin:ann"),
        "audit by `actor`, a later page": EventQuery(actor="admin:ann", before=before),
        "audit by `actor`, none": EventQuery(actor="admin:nobody"),
        "audit by `since`": EventQuery(since=NEWEST - timedelta(hours=1)),
        "audit by `type` and `actor`": EventQuery(type=EventType.USER_BLOCKED, actor="admin:ann"),
        "audit by `type` and `actor`, none": EventQuery(type=EventType.USER_CREATED, actor="admin:ann"),
    }
    return {
        **{name: partial(repository.find_users, query) for name, query in of_users.items()},
        **{name: partial(events.find, query) for name, query in of_events.items()},
    }


@contextmanager
def statements() -> Iterator[list[Statement]]:
    """Yield the list of the statements that are sent while the block runs, with their parameters."""
    sent: list[Statement] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        sent.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def explain(connection: Connection, sent: list[Statement]) -> tuple[float, set[str]]:
    """Return how long the statements take in the database, in milliseconds, and the indexes that they use."""
    took, indexes = 0.0, set[str]()
    for statement, parameters in sent:
        found = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar()
        (plan,) = json.loads(found) if isinstance(found, str) else found or []
        took += plan["Planning Time"] + plan["Execution Time"]
        indexes |= {node["Index Name"] for node in nodes_of(plan["Plan"]) if "Index Name" in node}
    return took, indexes


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all nodes of a plan."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes_of(child)


async def measure(url: str, users: int, rounds: int) -> dict[str, Times]:
    """Fill the database, and run each search once in each round, in turn."""
    times: dict[str, Times] = {}
    async with Database(url) as database:
        began = time.monotonic()
        await database.write_slowly(partial(fill, users=users))
        print(f"filled in {time.monotonic() - began:.0f} s", file=sys.stderr)
        for _ in range(rounds):
            person = await database.read(partial(choose, users=users))
            for name, search in searches(database, person).items():
                of_search = times.setdefault(name, Times())
                with statements() as sent:
                    began = time.perf_counter()
                    await search()
                    of_search.calls.append(1000 * (time.perf_counter() - began))
                took, indexes = await database.read(partial(explain, sent=sent))
                of_search.database.append(took)
                of_search.indexes |= indexes
    return times


def main() -> None:
    """Print a table with a row for each search."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--users", type=int, default=10_000_000, help="users, and as many events (10,000,000)")
    parser.add_argument("--rounds", type=int, default=30, help="of each search, each for another user (30)")
    chosen = parser.parse_args()
    with postgres_url() as server:
        url = create_database(server)
        try:
            migrate_database(url)
            times = uvloop.run(measure(url, chosen.users, chosen.rounds))
        finally:
            drop_database(url)
    table = Table(title=f"{chosen.users:,} users, {chosen.rounds} rounds: milliseconds")
    for column in ("search", "indexes", "database median", "worst", "call median"):
        table.add_column(column, justify="left" if column in ("search", "indexes") else "right")
    for name, its in times.items():
        figures = [statistics.median(its.database), max(its.database), statistics.median(its.calls)]
        table.add_row(name, ", ".join(sorted(its.indexes)), *(f"{each:.2f}" for each in figures))
    Console(width=None if Console().is_terminal else 160).print(table)


if __name__ == "__main__":
    main()
