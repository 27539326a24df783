"""What a process remembers of polls is bounded."""

import json

import pytest

from domain.device_grant import DeviceCode, PollRefusal
from entrypoints.http.known_polls import MAX_BYTES, KnownPolls
from entrypoints.http.polls import RESPONSES
from support.clock import Clock
from unit.application.test_scans import World

pytestmark = pytest.mark.anyio

HEADERS = [(b"host", b"id.example.com"), (b"authorization", b"Basic c2hvcDpzM2NyZXQ=")]


async def test_a_known_poll_is_refused_until_the_store_has_to_answer(clock: Clock) -> None:
    """The same bytes are slow_down at once. In time they are unknown again, and so are other bytes."""
    world, known = World(clock), KnownPolls()
    scan = await world.start()
    await world.poll(scan)
    known.remember(HEADERS, b"a poll", "shop", scan.code)
    early = known.refuse(HEADERS, b"a poll", world.scans)
    other = known.refuse(HEADERS, b"another", world.scans)
    clock.advance(seconds=7)

    assert (early, other) == (PollRefusal.SLOW_DOWN, None)
    assert known.refuse(HEADERS, b"a poll", world.scans) is None
    assert known.refuse([], b"a poll", world.scans) is None
    assert len(known) == 0


async def test_a_known_poll_says_that_the_code_was_scanned(clock: Clock) -> None:
    """In time, the same bytes get what the last watch saw: false, and true from the first look on."""
    world, known = World(clock), KnownPolls()
    ann, scan = await world.log_in(), await world.start()
    await world.poll(scan)
    known.remember(HEADERS, b"a poll", "shop", scan.code)
    answers = []
    for _ in range(2):
        clock.advance(seconds=2)
        await world.scans.watch()
        refusal = known.refuse(HEADERS, b"a poll", world.scans)
        assert refusal
        answers.append(json.loads(RESPONSES[refusal].body))
        await world.scans.look(ann, scan.grant.scene, None)

    assert [(each["error"], each["scanned"]) for each in answers] == [
        ("authorization_pending", False),
        ("authorization_pending", True),
    ]


def test_known_polls_are_bounded() -> None:
    """Long requests are not remembered, and others are forgotten when there are too many."""
    known, code = KnownPolls(limit=10), DeviceCode.generate()
    known.remember(HEADERS, b"x" * MAX_BYTES, "shop", code)
    known.remember([*HEADERS, (b"content-type", b"x" * MAX_BYTES)], b"a poll", "shop", code)
    assert len(known) == 0
    for number in range(15):
        known.remember(HEADERS, str(number).encode(), "shop", code)

    assert len(known) == 10
