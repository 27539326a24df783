"""Searches of operators on PostgreSQL: each uses an index, by the statistics of a large table."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Select, text

from adapters.sql.database import Database
from adapters.sql.events import statement_of
from adapters.sql.user_repository import search
from domain.event import EventQuery, EventType
from domain.user_query import UserQuery
from support import servers

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 29, tzinfo=UTC)

FILL = [
    """
    INSERT INTO users (id, unionid, phone, name, avatar, language, province, city, country, created_at, updated_at)
    SELECT id(n), CASE WHEN n % 3 = 0 THEN 'u' || n END, CASE WHEN n % 2 = 0 THEN '+86' || (13000000000 + n) END,
           'name', '', '', '', '', '', now(), now()
    FROM generate_series(1, 100000) AS n
    """,
    "INSERT INTO accounts SELECT 'wx1', 'o' || n, id(n), now() FROM generate_series(1, 100000) AS n",
    """
    INSERT INTO audit_events (id, time, type, actor, user_id)
    SELECT id(n), timestamp '2026-11-29' - n * interval '1 minute',
           CASE n % 10 WHEN 0 THEN 'user.created' WHEN 1 THEN 'user.blocked' ELSE 'session.started' END,
           CASE n % 100 WHEN 0 THEN 'admin:ann' ELSE 'user' END, id(n % 1000)
    FROM generate_series(1, 100000) AS n
    """,
    "ANALYZE",
]
"""`id` is a function that returns an id of the form that new users have, in the order of the numbers."""

ID = """
    CREATE FUNCTION id(n bigint) RETURNS varchar LANGUAGE sql IMMUTABLE AS
    $$ SELECT '01a20800-' || lpad(to_hex(n >> 16), 4, '0') || '-7000-8000-' || lpad(to_hex(n), 12, '0') $$
"""


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
        await database.write_slowly(fill)
        yield database


def fill(connection: Connection) -> None:
    """Fill the tables, unless they are full."""
    if connection.scalar(text("SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1) AS one")):
        return
    for statement in [ID, *FILL]:
        connection.exec_driver_sql(statement)


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


BEFORE = (NOW - timedelta(days=30), "01a20800-0")
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
    "since": (EventQuery(since=NOW - timedelta(days=3)), "ix_audit_events_time"),
}


@pytest.mark.parametrize(("query", "index"), QUERIES.values(), ids=QUERIES)
async def test_a_search_for_events_uses_an_index(large: Database, query: EventQuery, index: str) -> None:
    """The planner finds events by the index of the filter, reads no whole table, and sorts few of them."""
    nodes = await large.read(lambda connection: nodes_of(connection, statement_of(query)))
    used = {node["Index Name"] for node in nodes if "Index Name" in node}

    assert "Seq Scan" not in {node["Node Type"] for node in nodes}
    assert used == {index}
    assert nodes[0]["Total Cost"] < 1000
