"""Device grants: their codes, their numbers, and the rules between their states."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.device import UNKNOWN_DEVICE, Device
from domain.device_grant import (
    INTERVAL,
    LIFETIME,
    SCENE,
    SLOWER,
    DeviceCode,
    DeviceGrant,
    GrantState,
    MatchNumbers,
    Pace,
    PollRefusal,
    generate_user_code,
)
from domain.errors import NotFound, RequestInvalid
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from support.clock import Clock

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
CODE = DeviceCode.generate()
NUMBERS = MatchNumbers("42", ("17", "42", "83"))


def session_of(user_id: str, clock: Clock, app: AppId = APP) -> Session:
    """Return a session of the user in an app."""
    identity = Identity(app, f"o{user_id}")
    return Session.start(SessionToken.generate(), user_id, identity, UNKNOWN_DEVICE, SessionPolicy(), clock.now)


@pytest.fixture
def grant(clock: Clock) -> DeviceGrant:
    """A new grant with numbers."""
    return DeviceGrant.start(CODE, "shop", APP, Device("Firefox", "203.0.113.7"), NUMBERS, clock.now)


@pytest.fixture
def ann(clock: Clock) -> Session:
    """The session of a user."""
    return session_of("ann", clock)


def test_codes_are_random_and_scenes_are_what_wechat_draws() -> None:
    """Codes and scenes never repeat. A scene has 22 characters that WeChat accepts, and the code adds 43 of its own."""
    codes = [DeviceCode.generate() for _ in range(1000)]

    assert len({code.scene for code in codes}) == len({code.secret for code in codes}) == 1000
    assert all(SCENE.fullmatch(code.scene) and len(code.secret) == 43 for code in codes)


@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_-]{60,70}", fullmatch=True))
def test_a_text_is_a_code_or_none(text: str) -> None:
    """A text is parsed to the code whose text it is, or to none."""
    code = DeviceCode.parse(text)

    assert code is None or str(code) == text
    assert (code is not None) == bool(re.fullmatch(r"[A-Za-z0-9_-]{65}", text))


def test_a_code_hides_its_secret() -> None:
    """The repr of a code shows no secret, and a grant has only its hash."""
    assert CODE.secret not in repr(CODE)
    assert re.fullmatch("[0-9a-f]{64}", CODE.secret_hash)


def test_a_user_code_has_the_letters_of_the_rfc() -> None:
    """A user code has eight letters without vowels (RFC 8628 section 6.1)."""
    assert all(re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{8}", generate_user_code()) for _ in range(100))


def test_numbers_differ_and_the_shown_one_is_among_them() -> None:
    """Three different numbers of two digits, of which each is shown as often as the others, in any order."""
    made = [MatchNumbers.generate() for _ in range(300)]

    assert all(len(set(each.choices)) == 3 and each.shown in each.choices for each in made)
    assert all(re.fullmatch("[1-9][0-9]", number) for each in made for number in each.choices)
    assert {each.choices.index(each.shown) for each in made} == {0, 1, 2}
    assert any(list(each.choices) != sorted(each.choices) for each in made)


def test_the_right_number_after_a_look_approves(grant: DeviceGrant, ann: Session, clock: Clock) -> None:
    """The user who looked approves with the number, and the grant has their session."""
    approved = grant.look(ann, clock.now).answer(ann, "42", clock.now, approve=True)

    assert (approved.state, approved.user_id, approved.session_id) == (GrantState.APPROVED, "ann", ann.id)


@pytest.mark.parametrize("number", ["17", "", "042", " 42", "４２"])
def test_a_wrong_number_denies(grant: DeviceGrant, ann: Session, clock: Clock, number: str) -> None:
    """Any other number than the shown one denies, so that no one can try a second one."""
    denied = grant.look(ann, clock.now).answer(ann, number, clock.now, approve=True)

    assert (denied.state, denied.session_id) == (GrantState.DENIED, None)


def test_a_missing_number_changes_nothing(grant: DeviceGrant, ann: Session, clock: Clock) -> None:
    """An approval without a number is malformed, unless numbers are off."""
    seen = grant.look(ann, clock.now)

    with pytest.raises(RequestInvalid):
        seen.answer(ann, None, clock.now, approve=True)
    assert replace(seen, numbers=None).answer(ann, None, clock.now, approve=True).state is GrantState.APPROVED
    assert seen.answer(ann, None, clock.now, approve=False).state is GrantState.DENIED


def test_no_one_answers_unseen(grant: DeviceGrant, ann: Session, clock: Clock) -> None:
    """Before a look there is nothing to answer: a user sees who asks before they consent."""
    with pytest.raises(NotFound):
        grant.answer(ann, "42", clock.now, approve=True)


@pytest.mark.parametrize(
    "who",
    [lambda clock: session_of("bob", clock), lambda clock: session_of("ann", clock, OTHER_APP)],
    ids=["user", "app"],
)
def test_a_grant_is_of_its_first_viewer_and_app(
    grant: DeviceGrant, ann: Session, clock: Clock, who: Callable[[Clock], Session]
) -> None:
    """For another user than the first to look, and in another app, the grant does not exist."""
    seen, other = grant.look(ann, clock.now), who(clock)

    assert seen.look(ann, clock.now) == seen
    with pytest.raises(NotFound):
        seen.look(other, clock.now)
    with pytest.raises(NotFound):
        seen.answer(other, "42", clock.now, approve=True)


@pytest.mark.parametrize("state", [GrantState.APPROVED, GrantState.DENIED, GrantState.REDEEMED])
def test_an_answered_grant_is_gone_for_users(grant: DeviceGrant, ann: Session, clock: Clock, state: GrantState) -> None:
    """After its answer a grant does not exist for any user, the same one included."""
    answered = replace(grant, state=state, user_id="ann")

    with pytest.raises(NotFound):
        answered.look(ann, clock.now)
    with pytest.raises(NotFound):
        answered.answer(ann, "42", clock.now, approve=False)


def test_an_expired_grant_is_gone_for_users(grant: DeviceGrant, ann: Session, clock: Clock) -> None:
    """At its expiry, and not before, a grant does not exist for any user."""
    last = clock.now + LIFETIME - timedelta(microseconds=1)

    assert grant.look(ann, last)
    with pytest.raises(NotFound):
        grant.look(ann, clock.now + LIFETIME)


@pytest.mark.parametrize(
    ("state", "refusal", "after_expiry"),
    [
        (GrantState.NEW, PollRefusal.AUTHORIZATION_PENDING, PollRefusal.EXPIRED_TOKEN),
        (GrantState.SEEN, PollRefusal.SCANNED, PollRefusal.EXPIRED_TOKEN),
        (GrantState.DENIED, PollRefusal.ACCESS_DENIED, PollRefusal.ACCESS_DENIED),
        (GrantState.REDEEMED, PollRefusal.INVALID_GRANT, PollRefusal.INVALID_GRANT),
    ],
)
def test_a_poll_learns_the_state(
    grant: DeviceGrant, clock: Clock, state: GrantState, refusal: PollRefusal, after_expiry: PollRefusal
) -> None:
    """A poll of a grant that is not approved has the error of its state, as RFC 8628 names it."""
    polled = replace(grant, state=state)

    assert polled.redeem(clock.now) is refusal
    assert polled.redeem(clock.now + LIFETIME) is after_expiry


def test_an_approved_grant_is_redeemed_until_it_expires(grant: DeviceGrant, clock: Clock) -> None:
    """An approved grant becomes redeemed. At its expiry the approval is void."""
    approved = replace(grant, state=GrantState.APPROVED, user_id="ann", session_id="s")

    assert approved.redeem(clock.now) == replace(approved, state=GrantState.REDEEMED)
    assert approved.redeem(clock.now + LIFETIME) is PollRefusal.EXPIRED_TOKEN


def test_a_grant_is_of_one_client_and_one_code(grant: DeviceGrant) -> None:
    """Another client, and another secret with the same scene, redeem nothing."""
    assert grant.is_of("shop", CODE)
    assert not grant.is_of("cafe", CODE)
    assert not grant.is_of("shop", replace(CODE, secret=DeviceCode.generate().secret))


def test_each_early_poll_slows_the_client_down(clock: Clock) -> None:
    """A poll in time is not early. Each early one adds five seconds to the interval (RFC 8628 section 3.5)."""
    pace, is_early = Pace(clock.now).poll(clock.now + INTERVAL)
    assert not is_early
    pace, is_early = pace.poll(clock.now + INTERVAL + timedelta(seconds=1))
    assert is_early
    pace, is_early = pace.poll(pace.polled_at + INTERVAL)
    assert is_early

    assert pace.interval == INTERVAL + 2 * SLOWER
    assert pace.poll(pace.polled_at + pace.interval) == (replace(pace, polled_at=pace.polled_at + pace.interval), False)
