"""When deliveries of webhooks are repeated, and what their objects show."""

from datetime import timedelta
from itertools import pairwise

import pytest

from domain.webhook import LIFETIME, MAX_RETRY_AFTER, PAUSES, Delivery, WebhookEndpoint, WebhookReply
from support.clock import Clock
from support.webhooks import SECRET, new_event

URL = "https://hooks.example.com/a-secret-path"


def test_the_pauses_grow() -> None:
    """Each pause is longer than the one before, and together they are longer than the life of a delivery."""
    assert list(PAUSES) == sorted(set(PAUSES))
    assert sum(PAUSES, timedelta(0)) > LIFETIME


def test_a_receiver_that_always_fails_is_asked_for_three_days(clock: Clock) -> None:
    """A delivery is repeated with growing pauses, for the last time three days after the event, then given up."""
    event, attempts, times = new_event(clock.now), 0, [clock.now]
    while until := Delivery("e", event, attempts).repeat_at(times[-1], None, 1.0):
        times.append(until)
        attempts += 1
    pauses = [later - earlier for earlier, later in pairwise(times)]

    assert tuple(pauses[:-1]) == PAUSES[: len(pauses) - 1]
    assert times[-1] == event.time + LIFETIME
    assert len(times) == 11


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        (timedelta(seconds=7), timedelta(seconds=7)),
        (timedelta(0), timedelta(seconds=1)),
        (timedelta(days=30), MAX_RETRY_AFTER),
    ],
    ids=["seconds", "at once", "a month"],
)
def test_the_time_that_a_receiver_asks_for_is_honoured_within_bounds(
    asked: timedelta, pause: timedelta, clock: Clock
) -> None:
    """Retry-After replaces the pause, from a second to an hour."""
    assert Delivery("e", new_event(clock.now), 4).repeat_at(clock.now, asked, 1.0) == clock.now + pause


def test_pauses_differ_by_the_jitter(clock: Clock) -> None:
    """The jitter is a factor of the pause, so that failed deliveries are not repeated together."""
    repeat_at = Delivery("e", new_event(clock.now), 2).repeat_at(clock.now, None, 0.8)

    assert repeat_at == clock.now + 0.8 * PAUSES[2]


def test_a_late_first_attempt_is_the_last(clock: Clock) -> None:
    """An event that is older than three days is not repeated."""
    assert Delivery("e", new_event(clock.now - LIFETIME), 0).repeat_at(clock.now, timedelta(seconds=1), 1.0) is None


def test_an_endpoint_shows_neither_its_path_nor_its_secret() -> None:
    """The repr of an endpoint has no part of its URL and secret. Id and host identify it."""
    endpoint = WebhookEndpoint(URL, (SECRET,))

    assert "secret-path" not in repr(endpoint)
    assert SECRET not in repr(endpoint)
    assert (endpoint.host, endpoint.id) == ("hooks.example.com", "c61bbcd15ac77296")
    assert WebhookEndpoint(URL, ("another",)).id == endpoint.id


@pytest.mark.parametrize(
    ("status", "success", "overload"),
    [
        (200, True, False), (204, True, False), (299, True, False), (301, False, False), (400, False, False),
        (410, False, False), (429, False, True), (500, False, False), (503, False, True), (None, False, True),
    ],
)  # fmt: skip
def test_a_response_is_a_success_a_failure_or_an_overload(status: int | None, success: bool, overload: bool) -> None:
    """A 2xx is a success. No response, 429, 502, 503 and 504 are an overload, and all others fail for this event."""
    response = WebhookReply(status)

    assert (response.is_success, response.is_overload) == (success, overload)
