"""Webhooks as a receiver sees them: `wxlogin serve` and `wxlogin worker` deliver, also when they are killed."""

import json
import signal
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from domain.webhook import WebhookEndpoint
from support.processes import Environment, Sandbox, environment, running, service
from support.scrapes import scrape
from support.servers import free_port, migrate_database, wait_until
from support.webhooks import (
    SECRET,
    Received,
    Receiver,
    Reply,
    count_deliveries,
    new_event,
    queue_deliveries,
    receiver,
)


def id_of(running: Receiver) -> str:
    """Return the id of the endpoint."""
    return WebhookEndpoint(running.url, ()).id


def settings(sandbox: Sandbox, database_url: str, *receivers: Receiver, **more: str) -> Environment:
    """Return the settings of a service with these receivers."""
    hooks = json.dumps([each.entry() for each in receivers])
    return environment(database_url=database_url, wechat_url=sandbox.url, webhooks=hooks, **more)


def add_events(database_url: str, *receivers: Receiver, number: int = 1) -> list[str]:
    """Queue events for each receiver, and return their ids."""
    events = [new_event(datetime.now(UTC)) for _ in range(number)]
    for each in receivers:
        queue_deliveries(database_url, id_of(each), events)
    return [event.id for event in events]


def test_a_receiver_verifies_what_a_service_sends(sandbox: Sandbox, database_url: str) -> None:
    """A service delivers each event once to each receiver, signed, and its queue is empty afterwards."""
    with receiver() as one, receiver() as two:
        with service(env=settings(sandbox, database_url, one, two)):
            ids = add_events(database_url, one, two, number=50)
            wait_until(lambda: len(one.received) == len(two.received) == 50, "all events")
            wait_until(lambda: count_deliveries(database_url) == 0, "an empty queue")

        assert Counter(one.ids()) == Counter(two.ids()) == Counter(ids)
        assert {each.verified()["data"]["id"] for each in one.received} == set(ids)


def test_several_processes_share_the_work(sandbox: Sandbox, database_url: str) -> None:
    """Of several processes, one sends each event."""
    with receiver() as one, service(workers=2, env=settings(sandbox, database_url, one)):
        ids = add_events(database_url, one, number=200)
        wait_until(lambda: len(one.received) >= 200 and count_deliveries(database_url) == 0, "all events")

        assert Counter(one.ids()) == Counter(ids)


def test_410_ends_and_a_failure_is_repeated(sandbox: Sandbox, sqlite_url: str) -> None:
    """An event answered by 410 comes once. One answered by 500 comes again, with its id and its body."""
    first = count()

    def reply(got: Received) -> Reply:
        return (410 if got.id == gone else 500 if next(first) == 0 else 204), {}

    gone = ""
    with receiver(reply) as one:
        migrate_database(sqlite_url)
        gone, failed = add_events(sqlite_url, one, number=2)
        with service(env=settings(sandbox, sqlite_url, one)) as serving:
            wait_until(lambda: count_deliveries(sqlite_url) == 0, "the repeat")
            line, repeat = serving.process.event("webhook_gone"), serving.process.event("webhook_postponed")

        assert Counter(one.ids()) == {gone: 1, failed: 2}
        assert len({each.body for each in one.received}) == 2
        assert (line["webhook_id"], repeat["webhook_id"], repeat["status"]) == (gone, failed, 500)


def test_retry_after_is_honoured(sandbox: Sandbox, sqlite_url: str) -> None:
    """A receiver that asks for two seconds gets nothing within them, and everything after them."""
    first = count()

    def reply(_: Received) -> Reply:
        return (503, {"retry-after": "2"}) if next(first) == 0 else (204, {})

    with receiver(reply) as one, service(env=settings(sandbox, sqlite_url, one)):
        ids = add_events(sqlite_url, one)
        wait_until(lambda: len(one.received) == 1, "the first attempt")
        ids += add_events(sqlite_url, one)
        wait_until(lambda: count_deliveries(sqlite_url) == 0, "both events")
        refused, *later = one.received

        assert all(each.at - refused.at >= 2 for each in later)
        assert Counter(one.ids()) == {ids[0]: 2, ids[1]: 1}


def test_a_redirect_is_a_failure(sandbox: Sandbox, sqlite_url: str) -> None:
    """The target of a redirect gets nothing, and the event waits."""
    with receiver() as target, receiver(lambda _: (308, {"location": target.url})) as one:
        with service(env=settings(sandbox, sqlite_url, one)) as serving:
            add_events(sqlite_url, one)
            line = serving.process.event("webhook_postponed")

        assert line["status"] == 308
        assert target.received == []
        assert count_deliveries(sqlite_url) == 1


def test_a_slow_and_a_dead_receiver_delay_no_other(sandbox: Sandbox, sqlite_url: str) -> None:
    """A receiver gets all events while another does not answer and a third does not exist."""
    release = threading.Event()

    def wait(_: Received) -> Reply:
        release.wait(30)
        return 204, {}

    dead = Receiver(url=f"http://127.0.0.1:{free_port()}/")
    with receiver() as fast, receiver(wait) as slow:
        env = settings(sandbox, sqlite_url, fast, slow, dead)
        with service(env=env) as serving:
            ids = add_events(sqlite_url, fast, slow, dead, number=200)
            wait_until(lambda: len(fast.received) == 200, "all events of the fast one")
            held = count_deliveries(sqlite_url)
            release.set()
            cause = serving.process.event("webhook_postponed")["cause"]

        assert Counter(fast.ids()) == Counter(ids)
        assert held >= 400
        assert cause == "ConnectionRefusedError"


def test_an_address_of_this_machine_is_not_called(sandbox: Sandbox, sqlite_url: str) -> None:
    """A receiver on this machine gets no connection unless the setting allows it."""
    with receiver() as one:
        one.url = one.url.replace("http://127.0.0.1", "https://localhost")
        hooks = one.setting(private=False)
        with service(env=environment(database_url=sqlite_url, wechat_url=sandbox.url, webhooks=hooks)) as serving:
            add_events(sqlite_url, one)
            line = serving.process.event("webhook_postponed")

        assert line["cause"] == "AddressRefused"
        assert one.received == []


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_killed_process_loses_nothing(command: str, sandbox: Sandbox, sqlite_url: str, own_redis_url: str) -> None:
    """A process that is killed after a receiver got an event, and before it removed it: it comes again, same id."""
    arrived, hold = threading.Event(), threading.Event()

    def reply(_: Received) -> Reply:
        arrived.set()
        hold.wait(30)
        return 204, {}

    with receiver(reply) as one:
        env = settings(sandbox, sqlite_url, one, redis_url=own_redis_url)
        arguments = ["serve", "--port", "0"] if command == "serve" else ["worker"]
        (event_id,) = add_events(sqlite_url, one)
        with running(*arguments, env=env) as first:
            wait_until(arrived.is_set, "the first attempt")
            first.kill()
            first.wait()
        hold.set()
        waiting = count_deliveries(sqlite_url)
        with running(*arguments, env=env):
            wait_until(lambda: count_deliveries(sqlite_url) == 0, "the repeat", seconds=90)

        assert waiting == 1
        assert one.ids() == [event_id, event_id]
        assert one.received[0].body == one.received[1].body


def test_a_stopped_service_finishes_its_calls(sandbox: Sandbox, sqlite_url: str) -> None:
    """After SIGTERM a call under way is finished and not repeated, and the status is 0."""
    arrived, release = threading.Event(), threading.Event()

    def reply(_: Received) -> Reply:
        arrived.set()
        release.wait(30)
        return 204, {}

    with receiver(reply) as one, service(env=settings(sandbox, sqlite_url, one)) as serving:
        add_events(sqlite_url, one)
        wait_until(arrived.is_set, "the call")
        serving.process.process.send_signal(signal.SIGTERM)
        serving.process.event("stopping")
        release.set()
        status = serving.process.wait()

        assert status == 0
        assert (len(one.received), count_deliveries(sqlite_url)) == (1, 0)


def test_an_event_is_given_up_after_three_days(sandbox: Sandbox, sqlite_url: str) -> None:
    """An event of four days ago that fails is given up, with a line that has neither the path nor the secret."""
    with receiver(lambda _: (500, {})) as one:
        with service(env=settings(sandbox, sqlite_url, one)) as serving:
            event = new_event(datetime.now(UTC) - timedelta(days=4))
            queue_deliveries(sqlite_url, id_of(one), [event])
            line = serving.process.event("webhook_given_up")
            wait_until(lambda: count_deliveries(sqlite_url) == 0, "an empty queue")
            metrics = scrape(serving.url)
            text = serving.process.text() + serving.http.get("/metrics").text

        assert (line["webhook_id"], line["host"], line["level"]) == (event.id, "127.0.0.1", "error")
        labels = {"endpoint": id_of(one), "host": "127.0.0.1", "outcome": "given_up"}
        assert metrics.value("wxlogin_webhook_attempts_total", **labels) == 1
        assert "a-secret-path" not in text
        assert SECRET not in text
        assert SECRET.removeprefix("whsec_") not in text
