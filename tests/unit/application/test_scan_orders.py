"""No order of events gives a website more than one session, or one that its user did not want."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule

from application.scans import Redeemed, StartedScan
from domain.device_grant import GrantState, PollRefusal
from domain.errors import NotFound, RateLimited
from domain.event import SYSTEM, Cause
from domain.session import EndReason, Session, SessionPolicy
from support.clock import Clock
from unit.application.test_scans import World

USERS = st.sampled_from(["ann", "ann", "ann", "bob"])
CLIENTS = st.sampled_from(["shop", "shop", "shop", "cafe"])
MOSTLY = st.sampled_from([True, True, True, False])
SCANS = 2
"""More scans at once would seldom get to their end."""

REACHED: Counter[str] = Counter()
"""How often each end of a scan was reached, and how many polls were answered from memory."""


class Expected:
    """What the rules say of one scan."""

    def __init__(self, scan: StartedScan, client: str) -> None:
        self.scan, self.client = scan, client
        self.viewer: str | None = None
        self.approved_by: Session | None = None
        self.is_answered = self.is_denied = self.is_redeemed = False


class Orders(RuleBasedStateMachine):
    """Users, clients and a clock that do anything in any order, beside what the rules say."""

    scans = Bundle("scans")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World(Clock(), policy=SessionPolicy(per_user=0))
        self.phones: dict[str, Session] = {}
        self.started = 0
        self.live: set[str] = set()
        self.blocked: set[str] = set()

    def run_one(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine until it ends."""
        return self.loop.run_until_complete(coroutine)

    def teardown(self) -> None:
        """Close the loop."""
        self.loop.close()

    @initialize()
    def log_everybody_in(self) -> None:
        """Give each user a phone."""
        for user in ("ann", "bob"):
            self.log_in(user)

    @rule(user=USERS)
    def log_in(self, user: str) -> None:
        """Log a user in anew, with another session."""
        self.phones[user] = self.run_one(self.world.log_in(user))
        self.live.add(self.phones[user].id)

    @precondition(lambda self: self.started < SCANS)
    @rule(target=scans, client=CLIENTS)
    def start(self, client: str) -> Expected:
        """Start a scan."""
        self.started += 1
        return Expected(self.run_one(self.world.start(client)), client)

    def is_open(self, expected: Expected, user: str) -> bool:
        """Return whether the scan exists for the user."""
        in_time = self.world.clock.now < expected.scan.grant.expires_at
        return in_time and not expected.is_answered and expected.viewer in (None, user)

    @rule(expected=scans, user=USERS)
    def look(self, expected: Expected, user: str) -> None:
        """Look at a scan."""
        is_open = self.is_open(expected, user)
        try:
            self.run_one(self.world.scans.look(self.phones[user], expected.scan.grant.scene, None))
        except RateLimited:
            return
        except NotFound:
            assert not is_open
            return
        assert is_open
        expected.viewer = user

    @rule(expected=scans, user=USERS, approve=MOSTLY, is_right=MOSTLY)
    def answer(self, expected: Expected, user: str, approve: bool, is_right: bool) -> None:
        """Approve with the right or a wrong number, or deny."""
        numbers = expected.scan.grant.numbers
        assert numbers
        number = numbers.shown if is_right else next(each for each in numbers.choices if each != numbers.shown)
        may_answer = self.is_open(expected, user) and expected.viewer == user
        phone = self.phones[user]
        try:
            answered = self.run_one(
                self.world.scans.answer(phone, expected.scan.grant.scene, number, None, Cause.user(), approve=approve)
            )
        except RateLimited:
            return
        except NotFound:
            assert not may_answer
            return
        assert may_answer
        expected.is_answered = True
        expected.is_denied = not (approve and is_right)
        assert answered.state is (GrantState.DENIED if expected.is_denied else GrantState.APPROVED)
        expected.approved_by = None if expected.is_denied else phone

    @rule(expected=scans, user=USERS)
    def consent(self, expected: Expected, user: str) -> None:
        """Look, and approve with the right number: the way of most scans."""
        self.look(expected, user)
        self.answer(expected, user, approve=True, is_right=True)

    @rule(expected=scans, client=CLIENTS, is_watched=st.booleans())
    def poll(self, expected: Expected, client: str, is_watched: bool) -> None:
        """Poll in time, with the right code. A poll after a watch is answered from memory if it can be."""
        if is_watched:
            self.world.clock.advance(seconds=1)
            self.run_one(self.world.scans.watch())
        reads = self.world.grants.finds
        outcome = self.run_one(self.world.poll(expected.scan, client, seconds=1 if is_watched else 2))
        REACHED["from memory"] += self.world.grants.finds == reads
        by = expected.approved_by
        in_time = self.world.clock.now < expected.scan.grant.expires_at
        if isinstance(outcome, Redeemed):
            assert client == expected.client
            assert by
            assert in_time
            assert not expected.is_denied
            assert not expected.is_redeemed
            assert by.id in self.live
            assert by.user_id not in self.blocked
            assert outcome.session.user_id == by.user_id
            expected.is_redeemed = True
            REACHED["redeemed"] += 1
            self.live.add(outcome.session.id)
        elif client != expected.client or expected.is_redeemed:
            assert outcome is PollRefusal.INVALID_GRANT
        elif expected.is_denied:
            assert outcome in (PollRefusal.ACCESS_DENIED, PollRefusal.INVALID_GRANT)
            REACHED["denied"] += 1
        elif by is None and in_time:
            assert outcome is (PollRefusal.SCANNED if expected.viewer else PollRefusal.AUTHORIZATION_PENDING)
        elif in_time:
            assert by
            assert outcome is PollRefusal.ACCESS_DENIED
            assert by.id not in self.live or by.user_id in self.blocked
            expected.is_denied = True
            REACHED["withdrawn"] += 1
        else:
            assert outcome in (PollRefusal.EXPIRED_TOKEN, PollRefusal.INVALID_GRANT)

    @rule(user=USERS)
    def log_out(self, user: str) -> None:
        """Log the user's phone out."""
        phone = self.phones[user]
        self.run_one(self.world.sessions.end([phone], EndReason.ENDED, self.world.clock.now, SYSTEM))
        self.live.discard(phone.id)

    @rule(user=USERS, is_blocked=st.booleans())
    def block(self, user: str, is_blocked: bool) -> None:
        """Block or unblock a user."""
        user_id = self.phones[user].user_id
        change = self.world.users.block if is_blocked else self.world.users.unblock
        self.run_one(change(user_id, self.world.clock.now, SYSTEM))
        (self.blocked.add if is_blocked else self.blocked.discard)(user_id)

    @rule(seconds=st.sampled_from([1, 5, 30, 118]))
    def wait(self, seconds: int) -> None:
        """Let time pass. It also restores quotas."""
        self.world.clock.advance(seconds=seconds)


class TestOrders(Orders.TestCase):  # type: ignore[valid-type,misc]  # hypothesis makes it
    """Runs the orders, which must reach every end."""

    settings = settings(max_examples=300, stateful_step_count=50, deadline=None, derandomize=True)

    def runTest(self) -> None:  # noqa: N802  # unittest's name
        """No order gives a second token, one after a denial, one to another client, or one without consent."""
        super().runTest()

        assert min(REACHED[end] for end in ("redeemed", "denied", "withdrawn", "from memory")) > 0, REACHED
