"""Replaced and expired sessions in /v1."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.devices import Device, LogIn, time_of
from support.processes import APPID, Sandbox, Service
from support.servers import wait_until

REFERER = {"Referer": f"https://servicewechat.com/{APPID}/0/page-frame.html"}


@pytest.fixture(scope="module", params=["database", "redis"])
def hasty_service(request: pytest.FixtureRequest, open_service: Any) -> Iterator[Service]:
    """A service with short lifetimes: an idle time of one second, a maximum age of two, and a limit of two sessions."""
    redis = {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}
    with open_service(session_idle_seconds="1", session_max_seconds="2", sessions_per_user="2", **redis) as service:
        yield service


def test_the_oldest_session_is_replaced(log_in: LogIn, user: str) -> None:
    """The thirteenth login of a user replaces the first session, whose token is session_replaced."""
    devices = [log_in(user) for _ in range(13)]
    reasons = [device.reason() for device in devices]

    assert reasons == ["session_replaced", *[None] * 12]
    assert len(devices[-1].sessions()) == 12


def test_an_unused_session_expires(hasty_service: Service, sandbox: Sandbox) -> None:
    """A session that is unused for its idle time is session_expired, and is not listed."""
    idle = Device(hasty_service, sandbox.code(openid="idle"))
    wait_until(lambda: datetime.now(UTC) > time_of(idle.login["session"]["idle_expires_at"]), "a second of idling")
    fresh = Device(hasty_service, sandbox.code(openid="idle"))

    assert idle.reason() == "session_expired"
    assert [session["id"] for session in fresh.sessions()] == [fresh.id]


def test_a_used_session_stays_live(hasty_service: Service, sandbox: Sandbox) -> None:
    """A session in use is live for longer than its idle time, and its times change."""
    device = Device(hasty_service, sandbox.code())
    began = device.login["session"]
    deadline = time_of(began["idle_expires_at"]) + timedelta(seconds=0.3)
    wait_until(lambda: device.reason() is not None or datetime.now(UTC) > deadline, "longer than the idle time")
    now = device.send("GET", "/v1/sessions/current").json()

    assert time_of(now["last_seen_at"]) > time_of(began["last_seen_at"])
    assert time_of(now["idle_expires_at"]) > time_of(began["idle_expires_at"])
    assert (now["created_at"], now["expires_at"]) == (began["created_at"], began["expires_at"])


def test_expired_sessions_do_not_count(hasty_service: Service, sandbox: Sandbox) -> None:
    """Expired sessions do not count for the limit, so that the next logins replace no session."""
    old = [Device(hasty_service, sandbox.code(openid="cap")) for _ in range(2)]
    over = time_of(old[1].login["session"]["idle_expires_at"]) + timedelta(seconds=1)
    wait_until(lambda: datetime.now(UTC) > over, "two seconds of idling")
    new = [Device(hasty_service, sandbox.code(openid="cap")) for _ in range(2)]

    assert [device.reason() for device in new] == [None, None]
    assert {device.reason() for device in old} == {"session_expired"}


def test_a_session_expires_at_its_maximum_age(hasty_service: Service, sandbox: Sandbox) -> None:
    """A session that is always in use is session_expired at its maximum age."""
    device = Device(hasty_service, sandbox.code())
    wait_until(lambda: device.reason() is not None, "the end of the session")
    ended = datetime.now(UTC)

    assert device.reason() == "session_expired"
    assert ended >= time_of(device.login["session"]["expires_at"])


def test_a_limit_of_zero_is_no_limit(two_apps: Service, sandbox: Sandbox) -> None:
    """With WXLOGIN_SESSIONS_PER_USER=0 no session is replaced."""
    devices = [Device(two_apps, sandbox.code(openid="many"), **REFERER) for _ in range(14)]

    assert {device.reason() for device in devices} == {None}
