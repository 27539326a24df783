"""A PostgreSQL database with many users and events, as large as a test or a benchmark needs it."""

from datetime import UTC, datetime

from sqlalchemy import Connection, text

NEWEST, DAYS = datetime(2026, 11, 29, tzinfo=UTC), 180
"""The time of the newest event, and how many days before it the oldest one is."""

FUNCTIONS = [
    """
    CREATE FUNCTION id(n bigint) RETURNS varchar LANGUAGE sql IMMUTABLE AS
    $$ SELECT '01a20800-' || lpad(to_hex(n >> 16), 4, '0') || '-7000-8000-' || lpad(to_hex(n), 12, '0') $$
    """,
    """
    CREATE FUNCTION openid(n bigint) RETURNS varchar LANGUAGE sql IMMUTABLE AS
    $$ SELECT 'o' || substr(md5(n::text), 1, 27) $$
    """,
    """
    CREATE FUNCTION unionid(n bigint) RETURNS varchar LANGUAGE sql IMMUTABLE AS
    $$ SELECT CASE WHEN n % 3 = 0 THEN 'u' || substr(md5(n::text), 5, 27) END $$
    """,
    """
    CREATE FUNCTION phone(n bigint) RETURNS varchar LANGUAGE sql IMMUTABLE AS
    $$ SELECT CASE WHEN n % 2 = 0 THEN '+86' || (13000000000 + n * 7919 % 1000000000) END $$
    """,
]
"""What the user with a number has. Ids have the form that those of new users have, and their order."""

TABLES = [
    """
    INSERT INTO users (id, unionid, phone, name, avatar, language, province, city, country, created_at, updated_at)
    SELECT id(n), unionid(n), phone(n), 'name', '', '', '', '', '', now(), now() FROM generate_series(1, {users}) AS n
    """,
    "INSERT INTO accounts SELECT 'wx1', openid(n), id(n), now() FROM generate_series(1, {users}) AS n",
    """
    INSERT INTO audit_events (id, time, type, actor, user_id)
    SELECT md5('event' || n)::uuid, timestamp '{newest:%Y-%m-%d}' - interval '{days} days' * (n / {users}.0),
           CASE WHEN n % 1000 = 1 THEN 'user.blocked' WHEN n % 10 = 0 THEN 'user.created' ELSE 'session.started' END,
           CASE WHEN n % 1000 = 1 THEN 'admin:ann' ELSE 'user' END, id(1 + n % ({users} / 10))
    FROM generate_series(1, {users}) AS n
    """,
]
"""Most events are those of users. The rare ones, of an operator, are as old as the others. One user in ten has ten."""


def fill(connection: Connection, users: int) -> None:
    """Fill the migrated tables with users and as many events, and collect the statistics of the planner.

    Indexes are created after the rows are there, which takes a fraction of the time.
    """
    indexes = connection.execute(text("SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'ix_%'")).all()
    drops = [f"DROP INDEX {index.indexname}" for index in indexes]
    rows = [each.format(users=users, newest=NEWEST, days=DAYS) for each in TABLES]
    for statement in [*FUNCTIONS, *drops, *rows, *(index.indexdef for index in indexes), "ANALYZE"]:
        connection.exec_driver_sql(statement)
