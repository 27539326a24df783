"""Searches of operators on PostgreSQL: each uses an index, by the statistics of a large table."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Select, text

from adapters.sql.database import Database
from adapters.sql.events import statement_of
from adapters.sql.user_repository import search
from domain.event import EventQuery, EventType
from domain.user_query import UserQuery
from support import servers
from support.many_users import NEWEST, fill

pytestmark = pytest.mark.anyio

USERS = 100_000


@pytest.fixture(scope="module")
def large_url(postgres: str) -> str:
    """A database with many users and events."""
    url = servers.create_database(postgres)
    servers.migrate_database(url)
    return url


@pytest.fixture
async def large(large_url: str) -> AsyncIterator[Database]:
    """The same, open and filled."""
    async with Database(large_url) as database:
        await database.write_slowly(fill_once)
        yield database


def fill_once(connection: Connection) -> None:
    """Fill the tables, unless they are full."""
    if not connection.scalar(text("SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1) AS one")):
        fill(connection, USERS)


def nodes_of(connection: Connection, statement: Select[Any]) -> list[dict[str, Any]]:
    """Return all nodes of the plan of a statement."""
    sql = str(statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql.replace('%%', '%')}").scalar()
    plans: list[dict[str, Any]] = json.loads(plan) if isinstance(plan, str) else plan or []
    return list(_below(plans[0]["Plan"]))


def _below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _below(child)


SEARCHES = {
    "openid": (UserQuery(openid="o7"), {"ix_accounts_openid", "users_pkey"}),
    "openid, a later page": (UserQuery(openid="o7", before="01a20800-f"), {"ix_accounts_openid"}),
    "phone": (UserQuery(phone="+8613000000008"), {"ix_users_phone"}),
    "unionid": (UserQuery(unionid="u9"), {"uq_users_unionid", "users_unionid_key"}),
    "id": (UserQuery(id="01a20800-0000-7000-8000-000000000007"), {"users_pkey"}),
    "all": (UserQuery(), {"users_pkey"}),
    "all, a later page": (UserQuery(before="01a20800-0001-7000-8000-00000000ffff"), {"users_pkey"}),
}


@pytest.mark.parametrize(("query", "indexes"), SEARCHES.values(), ids=SEARCHES)
async def test_a_search_for_users_uses_an_index(large: Database, query: UserQuery, indexes: set[str]) -> None:
    """The planner finds users by an index, reads no whole table, and expects few rows."""
    nodes = await large.read(lambda connection: nodes_of(connection, search(query)))

    assert "Seq Scan" not in {node["Node Type"] for node in nodes}
    assert {node["Index Name"] for node in nodes if "Index Name" in node} & indexes
    assert nodes[0]["Total Cost"] < 100


BEFORE = (NEWEST - timedelta(days=30), "01a20800-0")
QUERIES = {
    "all": (EventQuery(), "ix_audit_events_time"),
    "all, a later page": (EventQuery(before=BEFORE), "ix_audit_events_time"),
    "user": (EventQuery(user_id="01a20800-0000-7000-8000-000000000007"), "ix_audit_events_user_id"),
    "user, a later page": (
        EventQuery(user_id="01a20800-0000-7000-8000-000000000007", before=BEFORE),
        "ix_audit_events_user_id",
    ),
    "actor": (EventQuery(actor="admin:ann"), "ix_audit_events_actor"),
    "a rare type": (EventQuery(type=EventType.SCAN_DENIED), "ix_audit_events_type"),
    "type and actor": (EventQuery(type=EventType.USER_BLOCKED, actor="admin:ann"), "ix_audit_events_type_actor"),
    "type and actor, none": (EventQuery(type=EventType.USER_CREATED, actor="admin:ann"), "ix_audit_events_type_actor"),
    "since": (EventQuery(since=NEWEST - timedelta(days=3)), "ix_audit_events_time"),
}


@pytest.mark.parametrize(("query", "index"), QUERIES.values(), ids=QUERIES)
async def test_a_search_for_events_uses_an_index(large: Database, query: EventQuery, index: str) -> None:
    """The planner finds events by the index of the filter, reads no whole table, and sorts few of them."""
    nodes = await large.read(lambda connection: nodes_of(connection, statement_of(query)))
    used = {node["Index Name"] for node in nodes if "Index Name" in node}

    assert "Seq Scan" not in {node["Node Type"] for node in nodes}
    assert used == {index}
    assert nodes[0]["Total Cost"] < 1000
