"""A login that lasts: its token, when it lives, and why it ended."""

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
    """A session that starts now."""
    identity = Identity(AppId("wx0123456789abcdef"), "oA")
    return Session.start(SessionToken.generate(), "a user", identity, UNKNOWN_DEVICE, policy, now)


def test_a_token_is_256_bits_of_url_safe_text() -> None:
    """A token is 43 URL-safe characters, which are 32 bytes."""
    token = SessionToken.generate().value

    assert len(token) == 43
    assert len(base64.urlsafe_b64decode(token + "=")) == 32
    assert SessionToken(token).value == token


def test_every_bit_of_a_token_is_random() -> None:
    """Among many tokens none repeats, and each of the 256 bits is now 0 and now 1."""
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
    """43 URL-safe characters may be a token, nothing is TokenMissing, all else is TokenInvalid."""
    fits = len(text) == 43 and all(c.isascii() and (c.isalnum() or c in "_-") for c in text)
    outcome: str | type[WxLoginError]
    try:
        outcome = SessionToken(text).value
    except WxLoginError as error:
        outcome = type(error)

    assert outcome == (text if fits else TokenInvalid if text else TokenMissing)


def test_a_token_is_not_shown() -> None:
    """Neither the repr nor the str of a token has its value."""

    assert TOKEN.value not in f"{TOKEN!r} {TOKEN!s}"


def test_a_session_id_is_half_the_hash_of_its_token() -> None:
    """The id is 128 bits of the token's SHA-256, so that it tells nothing of the token."""

    assert TOKEN.session_id == hashlib.sha256(TOKEN.value.encode()).hexdigest()[:32]


def test_tokens_have_different_session_ids() -> None:
    """No two tokens open the same session."""

    assert len({SessionToken.generate().session_id for _ in range(300)}) == 300


def test_a_session_id_is_no_token() -> None:
    """Whoever knows a session's id cannot log in with it."""
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
def test_a_session_is_touched_by_the_minute_or_a_hundredth_of_its_idle_time(
    idle: timedelta, interval: timedelta
) -> None:
    """The touch interval is one minute, or a hundredth of the idle time when that is shorter."""

    assert SessionPolicy(idle=idle).touch_interval == interval


def test_a_session_starts_with_all_its_times() -> None:
    """A new session was seen just now, idles from now, and has its greatest age ahead."""
    session = Session.start(TOKEN, "a user", start().identity, UNKNOWN_DEVICE, POLICY, NOW)

    assert session.id == TOKEN.session_id
    assert (session.created_at, session.last_seen_at) == (NOW, NOW)
    assert session.idle_expires_at == NOW + timedelta(days=2)
    assert session.expires_at == NOW + timedelta(days=10)


def test_a_session_never_idles_beyond_its_greatest_age() -> None:
    """With an idle time longer than the greatest age, the age counts."""
    session = start(SessionPolicy(idle=timedelta(days=3), max_age=timedelta(days=1)))

    assert session.idle_expires_at == session.expires_at == NOW + timedelta(days=1)


@pytest.mark.parametrize("last_touch", [timedelta(), timedelta(days=1), timedelta(days=9)])
def test_a_session_dies_of_idleness_or_age_to_the_microsecond(last_touch: timedelta) -> None:
    """A session lives until the moment at which it was idle for too long or is too old, and not at it."""
    session = start().touch(POLICY, NOW + last_touch)
    end = NOW + min(last_touch + POLICY.idle, POLICY.max_age)

    assert session.is_live(end - MOMENT)
    assert session.require_live(end - MOMENT) is session
    assert not session.is_live(end)
    with pytest.raises(SessionExpired):
        session.require_live(end)


def test_it_is_forgotten_after_a_week_that_a_session_expired() -> None:
    """For seven days after its end the token of an expired session is told so, then it is just invalid."""
    session = start()

    assert session.retain_until == session.idle_expires_at + WEEK
    with pytest.raises(SessionExpired):
        session.require_live(session.retain_until - MOMENT)
    with pytest.raises(TokenInvalid):
        session.require_live(session.retain_until)


@given(st.lists(DURATIONS, min_size=1, max_size=8))
@settings(max_examples=60)
def test_a_touch_does_not_exceed_the_maximum_age(pauses: list[timedelta]) -> None:
    """However often a session is touched, it ends at its greatest age, and nothing else of it changes."""
    session = first = start()
    now = NOW
    for pause in pauses:
        now += pause
        session = session.touch(POLICY, now)

    assert session.last_seen_at == now
    assert session.idle_expires_at == min(now + POLICY.idle, first.expires_at)
    assert first == replace(session, last_seen_at=NOW, idle_expires_at=first.idle_expires_at)


@pytest.mark.parametrize(("reason", "error"), [(EndReason.ENDED, SessionEnded), (EndReason.REPLACED, SessionReplaced)])
def test_an_ended_session_says_why_until_that_is_forgotten(reason: EndReason, error: type[WxLoginError]) -> None:
    """The token of an ended session is told the reason until it is forgotten, then it is just invalid."""
    ended = start().end(reason, NOW)

    assert ended.reason.value == error.code
    with pytest.raises(error):
        ended.require_live(ended.retain_until - MOMENT)
    with pytest.raises(TokenInvalid):
        ended.require_live(ended.retain_until)


@given(age=DURATIONS, max_age=DURATIONS)
@settings(max_examples=60)
def test_a_reason_is_kept_for_a_week_at_most_and_no_longer_than_the_session_would_have_lived(
    age: timedelta, max_age: timedelta
) -> None:
    """A reason is kept until the session would have reached its greatest age, but for seven days at most."""
    session = start(SessionPolicy(max_age=max_age))

    assert session.end(EndReason.ENDED, NOW + age) == EndedSession(
        EndReason.ENDED, retain_until=NOW + min(max_age, age + WEEK)
    )


SESSIONS = st.lists(st.builds(start, st.builds(SessionPolicy, idle=DURATIONS), st.builds(NOW.__sub__, DURATIONS)))


@given(SESSIONS, st.integers(1, 5))
@settings(max_examples=60)
def test_the_oldest_live_sessions_give_way(sessions: list[Session], limit: int) -> None:
    """What is left has no more than the limit of live sessions, and none that gave way is newer than one that stays."""
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
    """With a limit of 0 no session gives way."""

    assert beyond_limit(sessions, 0, NOW) == []
