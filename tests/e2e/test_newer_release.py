"""The admin API and the console beside a newer release, which writes types and errors that this one does not know."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection

from adapters.sql.database import Database
from adapters.sql.events import insert_events
from adapters.sql.login_failures import SqlLoginFailures
from domain.event import CLI, Event, EventPolicy, EventType
from domain.login_failure import LoginFailure
from support.admin import ADMIN_KEYS, AdminApi, admin_api
from support.console import ByHand
from support.processes import environment
from support.servers import migrate_database, run_apart, sqlite_url

NEWER_TYPES = ["user.renamed", "users", "session.<b>"]
"""One of them is also the key of another text of the console."""

NEWER_CODE = "moon_unavailable"


async def write(url: str) -> None:
    """Write what a newer release would write."""
    now = datetime.now(UTC)
    events = [Event.of(EventType(name), CLI, now, user_id=f"user-{name}") for name in NEWER_TYPES]

    def insert(connection: Connection) -> None:
        insert_events(connection, events, EventPolicy(audit_sessions=True))

    async with Database(url) as database:
        await database.write(insert)
        minute = now.replace(second=0, microsecond=0)
        await SqlLoginFailures(database).add(
            {LoginFailure(minute, "wx1", NEWER_CODE, None): 2, LoginFailure(minute, "wx1", NEWER_CODE, 77777): 1}
        )


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminApi]:
    """The admin API on a database in which a newer release writes."""
    url = sqlite_url(Path(tmp_path_factory.mktemp("newer")))
    migrate_database(url)
    run_apart(write(url))
    with admin_api(environment(database_url=url, admin_keys=ADMIN_KEYS)) as running:
        yield running


@pytest.fixture(params=["en", "zh"])
def hand(admin: AdminApi, request: pytest.FixtureRequest) -> ByHand:
    """A signed-in client of the console, in each language."""
    client = ByHand(admin.url, **{"Accept-Language": request.param})
    assert client.sign_in().status_code == 303
    return client


def test_the_api_returns_its_types_and_errors(admin: AdminApi) -> None:
    """Events have their type as it was written, and failures their code, without what only the newer release knows."""
    events = admin.get("/audit")["events"]
    failures = admin.get("/errors")["failures"]

    assert {event["type"] for event in events} == set(NEWER_TYPES)
    assert [(each["code"], each["errcode"], each["count"]) for each in failures] == [
        (NEWER_CODE, None, 2),
        (NEWER_CODE, 77777, 1),
    ]
    assert [(each["status"], each["retry"]) for each in failures] == [(None, None)] * 2
    assert "newer release" in failures[0]["title"]


def test_the_console_shows_its_types(hand: ByHand) -> None:
    """The trail, and that of a user, have the types as texts, with nothing that belongs to another key."""
    page = hand.get("/admin/audit")

    assert page.status_code == 200
    assert page.text.count("newer release") + page.text.count("新版本") == len(NEWER_TYPES)
    assert "<code>user.renamed</code>" in page.text
    assert "<code>session.&lt;b&gt;</code>" in page.text


def test_the_console_shows_its_errors(hand: ByHand) -> None:
    """The failures have the code, and say where the explanation is."""
    page = hand.get("/admin/failures")

    assert page.status_code == 200
    assert page.text.count(NEWER_CODE) == 2
    assert "77777" in page.text
    assert "None" not in page.text
    assert "newer release" in page.text or "新版本" in page.text


def test_live_logins_are_shown(hand: ByHand) -> None:
    """The newest logins are shown beside what is unknown."""
    assert [hand.get(path).status_code for path in ("/admin/live", "/admin/live/rows")] == [200, 200]
