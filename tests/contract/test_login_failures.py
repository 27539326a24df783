"""The promises of LoginFailures, on every adapter."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from adapters.memory.login_failures import MemoryLoginFailures
from adapters.sql.database import Database
from adapters.sql.login_failures import SqlLoginFailures
from application.ports.login_failures import LoginFailures
from domain.errors import StoreUnavailable
from domain.login_failure import LoginFailure

pytestmark = pytest.mark.anyio

MINUTE = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)


@pytest.fixture
async def failures(user_place: str) -> AsyncIterator[LoginFailures]:
    """The counts under test."""
    if user_place == "memory":
        yield MemoryLoginFailures()
        return
    async with Database(user_place) as database:
        yield SqlLoginFailures(database)


@pytest.fixture
def app() -> str:
    """An app that no other test uses."""
    return f"wx{uuid.uuid4().hex}"


async def counts_of(failures: LoginFailures, *apps: str | None, since: datetime = MINUTE) -> dict[LoginFailure, int]:
    """Return the counts of these apps, among those of all tests."""
    return {each: count for each, count in (await failures.since(since)).items() if each.app in apps}


async def test_counts_are_added_up(failures: LoginFailures, app: str) -> None:
    """Counts of the same minute, app, code and errcode are added up; all others are kept apart."""
    first = LoginFailure(MINUTE, app, "code_used", 40163)
    others = [replace(first, errcode=None), replace(first, code="code_invalid"), replace(first, app=f"{app}x")]
    await failures.add({first: 2, others[0]: 1})
    await failures.add({first: 3, others[1]: 5, others[2]: 7})

    assert await counts_of(failures, app, f"{app}x") == {first: 5, others[0]: 1, others[1]: 5, others[2]: 7}


async def test_failures_without_an_app_are_counted(failures: LoginFailures) -> None:
    """A failure whose app is not known is counted, and returned without an app. An errcode may be negative."""
    minute = MINUTE + timedelta(minutes=uuid.uuid4().int % 10**6)
    failure = LoginFailure(minute, None, "wechat_unavailable", -1)
    await failures.add({failure: 4})

    assert (await counts_of(failures, None, since=minute))[failure] == 4


async def test_nothing_is_added_for_no_counts(failures: LoginFailures) -> None:
    """An empty mapping is accepted."""
    await failures.add({})


async def test_a_call_adds_all_counts_or_none(failures: LoginFailures, app: str) -> None:
    """When one of the counts cannot be stored, none is: the caller may add all of them again."""
    codes = ("code_used", "no error has this cöde", "code_used")
    minutes = [MINUTE + timedelta(minutes=number) for number in range(3)]
    counts = {LoginFailure(minute, app, code, None): 1 for minute, code in zip(minutes, codes, strict=True)}
    try:
        await failures.add(counts)
    except StoreUnavailable:
        counts = {}

    assert await counts_of(failures, app) == counts


async def test_concurrent_processes_lose_no_count(failures: LoginFailures, app: str) -> None:
    """Of concurrent calls with the same failures, in any order, each counts."""
    kinds = [LoginFailure(MINUTE, app, "code_used", errcode) for errcode in range(1, 21)]
    await asyncio.gather(*(failures.add(dict.fromkeys(kinds[::step], 1)) for step in [1, -1] * 6))

    assert await counts_of(failures, app) == dict.fromkeys(kinds, 12)


async def test_earlier_minutes_are_left_out_and_purged(failures: LoginFailures, app: str) -> None:
    """Only counts of the minute and of later ones are returned. A purge deletes the earlier ones alone."""
    early = LoginFailure(MINUTE - timedelta(days=7), app, "code_used", None)
    late = replace(early, minute=early.minute + timedelta(minutes=1))
    await failures.add({early: 1, late: 2})
    since = await counts_of(failures, app, since=late.minute)
    purged = await failures.purge(late.minute)

    assert since == {late: 2}
    assert purged >= 1
    assert await counts_of(failures, app, since=early.minute) == {late: 2}


async def test_an_unreachable_place_is_unavailable() -> None:
    """Without a database, every method raises StoreUnavailable."""
    async with Database("postgresql+asyncpg://nobody@127.0.0.1:1/none") as database:
        failures = SqlLoginFailures(database)
        for call in (failures.add({LoginFailure(MINUTE, None, "code_used", None): 1}), failures.since(MINUTE)):
            with pytest.raises(StoreUnavailable):
                await call
