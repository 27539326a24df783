"""A session: its token, its lifetime, and the reason of its end."""

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_, or_

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.device import UNKNOWN_DEVICE
from domain.errors import SessionEnded, SessionExpired, SessionReplaced, TokenInvalid, TokenMissing, WxLoginError
from domain.identity import AppId, Identity
from domain.session import EndedSession, EndReason, Session, SessionPolicy, SessionToken, beyond_limit

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
WEEK = timedelta(days=7)
POLICY = SessionPolicy(idle=timedelta(days=2), max_age=timedelta(days=10))
TOKEN = SessionToken("0123456789-_abcdefghijklmnopqrstuvwxyzABCDE")

DURATIONS = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=40))


def start(policy: SessionPolicy = POLICY, now: datetime = NOW) -> Session:
    """Return a session that starts now."""
    identity = Identity(AppId("wx0123456789abcdef"), "oA")
    return Session.start(SessionToken.generate(), "a user", identity, UNKNOWN_DEVICE, policy, now)


def test_a_token_is_256_bits_of_url_safe_text() -> None:
    """A token has 43 URL-safe characters, which encode 32 bytes."""
    token = SessionToken.generate().value

    assert len(token) == 43
    assert len(base64.urlsafe_b64decode(token + "=")) == 32
    assert SessionToken(token).value == token


def test_every_bit_of_a_token_is_random() -> None:
    """Many tokens are all different, and each of the 256 bits takes both values."""
    tokens = [SessionToken.generate().value for _ in range(300)]
    numbers = [int.from_bytes(base64.urlsafe_b64decode(token + "="), "big") for token in tokens]

    assert len(set(tokens)) == 300
    assert reduce(or_, numbers) == 2**256 - 1
    assert reduce(and_, numbers) == 0


@given(st.text(max_size=50) | st.from_regex(r"[A-Za-z0-9_-]{42,44}\n?", fullmatch=True))
@example("")
@example(TOKEN.value)
@example(TOKEN.value + "\n")
@settings(max_examples=100)
def test_any_text_is_a_token_or_refused(text: str) -> None:
    """43 URL-safe characters are a token. Empty text raises TokenMissing, and other text raises TokenInvalid."""
    fits = len(text) == 43 and all(c.isascii() and (c.isalnum() or c in "_-") for c in text)
    outcome: str | type[WxLoginError]
    try:
        outcome = SessionToken(text).value
    except WxLoginError as error:
        outcome = type(error)

    assert outcome == (text if fits else TokenInvalid if text else TokenMissing)


def test_a_token_is_not_shown() -> None:
    """Neither the repr nor the str of a token contains its value."""

    assert TOKEN.value not in f"{TOKEN!r} {TOKEN!s}"


def test_a_session_id_is_half_the_hash_of_its_token() -> None:
    """The session id is 128 bits of the token's SHA-256, so that it does not reveal the token."""

    assert TOKEN.session_id == hashlib.sha256(TOKEN.value.encode()).hexdigest()[:32]


def test_tokens_have_different_session_ids() -> None:
    """Different tokens have different session ids."""

    assert len({SessionToken.generate().session_id for _ in range(300)}) == 300


def test_a_session_id_is_not_a_token() -> None:
    """The id of a session is not a valid token."""
    with pytest.raises(TokenInvalid):
        SessionToken(TOKEN.session_id)


@pytest.mark.parametrize(
    ("idle", "interval"),
    [
        (timedelta(days=7), timedelta(minutes=1)),
        (timedelta(minutes=100), timedelta(minutes=1)),
        (timedelta(minutes=50), timedelta(seconds=30)),
        (timedelta(seconds=10), timedelta(milliseconds=100)),
    ],
)
def test_the_touch_interval_is_a_minute_or_a_hundredth_of_the_idle_time(idle: timedelta, interval: timedelta) -> None:
    """The touch interval is one minute, or a hundredth of the idle time when that is shorter."""

    assert SessionPolicy(idle=idle).touch_interval == interval


def test_a_session_starts_with_all_its_times() -> None:
    """A new session has its start as its creation and last use, and both expiry times of the policy."""
    session = Session.start(TOKEN, "a user", start().identity, UNKNOWN_DEVICE, POLICY, NOW)

    assert session.id == TOKEN.session_id
    assert (session.created_at, session.last_seen_at) == (NOW, NOW)
    assert session.idle_expires_at == NOW + timedelta(days=2)
    assert session.expires_at == NOW + timedelta(days=10)


def test_the_idle_expiry_does_not_exceed_the_maximum_age() -> None:
    """With an idle time longer than the maximum age, the idle expiry is the maximum age."""
    session = start(SessionPolicy(idle=timedelta(days=3), max_age=timedelta(days=1)))

    assert session.idle_expires_at == session.expires_at == NOW + timedelta(days=1)


@pytest.mark.parametrize("last_touch", [timedelta(), timedelta(days=1), timedelta(days=9)])
def test_a_session_expires_by_idle_time_or_age_to_the_microsecond(last_touch: timedelta) -> None:
    """A session is live until it is idle for too long or reaches its maximum age, to the microsecond."""
    session = start().touch(POLICY, NOW + last_touch)
    end = NOW + min(last_touch + POLICY.idle, POLICY.max_age)

    assert session.is_live(end - MOMENT)
    assert session.require_live(end - MOMENT) is session
    assert not session.is_live(end)
    with pytest.raises(SessionExpired):
        session.require_live(end)


def test_the_expiry_of_a_session_is_retained_for_seven_days() -> None:
    """For seven days after its expiry a session raises SessionExpired, and then TokenInvalid."""
    session = start()

    assert session.retain_until == session.idle_expires_at + WEEK
    with pytest.raises(SessionExpired):
        session.require_live(session.retain_until - MOMENT)
    with pytest.raises(TokenInvalid):
        session.require_live(session.retain_until)


@given(st.lists(DURATIONS, min_size=1, max_size=8))
@settings(max_examples=60)
def test_a_touch_does_not_exceed_the_maximum_age(pauses: list[timedelta]) -> None:
    """After any number of touches, a session expires at its maximum age at the latest, and nothing else changes."""
    session = first = start()
    now = NOW
    for pause in pauses:
        now += pause
        session = session.touch(POLICY, now)

    assert session.last_seen_at == now
    assert session.idle_expires_at == min(now + POLICY.idle, first.expires_at)
    assert first == replace(session, last_seen_at=NOW, idle_expires_at=first.idle_expires_at)


@pytest.mark.parametrize(("reason", "error"), [(EndReason.ENDED, SessionEnded), (EndReason.REPLACED, SessionReplaced)])
def test_an_ended_session_raises_its_reason_until_its_retention_is_over(
    reason: EndReason, error: type[WxLoginError]
) -> None:
    """An ended session raises the error of its reason until its retention is over, and then TokenInvalid."""
    ended = start().end(reason, NOW)

    assert ended.reason.value == error.code
    with pytest.raises(error):
        ended.require_live(ended.retain_until - MOMENT)
    with pytest.raises(TokenInvalid):
        ended.require_live(ended.retain_until)


@given(age=DURATIONS, max_age=DURATIONS)
@settings(max_examples=60)
def test_a_reason_is_retained_until_the_session_would_expire_or_for_seven_days(
    age: timedelta, max_age: timedelta
) -> None:
    """A reason is retained until the session would reach its maximum age, but for seven days at most."""
    session = start(SessionPolicy(max_age=max_age))

    assert session.end(EndReason.ENDED, NOW + age) == EndedSession(
        EndReason.ENDED, retain_until=NOW + min(max_age, age + WEEK)
    )


SESSIONS = st.lists(st.builds(start, st.builds(SessionPolicy, idle=DURATIONS), st.builds(NOW.__sub__, DURATIONS)))


@given(SESSIONS, st.integers(1, 5))
@settings(max_examples=60)
def test_the_limit_ends_the_oldest_live_sessions(sessions: list[Session], limit: int) -> None:
    """The limit ends the oldest live sessions, exactly as many as exceed the limit."""
    gone = beyond_limit(sessions, limit, NOW)
    live = [session for session in sessions if session.is_live(NOW)]
    kept = [session for session in live if session not in gone]

    assert all(session in live for session in gone)
    assert len(gone) == max(0, len(live) - limit)
    assert len(kept) == len(live) - len(gone)
    assert max((s.created_at for s in gone), default=NOW - WEEK * 52) <= min((s.created_at for s in kept), default=NOW)


@given(SESSIONS)
@settings(max_examples=20)
def test_a_limit_of_0_ends_no_session(sessions: list[Session]) -> None:
    """A limit of 0 ends no session."""

    assert beyond_limit(sessions, 0, NOW) == []
