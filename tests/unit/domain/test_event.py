"""Events, and the types of releases that are newer."""

import msgspec
import pytest

from domain.event import DEFAULT_POLICY, SYSTEM, Event, EventPolicy, EventType
from support.clock import Clock


def test_a_type_of_a_newer_release_is_kept_as_its_text(clock: Clock) -> None:
    """An event of a type that this release does not know is read and written again without a change."""
    known = Event.of(EventType.USER_BLOCKED, SYSTEM, clock.now, user_id="ann")
    newer = msgspec.json.encode(known).replace(b"user.blocked", b"user.renamed")
    read = msgspec.json.decode(newer, type=Event)

    assert read.type == "user.renamed"
    assert msgspec.json.encode(read) == newer
    assert EventType("user.renamed") not in set(EventType)


def test_a_type_is_a_text() -> None:
    """A value that is no text is no type."""
    with pytest.raises(ValueError, match="7"):
        EventType(7)  # type: ignore[arg-type]  # what a damaged record may have


def test_sessions_of_a_newer_release_are_about_sessions() -> None:
    """A policy treats an unknown type by its first word."""
    policy = EventPolicy(subscriptions={"endpoint": ("session.*",)})

    assert not DEFAULT_POLICY.audits(EventType("session.paused"))
    assert policy.subscribers(EventType("session.paused")) == ["endpoint"]
    assert DEFAULT_POLICY.audits(EventType("user.renamed"))
