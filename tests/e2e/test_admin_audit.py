"""The audit trail over the admin API and on the command line."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.sql.database import Database
from adapters.sql.events import SqlEvents
from domain.event import CLI, Cause, Event, EventPolicy, EventType
from entrypoints.cursors import encode_cursor
from support.admin import AdminApi, admin_api
from support.processes import Environment, environment, run
from support.servers import migrate_database, sqlite_url

NOW = datetime(2026, 11, 29, 8, 0, 0, 123456, tzinfo=UTC)
ANN = Cause.admin("ann", "203.0.113.7", "spam")


def trail() -> list[Event]:
    """Return ten events, newest first, some of them of the same time."""
    kinds = [EventType.USER_BLOCKED, EventType.USER_UNBLOCKED]
    times = [NOW - timedelta(minutes=number // 2) for number in range(9)]
    events = [
        Event.of(kinds[n % 2], ANN if n % 3 else CLI, time, user_id=f"user-{n % 2}", app="wx1")
        for n, time in enumerate(times)
    ]
    events.append(replace(Event.of(EventType.KEY_REENCRYPTED, CLI, NOW - timedelta(days=1))))
    return sorted(events, key=lambda event: (event.time, event.id), reverse=True)


TRAIL = trail()


OUT_OF_RANGE = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
"""Times that are none in UTC."""


def name_of(parameter: object) -> str:
    """Return the name of a parameter: a function has none that is the same in each process."""
    return "" if callable(parameter) else str(parameter)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The settings of an installation with an audit trail."""
    return filled(tmp_path_factory.mktemp("audit"))


def filled(directory: Path) -> Environment:
    """Return the settings of an installation with the events of TRAIL."""
    env = environment(database_url=sqlite_url(directory))
    migrate_database(env["WXLOGIN_DATABASE_URL"])

    async def fill() -> None:
        async with Database(env["WXLOGIN_DATABASE_URL"]) as database:
            await SqlEvents(database, EventPolicy()).add(TRAIL)

    asyncio.run(fill())
    return env


@pytest.fixture(scope="module")
def admin(settings: Environment) -> Iterator[AdminApi]:
    """The admin API of this installation."""
    with admin_api(settings) as running:
        yield running


def body_of(event: Event) -> dict[str, Any]:
    """Return the body of an event, without the fields that are not known."""
    names = ("id", "type", "actor", "user_id", "session_id", "app", "ip", "reason")
    fields = {name: getattr(event, name) for name in names}
    time = event.time.isoformat().replace("+00:00", "Z")
    return {name: value for name, value in {**fields, "time": time}.items() if value is not None}


def test_all_events_are_read_newest_first(admin: AdminApi) -> None:
    """Without a filter, all events are there, newest first, each with the fields that are known."""
    assert admin.get("/audit") == {"events": [body_of(event) for event in TRAIL], "next": None}


def test_pages_have_each_event_once(admin: AdminApi) -> None:
    """Pages have each event once and in order, also where events have the same time."""
    read: list[dict[str, Any]] = []
    page = admin.get("/audit", limit="3")
    read += page["events"]
    while page["next"]:
        page = admin.get("/audit", limit="3", cursor=page["next"])
        read += page["events"]

    assert read == [body_of(event) for event in TRAIL]


@pytest.mark.parametrize(
    ("params", "matches"),
    [
        ({"user": "user-1"}, lambda event: event.user_id == "user-1"),
        ({"type": "user.blocked"}, lambda event: event.type == "user.blocked"),
        ({"actor": "admin:ann"}, lambda event: event.actor == "admin:ann"),
        ({"since": "2026-11-29T07:58:00Z"}, lambda event: event.time > NOW - timedelta(minutes=3)),
        ({"since": "2026-11-29T15:58:00+08:00"}, lambda event: event.time > NOW - timedelta(minutes=3)),
        ({"user": "user-0", "actor": "cli"}, lambda event: (event.user_id, event.actor) == ("user-0", "cli")),
        ({"user": "nobody"}, lambda event: event.user_id == "nobody"),
    ],
    ids=name_of,
)
def test_each_filter_applies(admin: AdminApi, params: dict[str, str], matches: Any) -> None:
    """Each filter, and several together, leave only the events that match."""
    assert admin.get("/audit", **params)["events"] == [body_of(event) for event in TRAIL if matches(event)]


def test_a_time_need_not_be_escaped(admin: AdminApi) -> None:
    """A time whose plus sign is not escaped is the same time."""
    answer = admin.send("GET", "/audit?since=2026-11-29T15:58:00+08:00")

    assert len(answer.json()["events"]) == len([event for event in TRAIL if event.time > NOW - timedelta(minutes=3)])


@pytest.mark.parametrize("since", OUT_OF_RANGE)
def test_a_time_that_is_none_in_utc_is_refused(admin: AdminApi, settings: Environment, since: str) -> None:
    """A time before the first or after the last one in UTC is no time: 400 in each call, and status 2."""
    cursor = encode_cursor((datetime.fromisoformat(since), "a"))
    answers = [admin.send("GET", "/audit", params=params) for params in ({"since": since}, {"cursor": cursor})]
    done = run("audit", "list", "--since", since, env=settings)

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(400, "request_invalid")] * 2
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("time", ["2026-11-29T08:00:00", "2026-11-29T08:00:00+08:00"])
def test_a_cursor_has_a_time_in_utc(admin: AdminApi, time: str) -> None:
    """A cursor with a time without an offset, or with another one than UTC, is none that a list returned."""
    cursor = encode_cursor((datetime.fromisoformat(time), "a"))

    assert admin.send("GET", "/audit", params={"cursor": cursor}).status_code == 400


@pytest.mark.parametrize("field", ["user", "actor"])
@pytest.mark.parametrize("value", ["%00", "%ff", "%ed%a0%80", "a" * 5000, "%20", ""], ids=lambda value: value[:9])
def test_any_text_is_a_filter(admin: AdminApi, field: str, value: str) -> None:
    """A filter with text that no event has finds nothing."""
    answer = admin.send("GET", f"/audit?{field}={value}")

    assert (answer.status_code, answer.json()) == (200, {"events": [], "next": None})


@pytest.mark.parametrize(
    ("options", "matches"),
    [
        ([], lambda event: event in TRAIL),
        (["--user", "user-1"], lambda event: event.user_id == "user-1"),
        (["--action", "user.blocked"], lambda event: event.type == "user.blocked"),
        (["--since", "2026-11-29T15:58:00+08:00"], lambda event: event.time > NOW - timedelta(minutes=3)),
        (["--limit", "2"], lambda event: event in TRAIL[:2]),
    ],
    ids=name_of,
)
def test_the_command_lists_events(settings: Environment, options: list[str], matches: Any) -> None:
    """`audit list` prints the events that match, newest first, as the admin API returns them."""
    done = run("audit", "list", *options, env=settings)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"events": [body_of(event) for event in TRAIL if matches(event)]}


@pytest.mark.parametrize(
    "options",
    [["--action", "user.nothing"], ["--since", "yesterday"], ["--since", "2026-11-29"], ["--limit", "0"]],
    ids=str,
)
def test_wrong_options_of_the_command_are_status_2(settings: Environment, options: list[str]) -> None:
    """An action that does not exist, and a time without its offset, are wrong usage."""
    done = run("audit", "list", *options, env=settings)

    assert (done.returncode, done.stdout) == (2, "")
